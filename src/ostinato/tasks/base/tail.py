"""How far out a score lies: the tail of scores of normal steps, and the threshold of a stated rate of false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_SHARE = 0.05  # of the steps lie beyond the tail's begin
_FEWEST = 20  # peaks that a shape is found from
_PRIOR = 40.0  # peaks' worth of belief that the tail is exponential
_LEAST = 1e-9
_MEMORY = 20_000
_HIGHEST, _KEPT = 4.0, 0.98  # scales that a peak counts by at most, and what that leaves of an exponential's mean


@dataclass(frozen=True)
class Tail:
    """The upper tail of a score on normal data: peaks over a threshold, of a generalised Pareto distribution.

    Scores here are logarithms of probabilities already, in which most tails are exponential; the shape is drawn to
    that, the more the fewer peaks there are.

    Args:
        begin: where the tail begins.
        share: how many peaks there are to a step.
        scale, shape: of the excesses over `begin`; a shape of 0 is an exponential tail.

    Sources: A. Siffer, P.-A. Fouque, A. Termier and C. Largouet, "Anomaly detection in streams with extreme value
    theory" (SPOT), KDD 2017; runs of scores are one peak: S. Coles, "An introduction to statistical modeling of extreme
    values", 2001, section 5.3.

    >>> tail = Tail(2.0, 0.05, 1.0, 0.0)
    >>> round(tail.threshold(0.05 / math.e), 6), round(tail.probability(3.0), 6)
    (3.0, 0.018394)
    """

    begin: float
    share: float
    scale: float
    shape: float

    def __post_init__(self) -> None:
        """Raise `ValueError` where there are no peaks, as in a changed file."""
        if not self.share > 0:
            raise ValueError(f"{self.share} is no share of steps that are peaks")

    @classmethod
    def fit(cls, scores: ArrayLike, *, gap: int = 0, share: float = _SHARE) -> Tail:
        """Fit a tail to the scores of normal steps, in their order.

        Args:
            scores: `(steps,)`; NaN where there is none.
            gap: steps below the tail's begin that two peaks are apart at least; 0: each step is a peak.
            share: of the steps that lie beyond the begin.
        """
        every = np.asarray(scores, np.float64)
        known = every[np.isfinite(every)]
        if not len(known):
            return cls(1.0, _SHARE, 1.0, 0.0)
        begin = float(np.quantile(known, 1 - share))
        excess = peaks(every, begin, gap) - begin
        if not len(excess):  # all the same: there is nothing beyond
            return cls(begin, 1 / (len(known) + 1), 1.0, 0.0)
        scale, shape = _generalised_pareto(excess)
        return cls(begin, len(excess) / len(known), scale, shape)

    def threshold(self, rate: float) -> float:
        """Return the score that normal data reaches at a rate of peaks a step."""
        ratio = rate / self.share
        if abs(self.shape) < _LEAST:
            return self.begin - self.scale * math.log(ratio)
        return self.begin + self.scale / self.shape * math.expm1(-self.shape * math.log(ratio))

    def probability(self, score: float) -> float:
        """Return how many peaks of normal data, to a step, reach a score; 1 at most."""
        if not math.isfinite(score):
            return 1.0
        if score <= self.begin:  # from 1 at a score of 0 down to the share: it only has to fall
            return float(self.share ** (max(score, 0.0) / self.begin)) if self.begin > 0 else 1.0
        return self.share * math.exp(-self.nats_beyond(score - self.begin))

    def nats_beyond(self, excess: float) -> float:
        """Return -log of the share of peaks that exceed the begin by so much."""
        if abs(self.shape) < _LEAST:
            return excess / self.scale
        inside = 1 + self.shape * excess / self.scale
        return math.log(inside) / self.shape if inside > 0 else math.inf


class LiveTail:
    """A tail that follows the scores as they come, and gives each as -log of how many normal steps begin such a peak.

    Its begin moves so that peaks stay as frequent as they were, its scale with the heights of peaks that are over. A
    peak counts once, however long it lasts, and by no more than four scales, so that no anomaly teaches it much (the
    drift of DSPOT, with the bounded influence of a robust estimate).

    Args:
        tail: as it was fitted; count: on how many steps.
        gap: steps below its begin after which a peak is over.
        memory: steps beyond which what came counts no less.
    """

    def __init__(self, tail: Tail, count: int, gap: int, memory: int = _MEMORY) -> None:
        self.tail, self.count, self.gap, self.memory = tail, count, gap, memory
        self.begin, self.scale = max(tail.begin, _LEAST), tail.scale
        self.top = self.since = self.steps = 0.0  # the height of the peak, 0 for none; steps since it; steps seen

    def push(self, score: float) -> float:
        """Take a score in; return it in nats, NaN where there is none."""
        if score != score:
            return score
        nats = self._nats(score)
        known = min(self.count + self.steps, self.memory)
        excess, begins = score - self.begin, 0.0
        if excess > 0:
            # a peak without an end counts again and again, so that a new normal is learned at last
            begins = float(self.top == 0 or self.since <= -0.25 / self.tail.share)
            self.since = 0.0 if begins or self.since > 0 else self.since - 1
            self.top = max(self.top, excess)
        elif self.top > 0:
            self.since = max(self.since, 0.0) + 1
            if self.since > self.gap:
                height = min(self.top, _HIGHEST * self.scale)
                self.scale += (height / _KEPT - self.scale) / max(self.tail.share * known, _FEWEST)
                self.top = self.since = 0.0
        self.begin += self.scale / max(self.tail.share * known, _FEWEST) * (begins - self.tail.share)
        self.begin = max(self.begin, _LEAST)
        self.steps += 1
        return nats

    def _nats(self, score: float) -> float:
        least = -math.log(self.tail.share)
        if score <= self.begin:
            return least * max(score, 0.0) / self.begin
        excess, shape = (score - self.begin) / self.scale, max(self.tail.shape, 0.0)
        return least + (excess if shape < _LEAST else math.log1p(shape * excess) / shape)

    def kept(self) -> Floats:
        """Return the state, `(5,)`."""
        return np.array([self.begin, self.scale, self.top, self.since, self.steps])

    def accept(self, kept: Floats) -> None:
        """Resume from a state."""
        self.begin, self.scale, self.top, self.since, self.steps = (float(each) for each in kept)


def peaks(scores: Floats, begin: float, gap: int) -> Floats:
    """Return the highest score of each run beyond a begin."""
    places = np.flatnonzero(scores > begin)  # NaN is not
    if gap == 0 or not len(places):
        return scores[places]
    first = np.flatnonzero(np.diff(places, prepend=places[0] - gap - 1) > gap)
    return np.maximum.reduceat(scores[places], first)


def _generalised_pareto(excess: Floats) -> tuple[float, float]:
    """Return scale and shape by the moments of the excesses, the shape drawn to 0."""
    mean = max(float(excess.mean()), _LEAST)
    if len(excess) < _FEWEST:
        return mean, 0.0
    spread = float(excess.var())
    found = 0.5 * (1 - mean**2 / max(spread, _LEAST)) if spread > 0 else 0.0
    shape = float(np.clip(found, -0.3, 0.3)) * len(excess) / (len(excess) + _PRIOR)
    return mean * (1 - shape), shape
