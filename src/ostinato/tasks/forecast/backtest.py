"""Simple methods beside a forecaster, from the same origins: rolling, without fitting the model again.

Source: L. Tashman, "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16, 2000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Windows, window_origins
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.forecast.baselines import drift, naive, seasonal_naive
from ostinato.tasks.forecast.fitted import Forecasts
from ostinato.tasks.forecast.linear import LinearAutoregression
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.forecast.smoothing import theta
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder

Floats = NDArray[np.float64]
THETA = "Theta"
_SMOOTHED = 256  # rows that smoothing looks back on
_THETAS = 2000  # windows that the errors of Theta are measured on
_AT_ONCE = 500
_FIT_VALUES = 20_000_000  # values the linear autoregression is fitted on, at most


@dataclass(frozen=True)
class SimpleForecast:
    """A simple method, its quantiles those of its errors before the part that is judged.

    What it has to learn, it learns from all rows before that part, those of the validation too; where there are none,
    as in other data, it has what it learned when the model was fitted.

    Args:
        method: `"Theta"`, `"naive"`, `"seasonal naive"`, `"drift"` or `"linear autoregression"`.
        weights: of the linear autoregression, `(context + 1, horizon)`.
        spread: quantiles of the errors, scaled, `(levels, horizon, targets)`; `None`: there are none.
    """

    method: str
    weights: Floats | None = None
    spread: Floats | None = None

    @classmethod
    def fit(cls, method: str, encoder: ForecastEncoder, panel: Panel, before: NDArray[np.int64]) -> SimpleForecast:
        """Fit on the rows of each series before some; without enough of them, nothing is learned."""
        settings = encoder.settings
        past = _fit_origins(settings, panel, Part(np.zeros_like(before), before))
        if not len(past):
            return cls(method)
        history, future = (
            values / _scale(encoder, panel, past) for values in _arrays(panel, past, _rows(encoder), settings.horizon)
        )
        made = cls(method)
        if method == "linear autoregression":
            made = cls(method, LinearAutoregression(settings.context, settings.horizon).fit(history, future).weights)
        if not encoder.levels:
            return made
        with np.errstate(invalid="ignore"):
            kept = _evenly_spaced(len(history), _THETAS if method == THETA else len(history))
            spread = np.nanquantile(future[kept] - made._run(encoder, history[kept]), encoder.levels, axis=0)
        # as it comes back from a file: sums are taken in the order of memory
        return cls(method, made.weights, np.ascontiguousarray(spread))

    def predict(self, examples: Examples) -> Forecasts:
        """Forecast from the origins of examples."""
        encoder, panel, origins = examples.encoder, examples.panel, examples.origins
        fitted = SimpleForecast.fit(self.method, encoder, panel, examples.part.start)
        if fitted.weights is None and fitted.spread is None:
            fitted = self
        # methods work on scaled series, so that the one regression sees them all at one size
        now = _scale(encoder, panel, origins)
        point = fitted._run(encoder, _arrays(panel, origins, _rows(encoder), encoder.settings.horizon)[0] / now) * now
        if fitted.spread is None:
            return Forecasts(point)
        return Forecasts(point, point[..., None] + np.moveaxis(fitted.spread, 0, -1) * now[..., None])

    def _run(self, encoder: ForecastEncoder, history: Floats) -> Floats:
        settings = encoder.settings
        if self.method == "linear autoregression":
            if self.weights is None:  # there was nothing to fit it on
                return np.full((len(history), settings.horizon, history.shape[2]), np.nan)
            made = LinearAutoregression(settings.context, settings.horizon)
            made.weights = self.weights
            return made.predict(history)
        if self.method == THETA:
            return _theta(history, settings.horizon, encoder.season)
        if self.method == "seasonal naive":
            return seasonal_naive(history, settings.horizon, encoder.season)
        return (drift if self.method == "drift" else naive)(history, settings.horizon)


def _rows(encoder: ForecastEncoder) -> int:
    return max(encoder.settings.context, 2 * encoder.season + encoder.settings.horizon, _SMOOTHED)


def _theta(history: Floats, horizon: int, season: int) -> Floats:
    windows, rows, targets = history.shape
    single = np.swapaxes(history, 1, 2).reshape(-1, rows)
    found = np.zeros((len(single), horizon))
    for first in range(0, len(single), _AT_ONCE):
        deadline().check()
        found[first : first + _AT_ONCE] = theta(single[first : first + _AT_ONCE], horizon, season)
    found[np.isnan(single).all(1)] = np.nan
    return np.swapaxes(found.reshape(windows, targets, horizon), 1, 2)


def _evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def _scale(encoder: ForecastEncoder, panel: Panel, origins: NDArray[np.int64]) -> Floats:
    return encoder.scaler.for_panel(panel).scale[origins[:, 0]][:, None]


def methods_of(encoder: ForecastEncoder) -> list[str]:
    """Return the simple methods that stand beside a model."""
    return [THETA, "naive", *(["seasonal naive"] if encoder.season > 1 else []), "drift", "linear autoregression"]


def _fit_origins(settings: NetworkSettings, panel: Panel, train: Part) -> NDArray[np.int64]:
    origins = window_origins(panel, train, horizon=settings.horizon, min_history=settings.context)
    width = settings.targets * (settings.horizon + settings.context)
    keep = max(1, _FIT_VALUES // width)
    if len(origins) <= keep:
        return origins
    return origins[np.linspace(0, len(origins) - 1, keep).round().astype(np.int64)]


def _arrays(panel: Panel, origins: NDArray[np.int64], rows: int, horizon: int) -> tuple[Floats, Floats]:
    windows = Windows(panel, origins, context=rows, horizon=horizon, cycles=0)
    if not len(origins):
        return np.zeros((0, rows, panel.targets)), np.zeros((0, horizon, panel.targets))
    arrays = windows.gather(np.arange(len(origins)))
    return np.asarray(arrays.history, np.float64), np.asarray(arrays.future, np.float64)
