"""Which simple forecasts stand beside a network, judged on windows before the held-out part."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Part, Windows, window_origins
from ostinato.tasks.base.task import Model
from ostinato.tasks.forecast.combining import Combination, belief, find_spread, find_weights, roughness, without_small
from ostinato.tasks.forecast.evidence import Places, held_out_weights, reference, trust
from ostinato.tasks.forecast.experts import ADJUSTED, LINEAR, SEASONAL, SMOOTHING, Experts, names_of, reach_of
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.regressions import Regressions, fit_regressions, spread_out
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder, Ints

Floats = NDArray[np.float64]
_ROWS = 400_000  # rows that experts look at to be judged, at most
_PARTS = 4  # of the rows that they are judged on
# Before anything is known: what suits a series' trend and season by itself has most, methods that leave one of them out
# less, and what is seldom best hardly anything. Of 209 short series, a share for each of the naive forecasts cost 6 %.
_PRIORS = {
    ADJUSTED: 1.5, SMOOTHING[0]: 1.0, LINEAR: 1.0, SEASONAL: 1.0, "theta": 0.5, SMOOTHING[1]: 0.3,
}  # fmt: skip
_ELSE = 0.03
# the simplest first; those that are not here repeat a season
_ORDER = {
    "naive": 0, "drift": 2, "simple exponential smoothing": 3, "theta": 4, "exponential smoothing": 5, ADJUSTED: 5,
    LINEAR: 6, SEASONAL: 7,
}  # fmt: skip
_SEASONAL = 1
_SHARES = 21  # of the network that are tried
# Of the network before anything is known, where series are short and where they are long: of short ones it learns less
# than simple forecasts know beforehand, but for covariates, which it alone sees. On 14 sets of a thousand rows and more
# a quarter, whatever the length, was 1 % worse, and on 119 short series half of a percent.
_NETWORK, _WITH_COVARIATES = (0.1, 0.6), (0.2, 0.75)
_FEW_ROWS = 500.0  # of a series that is between


def weigh(model: Model[Any, ForecastEncoder], validation: Examples) -> Combination:
    """Return the combination of a trained network with experts that errs least on its validation part.

    Its autoregressions have not seen that part; see `newest_regressions`.
    """
    judge = _Judge(model, validation)
    names, weights = judge.experts()
    return judge.with_network(names, weights) if names else model.encoder.combination


def newest_regressions(encoder: ForecastEncoder, validation: Examples) -> Combination:
    """Return the combination with autoregressions of the newest rows too, which matter most.

    Intervals are calibrated before that, on errors of forecasts whose truth nothing was fitted to.
    """
    found, panel = encoder.combination, validation.panel
    if not {LINEAR, SEASONAL} & set(found.experts) or panel.fingerprint() != encoder.fingerprint:
        return found
    scale = encoder.scaler.for_panel(panel).scale
    made = fit_regressions(encoder.settings, encoder.seasons, panel, scale, validation.part.stop)
    return replace(found, linear=_newer(made.linear, found.linear), seasonal=_newer(made.seasonal, found.seasonal))


def _newer(made: Floats, before: Floats) -> Floats:
    """Return weights of all rows, of a regression that there was."""
    return made if made.size and before.size else before


@dataclass(frozen=True)
class _Windows:
    """Windows of a part with the experts' forecasts `(experts, windows, horizon, targets)`."""

    truth: Floats
    unit: Floats
    rough: Floats
    forecasts: Floats
    places: Places
    _ARRAYS: ClassVar = ("truth", "unit", "rough")

    @classmethod
    def of(cls, parts: Sequence[_Windows]) -> _Windows:
        """Return the windows of some parts."""
        truth, unit, rough = (np.concatenate([getattr(part, name) for part in parts]) for name in cls._ARRAYS)
        forecasts = np.concatenate([part.forecasts for part in parts], 1)
        return cls(truth, unit, rough, forecasts, Places.joined([part.places for part in parts]))

    def __len__(self) -> int:
        return len(self.truth)

    def losses(self, forecast: Floats) -> Floats:
        """Return the scaled absolute error of each window, `(windows,)`; 0 where nothing came."""
        error = np.abs(self.truth - forecast) / self.unit[:, None]
        seen = np.isfinite(error)
        return np.asarray(np.where(seen, error, 0.0).sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1))

    def weights(self, count: float, prior: Floats, chosen: NDArray[np.bool_] | None = None) -> Floats:
        """Return the weights that suit these windows, or some of them, best."""
        mask = np.ones(len(self), bool) if chosen is None else chosen
        share = float(mask.mean())
        return find_weights(self.forecasts[:, mask], self.truth[mask], self.unit[mask], count * share, prior)


