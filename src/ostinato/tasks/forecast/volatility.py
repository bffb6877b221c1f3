"""Intervals that are as wide as series have moved of late over the distance of a forecast.

What a network learned, and the errors of simple forecasts before the test part, are of other times: of a year of
temperatures, the winter that comes errs by 1.6 times what the autumn did that intervals were calibrated on, while the
differences from hour to hour become smaller. What tells it beforehand is how far values lie from those a season before
that are as old as the farthest that a forecast may use; and a window shows it, so that no errors of past forecasts
have to be kept, and a stream has what a batch has.

Sources: R. Engle, "Autoregressive conditional heteroscedasticity", Econometrica 50, 1982 (the size of errors follows
that of the latest ones); J.P. Morgan, "RiskMetrics", 1996 (weights that fall exponentially); V. Chernozhukov,
K. Wüthrich and Y. Zhu, "Distributional conformal prediction", 2021 (scores relative to an estimate of their size).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.calibration import pairs

Floats = NDArray[np.float64]
_HALF_LIFE = 8  # horizons after which a movement counts half
_HALF_LIVES = 2  # that are looked at
_LONGEST = 2048  # rows that are looked at, at most
_DOUBT = 4.0  # independent movements that are believed by half
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
# What following costs on calm validation windows is a premium for times unlike these: on one window, following by a
# quarter less must gain half of the interval score to be preferred, on a hundred, half of a hundredth.
_PREMIUM = 8.0
_FARTHEST = 4.0  # times as wide or as narrow, at most
_ENOUGH = 30  # observed values that say how well intervals follow; fewer do not


@dataclass(frozen=True)
class Volatility:
    """How the widths of a forecaster's intervals follow the volatility of a window.

    Args:
        power: 1: they are proportional to it; 0: they stay as they are; between, as a geometric mean.
        level: logarithm of width over volatility, on the average.
    """

    power: float = 0.0
    level: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what a file may hold but nothing finds."""
        if not (0 <= self.power <= 1 and math.isfinite(self.level)):
            raise ValueError(f"its intervals follow volatility by {self.power}, {self.level}")

    def factors(self, widths: Floats, moved: Floats, trust: Floats) -> Floats:
        """Return what widths `(windows, targets)` are multiplied by, given what `movements` returned."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.level + np.log(moved) - np.log(widths)
        following = self.power * trust * np.where(np.isfinite(found), found, 0.0)
        return np.asarray(np.exp(np.clip(following, -math.log(_FARTHEST), math.log(_FARTHEST))))

    def follow(self, quantiles: Floats, levels: Sequence[float], moved: Floats, trust: Floats) -> Floats:
        """Return quantiles `(windows, horizon, targets, levels)` with widths that follow; their middle stays."""
        if not self.power:
            return quantiles
        factors = self.factors(widths_of(quantiles, levels), moved, trust)
        middle = middle_of(quantiles, levels)[..., None]
        return np.asarray(middle + factors[:, None, :, None] * (quantiles - middle))


def lag_of(horizon: int, seasons: Sequence[int]) -> int:
    """Return over how many steps movements are measured: whole seasons that a horizon fits in, or half of a horizon.

    >>> lag_of(24, (24, 168)), lag_of(30, (24,)), lag_of(5, ())
    (24, 48, 3)
    """
    season = min((length for length in seasons if length > 1), default=1)
    return season * -(-horizon // season) if season > 1 else -(-horizon // 2)


def rows_of(horizon: int, seasons: Sequence[int]) -> int:
    """Return how many rows of a window are looked at."""
    return min(_LONGEST, lag_of(horizon, seasons) + _HALF_LIVES * _HALF_LIFE * horizon)


def movements(history: Floats, horizon: int, seasons: Sequence[int]) -> tuple[Floats, Floats]:
    """Return the volatility of windows and how far it is believed, each `(windows, targets)`.

    It is the mean absolute movement over `lag_of` steps, the latest weighing most; NaN where there is none.

    Args:
        history: `(windows, steps, targets)`, NaN where missing; only the last `rows_of` steps count.
        horizon: of the forecast.
        seasons: in steps.
    """
    lag = lag_of(horizon, seasons)
    rows = history[:, -rows_of(horizon, seasons) :]
    if rows.shape[1] <= lag:
        return np.full((len(rows), rows.shape[2]), np.nan), np.zeros((len(rows), rows.shape[2]))
    apart = np.abs(rows[:, lag:] - rows[:, :-lag])
    seen = ~np.isnan(apart)
    recent = np.exp2(-np.arange(apart.shape[1])[::-1, None] / (_HALF_LIFE * horizon))
    weight = (seen * recent).sum(1)
    moved = (np.where(seen, apart, 0.0) * recent).sum(1) / np.where(weight > 0, weight, np.nan)
    # neighbouring movements are alike: in a horizon there are as many as the root of its steps
    count = weight / math.sqrt(horizon)
    return np.asarray(moved), np.asarray(count / (count + _DOUBT))


def widths_of(quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Return the mean width of the widest central interval of windows, `(windows, targets)`."""
    low, high = pairs(levels)[0]
    return np.asarray((quantiles[..., high] - quantiles[..., low]).mean(1))


