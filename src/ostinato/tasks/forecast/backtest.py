"""Simple methods beside a forecaster, from the same origins: rolling, without fitting the model again.

Source: L. Tashman, "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16, 2000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Windows, window_origins
from ostinato.tasks.forecast.baselines import drift, naive, seasonal_naive
from ostinato.tasks.forecast.fitted import Forecasts
from ostinato.tasks.forecast.linear import LinearAutoregression
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder

Floats = NDArray[np.float64]
_FIT_VALUES = 20_000_000  # values the linear autoregression is fitted on, at most


@dataclass(frozen=True)
class SimpleForecast:
    """A simple method, its quantiles those of its errors before the part that is judged.

    What it has to learn, it learns from all rows before that part, those of the validation too.

    Args:
        method: `"naive"`, `"seasonal naive"`, `"drift"` or `"linear autoregression"`.
    """

    method: str

    def predict(self, examples: Examples) -> Forecasts:
        """Forecast from the origins of examples."""
        encoder, panel, origins = examples.encoder, examples.panel, examples.origins
        settings, season = encoder.settings, encoder.season
        rows = max(settings.context, 2 * season + settings.horizon)
        past = _fit_origins(settings, panel, Part(np.zeros_like(examples.part.start), examples.part.start))
        affine = encoder.scaler.for_panel(panel)
        before, now = (affine.scale[own[:, 0]][:, None] for own in (past, origins))
        # methods work on scaled series, so that the one regression sees them all at one size
        history, future = (values / before for values in _arrays(panel, past, rows, settings.horizon))
        current = _arrays(panel, origins, rows, settings.horizon)[0] / now
        run = self._fitted(settings, season, history, future)
        errors = future - run(history) if len(past) else future
        return _with_quantiles(run(current) * now, errors, now, encoder.levels)

    def _fitted(
        self, settings: NetworkSettings, season: int, history: Floats, future: Floats
    ) -> Callable[[Floats], Floats]:
        horizon = settings.horizon
        if self.method == "linear autoregression":
            if not len(history):  # there is nothing to fit it on
                return lambda own: np.full((len(own), horizon, own.shape[2]), np.nan)
            return LinearAutoregression(settings.context, horizon).fit(history, future).predict
        if self.method == "seasonal naive":
            return lambda own: seasonal_naive(own, horizon, season)
        return lambda own: (drift if self.method == "drift" else naive)(own, horizon)


def methods_of(encoder: ForecastEncoder) -> list[str]:
    """Return the simple methods that stand beside a model."""
    return ["naive", *(["seasonal naive"] if encoder.season > 1 else []), "drift", "linear autoregression"]


def _with_quantiles(point: Floats, errors: Floats, scale: Floats, levels: tuple[float, ...]) -> Forecasts:
    if not levels or not len(errors):
        return Forecasts(point)
    with np.errstate(invalid="ignore"):
        spread = np.nanquantile(errors, levels, axis=0)  # (levels, horizon, targets)
    return Forecasts(point, point[..., None] + np.moveaxis(spread, 0, -1) * scale[..., None])


def _fit_origins(settings: NetworkSettings, panel: Panel, train: Part) -> NDArray[np.int64]:
    origins = window_origins(panel, train, horizon=settings.horizon, min_history=settings.context)
    width = settings.targets * (settings.horizon + settings.context)
    keep = max(1, _FIT_VALUES // width)
    if len(origins) <= keep:
        return origins
    return origins[np.linspace(0, len(origins) - 1, keep).round().astype(np.int64)]


def _arrays(panel: Panel, origins: NDArray[np.int64], rows: int, horizon: int) -> tuple[Floats, Floats]:
    windows = Windows(panel, origins, context=rows, horizon=horizon, calendar=False)
    if not len(origins):
        return np.zeros((0, rows, panel.targets)), np.zeros((0, horizon, panel.targets))
    arrays = windows.gather(np.arange(len(origins)))
    return np.asarray(arrays.history, np.float64), np.asarray(arrays.future, np.float64)
