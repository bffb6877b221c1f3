"""AutoETS of statsforecast beside a forecaster: exponential smoothing whose form and parameters suit each series.

Its parameters are fitted once a series, before the part that is judged, and rolled forward over that part without being
fitted again, as the model is. A season of more than 24 steps, which it does not take, is taken off before and put back.

Source: R. Hyndman, A. Koehler, R. Snyder and S. Grose, "A state space framework for automatic forecasting using
exponential smoothing methods", International Journal of Forecasting 18, 2002; F. Garza et al., "StatsForecast", 2022.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.errors import MissingExtra, OutOfTime
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.forecast.baselines import naive
from ostinato.tasks.forecast.fitted import Forecasts
from ostinato.tasks.forecast.gaps import filled_between
from ostinato.tasks.forecast.seasons import seasonal_shape
from ostinato.tasks.forecast.windows import Examples

Floats = NDArray[np.float64]
NAME = "AutoETS"
_LONGEST = 24  # steps of a season that it takes
_ROWS = 1000  # of a history, the newest
_LEFT = 0.15  # share of its time that is left for measuring


@dataclass(frozen=True)
class ClassicalForecast:
    """AutoETS; where its time is too short for all windows, it answers a part of them, spread evenly over the series.

    Args:
        season: steps of a season; 1: none.
    """

    season: int

    @classmethod
    def fit(cls, season: int) -> ClassicalForecast:
        """Return it; what it learns, it learns of each series when it is asked.

        Raises:
            MissingExtra: statsforecast is not installed.
        """
        _library()
        return cls(season)

    def predict(self, examples: Examples) -> Forecasts:
        """Forecast from the origins of examples; NaN where there was no time for it.

        Raises:
            MissingExtra: statsforecast is not installed.
            OutOfTime: there was no time for a single window.
        """
        origins, settings = examples.origins, examples.encoder.settings
        rolled = _Rolled(examples, self.season, _library())
        point = np.full((len(origins), settings.horizon, settings.targets), np.nan)
        longest, answered, limit = 0.0, 0, deadline()
        kept = 0.0 if np.isinf(limit.seconds) else _LEFT * limit.seconds
        for window in _evenly(origins):
            began = time.monotonic()
            if limit.left() < kept + longest:
                break
            for target in range(settings.targets):
                point[window, :, target] = rolled.forecast(int(origins[window, 0]), int(origins[window, 1]), target)
            longest, answered = max(longest, time.monotonic() - began), answered + 1
        if not answered:
            raise OutOfTime(f"its share of the time, {limit.seconds:.3g} s, is too short for one series")
        if answered < len(origins):
            count = len(np.unique(origins[np.isfinite(point).all((1, 2)), 0]))
            note(
                f"{NAME} answers {answered:,} of {len(origins):,} windows, of {count:,} series, in its share of the "
                f"time ({limit.seconds:.0f} s): its scores are the model's, times how the two compare on those"
            )
        return Forecasts(point)


class _Rolled:
    """The models of series, fitted when they are first asked for."""

    def __init__(self, examples: Examples, season: int, model: Any) -> None:
        self.panel, self.start = examples.panel, examples.part.start
        self.horizon, self.season, self.model = examples.encoder.settings.horizon, season, model
        self.fitted: dict[tuple[int, int], Any] = {}

    def forecast(self, series: int, row: int, target: int) -> Floats:
        """Return the coming steps from one row of a series on, `(horizon,)`; NaN where nothing came before."""
        values = self._values(series, row, target)
        if not len(values):
            return np.full(self.horizon, np.nan)
        level, season = self._adjusted(values)
        try:
            fitted = self._fitted(series, row, target)
            found = np.asarray(fitted.forward(level, self.horizon)["mean"], np.float64)
        except Exception:  # noqa: BLE001, whatever the library cannot smooth stays where it is
            found = np.full(self.horizon, np.nan)
        if not np.isfinite(found).all():
            found = naive(level[None, :, None], self.horizon)[0, :, 0]
        return np.asarray(found + season)

    def _values(self, series: int, row: int, target: int) -> Floats:
        # whole seasons from the start, so that a model fitted on one part reads the next in the same phase
        first = max(0, row - _ROWS) // self.season * self.season
        values = self.panel.series[series].rows(first, row)[:, target]
        seen = np.flatnonzero(np.isfinite(values))
        return filled_between(values[seen[0] :]) if len(seen) else np.zeros(0)

    def _adjusted(self, values: Floats) -> tuple[Floats, Floats | float]:
        """Return values without a long season, and the season of the steps to come."""
        if self.season <= _LONGEST or len(values) < 2 * self.season:
            return values, 0.0
        shape = seasonal_shape(values, self.season)
        phases = np.arange(len(values), len(values) + self.horizon) % self.season
        return values - np.resize(shape, len(values)), shape[phases]

    def _fitted(self, series: int, row: int, target: int) -> Any:
        key = series, target
        if key not in self.fitted:
            # what it learns lies before the part that is judged, or before the first window where that is all there is
            before = min(row, max(int(self.start[series]), 2))
            level, _ = self._adjusted(self._values(series, before, target))
            whole = 1 < self.season <= _LONGEST and len(level) >= 2 * self.season
            self.fitted[key] = self.model(season_length=self.season if whole else 1).fit(level)
        return self.fitted[key]


def _evenly(origins: NDArray[np.int64]) -> Iterator[int]:
    """Yield the windows so that the first of them are of as many series as can be, and spread over each."""
    rng = np.random.default_rng(0)
    chance = rng.permutation(len(origins))
    order = chance[np.argsort(origins[chance, 0], kind="stable")]
    _, first, count = np.unique(origins[order, 0], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, count)
    yield from (int(window) for window in order[np.lexsort((rng.random(len(order)), rank))])


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            # in a notebook without widgets its progress bar complains, which is not asked for
            warnings.filterwarnings("ignore", message="IProgress not found")
            from statsforecast.models import AutoETS
    except ImportError as error:
        raise MissingExtra("it needs the extra baselines: pip install 'ostinato[baselines]'") from error
    return AutoETS
