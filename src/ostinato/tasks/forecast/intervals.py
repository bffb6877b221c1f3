"""Intervals of a trained forecaster, from its errors on the validation part: how they follow, and how wide they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.task import Model
from ostinato.tasks.forecast.calibration import measure_calibration
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.volatility import Volatility, find_volatility
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder, Ints

Floats = NDArray[np.float64]
_WINDOWS, _LEAST = 2048, 64
_VALUES = 20_000_000  # numbers of their quantiles, about


@dataclass(frozen=True)
class _Seen:
    """Validation windows `origins (windows, 2)`, with what came and the quantiles as they are without this file."""

    fitted: Fitted
    validation: Examples
    origins: Ints
    truth: Floats
    quantiles: Floats

    @property
    def separate(self) -> float:
        """How many forecasts do not overlap: those that do err alike, so that one in a horizon counts."""
        horizon = self.fitted.settings.horizon
        return float((-(-np.bincount(self.validation.all_origins[:, 0]) // horizon)).sum())

    def following(self) -> tuple[Volatility, Floats]:
        """Return how intervals follow volatility, and the quantiles that do."""
        panel, encoder = self.validation.panel, self.fitted.encoder
        moved = self.fitted.movements(panel, self.origins)
        sizes = encoder.scaler.for_panel(panel).scale[self.origins[:, 0]]
        found = find_volatility(self.truth, self.quantiles, encoder.levels, moved, sizes, self.separate)
        return found, found.follow(self.quantiles, encoder.levels, *moved)

    def calibration(self, quantiles: Floats) -> Floats:
        """Return how far quantiles must move to hold what they promise."""
        encoder = self.fitted.encoder
        # of forecasts in one horizon, as much as the root of its steps tells something
        apart = round(self.separate * math.sqrt(encoder.settings.horizon))
        times = self.origins[:, 1] - self.validation.part.stop[self.origins[:, 0]]
        known = 1 - encoder.combination.spread_share
        return measure_calibration(self.truth, quantiles, encoder.levels, apart, known, times)


def with_intervals(
    model: Model[Any, ForecastEncoder], encoder: ForecastEncoder, newest: ForecastEncoder, validation: Examples
) -> ForecastEncoder:
    """Return an encoder with intervals that follow volatility and are calibrated.

    Args:
        model: trained.
        encoder: with a combination that has not seen the validation part.
        newest: the same with one that has, which is returned with the intervals.
        validation: windows that the model was not trained on.
    """
    if not encoder.levels:
        return newest
    seen = _seen(model, encoder, validation)
    quantiles = seen.quantiles
    if encoder.settings.output != "negative_binomial":  # whose quantiles are whole numbers
        following, quantiles = seen.following()
        newest = replace(newest, volatility=following)
    # simple forecasts alone have their intervals from errors on more windows than these
    if not encoder.combination.weights[-1]:
        return newest
    found = seen.calibration(quantiles)
    return replace(newest, calibration=found) if found.any() else newest


def _seen(model: Model[Any, ForecastEncoder], encoder: ForecastEncoder, validation: Examples) -> _Seen:
    origins = validation.all_origins
    settings = encoder.settings
    most = _VALUES // (settings.horizon * settings.targets * len(encoder.levels))
    count = min(len(origins), _WINDOWS, max(_LEAST, most))
    chosen = origins[np.linspace(0, len(origins) - 1, count).round().astype(np.int64)]
    plain = replace(encoder, calibration=np.zeros_like(encoder.calibration), volatility=Volatility())
    fitted = Fitted.of(replace(model, encoder=plain))
    truth, forecasts = fitted.forecast_windows(validation.panel, chosen)
    assert forecasts.quantiles is not None
    return _Seen(fitted, validation, chosen, truth, forecasts.quantiles)
