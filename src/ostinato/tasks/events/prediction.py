"""What a fitted network says after each event of whole cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data import TimeFormat
from ostinato.data.times import STAMPS
from ostinato.tasks.events.batches import collate
from ostinato.tasks.events.cases import Case
from ostinato.tasks.events.features import TimeFeatures
from ostinato.tasks.events.network import EventNetwork
from ostinato.tasks.events.times import TimeScale

_CASES = 256


@dataclass(frozen=True)
class Reader:
    """A network with what it needs to read events.

    Args:
        network: in evaluation mode.
        known: the activities, in the order of their numbers.
        features: of times.
        scales: of the times that are foretold: until the next event, until the last one.
        unit: what times are shown in, and how many seconds that is; `("days", 86400)`, or `("units", 1)` where the log
            has whole numbers rather than times, or `("", 1)` where it has none.
        time_format: how the times of the training data are written, and later ones are read.
    """

    network: EventNetwork
    known: tuple[str, ...]
    features: TimeFeatures
    scales: tuple[TimeScale, ...]
    unit: tuple[str, float]
    time_format: TimeFormat = STAMPS

    def read(self, cases: Sequence[Case]) -> Foretold:
        """Return what comes after each event of cases, one case behind the other."""
        if not cases:
            return Foretold(np.zeros((0, len(self.known) + 1)), np.zeros((0, len(self.scales))))
        order = np.argsort([len(case.kinds) for case in cases], kind="stable")
        found: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for first in range(0, len(order), _CASES):
            rows = order[first : first + _CASES].tolist()
            found.update(zip(rows, self._batch([cases[row] for row in rows]), strict=True))
        parts = [found[row] for row in range(len(cases))]
        return Foretold(np.concatenate([own[0] for own in parts]), np.concatenate([own[1] for own in parts]))

    def _batch(self, cases: Sequence[Case]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        batch = collate(cases, self.scales, len(self.known))
        with torch.inference_mode():
            scores, times = self.network(batch.kinds, batch.features, batch.lengths)
        chances = scores.double().softmax(-1).numpy()
        seconds = self.seconds(times)
        for row, length in enumerate(batch.lengths.tolist()):
            yield chances[:length, row], seconds[:length, row]

    def seconds(self, times: torch.Tensor) -> NDArray[np.float64]:
        """Return medians in seconds, `(..., TIMES)`, of what the network says."""
        return np.stack([scale.seconds(times[..., place, :]) for place, scale in enumerate(self.scales)], -1)


@dataclass(frozen=True)
class Foretold:
    """After each event: `chances (events, activities + 1)`, the end last, and `seconds (events, TIMES)`."""

    chances: NDArray[np.float64]
    seconds: NDArray[np.float64]
