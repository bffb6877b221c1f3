"""What makes a step strange: several views of the error of what was expected, each against how it usually is.

A step is looked at in six ways, channel by channel. The first view looks at the newest step alone, two at about ten
steps, two at many: a spike shows in the first, a shift or a changed noise in the others (the short and the long run of
Ahmad et al.). The last is of the values themselves: a season that is no longer followed. Each view is brought to its
own mean and spread, which follow the data slowly and by no more than three deviations a step, so that no anomaly
teaches them much in one go. Others, of values that never came (`novelty.py`), of channels that stand still and of
values that are missing (`manners.py`), are beside them.

All of it is arithmetic on arrays `(views, channels)`, a step at a time: the same code scores a file and a stream.

Sources: S. Ahmad, A. Lavin, S. Purdy and Z. Agha, "Unsupervised real-time anomaly detection for streaming data",
Neurocomputing 2017; the bounded update is Huber's, 1964.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
VIEWS = ("step", "shift", "noise", "long shift", "long noise", "rhythm")
_SIDED = np.array([False, True, True, True, True, False])  # whether a view has two sides
OF_ERRORS = 5  # the first ones
_BOUND = 3.0  # deviations that one step may move what is usual by
_LOUD = 4.0  # deviations up to which one step counts in a run of them
_LEAST_RATIO = 0.1  # of what a network says of its errors, to what they are
_LEAST = 0.05  # of a deviation: views are of about 1, and what never moved may move a little
_MEAN, _KEPT = 0.7979, 0.973  # of |z|, and of z^2 within the bound, of a normal z
_ONE_SIDE = 0.6  # of their size, that the mean of errors is at least where they lie on one side
_CLOSEST = 0.999  # correlation
_SHORTEST_RHYTHM = 16  # steps that likeness to a season ago is measured over, or half a season


@dataclass(frozen=True)
class Usual:
    """How the views usually are.

    Args:
        ratio: `(channels,)`, the size of errors over what the network says it is.
        mean, deviation: `(views, channels)`.
    """

    ratio: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def unknown(cls, channels: int) -> Usual:
        """Return what stands before anything was measured."""
        shape = (len(VIEWS), channels)
        return cls(np.ones(channels), np.zeros(shape), np.ones(shape))


@dataclass(frozen=True)
class Pace:
    """How many steps the views look at, and how slowly what is usual follows.

    Args:
        short, long: steps of a run.
        memory: steps in which what is usual is learned.
        season: steps; 1 for none.
    """

    short: int = 10
    long: int = 60
    memory: int = 2000
    season: int = 1

    @property
    def rhythm(self) -> int:
        """Steps over which likeness to a season ago is measured."""
        return max(_SHORTEST_RHYTHM, self.season // 2)

    @property
    def steps(self) -> Floats:
        """How many steps each view looks at, `(views,)`."""
        return np.array([1, self.short, self.short, self.long, self.long, self.rhythm], np.float64)


class Views:
    """The state of the views of one series.

    Args:
        usual: where it begins.
        pace: of the runs.
    """

    def __init__(self, usual: Usual, pace: Pace) -> None:
        self.pace = pace
        self.ratio, self.mean, self.deviation = usual.ratio.copy(), usual.mean.copy(), usual.deviation.copy()
        channels = len(usual.ratio)
        self.runs = np.zeros((4, channels))  # of the views after the first
        self.steps = np.full(
            channels, -float(pace.short)
        )  # the first ones, in which a network finds its state, count not
        self.rates = 2 / (1 + pace.steps[1:OF_ERRORS, None])
        self.raw = np.full((len(VIEWS), channels), np.nan)

    def push(self, error: Floats, scale: Floats, freedom: Floats, unlike: Floats) -> Floats:
        """Take in a step; return the deviation of each view from what is usual, `(views, channels)`, NaN where unknown.

        Args:
            error: `(channels,)`, what came less what was expected; NaN where it is missing.
            scale: of the expected distribution, `(channels,)`.
            freedom: its degrees of freedom.
            unlike: how unlike a season ago the channels are, `(channels,)`, see `unlikeness`.
        """
        there = error == error
        seen = there & (self.steps >= 0)
        u = np.where(seen, error, 0.0) / (scale * self.ratio)
        # of Student's t this is about the normal deviate that is as improbable
        g = np.sqrt(freedom * np.log1p(u * u / freedom))
        signed = np.where(u < 0, -g, g)
        quiet = np.minimum(g, _LOUD)
        bounded = np.minimum(np.maximum(signed, -_LOUD), _LOUD)
        new = np.stack([bounded, quiet, bounded, quiet])
        # a run begins as a plain mean, and only then forgets
        rate = np.maximum(self.rates, 1 / (np.maximum(self.steps, 0) + 1))
        self.runs = np.where(seen, self.runs + rate * (new - self.runs), self.runs)
        self.steps = self.steps + there
        self.raw = raw = np.where(seen, np.concatenate([g[None], self.runs, unlike[None]]), np.nan)
        known = raw == raw
        z = np.where(known, (raw - self.mean) / self.deviation, 0.0)
        self._learn(z, quiet, known)
        # runs say nothing before there is one
        begun = self.steps >= np.array([1, *(1.5 / self.rates[:, 0]), 1])[:, None]
        return np.where(known & begun, z, np.nan)

    def _learn(self, z: Floats, size: Floats, known: NDArray[np.bool_]) -> None:
        pace = known / self.pace.memory
        bounded = np.minimum(np.maximum(z, -_BOUND), _BOUND)
        self.mean = self.mean + pace * bounded * self.deviation
        # what hardly moves for long, as a constant, must not make a very small change a large one
        self.deviation = np.maximum(self.deviation * (1 + 0.5 * pace * (bounded * bounded / _KEPT - 1)), _LEAST)
        self.ratio = np.maximum(self.ratio * (1 + pace[0] * (np.minimum(size, _BOUND) / _MEAN - 1)), _LEAST_RATIO)

    def shifted(self, view: int, channel: int) -> float:
        """Return the mean error, of as many steps as a view of sizes has, where it is most of these; 0 elsewhere."""
        if not VIEWS[view].endswith("noise"):
            return 0.0
        mean, size = self.runs[view - 2, channel], self.runs[view - 1, channel]
        return float(mean) if abs(mean) > _ONE_SIDE * size else 0.0

    def usual(self) -> Usual:
        """Return what is usual now."""
        return Usual(self.ratio.copy(), self.mean.copy(), self.deviation.copy())

    def kept(self) -> Floats:
        """Return the whole state as one array, `(1 + 2 * views + 4 + 1, channels)`."""
        return np.concatenate([self.ratio[None], self.mean, self.deviation, self.runs, self.steps[None]])

    def accept(self, kept: Floats) -> None:
        """Resume from a state."""
        count = len(VIEWS)
        self.ratio, self.mean, self.deviation = kept[0], kept[1 : 1 + count], kept[1 + count : 1 + 2 * count]
        self.runs, self.steps = kept[1 + 2 * count : -1], kept[-1]


def unlikeness(likeness: Floats) -> Floats:
    """Return how unlike a season ago channels are, of correlations: such a number has about a normal error."""
    found: Floats = -np.arctanh(np.minimum(np.maximum(likeness, -_CLOSEST), _CLOSEST))
    return found


def measured(raw: Floats, ratio: Floats) -> Usual:
    """Return how views usually are, from what they were at many normal steps.

    Args:
        raw: `(steps, views, channels)`, NaN where there was nothing.
        ratio: `(channels,)`, as it was found.
    """
    with np.errstate(invalid="ignore"):
        mean = _median(raw)
        # from the middle of the values: what is rare and large is the tail's affair
        middle = _median(np.abs(raw - mean)) * 1.4826
        spread = np.sqrt(_mean((np.minimum(np.maximum(raw - mean, -4 * middle), 4 * middle)) ** 2))
    deviation = np.maximum(np.maximum(middle, spread), _LEAST)
    return Usual(ratio, np.where(np.isfinite(mean), mean, 0.0), np.where(np.isfinite(deviation), deviation, 1.0))


def _median(values: Floats) -> Floats:
    return np.stack([[_of(values[:, v, c], np.median) for c in range(values.shape[2])] for v in range(values.shape[1])])


def _mean(values: Floats) -> Floats:
    return np.stack([[_of(values[:, v, c], np.mean) for c in range(values.shape[2])] for v in range(values.shape[1])])


def _of(values: Floats, how: object) -> float:
    known = values[np.isfinite(values)]
    return float(how(known)) if len(known) else math.nan  # type: ignore[operator]


def heights(z: Floats) -> Floats:
    """Return how high deviations are on either side, in nats of a normal tail: `(..., views, 2, channels)`."""
    sided = _SIDED[:, None]
    up = np.maximum(z, 0.0)
    down = np.where(sided, np.maximum(-z, 0.0), 0.0 * z)  # what is not known stays so
    both = np.stack([up, down], -2)
    found: Floats = both * both / 2
    return found
