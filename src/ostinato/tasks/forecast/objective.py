"""Windows as training batches, and the loss of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from ostinato.data import Windows
from ostinato.tasks.forecast.inputs import InputMaker, Inputs
from ostinato.tasks.forecast.network import ForecastNetwork
from ostinato.training import Batch, Step


class WindowBatches:
    """Windows in batches: a new random choice each epoch, or all of them in order.

    Args:
        windows: where they come from.
        make: turns them into the network's inputs.
        batch_size: windows in a batch.
        per_epoch: how many windows an epoch takes, at most; `None`: all.
        seed: of the choice and its order; `None`: in order (validation).
    """

    def __init__(
        self,
        windows: Windows,
        make: InputMaker,
        *,
        batch_size: int,
        per_epoch: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.windows, self.make, self.batch_size, self.seed = windows, make, batch_size, seed
        self.count = min(len(windows), per_epoch or len(windows))

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an epoch's batches; they depend on the seed and the epoch alone."""
        for index in np.array_split(self._order(epoch), range(self.batch_size, self.count, self.batch_size)):
            yield Batch(self.make(self.windows.gather(index)))

    def _order(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        if self.seed is None:
            return np.linspace(0, len(self.windows) - 1, self.count).round().astype(np.int64)
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.windows))[: self.count]


class ForecastObjective:
    """The head's loss, averaged over the values that were observed.

    Losses in the data's direction (absolute, squared, pinball) are weighted by the window's size, so that they count in
    the units of the scaled series, whatever the window was divided by.
    """

    def __init__(self, network: ForecastNetwork) -> None:
        self.head, output = network.head, network.settings.output
        power = 2 if output == "point" and network.settings.loss == "mse" else 1
        self.power = power if output in ("point", "quantiles") else 0

    def __call__(self, module: nn.Module, batch: Inputs, carry: Any) -> Step:  # noqa: ARG002
        """Return the loss of one batch; windows carry nothing over."""
        numbers = module(batch)
        losses = self.head.loss(numbers, batch.future, batch.unit[:, None]) * batch.size[:, None] ** self.power
        weight = batch.wanted.sum()
        return Step((losses * batch.wanted).sum() / weight.clamp_min(1), float(weight))
