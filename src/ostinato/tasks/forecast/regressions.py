"""The autoregressions that stand beside a network: fitted on all windows before some row, but for those left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Windows, window_origins
from ostinato.tasks.forecast.experts import LINEAR, SEASONAL
from ostinato.tasks.forecast.linear import LinearAutoregression, each_near
from ostinato.tasks.forecast.seasonal import SeasonalAutoregression, rows_of, sizes_of
from ostinato.tasks.forecast.settings import NetworkSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_VALUES = 20_000_000  # numbers that a regression is fitted on, at most
_FEWEST = 8  # windows
_OF_EACH = 256  # windows of a series that its own weights are fitted on, at most
_MOST = 500  # series and targets with weights of their own
NONE: Floats = np.zeros((0, 0, 0))


@dataclass(frozen=True)
class Regressions:
    """Weights of autoregressions.

    Args:
        linear: of the linear one, `(context + 1, horizon)`; `(0, 0)`: there is none.
        seasonal: of the seasonal one, `(1 + series * targets, lags + 1, horizon)`: of all series, and then of each
            target of each, as far as there are not too many; `(0, 0, 0)`: there is none.
    """

    linear: Floats
    seasonal: Floats

    def of(self, names: Sequence[str]) -> Regressions:
        """Return those that are among the names of experts."""
        linear = self.linear if LINEAR in names else np.zeros((0, 0))
        return Regressions(linear, self.seasonal if SEASONAL in names else NONE)


@dataclass(frozen=True)
class _Rows:
    """Rows of a panel before `stop (series,)`, but for those of a part, brought to one size by `scale`."""

    panel: Panel
    scale: Floats
    stop: Ints
    without: Part | None

    def fitted(
        self, made: LinearAutoregression | SeasonalAutoregression, rows: int, least: int, horizon: int
    ) -> Floats:
        """Return the weights of a regression of windows of so many rows, of which `least` are there."""
        origins = self._origins(least, horizon)
        origins = spread_out(origins, max(1, _VALUES // (self.panel.targets * (horizon + rows))))
        if len(origins) < _FEWEST:
            return np.zeros((0, 0))
        made.fit(*self._windows(origins, rows, horizon))
        return np.zeros((0, 0)) if made.ridge is None else np.ascontiguousarray(made.weights)

    def of_each(self, made: SeasonalAutoregression, rows: int, least: int, horizon: int) -> Floats:
        """Return the weights of a fitted regression, and then those of each target of each series."""
        shared, targets = made.weights, self.panel.targets
        if not 1 < len(self.panel.series) * targets <= _MOST:
            return shared[None]
        origins, examples = self._origins(least, horizon), list[tuple[Floats, Floats]]()
        for series in range(len(self.panel.series)):
            mine = spread_out(origins[origins[:, 0] == series], _OF_EACH)
            if not len(mine):  # it is too short, and is told by the weights of all
                examples += [(np.zeros((0, len(shared))), np.zeros((0, horizon)))] * targets
                continue
            history, future = self._windows(mine, rows, horizon)
            for target in range(targets):
                only = slice(target, target + 1)
                examples.append(made.examples(history[..., only], future[..., only]))
        return np.concatenate([shared[None], each_near(shared, examples)])

    def _windows(self, origins: Ints, rows: int, horizon: int) -> tuple[Floats, Floats]:
        windows = Windows(self.panel, origins, context=rows, horizon=horizon, cycles=0)
        arrays = windows.gather(np.arange(len(origins)))
        size = self.scale[origins[:, 0]][:, None]
        return arrays.history / size, arrays.future / size

    def _origins(self, least: int, horizon: int) -> Ints:
        before = Part(np.zeros_like(self.stop), self.stop)
        origins = window_origins(self.panel, before, horizon=horizon, min_history=least)
        if self.without is None:
            return origins
        first, last = self.without.start[origins[:, 0]], self.without.stop[origins[:, 0]]
        return origins[(origins[:, 1] + horizon <= first) | (origins[:, 1] >= last)]


def fit_regressions(
    settings: NetworkSettings,
    seasons: Sequence[int],
    panel: Panel,
    scale: Floats,
    stop: Ints,
    without: Part | None = None,
) -> Regressions:
    """Return the autoregressions of some rows.

    Args:
        settings: of the network.
        seasons: of the series, in steps.
        panel: the data.
        scale: what brings series to one size, `(series, targets)`.
        stop: the end of the rows, `(series,)`.
        without: rows that nothing is fitted to.
    """
    rows, context, horizon = _Rows(panel, scale, stop, without), settings.context, settings.horizon
    linear = rows.fitted(LinearAutoregression(context, horizon), context, context, horizon)
    season, lags = sizes_of(seasons)
    if not season:
        return Regressions(linear, NONE)
    made, seen = SeasonalAutoregression(season, lags, horizon), rows_of(seasons)
    read = seen, min(season + lags, seen), horizon
    return Regressions(linear, rows.of_each(made, *read) if rows.fitted(made, *read).size else NONE)


def spread_out(origins: Ints, most: int) -> Ints:
    """Return so many origins at most, at even distances."""
    if len(origins) <= most:
        return origins
    return origins[np.linspace(0, len(origins) - 1, most).round().astype(np.int64)]
