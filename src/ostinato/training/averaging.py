"""Weights averaged over the steps of a run: validated and kept in place of the last ones, while training continues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.training.config import TrainingConfig

_LATEST = 0.5  # of a budget of time: when averaging begins though averaging_start epochs are not done


class Averaging:
    """The average of the trained weights, as `TrainingConfig.averaging` names it; nothing if it names none.

    `"polyak"` is the mean over all steps since it began, `"ema"` fades by `averaging_decay` a step, and less in the
    first steps, so that they are forgotten: by `(1 + n) / (10 + n)` in step `n` if that is less. `"triggered"` is
    `"polyak"` that begins by itself, after an epoch whose loss is higher than the least of those `averaging_patience`
    epochs ago and earlier. Buffers, such as running statistics, are not averaged.

    Args:
        parameters: the weights, which are changed in place.
        config: of the run.

    Sources: B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the trigger:
    S. Merity, N. Keskar and R. Socher, "Regularizing and optimizing LSTM language models", ICLR 2018, algorithm 1.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], config: TrainingConfig) -> None:
        self.parameters, self.config = list(parameters), config
        self.average: list[Tensor] = []
        self.steps = 0
        self.losses: list[float] = []  # of each validation so far
        self.began: int | None = None  # after how many of them
        self._begin_if_due()

    def after_step(self, done: float = 0.0) -> None:
        """Take the weights in as they are now, after a share of the budget; a limit of time waits for no epoch."""
        limited = self.config.max_seconds is not None and self.config.averaging in ("polyak", "ema")
        if self.began is None and limited and done >= _LATEST:
            self.began = len(self.losses)
        if self.began is None:
            return
        self.steps += 1
        with torch.no_grad():
            if self.steps == 1:
                self.average = [weight.detach().clone() for weight in self.parameters]
            else:
                torch._foreach_lerp_(self.average, [weight.detach() for weight in self.parameters], self._share())

    def after_epoch(self, loss: float, epochs: float | None = None) -> None:
        """Take note of a validation's loss, after so many epochs; `None`: after one more."""
        self.losses.append(loss)
        self._begin_if_due(len(self.losses) if epochs is None else epochs)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in place of the weights for a while, if it has begun."""
        if not self.steps:
            yield
            return
        weights = [weight.detach().clone() for weight in self.parameters]
        self._set(self.average)
        try:
            yield
        finally:
            self._set(weights)

    def waits(self) -> bool:
        """Tell whether it is still to be triggered, so that a run must not end for want of a better loss."""
        return self.config.averaging == "triggered" and self.began is None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"average": self.average, "steps": self.steps, "losses": self.losses, "began": self.began}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from what `state` returned."""
        self.steps, self.losses, self.began = state["steps"], list(state["losses"]), state["began"]
        pairs = zip(state["average"], self.parameters, strict=False)
        self.average = [value.to(weight.device) for value, weight in pairs]

    def _begin_if_due(self, epochs: float = 0.0) -> None:
        kind = self.config.averaging
        if kind is None or self.began is not None:
            return
        if kind == "triggered":
            before = self.losses[: -self.config.averaging_patience]
            due = bool(before) and self.losses[-1] > min(before)
        else:
            due = epochs >= self.config.averaging_start
        if due:
            self.began = len(self.losses)

    def _share(self) -> float:
        """Return how far the average goes towards the weights in this step."""
        if self.config.averaging == "ema":
            return 1.0 - min(self.config.averaging_decay, (1 + self.steps) / (10 + self.steps))
        return 1.0 / self.steps

    def _set(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self.parameters, values, strict=True):
                weight.copy_(value)
