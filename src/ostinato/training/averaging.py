"""A running average of the weights, which often judges better than the weights of the last step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential average of weights over training steps; nothing at a decay of 0.

    After step `n` the average moves to the weights by `1 - min(decay, (1 + n) / (10 + n))`, so that it forgets its
    start. Buffers, such as statistics of batch normalisation, are not averaged.

    Args:
        parameters: the weights.
        decay: how much of the average is kept each step, such as 0.999; 0 for no average.

    Sources: B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the warm-up as in
    TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters, self._decay, self._steps = list(parameters) if decay else [], decay, 0
        self._values: list[Tensor] = [own.detach().clone() for own in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        if not self._values:
            return
        self._steps += 1
        kept = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for value, own in zip(self._values, self._parameters, strict=True):
            value.lerp_(own, 1.0 - kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the place of the weights for a while; before the first step it is the weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for value, own in zip(self._values, self._parameters, strict=True):
            kept = own.clone()
            own.copy_(value)
            value.copy_(kept)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"steps": self._steps, "values": self._values}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._steps = int(state["steps"])
        for value, saved in zip(self._values, state["values"], strict=True):
            value.copy_(saved)
