"""How rare a height is on normal data: -log of how many steps begin a peak of it, by few peaks as by many.

A peak that lasts long counts once, so that views of one step and of many can be held against each other. Of `m` peaks
the next one is above all of them once in `m + 1`; how far it may lie beyond is predicted by the mean excess of those
that there were, and of a few that are believed beforehand. That prediction has an exponential tail only where peaks
were many; of few it falls as a power, so that a view which was measured on a handful of peaks is not heard most.

Source: the predictive distribution of an exponential tail (Lomax), M. Evans, N. Hastings and B. Peacock, "Statistical
distributions", 2000; peaks over a threshold: S. Coles, "An introduction to statistical modeling of extreme values",
2001.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.tail import peaks

Floats = NDArray[np.float64]
_PRIOR = 5.0  # peaks' worth of belief in a mean excess of one
_NARROWEST, _WIDEST = 0.3, 10.0
_LEAST = 0.5


@dataclass(frozen=True)
class Rarity:
    """Tails of heights, one for each of some things; arrays of one shape, which that of heights goes with.

    Args:
        begins: heights where tails begin.
        levels: -log of how many steps begin a peak as high as that.
        scales: mean excess of peaks.
        weights: how many peaks that is known from, with those that are believed beforehand.
    """

    begins: Floats
    levels: Floats
    scales: Floats
    weights: Floats

    @classmethod
    def unknown(cls, shape: tuple[int, ...]) -> Rarity:
        """Return what stands before anything was measured."""
        return cls(*(np.full(shape, value) for value in (_LEAST, math.log(2), 1.0, _PRIOR)))

    @classmethod
    def fit(
        cls,
        things: Sequence[Floats],
        gaps: Sequence[int],
        share: float,
        *,
        widest: float = _WIDEST,
        most: float = math.inf,
    ) -> Rarity:
        """Measure the heights of things.

        Args:
            things: of each, `(steps, channels)`, whose channels have one tail; NaN where there is nothing.
            gaps: of each, steps below the begin that two peaks are apart at least.
            share: of the steps that lie beyond the begin.
            widest: mean excess of peaks at most.
            most: peaks that count, at most: the fewer, the heavier the tail.
        """
        found = np.array([_tail(*thing, share, widest) for thing in zip(things, gaps, strict=True)])
        begins, levels, scales, weights = found.reshape(len(things), 4).T.copy()
        return cls(begins, levels, scales, np.minimum(weights, most))

    def reshaped(self, *shape: int) -> Rarity:
        """Return the same tails in another shape."""
        return Rarity(*(each.reshape(shape) for each in (self.begins, self.levels, self.scales, self.weights)))

    @property
    def shapes(self) -> set[tuple[int, ...]]:
        """The shapes of all arrays; one, if they go together."""
        return {each.shape for each in (self.begins, self.levels, self.scales, self.weights)}

    @property
    def positive(self) -> bool:
        """Whether they are tails at all."""
        return all(bool((each > 0).all()) for each in (self.begins, self.levels, self.scales, self.weights))

    @property
    def peaks(self) -> Floats:
        """How many peaks they were measured on."""
        return np.maximum(self.weights - _PRIOR, 0.0)

    def nats(self, heights: Floats) -> Floats:
        """Return -log of how many normal steps begin a peak of such heights; NaN where there is none."""
        beyond = np.maximum(heights - self.begins, 0.0) / (self.weights * self.scales)
        # below its tail it only has to rise
        found: Floats = np.minimum(heights / self.begins, 1.0) * self.levels + self.weights * np.log1p(beyond)
        return found


def _tail(heights: Floats, gap: int, share: float, widest: float) -> tuple[float, float, float, float]:
    known = heights[np.isfinite(heights)]
    if not len(known):
        return _LEAST, math.log(2), 1.0, _PRIOR
    begin = max(float(np.quantile(known, 1 - share)), _LEAST)
    every = [peaks(heights[:, channel], begin, gap) for channel in range(heights.shape[1])]
    excess = np.concatenate(every) - begin
    weight = len(excess) + _PRIOR
    scale = float(np.clip((excess.sum() + _PRIOR) / weight, _NARROWEST, widest))
    level = -math.log((len(excess) + 0.5) / (len(known) + 1))
    return begin, max(level, math.log(2)), scale, weight
