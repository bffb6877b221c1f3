"""A linear autoregression of what a long season leaves.

A week of half hours has 336 phases: a regression on all values of a week has as many weights for each step ahead, which
a few weeks of data do not tell. Here a mean of the last cycles, the latest weighing most, is taken off first, and two
days of what it leaves tell the rest.

Sources: J. Taylor, "Short-term electricity demand forecasting using double seasonal exponential smoothing", Journal of
the Operational Research Society 54, 2003 (smoothed weeks, and an autoregression of what they leave).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.baselines import naive
from ostinato.tasks.forecast.linear import LinearAutoregression

Floats = NDArray[np.float64]
_LEAST = 24  # steps of a season that is long; a shorter one has few phases to learn
_SHORTEST = 12  # steps of the season whose last two cycles are read
_CYCLES = 5  # that a mean is of
_FADE = 0.7  # of a cycle's weight, that the one before it has
_LONGEST = 2048  # rows that are looked at


def sizes_of(seasons: Sequence[int]) -> tuple[int, int]:
    """Return the season that is taken off and how many rows are read; `(0, 0)` where no season is long.

    >>> sizes_of((48, 336)), sizes_of((24,)), sizes_of((12,))
    ((336, 96), (24, 48), (0, 0))
    """
    season = max(seasons, default=0)
    if season < _LEAST:
        return 0, 0
    return season, 2 * min(length for length in seasons if length >= _SHORTEST)


def rows_of(seasons: Sequence[int]) -> int:
    """Return how many rows before a forecast are looked at; 0 where no season is long."""
    season, lags = sizes_of(seasons)
    return min(_LONGEST, _CYCLES * season + lags)


class SeasonalAutoregression:
    """A direct linear forecast of every step from what a season leaves of the last rows; see `LinearAutoregression`.

    Args:
        season: steps of the season that is taken off.
        lags: rows that are read.
        horizon: rows forecast.
    """

    def __init__(self, season: int, lags: int, horizon: int) -> None:
        self.season, self.linear = season, LinearAutoregression(lags, horizon)

    def fit(self, history: Floats, future: Floats) -> SeasonalAutoregression:
        """Fit on windows in time order: `history (windows, rows, targets)`, `future (windows, horizon, targets)`."""
        left, coming = self._divided(history)
        self.linear.fit(left, future - coming)
        return self

    def examples(self, history: Floats, future: Floats) -> tuple[Floats, Floats]:
        """Return what is regressed on and what is told; see `LinearAutoregression`."""
        left, coming = self._divided(history)
        return self.linear.examples(left, future - coming)

    def predict(self, history: Floats, weights: Floats | None = None, of: NDArray[np.int64] | None = None) -> Floats:
        """Forecast windows, `(windows, horizon, targets)`; see `LinearAutoregression`."""
        left, coming = self._divided(history)
        return self.linear.predict(left, weights, of) + coming

    @property
    def weights(self) -> Floats:
        """Of the regression, `(lags + 1, horizon)`."""
        return self.linear.weights

    @property
    def ridge(self) -> float | None:
        """Its penalty; `None` before it is fitted."""
        return self.linear.ridge

    def _divided(self, history: Floats) -> tuple[Floats, Floats]:
        """Return what the season leaves of the last rows, and the season of the coming ones."""
        lags = self.linear.context
        shape = seasonal_mean(history, self.season, lags, self.linear.horizon)
        rows = history[:, -lags:]
        short = lags - rows.shape[1]
        rows = np.concatenate([np.full((len(rows), short, rows.shape[2]), np.nan), rows], 1) if short else rows
        return rows - shape[:, :lags], shape[:, lags:]


def seasonal_mean(history: Floats, season: int, before: int, after: int) -> Floats:
    """Return the mean of the cycles before each of some steps, `(windows, before + after, targets)`.

    Where no value of a phase is known, it is the last value of the window.

    Args:
        history: `(windows, rows, targets)`, NaN where missing.
        season: steps of a cycle.
        before: how many of the last rows are among the steps.
        after: how many coming ones.
    """
    rows, steps = history.shape[1], np.arange(-before, after)
    total = np.zeros((len(history), len(steps), history.shape[2]))
    weight, seen = np.zeros_like(total), np.zeros_like(total)
    for cycle in range(1, _CYCLES + 1 + after // season):
        at = rows + steps - cycle * season
        values = history[:, np.clip(at, 0, rows - 1)]
        known = ((at >= 0) & (at < rows))[None, :, None] & ~np.isnan(values) & (seen < _CYCLES)
        share = np.where(known, _FADE**seen, 0.0)
        total, weight, seen = total + share * np.where(known, values, 0.0), weight + share, seen + known
    return np.where(weight > 0, total / np.maximum(weight, 1e-300), naive(history, len(steps)))