def middle_of(quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Return the middle of quantiles: the median, or halfway between the two that are nearest to it."""
    low, high = pairs(levels)[-1]
    if high - low == 2:
        return np.asarray(quantiles[..., low + 1])
    return np.asarray((quantiles[..., low] + quantiles[..., high]) / 2)


def find_volatility(
    truth: Floats,
    quantiles: Floats,
    levels: Sequence[float],
    moved: tuple[Floats, Floats],
    sizes: Floats,
    independent: float,
) -> Volatility:
    """Return how widths should follow: all the way, but for what windows of the validation part say against it.

    Args:
        truth: what came in these windows, `(windows, horizon, targets)`.
        quantiles: what was forecast, one dimension more.
        levels: of the quantiles.
        moved: what `movements` returned of the windows.
        sizes: of the series, by which scores are divided, `(windows, targets)`.
        independent: how many of the windows do not overlap.
    """
    if not pairs(levels) or not len(truth):
        return Volatility()
    widths = widths_of(quantiles, levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.log(widths) - np.log(moved[0])
    known = np.isfinite(apart)
    if not known.any():
        return Volatility()
    level = float(apart[known].mean())
    if np.isfinite(truth).sum() < _ENOUGH:
        return Volatility(1.0, level)
    made = [Volatility(power, level) for power in _POWERS]
    scores = np.array([_score(truth, one.follow(quantiles, levels, *moved), levels, sizes) for one in made])
    if not scores.min() > 0:
        return Volatility()
    premium = _PREMIUM / max(independent, 1.0) * (1 - np.array(_POWERS)) ** 2
    return made[int((scores / scores.min() + premium).argmin())]


def _score(truth: Floats, quantiles: Floats, levels: Sequence[float], sizes: Floats) -> float:
    """Return the mean interval score of the widest central interval, made as wide as all of them must be.

    Source: T. Gneiting and A. Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007.
    """
    low, high = pairs(levels)[0]
    middle = middle_of(quantiles, levels)
    below, above = middle - quantiles[..., low], quantiles[..., high] - middle
    error = truth - middle
    seen = np.isfinite(error)
    side = np.maximum(np.where(error >= 0, above, below), 1e-12 * sizes[:, None])
    promised = levels[high] - levels[low]
    wider = float(np.quantile((np.abs(error) / side)[seen], promised))
    beyond = np.maximum(error - wider * above, 0) + np.maximum(-error - wider * below, 0)
    scores = (wider * (below + above) + 2 / (1 - promised) * beyond) / sizes[:, None]
    return float(scores[seen].mean())
