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
            return cls(0.0, 1.0, 1.0, 0.0)
        begin = float(np.quantile(known, 1 - share))
        excess = _peaks(every, begin, gap) - begin
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


def _peaks(scores: Floats, begin: float, gap: int) -> Floats:
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
