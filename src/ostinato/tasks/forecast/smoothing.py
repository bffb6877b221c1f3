"""Exponential smoothing of many series at once: level, damped trend and season, averaged over a grid of its parameters.

Sources: R. Hyndman, A. Koehler, J. Ord and R. Snyder, "Forecasting with Exponential Smoothing: The State Space
Approach", 2008, chapter 2 (the error-correction form); K. Burnham and D. Anderson, "Model Selection and Multimodel
Inference", 2002, section 2.9 (weights by AICc); V. Assimakopoulos and K. Nikolopoulos, "The theta model", 2000, in the
form of R. Hyndman and B. Billah, "Unmasking the Theta method", 2003.

Histories are `(rows, steps)`, the newest step last; NaN is a missing value, and what a series had no time for yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.decomposition import Adjusted, adjust, adjustments, prepared, shrunken
from ostinato.tasks.forecast.smoothing_loop import Steps, Walk, walk

Floats = NDArray[np.float64]
_LEVELS = (0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99)
_TRENDS = (0.03, 0.1, 0.3)  # of the level's
_DAMPINGS = (0.8, 0.9, 0.97)
_STEEP = (0.7, 0.99), (0.5, 1.0), (0.9, 0.97, 0.995)  # levels, trends and dampings of smooth series
_SEASONS = (0.0, 0.05, 0.15, 0.35)  # of what the level leaves
_LONG = 400  # steps
_FIRST = 10  # values that a series starts from
_AT_ONCE = 1 << 21  # numbers that a season of all rows and candidates may have


@dataclass(frozen=True)
class Grid:
    """Candidates `(candidates,)`: the smoothing of level, trend and season, the damping, and how many are free.

    A damping of 0 is no trend, one of 1 a trend that never changes, the line through the whole series (with half of its
    slope this is Theta). Trends that change are always damped: one that is not is rarely the better forecast, and the
    worst by far where it is wrong (E. Gardner and E. McKenzie, "Forecasting trends in time series", 1985).
    """

    level: Floats
    trend: Floats
    damping: Floats
    season: Floats
    free: Floats

    @classmethod
    def make(cls, seasonal: bool, steps: int = 0, *, trends: bool = True) -> Grid:
        """Return all candidates, with a trend and without; of long series, of many `steps`, fewer are enough."""
        return _grid(seasonal, steps > _LONG, trends)

    @classmethod
    def of(cls, seasonal: bool, long: bool, trends: bool) -> Grid:
        """Return them; see `make`."""
        levels, slopes, dampings, seasons = (
            values[1::2] if long else values for values in (_LEVELS, _TRENDS, _DAMPINGS, _SEASONS)
        )
        none = [(level, 0.0, 0.0, 1) for level in levels]
        steady = [(level, 0.0, 1.0, 3) for level in levels if trends]
        damped = [(a, b, phi, 4) for a, b, phi in product(levels, slopes, dampings) if trends]
        followed, turned, kept = _STEEP
        steep = [(a, b, phi, 4) for a, b, phi in product(followed, turned, kept[1:2] if long else kept) if trends]
        rows = [
            (a, b, phi, gamma, free + (gamma > 0))
            for a, b, phi, free in none + steady + damped + steep
            for gamma in (seasons if seasonal else (0.0,))
        ]
        return cls(*np.array(rows, np.float64).T)

    @classmethod
    def levels(cls, count: int = 25) -> Grid:
        """Return simple exponential smoothing, of `count` levels."""
        none = np.zeros(count)
        return cls(np.linspace(0.02, 0.98, count), none, none, none, none + 1)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.level)


@cache
def _grid(seasonal: bool, long: bool, trends: bool) -> Grid:
    return Grid.of(seasonal, long, trends)


@dataclass(frozen=True)
class Smoothed:
    """Where smoothing ends, `(rows, candidates)`: level, trend, season `(rows, candidates, season)` from the next step
    on, the sum of squared errors; and how many errors there were, `(rows,)`.
    """

    level: Floats
    trend: Floats
    season: Floats
    errors: Floats
    count: Floats


def smooth(adjusted: Adjusted, grid: Grid) -> Smoothed:
    """Run every candidate over every series, whose season begins as it was adjusted."""
    steps, period = adjusted.filled.shape[1], adjusted.period
    first, slope, middle = (part[:, None] for part in _starts(adjusted))
    line = _slope(adjusted.flat())[:, None] if (grid.damping == 1).any() else slope
    trend = np.where(grid.damping == 1, line, np.where(grid.damping > 0, slope, 0.0))
    # without a trend, a series starts from the mean of its first values and not from where their line begins
    level = first + (slope - trend) * middle
    # season[:, t % period] is that of step t
    season = np.repeat(np.roll(adjusted.indices, steps % period, 1)[:, :, None], len(grid), 2)
    walked = walk(
        Steps(adjusted.filled, adjusted.seen, adjusted.begun, 0.02 * np.abs(adjusted.scale) + 1e-12),
        np.stack([grid.level, grid.level * grid.trend, grid.damping, grid.season * (1 - grid.level)]),
        Walk(level, trend, season, np.zeros_like(level)),
        ratio=adjusted.kind == "ratio",
    )
    ahead = np.roll(walked.season, -(steps % period), 1).transpose(0, 2, 1)
    return Smoothed(walked.level, walked.trend, ahead, walked.errors, adjusted.seen.sum(1).astype(np.float64))


def candidates_ahead(state: Smoothed, grid: Grid, horizon: int, *, ratio: bool) -> Floats:
    """Forecast from each candidate, `(rows, candidates, horizon)`."""
    powers = np.cumsum(grid.damping[:, None] ** np.arange(1, horizon + 1), 1)
    line = state.level[..., None] + state.trend[..., None] * powers
    season = state.season[..., np.arange(horizon) % state.season.shape[2]]
    return line * season if ratio else line + season


def exponential_smoothing(history: Floats, horizon: int, period: int, *, trends: bool = True) -> tuple[Floats, Floats]:
    """Forecast by the average of all candidates, weighted by their AICc.

    Each row is smoothed without a season, and, where it is long enough, with an additive one and (if it is positive)
    with a multiplicative one.

    Args:
        history: `(rows, steps)`.
        horizon: steps to forecast.
        period: steps of the season; 1: none.
        trends: whether candidates with a trend are run at all; without, both forecasts are of those that have none.

    Returns:
        Forecasts of all candidates, and of those without a trend, both `(rows, horizon)`.
    """
    found = np.zeros((2, len(history), horizon))
    step = max(1, _AT_ONCE // (len(Grid.make(True, history.shape[1])) * max(period, horizon)))
    for first in range(0, len(history), step):
        part = slice(first, first + step)
        found[:, part] = _averaged(history[part], horizon, period, trends)
    return found[0], found[1]


def _averaged(history: Floats, horizon: int, period: int, trends: bool) -> tuple[Floats, Floats]:
    forecasts, criteria, flat = [], [], []
    for adjusted in adjustments(history, period):
        grid = Grid.make(adjusted.kind != "none", history.shape[1], trends=trends)
        state = smooth(adjusted, grid)
        seasons = 0 if adjusted.kind == "none" else adjusted.period - 1
        criterion = _aicc(state, grid.free + 2 + seasons, adjusted.scale)
        forecasts.append(candidates_ahead(state, grid, horizon, ratio=adjusted.kind == "ratio"))
        criteria.append(np.where(adjusted.usable[:, None], criterion, np.inf))
        flat.append(grid.damping == 0)
    criterion, every = np.concatenate(criteria, 1), np.concatenate(forecasts, 1)
    level = np.where(np.concatenate(flat), criterion, np.inf)
    return _weighted(criterion, every), _weighted(level, every)


def adjusted_smoothing(history: Floats, horizon: int, periods: Sequence[int]) -> Floats:
    """Forecast rows without their seasons as `exponential_smoothing` does, and put the seasons back, `(rows, horizon)`.

    Seasons that are shrunk cost no parameters: AICc, which counts one for each phase, finds a year of weeks in no
    series of a few years. Added and multiplied ones are weighed as all candidates are; rows without room for a season
    are smoothed as they are.

    Args:
        history: `(rows, steps)`.
        horizon: steps to forecast.
        periods: steps of the seasons, the shortest first.
    """
    found = np.zeros((len(history), horizon))
    step = max(1, _AT_ONCE // (len(Grid.make(False, history.shape[1])) * max(*periods, horizon)))
    for first in range(0, len(history), step):
        part = slice(first, first + step)
        found[part] = _of_adjusted(history[part], horizon, periods)
    return found


def _of_adjusted(history: Floats, horizon: int, periods: Sequence[int]) -> Floats:
    plain, grid = prepared(history), Grid.make(False, history.shape[1])
    made = [shrunken(plain, periods, kind) for kind in ("sum", "ratio")]
    made.append(replace(plain, usable=~(made[0].usable | made[1].usable)))
    forecasts, criteria = [], []
    for one in made:
        if one.usable.any():
            flat = one.flat()
            state = smooth(flat, grid)
            level, season = candidates_ahead(state, grid, horizon, ratio=False), one.season(0, horizon)[:, None]
            forecasts.append(level * season if one.kind == "ratio" else level + season)
            criteria.append(np.where(one.usable[:, None], _aicc(state, grid.free + 2, flat.scale), np.inf))
    return _weighted(np.concatenate(criteria, 1), np.concatenate(forecasts, 1))


def _weighted(criterion: Floats, forecasts: Floats) -> Floats:
    best = criterion.min(1, keepdims=True)
    weight = np.exp(-0.5 * (criterion - np.where(np.isfinite(best), best, 0.0)))
    weight /= np.maximum(weight.sum(1, keepdims=True), 1e-300)
    return np.asarray(np.einsum("rc,rch->rh", weight, forecasts))


def _aicc(state: Smoothed, free: Floats, scale: Floats) -> Floats:
    count = np.maximum(state.count, 1)[:, None]
    # errors far below the size of the series are rounding
    variance = np.maximum(state.errors / count, 1e-10 * (scale**2)[:, None] + 1e-300)
    left = np.maximum(count - free - 1, 1)
    found: Floats = count * np.log(variance) + 2 * free + 2 * free * (free + 1) / left
    return found


def theta(history: Floats, horizon: int, period: int) -> Floats:
    """Forecast by the Theta method, `(rows, horizon)`: simple exponential smoothing with half the slope of the series.

    The season is taken out by its multiplicative indices (additive ones, where a series is not positive) if its
    autocorrelation shows one, and put back.
    """
    adjusted = adjust(history, period)
    grid = Grid.levels()
    flat = adjusted.flat()
    state = smooth(flat, grid)
    best = state.errors.argmin(1)
    rows = np.arange(len(history))
    alpha, level = grid.level[best], state.level[rows, best]
    slope = _slope(flat)
    age = flat.begun.sum(1)
    steps = np.arange(horizon)[None] + ((1 - (1 - alpha) ** age) / alpha)[:, None]
    return adjusted.restore(level[:, None] + 0.5 * slope[:, None] * steps)


def _slope(flat: Adjusted) -> Floats:
    steps = np.arange(flat.filled.shape[1], dtype=np.float64)
    weight = flat.seen.astype(np.float64)
    count = np.maximum(weight.sum(1), 1)
    centre = (weight * steps).sum(1) / count
    apart = (steps - centre[:, None]) * weight
    found: Floats = (apart * flat.filled).sum(1) / np.maximum((apart * steps).sum(1), 1e-12)
    return np.where(count > 2, found, 0.0)


def _starts(adjusted: Adjusted) -> tuple[Floats, Floats, Floats]:
    """Return level and slope before the first value of each row, from the line through its first values, and how many
    steps lie between that place and their middle.
    """
    first = adjusted.begun.cumsum(1)
    early = adjusted.seen & (first <= _FIRST)
    values = adjusted.level_values()
    count = np.maximum(early.sum(1), 1)
    at, mean = (early * first).sum(1) / count, (early * values).sum(1) / count
    apart = (first - at[:, None]) * early
    slope = (apart * values).sum(1) / np.maximum((apart * first).sum(1), 1e-12)
    slope = np.where(count > 3, slope, 0.0)
    return np.asarray(mean - slope * at), slope, np.asarray(at)
