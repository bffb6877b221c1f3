"""How much a network and the simple forecasts beside it count: found on windows that none was trained on.

The weights are convex and shrunk towards equal ones, the more so the fewer forecasts there are to judge by; how far
they are then trusted is in `evidence.py`.

Sources: J. Bates and C. Granger, "The combination of forecasts", 1969; F. Diebold and P. Pauly, "The use of prior
information in forecast combination", 1990 (shrinkage); J. Kivinen and M. Warmuth, "Exponentiated gradient versus
gradient descent for linear predictors", 1997 (how they are found).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.calibration import level_of_few

Floats = NDArray[np.float64]
_STEPS = 400
_RATE = 0.5
_PRIOR = 3.0  # relative error by which one of two forecasts must be better on one window to count e times as much
_LEAST = 0.03  # what counts less is left away
_VALUES = 50_000  # errors that are looked at, at most
_HALF_LIFE = 30  # steps after which a movement counts half, or two seasons
_CALMEST = 0.5  # of the mean movement, that recent ones may come to
_FEWEST = 3.0  # degrees of freedom of errors, at least
_USUAL, _SUPPOSED = 0.8, 3.0  # error of the first step in units of roughness, of most series, and of how many windows
_DEGREES = 20.0  # windows from which on errors are believed rather than what is usual of them


@dataclass(frozen=True)
class Combination:
    """What stands beside a network, and how much each counts.

    Args:
        experts: names of the simple forecasts.
        weights: of these and, the last, of the network, `(experts + 1,)`, their sum being one.
        linear: weights of the linear autoregression, `(context + 1, horizon)`; `(0, 0)`: there is none.
        spread: quantiles of the errors of the simple forecasts together, in units of a window's `roughness`,
            `(horizon, levels)`.
        found: whether the weights were found, and are not to be found again by an update.
        believed: how far the spread of the network, which was seen on its validation part alone, is believed, 0 to 1.
        seasonal: weights of the seasonal autoregression, of all series, and then, or not, of each target of each,
            `(1 + series * targets, lags + 1, horizon)`; `(0, 0, 0)`: there is none.
    """

    experts: tuple[str, ...]
    weights: Floats
    linear: Floats
    spread: Floats
    found: bool = False
    believed: float = 1.0
    seasonal: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))

    def __post_init__(self) -> None:
        """Refuse weights that are none, which a file may hold."""
        right = self.spread.ndim == self.linear.ndim == 2 and self.seasonal.ndim == 3
        right = right and self.weights.shape == (len(self.experts) + 1,)
        if not right or not np.isfinite(self.weights).all():
            raise ValueError(
                f"its weights have the shape {self.weights.shape} for {len(self.experts)} simple forecasts"
            )
        if not 0 <= self.believed <= 1:
            raise ValueError(f"its spread is believed by {self.believed}")

    @property
    def spread_share(self) -> float:
        """How much the network counts in the spread: less than in the point forecast, as far as it is not believed."""
        return float(self.weights[-1]) * (self.believed if self.experts else 1.0)

    @classmethod
    def none(cls) -> Combination:
        """Return that of a network alone."""
        return cls((), np.ones(1), np.zeros((0, 0)), np.zeros((0, 0)))

    def join(self, network: Floats, experts: Floats) -> Floats:
        """Return the combined forecast of `network (...)` and `experts (experts, ...)`."""
        joined: Floats = self.weights[-1] * network + np.tensordot(self.weights[:-1], experts, 1)
        return joined

    def join_quantiles(self, network: Floats, point: Floats, experts: Floats, rough: Floats) -> Floats:
        """Return the quantiles of the combination: each level is the average of what is combined (Vincent, 1912).

        Args:
            network: its quantiles, `(windows, horizon, targets, levels)`.
            point: its point forecast, `(windows, horizon, targets)`.
            experts: `(experts, windows, horizon, targets)`.
            rough: `roughness` of the windows, `(windows, targets)`.
        """
        share = self.spread_share
        centre = self.join(point, experts)[..., None]
        spread = self.spread[None, :, None] * rough[:, None, :, None]
        return np.asarray(centre + share * (network - point[..., None]) + (1 - share) * spread)


def roughness(history: Floats, seasons: Sequence[int]) -> Floats:
    """Return how much windows `(windows, steps, targets)` move, `(windows, targets)`.

    The mean absolute difference from the step before, or from a season before where that is less. What is recent counts
    most, since prices have calm and rough times and growing series grow in what they move (exponential weights: J.P.
    Morgan, "RiskMetrics", 1996). But the calm of a few steps is no promise: half of the plain mean is the least.
    """
    half = max(_HALF_LIFE, 2 * max(seasons, default=1))
    found = [_moves(history, lag, half) for lag in (1, *seasons) if history.shape[1] > lag]
    least: Floats = (
        np.min([np.where(np.isnan(moves), np.inf, moves) for moves in found], axis=0) if found else _sizes(history)
    )
    return np.where(np.isfinite(least) & (least > 0), least, np.maximum(_sizes(history), 1e-12))


def _moves(history: Floats, lag: int, half: int) -> Floats:
    apart = np.abs(history[:, lag:] - history[:, :-lag])
    seen = ~np.isnan(apart)
    filled = np.where(seen, apart, 0.0)
    recent = np.exp2(-np.arange(apart.shape[1])[::-1, None] / half)
    count, weight = seen.sum(1), (seen * recent).sum(1)
    plain = filled.sum(1) / np.where(count > 0, count, np.nan)
    return np.asarray(np.maximum((filled * recent).sum(1) / np.where(weight > 0, weight, np.nan), _CALMEST * plain))


def _sizes(history: Floats) -> Floats:
    seen = ~np.isnan(history)
    return np.asarray(1e-3 * np.where(seen, np.abs(history), 0.0).sum(1) / np.maximum(seen.sum(1), 1))


def find_weights(forecasts: Floats, truth: Floats, scale: Floats, count: float, prior: Floats) -> Floats:
    """Return convex weights of forecasts that make the scaled absolute error least, shrunk towards a prior.

    Args:
        forecasts: `(forecasts, windows, horizon, targets)`.
        truth: `(windows, horizon, targets)`, NaN where missing.
        scale: what errors are divided by, `(windows, targets)`.
        count: how many of the windows tell something of their own.
        prior: weights without any window, `(forecasts,)`.
    """
    sized = scale[:, None] * np.ones_like(truth)
    seen = np.flatnonzero((np.isfinite(truth) & np.isfinite(sized) & (sized > 0)).ravel())
    if not len(seen):
        return prior
    seen = seen[:: -(-len(seen) // _VALUES)]
    size = sized.ravel()[seen]
    errors = (forecasts.reshape(len(forecasts), -1)[:, seen] - truth.ravel()[seen]) / size
    return _descend(errors, prior, _PRIOR / max(count, 1.0))


def _descend(errors: Floats, prior: Floats, shrink: float) -> Floats:
    """Return the weights that make `mean |weights @ errors| / best mean + shrink * KL(weights, prior)` least."""
    unit = max(float(np.abs(errors).mean(1).min()), 1e-12)
    weights, total = prior.copy(), np.zeros_like(prior)
    for step in range(_STEPS):
        gradient = errors @ np.sign(weights @ errors) / (errors.shape[1] * unit)
        gradient += shrink * np.log(np.maximum(weights, 1e-12) / prior)
        gradient -= weights @ gradient
        weights = weights * np.exp(-_RATE / np.sqrt(1 + step / 10) * np.clip(gradient, -2, 2))
        weights /= weights.sum()
        if step >= _STEPS // 2:
            total += weights
    return np.asarray(total / total.sum())


def without_small(weights: Floats) -> Floats:
    """Return weights of which those that hardly count are zero."""
    kept = np.where(weights < _LEAST, 0.0, weights)
    return np.asarray(kept / kept.sum())


def belief(count: float) -> float:
    """Return how far what was seen on so many windows is believed, from 0 to 1."""
    return count / (count + _DEGREES)


def find_spread(errors: Floats, levels: Sequence[float], count: float) -> Floats:
    """Return quantiles of scaled errors `(windows, horizon, targets)` by step of the horizon, `(horizon, levels)`.

    Errors grow with the horizon as a power of it, fitted over all steps; their shape is that of all, shrunk towards
    Student's t the fewer there are, since of few errors the size is not sure either (W. Gosset, 1908).
    """
    from scipy.special import stdtrit

    horizon = errors.shape[1]
    typical = np.array([_mean(np.abs(errors[:, step])) for step in range(horizon)])
    smooth = _growth(typical, count)
    shape = errors / smooth[None, :, None]
    seen = shape[np.isfinite(shape)]
    # of a mean absolute error of one
    few = max(count, _FEWEST)
    usual = stdtrit(few, np.asarray(levels)) * np.sqrt(np.pi / 2)
    if not len(seen):
        return np.asarray(smooth[:, None] * usual)
    share = belief(count)
    found = np.quantile(seen, [level_of_few(level, few) for level in levels])
    quantiles = share * found + (1 - share) * usual
    return np.asarray(smooth[:, None] * quantiles)


def _growth(typical: Floats, count: float) -> Floats:
    """Return the mean absolute error of each step, between what was seen of it and a power of the step.

    Errors of a far step overlap, so that one in so many tells something of its own: the line goes by the near ones.
    """
    steps = np.arange(1, len(typical) + 1)
    good = np.isfinite(typical) & (typical > 0)
    if not good.any():
        return np.ones(len(typical))
    logs = np.log(np.where(good, typical, 1.0))
    weight = good / steps
    weight *= good.sum() / weight.sum()
    spread = np.log(steps) - np.average(np.log(steps), weights=weight)
    # the slope of a random walk, 1/2, and no growth at all are as likely: 1/4 in their midst has the weight of 4 steps
    slope = ((weight * spread * logs).sum() + 0.25 * 4.0) / ((weight * spread**2).sum() + 4.0)
    slope = np.clip(slope, 0.0, 1.0)
    # the errors of few windows say little of their size: what is usual counts as much as some more of them
    usual = np.log(_USUAL) + 0.25 * np.average(np.log(steps), weights=weight)
    level = (count * np.average(logs, weights=weight) + _SUPPOSED * usual) / (count + _SUPPOSED)
    line = level + slope * spread
    share = belief(count)
    return np.asarray(np.exp(np.where(good, share * logs + (1 - share) * line, line)))


def _mean(values: Floats) -> float:
    seen = values[np.isfinite(values)]
    return float(seen.mean()) if len(seen) else float("nan")