class _Judge:
    """Judges experts on rows before the test part, and then the network beside the good ones."""

    def __init__(self, model: Model[Any, ForecastEncoder], validation: Examples) -> None:
        self.model, self.encoder, self.validation = model, model.encoder, validation
        self.settings, self.panel = model.encoder.settings, validation.panel
        self.scale = model.encoder.scaler.for_panel(self.panel).scale
        self.reach = reach_of(self.settings.context, self.settings.horizon, self.encoder.seasons)
        # rows that the model was trained on are here too: experts can be judged on some of them
        self.whole = self.panel.fingerprint() == model.encoder.fingerprint

    def experts(self) -> tuple[tuple[str, ...], Floats]:
        """Return which experts are worth having, and their weights."""
        parts = self._parts()
        fitted = [self._fitted_without(part) for part in parts]
        linear, seasonal = (all(getattr(one, name).size for one in fitted) for name in ("linear", "seasonal"))
        names = names_of(self.encoder.seasons, linear=linear, seasonal=seasonal)
        every = [self._judged(part, names, made, _PARTS) for part, made in zip(parts, fitted, strict=True)]
        if not any(map(len, every)):
            return (), np.zeros(0)
        judged = _Windows.of([windows for windows in every if len(windows)])
        count = sum(self._count(part) for part in parts)
        sure, held = self._sure(judged, names, count)
        weights = without_small(sure)
        kept = weights > 0
        # parts overlap where they are short: their windows are counted once
        separate = judged.places.observations * float(np.sqrt(self.settings.horizon))
        errors = (judged.truth - held) / judged.rough[:, None]
        self.spread = find_spread(errors, self.encoder.levels, min(separate, count))
        return tuple(np.array(names)[kept].tolist()), weights[kept]

    def _sure(self, judged: _Windows, names: Sequence[str], count: float) -> tuple[Floats, Floats]:
        """Return the weights that suit windows best; of many, as far as they are better than the simplest good expert.

        Beside them the forecasts `(windows, horizon, targets)` by weights that were found without the windows that they
        are of: weights err less on those that they suit, and an interval from such errors is too narrow.
        """
        prior = np.array([_PRIORS.get(name, _ELSE) for name in names])
        prior /= prior.sum()
        losses = np.stack([judged.losses(forecast) for forecast in judged.forecasts])
        simple = reference(losses, [_ORDER.get(name, _SEASONAL) for name in names], judged.places)
        found = held_out_weights(lambda chosen: judged.weights(count, prior, chosen), judged.places)
        held = np.einsum("we,ewht->wht", found, judged.forecasts)
        share = trust(losses[simple] - judged.losses(held), judged.places)
        # of few stretches of time no single one is chosen: the weights stand, which are then near the usual ones
        share = 1 - judged.places.settled * (1 - share)
        alone = np.eye(len(names))[simple]
        weights = share * judged.weights(count, prior) + (1 - share) * alone
        return np.asarray(weights), share * held + (1 - share) * judged.forecasts[simple]

    def with_network(self, names: tuple[str, ...], weights: Floats) -> Combination:
        """Weigh the network against the experts on the validation part, of which neither has seen anything."""
        part, before = self.validation.part, self.encoder.combination
        made = Regressions(before.linear, before.seasonal).of(names)
        windows = self._judged(part, names, made)
        share = self._share(windows, np.tensordot(weights, windows.forecasts, 1)) if len(windows) else self._prior
        found = without_small(np.append((1 - share) * weights, share))
        kept = found[:-1] > 0
        if not kept.any():
            return Combination((), np.ones(1), np.zeros((0, 0)), self.spread, True)
        chosen = tuple(np.array(names)[kept].tolist())
        made = made.of(chosen)
        return Combination(
            chosen, np.append(found[:-1][kept], found[-1]), made.linear, self.spread, found=True,
            believed=belief(self._count(part)), seasonal=made.seasonal,
        )  # fmt: skip

    def _share(self, windows: _Windows, experts: Floats) -> float:
        """Return how much the network counts: between the usual share and the best one, as far as that is better."""
        plain = replace(
            self.model,
            encoder=replace(self.encoder, combination=Combination.none(), calibration=0 * self.encoder.calibration),
        )
        point = Fitted.of(plain).forecast_windows(self.panel, self._origins(self.validation.part))[1].point
        moved = np.where(np.isnan(point), 0.0, point - experts)
        shares = np.linspace(0, 1, _SHARES)
        losses = np.stack([windows.losses(experts + share * moved) for share in shares])
        prior = self._prior
        best, usual = int(losses.mean(1).argmin()), int(np.abs(shares - prior).argmin())
        level = float(losses[usual].mean())
        believed = trust(losses[usual] - losses[best], windows.places, soft=True, level=level)
        return float(believed * shares[best] + (1 - believed) * prior)

    @property
    def _prior(self) -> float:
        """What the network counts before anything is known."""
        settings, rows = self.settings, float(np.median(self.validation.part.stop))
        few, many = _WITH_COVARIATES if settings.past or settings.known or settings.static else _NETWORK
        return few + (many - few) * rows**2 / (rows**2 + _FEW_ROWS**2)

    def _parts(self) -> list[Part]:
        """Return where experts are judged: parts of the newer half of the rows, or the validation part alone."""
        held = self.validation.part
        if not self.whole:
            return [held]
        reach = self.settings.horizon - 1  # rows of a forecast after its first, which parts share
        start = np.minimum(held.start, np.maximum(held.stop // 2, self._least()))
        end = np.maximum(held.stop - reach, start)
        edges = [start + (end - start) * i // _PARTS for i in range(_PARTS + 1)]
        return [Part(first, np.minimum(last + reach, held.stop)) for first, last in itertools.pairwise(edges)]

    def _fitted_without(self, part: Part) -> Regressions:
        """Return autoregressions for windows of a part that they have not seen, and so are of other rows.

        Those after it count too (C. Bergmeir, R. Hyndman and B. Koo, "A note on the validity of cross-validation for
        evaluating autoregressive time series prediction", 2018): they are judged on nearly as many rows as they will
        have.
        """
        before = Regressions(self.encoder.combination.linear, self.encoder.combination.seasonal)
        if not self.whole or not (before.linear.size or before.seasonal.size):
            return before
        seasons, stop = self.encoder.seasons, self.validation.part.stop
        return fit_regressions(self.settings, seasons, self.panel, self.scale, stop, part)

    def _judged(self, part: Part, names: Sequence[str], made: Regressions, parts: int = 1) -> _Windows:
        """Return the windows of a part, which is one of some, with the forecasts of experts."""
        origins, settings = self._origins(part, parts), self.settings
        history, truth, size = self._windows(origins)
        rough = roughness(history, self.encoder.seasons)
        places = Places.of(origins, self.validation.part.stop, settings.horizon)
        if not len(history):
            return _Windows(truth, size, rough, np.zeros((len(names), *truth.shape)), places)
        experts = Experts(self.encoder.seasons, settings.horizon, made.linear, made.seasonal)
        forecasts = experts.forecast(history, size, names, self.encoder.places_of(self.panel)[origins[:, 0]])
        return _Windows(truth, self._unit(origins, rough), rough, forecasts, places)

    def _count(self, part: Part) -> float:
        return _independent(window_origins(self.panel, part, horizon=self.settings.horizon), self.settings.horizon)

    def _least(self) -> int:
        """Return how many rows experts need before the first window that they are judged on."""
        return max(self.settings.context + self.settings.horizon, 2 * max(self.encoder.seasons, default=4))

    def _origins(self, part: Part, parts: int = 1) -> Ints:
        origins = window_origins(self.panel, part, horizon=self.settings.horizon)
        return spread_out(origins, max(64, _ROWS // (self.reach * self.settings.targets * parts)))

    def _windows(self, origins: Ints) -> tuple[Floats, Floats, Floats]:
        """Return history, truth, and the size of the series, of windows."""
        settings = self.settings
        if not len(origins):
            return (
                np.zeros((0, 1, settings.targets)),
                np.zeros((0, settings.horizon, settings.targets)),
                np.zeros((0, settings.targets)),
            )
        windows = Windows(self.panel, origins, context=self.reach, horizon=settings.horizon, cycles=0)
        arrays = windows.gather(np.arange(len(origins)))
        empty = np.asarray(np.isnan(arrays.history).all(1))[:, None]
        return arrays.history, np.where(empty, np.nan, arrays.future), self.scale[origins[:, 0]]

    def _unit(self, origins: Ints, rough: Floats) -> Floats:
        """Return what the errors of windows are divided by: as MASE has it, or else how much they move."""
        unit = self.encoder.mase_scales_of(self.panel)[origins[:, 0]]
        return np.where(np.isfinite(unit) & (unit > 0), unit, rough)


def _independent(origins: Ints, horizon: int) -> float:
    """Return about how many forecasts tell something of their own: the root of its steps for each whole horizon."""
    return float((-(-np.bincount(origins[:, 0]) // horizon)).sum() * np.sqrt(horizon)) if len(origins) else 0.0
