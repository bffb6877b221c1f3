"""Which simple forecasts stand beside a network, judged on windows before the held-out part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Windows, window_origins
from ostinato.tasks.base.task import Model
from ostinato.tasks.forecast.combining import Combination, find_spread, find_weights, roughness, without_small
from ostinato.tasks.forecast.experts import LINEAR, Experts, names_of, reach_of
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.linear import LinearAutoregression
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder, Ints

Floats = NDArray[np.float64]
_FIT_VALUES = 20_000_000  # numbers that a linear autoregression is fitted on, at most
_ROWS = 400_000  # rows that experts look at to be judged, at most
# before anything is known: near twins share a weight, and what is seldom best has less
_PRIORS = {"exponential smoothing": 1.0, LINEAR: 1.0}
_ELSE = 0.5


def fit_linear(settings: NetworkSettings, panel: Panel, scale: Floats, stop: Ints) -> Floats:
    """Return the linear autoregression of the rows before `stop (series,)`, or `(0, 0)` where there are too few.

    `scale (series, targets)` brings series to one size.
    """
    before = Part(np.zeros_like(stop), stop)
    origins = window_origins(panel, before, horizon=settings.horizon, min_history=settings.context)
    keep = max(1, _FIT_VALUES // (settings.targets * (settings.horizon + settings.context)))
    origins = _spread_out(origins, keep)
    if len(origins) < 8:
        return np.zeros((0, 0))
    windows = Windows(panel, origins, context=settings.context, horizon=settings.horizon, calendar=False)
    arrays = windows.gather(np.arange(len(origins)))
    size = scale[origins[:, 0]][:, None]
    made = LinearAutoregression(settings.context, settings.horizon).fit(arrays.history / size, arrays.future / size)
    return np.zeros((0, 0)) if made.ridge is None else np.ascontiguousarray(made.weights)


def weigh(model: Model[Any, ForecastEncoder], validation: Examples) -> Combination:
    """Return the combination of a trained network with experts that errs least on its validation part."""
    judge = _Judge(model, validation)
    names, weights, linear = judge.experts()
    if not names:
        return model.encoder.combination
    return judge.with_network(names, weights, linear)


class _Judge:
    """Judges experts on the newest rows before the test part, and then the network beside the good ones."""

    def __init__(self, model: Model[Any, ForecastEncoder], validation: Examples) -> None:
        self.model, self.encoder, self.validation = model, model.encoder, validation
        self.settings, self.panel = model.encoder.settings, validation.panel
        self.scale = model.encoder.scaler.for_panel(self.panel).scale
        self.reach = reach_of(self.settings.context, self.encoder.seasons)
        # rows that the model was trained on are here too: experts can be judged on some of them
        self.whole = self.panel.fingerprint() == model.encoder.fingerprint

    def experts(self) -> tuple[tuple[str, ...], Floats, Floats]:
        """Return which experts are worth having, their weights, and the linear autoregression to go on with."""
        start = self._start()
        linear = self.encoder.combination.linear
        if self.whole and (start < self.validation.part.start).any():
            linear = fit_linear(self.settings, self.panel, self.scale, start)
        names = names_of(self.encoder.seasons, linear=linear.size > 0)
        part = Part(start, self.validation.part.stop)
        history, truth, size = self._windows(part)
        if not len(history):
            return (), np.zeros(0), linear
        forecasts = Experts(self.encoder.seasons, self.settings.horizon, linear).forecast(history, size, names)
        prior = np.array([_PRIORS.get(name, _ELSE) for name in names])
        count = _independent(window_origins(self.panel, part, horizon=self.settings.horizon), self.settings.horizon)
        rough = roughness(history, self.encoder.seasons)
        weights = without_small(find_weights(forecasts, truth, self._unit(part, rough), count, prior / prior.sum()))
        kept = weights > 0
        error = (truth - np.tensordot(weights, forecasts, 1)) / rough[:, None]
        self.spread = find_spread(error, self.encoder.levels, count)
        return tuple(np.array(names)[kept].tolist()), weights[kept], linear

    def with_network(self, names: tuple[str, ...], weights: Floats, linear: Floats) -> Combination:
        """Weigh the network and the experts on the validation part, of which neither has seen anything."""
        part, encoder = self.validation.part, self.encoder
        if self.encoder.combination.linear.size:
            linear = self.encoder.combination.linear
        history, truth, size = self._windows(part)
        own = Experts(encoder.seasons, self.settings.horizon, linear).forecast(history, size, names)
        plain = replace(
            self.model, encoder=replace(encoder, combination=Combination.none(), calibration=0 * encoder.calibration)
        )
        network = Fitted.of(plain).forecast_windows(self.panel, self._origins(part))[1].point
        every = np.concatenate([own, np.where(np.isnan(network), own[0], network)[None]])
        count = _independent(self.validation.all_origins, self.settings.horizon)
        unit = self._unit(part, roughness(history, encoder.seasons))
        found = without_small(find_weights(every, truth, unit, count, np.append(0.5 * weights, 0.5)))
        kept = found[:-1] > 0
        if LINEAR in names and self.whole:  # with the newest rows, which matter most
            linear = fit_linear(self.settings, self.panel, self.scale, part.stop)
        elif LINEAR not in names:
            linear = np.zeros((0, 0))
        chosen = tuple(np.array(names)[kept].tolist()) if kept.any() else ()
        return Combination(chosen, np.append(found[:-1][kept], found[-1]), linear, self.spread, True)

    def _start(self) -> Ints:
        """Return from where on experts are judged: the validation part, and of short series more than that."""
        part, horizon = self.validation.part, self.settings.horizon
        if not self.whole:
            return part.start
        wish = np.maximum(part.stop - np.maximum(3 * horizon, part.stop // 3), 0)
        least = np.minimum(max(self.settings.context + horizon, 2 * max(self.encoder.seasons, default=4)), part.start)
        few = len(self.validation.all_origins) < 20 * horizon
        return np.where(few, np.minimum(part.start, np.maximum(wish, least)), part.start)

    def _origins(self, part: Part) -> Ints:
        origins = window_origins(self.panel, part, horizon=self.settings.horizon)
        return _spread_out(origins, max(64, _ROWS // (self.reach * self.settings.targets)))

    def _windows(self, part: Part) -> tuple[Floats, Floats, Floats]:
        """Return history, truth, and the size of the series, of the windows of a part."""
        origins, own = self._origins(part), self.settings
        if not len(origins):
            return np.zeros((0, 1, own.targets)), np.zeros((0, own.horizon, own.targets)), np.zeros((0, own.targets))
        windows = Windows(self.panel, origins, context=self.reach, horizon=own.horizon, calendar=False)
        arrays = windows.gather(np.arange(len(origins)))
        empty = np.asarray(np.isnan(arrays.history).all(1))[:, None]
        return arrays.history, np.where(empty, np.nan, arrays.future), self.scale[origins[:, 0]]

    def _unit(self, part: Part, rough: Floats) -> Floats:
        """Return what the errors of windows are divided by: as MASE has it, or else how much they move."""
        unit = self.encoder.mase_scales_of(self.panel)[self._origins(part)[:, 0]]
        return np.where(np.isfinite(unit) & (unit > 0), unit, rough)


def _independent(origins: Ints, horizon: int) -> float:
    """Return about how many forecasts tell something of their own: the root of its steps for each whole horizon."""
    return float((-(-np.bincount(origins[:, 0]) // horizon)).sum() * np.sqrt(horizon)) if len(origins) else 0.0


def _spread_out(origins: Ints, most: int) -> Ints:
    if len(origins) <= most:
        return origins
    return origins[np.linspace(0, len(origins) - 1, most).round().astype(np.int64)]
