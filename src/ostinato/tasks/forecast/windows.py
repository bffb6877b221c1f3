"""Rows of a panel as records, and windows on them as examples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import (
    Frequency,
    Panel,
    Part,
    Scaler,
    Schema,
    Series,
    Split,
    TimeFormat,
    WindowArrays,
    Windows,
    window_origins,
)
from ostinato.errors import UsageError
from ostinato.tasks.forecast.combining import Combination
from ostinato.tasks.forecast.experts import SEASONAL, names_of, reach_of
from ostinato.tasks.forecast.metrics import mase_scale
from ostinato.tasks.forecast.seasonal import sizes_of
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.forecast.volatility import Volatility, rows_of

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """How a table was read, which holds for all later ones: roles, columns, categories, grid and format of times."""

    schema: Schema
    columns: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    frequency: Frequency
    time_format: TimeFormat


@dataclass(frozen=True)
class Rows:
    """Some rows of a panel.

    Args:
        panel: the data.
        part: which rows; `None`: all that have a context before them.
        split: of the panel, if these are rows of the training data.
        typical: how many rows a series has to train on, about.
        seasons: those that the training part shows, the strongest first.
        shift: of data that an update was given, how many rows were put before each series; `given`: that data.
    """

    panel: Panel
    part: Part | None = None
    split: Split | None = None
    typical: int = 0
    seasons: tuple[int, ...] = ()
    shift: Ints | None = None
    given: Panel | None = None

    def __len__(self) -> int:
        return self.panel.rows if self.part is None else self.part.rows

    @property
    def origin(self) -> str:
        """What the data is called."""
        return self.panel.origin


@dataclass(frozen=True)
class ForecastEncoder:
    """All that a forecast needs beside the network.

    Args:
        settings: of the network, after everything automatic was decided.
        reading: how the data was read.
        scaler: fitted on the training part.
        season: steps of the season that the baselines repeat.
        mase_scales: `mase_scale` of each series' training part, `(series, targets)`.
        test: rows of the training data that were held out; `None`: none.
        fingerprint: of the training data.
        tail: the newest rows of each series, from which a forecast can start without the data.
        calibration: how far each quantile is moved, `(levels,)`; see `calibration.py`.
        seasons: all that the series have, in steps, the shortest first.
        calibrated: whether calibration and combination were found on rows that the first network had not seen.
        combination: the simple forecasts that stand beside the network, and how much each counts.
        volatility: how intervals follow it.
        bounded: of each target, whether its forecasts stay at zero or above; `()`: of none.
    """

    settings: NetworkSettings
    reading: Reading
    scaler: Scaler
    season: int
    mase_scales: NDArray[np.float64]
    test: Part | None
    fingerprint: str
    tail: Panel
    calibration: NDArray[np.float64]
    seasons: tuple[int, ...] = ()
    combination: Combination = field(default_factory=Combination.none)
    calibrated: bool = False
    volatility: Volatility = field(default_factory=Volatility)
    bounded: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sizes that no weights speak of, which a file may hold: of the context, the scaler and the rows."""
        settings, count = self.settings, len(self.scaler.series_ids)
        steps = settings.context, settings.horizon, self.season, *self.seasons
        if not all(0 < size <= 1_000_000 for size in steps) or not 0 < settings.segment <= settings.context:
            raise ValueError(f"its context, horizon and seasons are {steps}, its segment {settings.segment}")
        if not 0 < self.frequency.step < 2**50 or len(self.tail.series) != count:
            raise ValueError(f"it has {len(self.tail.series)} series, {self.frequency.step} a step")
        if self.bounded and len(self.bounded) != settings.targets:
            raise ValueError(f"it bounds {len(self.bounded)} targets of {settings.targets}")
        self._check_combination()
        width = settings.targets + settings.past + settings.known
        wanted: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
            "centers": (self.scaler.targets.center, (count, settings.targets)),
            "scales": (self.scaler.targets.scale, (count, settings.targets)),
            "mase_scales": (self.mase_scales, (count, settings.targets)),
            "calibration": (self.calibration, (len(settings.quantiles),)),
        }
        for name, (array, shape) in wanted.items():
            if array.shape != shape:
                raise ValueError(f"its {name} have the shape {array.shape}; expected {shape}")
        for series in self.tail.series:
            number = isinstance(series.start, (int, float)) and not abs(series.start) < 2**62
            if number or series.values.ndim != 2 or series.values.shape[1] != width:
                raise ValueError(f"its rows begin at {str(series.start)[:40]}, of shape {series.values.shape}")

    def _check_combination(self) -> None:
        """Refuse simple forecasts that there are none of, or whose numbers do not go with the network's sizes."""
        combination, settings = self.combination, self.settings
        names = names_of(self.seasons, linear=combination.linear.size > 0, seasonal=combination.seasonal.size > 0)
        unknown = [name for name in combination.experts if name not in names]
        if unknown:
            raise ValueError(f'there is no simple forecast "{unknown[0][:40]}" in it')
        horizon, lags = settings.horizon, sizes_of(self.seasons)[1]
        wanted = (settings.context + 1, horizon), (lags + 1, horizon), (horizon, len(self.levels))
        found = combination.linear.shape, combination.seasonal.shape[1:], combination.spread.shape
        needed = combination.linear.size, combination.seasonal.size, len(combination.experts)
        if any(there and one != other for there, one, other in zip(needed, found, wanted, strict=True)):
            raise ValueError(f"its simple forecasts have the shapes {found}; expected {wanted}")
        if len(combination.seasonal) not in (0, 1, 1 + settings.targets * len(self.scaler.series_ids)):
            raise ValueError(f"it has {len(combination.seasonal)} seasonal autoregressions")

    @property
    def reach(self) -> int:
        """How many rows before a forecast are looked at, by the network, the simple forecasts or the intervals."""
        moved = rows_of(self.settings.horizon, self.seasons) if self.volatility.power and self.levels else 0
        return max(self.read, moved)

    @property
    def read(self) -> int:
        """How many rows before a forecast its point depends on."""
        combination, context = self.combination, self.settings.context
        if not combination.experts:
            return context
        return reach_of(context, self.settings.horizon, self.seasons, seasonal=SEASONAL in combination.experts)

    @property
    def kept(self) -> int:
        """How many rows of a series are kept, whatever is found later of what is combined."""
        settings = self.settings
        moved = rows_of(settings.horizon, self.seasons)
        return max(reach_of(settings.context, settings.horizon, self.seasons), 2 * self.season, moved)

    @property
    def sizes(self) -> dict[str, int]:
        """What the network is made of, which its weights must bear out before anything is made of it."""
        items = vars(self.settings).items()
        free = ("context", "segment", "masked", "highway")
        return {name: value for name, value in items if isinstance(value, int) and name not in free}

    @property
    def schema(self) -> Schema:
        """The roles of the columns, complete."""
        return self.reading.schema

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the panel's columns."""
        return self.reading.columns

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """The values of text columns."""
        return self.reading.categories

    @property
    def frequency(self) -> Frequency:
        """The grid."""
        return self.reading.frequency

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels of a forecast; none for a point forecast."""
        return self.settings.quantiles if self.settings.output != "point" else ()

    @property
    def tail_rows(self) -> Rows:
        """The newest rows of the training data, as records."""
        return Rows(self.tail)

    def windows(self, panel: Panel, origins: Ints, context: int | None = None) -> Windows:
        """Return windows of a panel, as the network reads them, or with a longer context."""
        settings = self.settings
        cycles = settings.calendar // 2
        return Windows(panel, origins, context=context or settings.context, horizon=settings.horizon, cycles=cycles)

    def places_of(self, panel: Panel) -> Ints:
        """Return which series of the training data those of a panel are, `(series,)`; -1: none."""
        place = {name: i for i, name in enumerate(self.scaler.series_ids)}
        return np.array([place.get(series.id, -1) for series in panel.series], np.int64)

    def mase_scales_of(self, panel: Panel) -> NDArray[np.float64]:
        """Return the MASE scale of each series of a panel: of its training part, or of all rows of a new one."""
        place = {name: i for i, name in enumerate(self.scaler.series_ids)}
        rows = [
            self.mase_scales[place[series.id]]
            if series.id in place
            else mase_scale(series.rows(0, len(series))[:, : panel.targets], self.season)
            for series in panel.series
        ]
        return np.stack(rows)


@dataclass(frozen=True)
class Examples:
    """Windows whose forecast lies in a part of a panel; its length is how many there are.

    Args:
        encoder: how they are read.
        panel: the data.
        part: which rows.
        stride: rows from one forecast to the next, where they are judged; `None`: one, or what memory allows.
    """

    encoder: ForecastEncoder
    panel: Panel
    part: Part
    stride: int | None = None

    def __len__(self) -> int:
        return len(self.all_origins)

    @property
    def fingerprint(self) -> tuple[str, NDArray[Any]]:
        """What tells them from others in a checkpoint."""
        return self.panel.fingerprint(), np.stack([self.part.start, self.part.stop])

    @cached_property
    def all_origins(self) -> Ints:
        """Every place that a forecast can start from, `(windows, 2)`."""
        return window_origins(self.panel, self.part, horizon=self.encoder.settings.horizon)

    @cached_property
    def origins(self) -> Ints:
        """The places that are judged."""
        horizon = self.encoder.settings.horizon
        return window_origins(self.panel, self.part, horizon=horizon, stride=self.chosen_stride)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """What came after each origin, `(windows, horizon, targets)`; NaN where there is nothing to forecast from."""
        windows = self.encoder.windows(self.panel, self.origins)
        parts = []
        for first in range(0, len(self.origins), _WINDOWS):
            arrays = windows.gather(np.arange(first, min(first + _WINDOWS, len(self.origins))))
            empty = np.isnan(np.asarray(arrays.history)).all(axis=1, keepdims=True)
            parts.append(np.where(empty, np.nan, arrays.future))
        return np.concatenate(parts)

    @property
    def chosen_stride(self) -> int:
        """The stride, or 1, or as many rows between origins as are needed for their forecasts to fit in memory."""
        settings = self.encoder.settings
        values = len(self) * settings.horizon * settings.targets * (1 + len(self.encoder.levels)) * 2
        if self.stride is not None and self.stride < 1:
            raise UsageError(f"stride is {self.stride}; expected one row or more")
        return self.stride or max(1, -(-values // _VALUES))

    def training_windows(self) -> Windows:
        """Return windows with whole contexts, where a series is long enough for one."""
        settings, part = self.encoder.settings, self.part
        full = window_origins(self.panel, part, horizon=settings.horizon, min_history=settings.context)
        short = np.setdiff1d(np.flatnonzero(part.stop - part.start > settings.horizon), np.unique(full[:, 0]))
        origins, places = [full], np.arange(len(part.start))
        for i in short:
            only = Part(np.where(places == i, part.start, 0), np.where(places == i, part.stop, 0))
            least = max(2, settings.context // 4)
            origins.append(window_origins(self.panel, only, horizon=settings.horizon, min_history=least))
        return self.encoder.windows(self.panel, np.concatenate(origins))


_WINDOWS = 4096
_VALUES = 30_000_000  # forecast values held at once, quantiles included: 240 MB


def newest(windows: WindowArrays, context: int) -> WindowArrays:
    """Return windows with the newest `context` rows of their history."""
    first = windows.history.shape[1] - context
    return replace(
        windows, history=windows.history[:, first:], past=windows.past[:, first:], known=windows.known[:, first:],
        calendar=windows.calendar[:, first:],
    )  # fmt: skip


def whole(panel: Panel, context: int) -> Part:
    """Return all rows of a panel that have a context before them, or half of them where there is no room for that."""
    lengths = np.array([len(series) for series in panel.series])
    return Part(np.minimum(context, lengths // 2), lengths)


def tail_of(panel: Panel, rows: int) -> Panel:
    """Return the newest rows of each series as a panel of its own."""
    series = []
    for one in panel.series:
        first = max(0, len(one) - rows)
        start = panel.frequency.times(one.start, first, 1)[0]
        series.append(Series(one.id, start, one.rows(first, len(one)), one.static, last=one.last))
    return replace(panel, series=tuple(series))
