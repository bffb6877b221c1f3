"""Whether a combination of forecasts is better than the simplest of them, beyond what chance makes of few windows.

Random walks, and all that is near them, have many methods that err nearly alike; weights that are found among those
follow noise. So a combination stands between a reference, the simplest forecast that is as good as the best within one
standard error, and the weights that fit best, the nearer to these the surer their gain is.

Sources: L. Breiman, J. Friedman, R. Olshen and C. Stone, "Classification and Regression Trees", 1984, section 3.4.3
(the rule of one standard error); F. Diebold and R. Mariano, "Comparing predictive accuracy", 1995 (paired differences
of losses); C. Morris, "Parametric empirical Bayes inference", 1983 (the positive part of the shrinkage).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_FEWEST = 6  # independent windows that a standard error needs
_FOLDS = 4
_UNKNOWN = 0.5  # what a gain is trusted where nothing tells its error
_ALONE = 0.6  # of a loss: the error of a gain on one stretch of one series, by which training was also stopped, about
_MANY = 20.0  # stretches of time, from which on a choice among forecasts is the data's rather than usage's
_SHOCK = 0.04  # of a loss: what all series of one stretch have in common, about, which their number does not average


@dataclass(frozen=True)
class Places:
    """Where windows lie: those that overlap err alike, and so do series at one time.

    Args:
        series: of each window, `(windows,)`.
        spans: stretches of a horizon's length, counted back from the end of the series, `(windows,)`.
    """

    series: Ints
    spans: Ints

    @classmethod
    def of(cls, origins: Ints, stop: Ints, horizon: int) -> Places:
        """Return those of `origins (windows, 2)`, whose series end at `stop (series,)`."""
        return cls(origins[:, 0], (stop[origins[:, 0]] - origins[:, 1]) // horizon)

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """Return the places of some windows and others."""
        return cls(
            np.concatenate([places.series for places in parts]), np.concatenate([places.spans for places in parts])
        )

    @property
    def stretches(self) -> int:
        """How many stretches of time there are; series at one time are one."""
        return len(np.unique(self.spans))

    @property
    def observations(self) -> int:
        """How many stretches of single series there are."""
        return len(np.unique(np.stack([self.series, self.spans]), axis=1).T)

    @property
    def settled(self) -> float:
        """How far a single forecast may be chosen by these windows, from 0, of few stretches, to 1.

        Of a handful of stretches the one that was best is seldom the one that will be; an average of all that are
        usually good errs less (S. Makridakis and M. Hibon, "The M3-Competition", 2000).
        """
        return self.stretches**2 / (self.stretches**2 + _MANY**2)

    def folds(self) -> list[NDArray[np.bool_]]:
        """Return which windows each of some folds holds: whole stretches of time, of all series."""
        spans = np.unique(self.spans)
        return [np.isin(self.spans, fold) for fold in np.array_split(spans, min(_FOLDS, len(spans)))]

    def standard_error(self, differences: Floats) -> float:
        """Return the standard error of the mean of `differences (windows,)`; infinite where too few are independent.

        It is the larger of two: windows of one series and stretch are one observation, and all windows of a stretch.
        """
        alone = self.series * (int(self.spans.max(initial=0)) + 1) + self.spans
        found = [_clustered(differences, groups) for groups in (alone, self.spans)]
        known = [error for error in found if np.isfinite(error)]
        return max(known) if known else float("inf")


def _clustered(differences: Floats, groups: Ints) -> float:
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max(initial=-1)) + 1
    if count < _FEWEST:
        return float("inf")
    sums = np.bincount(place, differences - differences.mean())
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(differences))


def reference(losses: Floats, order: Sequence[float], places: Places) -> int:
    """Return the simplest of the forecasts whose loss is within one standard error of the least; the best without one.

    Args:
        losses: of each window, `(forecasts, windows)`.
        order: how simple each forecast is; the lower, the simpler.
        places: of the windows.
    """
    means = losses.mean(1)
    best = int(means.argmin())
    errors = [places.standard_error(loss - losses[best]) for loss in losses]
    near = [
        place
        for place, error in enumerate(errors)
        if place == best or (np.isfinite(error) and means[place] - means[best] <= error)
    ]
    return min(near, key=lambda place: (order[place], means[place]))


def trust(gains: Floats, places: Places, *, soft: bool = False, level: float = 0.0) -> float:
    """Return how far a gain `(windows,)` is believed, from 0 to 1.

    Args:
        gains: differences of losses.
        places: of the windows.
        soft: believe `gain² / (gain² + error²)` of it, that is a half of a gain as large as its standard error; else
            `1 - (error / gain)²`, nothing of such a gain or a smaller one.
        level: the loss itself. However many series there are, what one or two stretches of time are like is chance: the
            error of a gain is at least a small share of this, the less the more stretches there are.
    """
    size = float(np.abs(gains).max(initial=0.0))
    if not size or gains.mean() <= 0:
        return 0.0
    gains, level = gains / size, level / size  # of very small or large ones the squares are no numbers
    error, gain = places.standard_error(gains), float(gains.mean())
    if not np.isfinite(error) and not level:
        return _UNKNOWN
    usual = (_SHOCK if np.isfinite(error) else _ALONE) * level / np.sqrt(max(places.stretches, 1))
    error = float(np.hypot(error, usual)) if np.isfinite(error) else float(usual)
    return gain**2 / (gain**2 + error**2) if soft else max(0.0, 1 - (error / gain) ** 2)


def held_out_weights(find: Callable[[NDArray[np.bool_]], Floats], places: Places) -> Floats:
    """Return the weights that were found without the fold of each window, `(windows, forecasts)`.

    Args:
        find: returns weights from the windows that a mask chooses.
        places: of the windows.
    """
    folds = places.folds()
    found = [find(~fold if len(folds) > 1 else fold) for fold in folds]
    weights = np.zeros((len(places.spans), len(found[0]) if found else 0))
    for fold, one in zip(folds, found, strict=True):
        weights[fold] = one
    return weights
