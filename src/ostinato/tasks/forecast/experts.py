"""Simple forecasts that stand in a forecaster beside its network, each made from a window alone.

They need no training but the linear one, so that they are as good on short series as on long ones; `combining.py` finds
how much each counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.baselines import drift, naive, seasonal_naive
from ostinato.tasks.forecast.linear import LinearAutoregression
from ostinato.tasks.forecast.seasonal import SeasonalAutoregression, rows_of, sizes_of
from ostinato.tasks.forecast.smoothing import adjusted_smoothing, exponential_smoothing, theta

Floats = NDArray[np.float64]
LINEAR, SEASONAL = "linear autoregression", "seasonal autoregression"
ADJUSTED = "seasonally adjusted smoothing"
SMOOTHING = ("exponential smoothing", "simple exponential smoothing")
_LONGEST = 1024  # rows that are smoothed
_SHORTEST = 256


def smoothed_rows(horizon: int, seasons: Sequence[int]) -> int:
    """Return how many rows are smoothed: four of the longest season, two horizons, and enough for a trend."""
    return min(_LONGEST, max(_SHORTEST, 2 * horizon, *(4 * season for season in seasons)))


def reach_of(context: int, horizon: int, seasons: Sequence[int], *, seasonal: bool = True) -> int:
    """Return how many rows experts look back on, with the seasonal autoregression or without it."""
    return max(context, smoothed_rows(horizon, seasons), rows_of(seasons) if seasonal else 0)


def names_of(seasons: Sequence[int], *, linear: bool, seasonal: bool = False) -> tuple[str, ...]:
    """Return which experts there are for series of such seasons."""
    naives = [f"seasonal naive {season}" for season in seasons if season > 1]
    fitted = [name for name, there in ((LINEAR, linear), (SEASONAL, seasonal)) if there]
    adjusted = [ADJUSTED] if naives else []
    return (*SMOOTHING, *adjusted, "theta", "naive", "drift", *naives, *fitted)


class Experts:
    """Experts by name.

    Args:
        seasons: of the series, in steps, the shortest first; none: `()`.
        horizon: steps to forecast.
        linear: weights of the linear autoregression, `(context + 1, horizon)`, or none `(0, 0)`.
        seasonal: of the seasonal one, see `Regressions`; or none.
    """

    def __init__(self, seasons: Sequence[int], horizon: int, linear: Floats, seasonal: Floats | None = None) -> None:
        self.seasons, self.horizon, self.weights = tuple(seasons), horizon, linear
        self.seasonal = np.zeros((0, 0, 0)) if seasonal is None else seasonal

    def forecast(
        self, history: Floats, scale: Floats, names: Sequence[str], series: NDArray[np.int64] | None = None
    ) -> Floats:
        """Forecast windows by some of them, `(experts, windows, horizon, targets)`.

        Args:
            history: `(windows, reach, targets)`, NaN where there is none.
            scale: of each series, `(windows, targets)`.
            names: of the experts.
            series: which of the training data each window is of, `(windows,)`, -1: none; `None`: of all.
        """
        windows, reach, targets = history.shape
        rows = np.swapaxes(history, 1, 2).reshape(-1, reach)
        size = np.broadcast_to(scale, (windows, targets)).reshape(-1)
        places = self._places(np.full(windows, -1) if series is None else series, targets)
        made = self._made(rows, size, places, names)
        safe = _bounded(np.stack([made[name] for name in names]), rows)
        return np.swapaxes(safe.reshape(len(names), windows, targets, self.horizon), 2, 3)

    def _made(self, rows: Floats, size: Floats, places: NDArray[np.int64], names: Sequence[str]) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        whole, rows = rows, rows[:, -smoothed_rows(self.horizon, self.seasons) :]
        wanted = set(names) & set(SMOOTHING)
        if wanted:
            trends = wanted != {SMOOTHING[1]}
            both = exponential_smoothing(rows, self.horizon, self._period(rows), trends=trends)
            found |= zip(SMOOTHING, both, strict=True)
        ways: Mapping[str, Callable[[], Floats]] = {
            ADJUSTED: lambda: self._adjusted(rows),
            "theta": lambda: theta(rows, self.horizon, self._period(rows)),
            "naive": lambda: naive(rows[..., None], self.horizon)[..., 0],
            "drift": lambda: drift(rows[..., None], self.horizon)[..., 0],
            LINEAR: lambda: self._linear(whole, size),
            SEASONAL: lambda: self._of_season(whole, size, places),
            **{f"seasonal naive {season}": partial(self._seasonal, rows, season) for season in self.seasons},
        }
        return found | {name: ways[name]() for name in names if name not in found}

    def _adjusted(self, rows: Floats) -> Floats:
        periods = [season for season in self.seasons if 1 < season <= self._period(rows)]
        return adjusted_smoothing(rows, self.horizon, periods or [1])

    def _period(self, rows: Floats) -> int:
        """Return the longest season that the windows hold twice."""
        return max([season for season in self.seasons if 2 * season <= rows.shape[1]], default=1)

    def _seasonal(self, rows: Floats, season: int) -> Floats:
        return seasonal_naive(rows[..., None], self.horizon, season)[..., 0]

    def _linear(self, rows: Floats, size: Floats) -> Floats:
        made = LinearAutoregression(len(self.weights) - 1, self.horizon)
        made.weights = self.weights
        return made.predict(rows[..., None] / size[:, None, None])[..., 0] * size[:, None]

    def _places(self, series: NDArray[np.int64], targets: int) -> NDArray[np.int64]:
        """Return which seasonal autoregression tells each target of each window, `(windows * targets,)`."""
        each = series[:, None] * targets + np.arange(targets) + 1
        return np.where((series[:, None] >= 0) & (len(self.seasonal) > 1), each, 0).reshape(-1)

    def _of_season(self, rows: Floats, size: Floats, places: NDArray[np.int64]) -> Floats:
        made = SeasonalAutoregression(*sizes_of(self.seasons), self.horizon)
        return made.predict(rows[..., None] / size[:, None, None], self.seasonal, places)[..., 0] * size[:, None]


def _bounded(forecasts: Floats, rows: Floats) -> Floats:
    """Keep forecasts `(experts, rows, horizon)` finite, and within three times the range that a window shows."""
    seen = ~np.isnan(rows)
    low, high = np.where(seen, rows, np.inf).min(1), np.where(seen, rows, -np.inf).max(1)
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    margin = (high - low)[:, None]
    middle = 0.5 * (high + low)[:, None]
    kept = np.where(np.isfinite(forecasts), forecasts, middle)
    return np.clip(kept, low[:, None] - margin, high[:, None] + margin)
