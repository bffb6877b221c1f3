"""A fitted forecaster on a live stream: one row in, one forecast out, with constant memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Series, WindowArrays, calendar_features, format_time
from ostinato.data.categories import category_of, warn_unknown
from ostinato.data.cells import cell_number
from ostinato.data.table import LARGEST
from ostinato.data.times import read_cell
from ostinato.data.zones import aware, instants_of, wall_times
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import NOTHING, Steps, Stream
from ostinato.tasks.base.rows import time_of_row
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.result import Forecast
from ostinato.tasks.forecast.stepped import stepped
from ostinato.tasks.forecast.stream_checks import (
    check_far,
    check_jump,
    check_series,
    check_size,
    checked_state,
    model_mark,
    time_to_json,
)
from ostinato.tasks.forecast.windows import tail_of


class ForecastStream(Stream):
    """One series, a row at a time; made by `Forecaster.stream`.

    It keeps the rows that a forecast looks back on and nothing more. A forecast equals that of `predict` on the same
    history.
    """

    kind = "forecast"

    def __init__(self, fitted: Fitted, series_id: str | None = None, *, warm: bool = True) -> None:
        self._fitted, self._warm = replace(fitted, network=stepped(fitted.network)), warm
        self._series = _find(fitted, series_id)
        self._format = fitted.encoder.tail.time_format
        self.reset()
        one = tail_of(fitted.encoder.tail, fitted.encoder.reach).series[self._series]
        self._names = _row_names(fitted)
        scale = fitted.encoder.scaler.for_panel(replace(fitted.encoder.tail, series=(one,)))
        self._maker = fitted.maker(replace(fitted.encoder.tail, series=(one,)))
        self._maker.targets = scale

    def reset(self) -> None:
        """Start over: at the end of the training data, or from nothing if the stream began cold."""
        fitted, context = self._fitted, self._fitted.encoder.reach
        one = tail_of(fitted.encoder.tail, context).series[self._series]
        self._rows = np.full((context, len(fitted.encoder.columns)), np.nan)
        self._seen = 0
        self._last: Any = one.last if self._warm else None
        self._next: Any = fitted.encoder.frequency.times(one.start, len(one), 1)[0] if self._warm else None
        if self._warm and len(one):
            self._rows[-len(one) :] = one.values[-context:]
            self._seen = len(one)

    @property
    def next_time(self) -> Any:
        """The time that the next row is expected to have; `None` before the first row of a cold stream.

        It has a zone if the times of the training data have one.
        """
        return None if self._next is None else aware(np.array([self._next]), self._fitted.encoder.frequency.zone)[0]

    def push(self, row: Mapping[str, Any] | Sequence[Any], future: Any = None) -> Forecast:
        """Take in one row and forecast the steps after it.

        Args:
            row: a mapping from column names (targets, past and known covariates; perhaps the time), or their values in
                that order without the time. `None`, NaN or an empty text is a missing value. A row whose time is later
                than expected leaves the steps between missing; one without a time is the next. Times are read as those
                of the training data; without a zone they are as a clock in the zone of the model shows them.
            future: the known covariates of the coming steps, as `predict` takes them, if the model has any; a row may
                have them as its `"future"`.

        Raises:
            StreamRowError: a column is missing or unknown, the row names another series, a value is no number or too
                large, or the time is not on the grid, not after the row before, or far beyond it; the stream is then
                as it was.
        """
        found: Forecast = super().push(row if future is None else _WithFuture(row, future))
        return found

    def steps(self, row: Any) -> Steps:
        """Take in a row, perhaps with its `"future"`, and forecast; see `push`."""
        before = self._rows, self._seen, self._next, self._last
        row, future = (row.row, row.future) if isinstance(row, _WithFuture) else (row, None)
        if isinstance(row, Mapping) and "future" in row and "future" not in self.header:
            future = row["future"]
            row = {name: cell for name, cell in row.items() if name != "future"}
        try:
            values, time = self._read(row)
            self._advance(values, time)
            after = self._rows, self._seen, self._next, self._last
        finally:
            self._rows, self._seen, self._next, self._last = before
        yield NOTHING  # a forecast is made at once, and not beside those of other streams
        self._rows, self._seen, self._next, self._last = after
        try:
            return self.forecast(future)
        except BaseException:
            self._rows, self._seen, self._next, self._last = before
            raise

    def plain(self, answer: Forecast) -> dict[str, Any]:
        """Return a forecast as plain data."""
        return answer.plain()

    def now(self) -> Forecast:
        """Return the forecast after the last row."""
        return self.forecast()

    @property
    def header(self) -> tuple[str, ...]:
        """The names that a row may have."""
        return tuple(self._fitted.encoder.schema.used)

    def forecast(self, future: Any = None) -> Forecast:
        """Forecast the steps after the last row, without taking in another."""
        if self._next is None:
            raise UsageError("the stream is cold and has seen no row yet; push one")
        return self._fitted.ahead(self._panel(), future) if self._fitted.encoder.tail.known else self._ahead()

    def mark(self) -> str:
        """Return what tells the model from others."""
        return model_mark(self._fitted)

    def kept(self) -> dict[str, Any]:
        """Return a copy of all that the stream holds, as plain data and one array."""
        return {
            "series": self._fitted.encoder.tail.series[self._series].id,
            "rows": self._rows.copy(),
            "seen": self._seen,
            "next": time_to_json(self._next),
            "last": time_to_json(self._last),
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what `kept` returned.

        Raises:
            UsageError: it is of another series, or none at all; the stream is then as it was.
        """
        series = self._fitted.encoder.tail.series[self._series]
        self._rows, self._seen, self._next, self._last = checked_state(kept, self._fitted, series)

    def _ahead(self) -> Forecast:
        settings, fitted = self._fitted.settings, self._fitted
        history = self._rows[None]
        panel = self._panel()
        row = len(panel.series[0])
        targets = settings.targets
        windows = WindowArrays(
            history=history[..., :targets],
            past=history[..., targets : targets + settings.past],
            known=np.zeros((1, len(self._rows) + settings.horizon, 0)),
            calendar=self._calendar()[None],
            static=panel.series[0].static[None],
            future=np.full((1, settings.horizon, targets), np.nan),
            series=np.zeros(1, np.int64),
            origin=np.array([row]),
        )
        origins, forecasts = np.array([[0, row]]), fitted.run(windows, self._maker)
        fitted.check_values(panel, origins, forecasts)
        return fitted.result(panel, origins, forecasts)

    def _calendar(self) -> NDArray[np.float32]:
        """Return the calendar of the rows held and of the horizon; zeros where nobody reads it."""
        settings, encoder = self._fitted.settings, self._fitted.encoder
        cycles = settings.calendar // 2 if encoder.combination.weights[-1] else 0
        found = np.zeros((len(self._rows) + settings.horizon, 2 * cycles), np.float32)
        if cycles:  # the network reads its context alone
            read = settings.context + settings.horizon
            times = encoder.frequency.times(self._next, -settings.context, read)
            found[-read:] = calendar_features(times, encoder.frequency, cycles)
        return found

    def _panel(self) -> Panel:
        """Return the rows held as a panel of one series, its start reckoned back from the next time."""
        held = max(1, min(self._seen, len(self._rows)))
        start = self._fitted.encoder.frequency.times(self._next, -held, 1)[0]
        one = self._fitted.encoder.tail.series[self._series]
        series = Series(one.id, start, self._rows[-held:], one.static, last=self._last)
        return replace(self._fitted.encoder.tail, series=(series,))

    def _advance(self, values: NDArray[np.float64], time: Any) -> None:
        skipped = self._skipped(time)
        keep = len(self._rows)
        rows = np.full((min(skipped, keep), len(values)), np.nan)
        self._rows = np.concatenate([self._rows, rows, values[None]])[-keep:]
        self._seen = min(self._seen + skipped + 1, keep)
        at = time if self._next is None else self._fitted.encoder.frequency.times(self._next, skipped, 1)[0]
        if self._fitted.encoder.frequency.unit == "row":
            at, self._last = self._next or 0, time if time is not None else self._last
        self._next = self._fitted.encoder.frequency.times(at, 1, 1)[0]
        check_jump(self._fitted, at, skipped, self._words(at))

    def _skipped(self, time: Any) -> int:
        """Return how many steps lie between the row before and this one."""
        frequency = self._fitted.encoder.frequency
        if frequency.unit == "row":  # rows are one after the other, whatever their times
            if time is None or self._last is None:
                return 0
            if time > self._last:
                check_far(time, self._last, self._words(time), self._words(self._last))
                return 0
            raise StreamRowError(
                f"the row's time {self._words(time)} is not after that of the row before, {self._words(self._last)}; "
                "push rows in time order, each once"
            )
        if self._next is None and time is None:
            raise StreamRowError("the first row of a cold stream needs its time; pass it with the row")
        if self._next is None or time is None:
            return 0
        place = int(frequency.places(self._next, np.array([time]))[0])
        if place >= 0:
            return place
        raise StreamRowError(
            f"the row's time {self._words(time)} is not on the grid of {frequency.describe()} at or after "
            f"{self._words(self._next)}; push rows in time order, each once"
        )

    def _words(self, time: Any) -> str:
        return format_time(time, self._fitted.encoder.frequency.zone)

    def _read(self, row: Mapping[str, Any] | Sequence[Any]) -> tuple[NDArray[np.float64], Any]:
        if not isinstance(row, Mapping):
            cells = list(row) if isinstance(row, (Sequence, np.ndarray)) and not isinstance(row, str) else [row]
            if len(cells) != len(self._names):
                raise StreamRowError(
                    f"the row has {len(cells)} values; expected {len(self._names)}: {', '.join(self._names)}"
                )
            row = dict(zip(self._names, cells, strict=True))
        schema = self._fitted.encoder.schema
        clock = (schema.time or "time").split("+")
        allowed = {
            *self._names,
            *clock,
            "time",
            *([schema.series_id] if schema.series_id else []),
            *schema.static_covariates,
        }
        missing = [name for name in self._names if name not in row]
        # the rows of a file have the columns that training did not use too
        allowed |= set(self._fitted.encoder.tail.unused)
        unknown = [name for name in row if name not in allowed]
        if missing or unknown:
            wrong = f'lacks "{missing[0]}"' if missing else f'has an unknown column "{unknown[0]}"'
            raise StreamRowError(f"the row {wrong}; expected the columns {', '.join(self._names)}")
        if schema.series_id:
            check_series(row.get(schema.series_id), schema.series_id, self._fitted.encoder.tail.series[self._series].id)
        values = np.concatenate([self._cells(name, row[name]) for name in self._names])
        check_size(values, self._fitted, self._maker.targets)
        return values, self._time(row, clock)

    def _cells(self, name: str, cell: Any) -> NDArray[np.float64]:
        schema, categories = self._fitted.encoder.schema, self._fitted.encoder.categories.get(name)
        if categories is not None:
            code = category_of(cell, categories, schema.missing)
            if code == -2:
                warn_unknown(name, "the row", [str(cell)])
            hot = np.equal(np.arange(len(categories)), code).astype(np.float64)
            return np.full(len(categories), np.nan) if code == -1 else hot
        try:
            value = cell_number(cell, schema.decimal, schema.missing, name)
        except (TypeError, ValueError, OverflowError):
            raise StreamRowError(
                f'"{str(cell)[:80]}" in column "{name}" is not a number; expected one, or null if missing'
            ) from None
        if np.isinf(value):
            raise StreamRowError(f'column "{name}" is infinite; expected a finite number, or null if missing')
        if abs(value) > LARGEST:
            raise StreamRowError(f'{value:g} in column "{name}" is too large for float32; expected a smaller number')
        return np.array([value])

    def _time(self, row: Mapping[str, Any], clock: list[str]) -> Any:
        """Return the time of a row, an instant where times have a zone; `None` if it does not say."""
        if self._fitted.encoder.schema.time is None:
            return None
        given = [name for name in clock if name in row]
        if not given and "time" in row and "time" not in self._names:
            given = clock = ["time"]
        if not given:
            return None
        absent = [name for name in clock if row.get(name) is None]
        if absent:
            raise StreamRowError(
                f'the row has no "{absent[0]}", which tells its time; give it, or leave {" and ".join(clock)} out of '
                "the row if it is that of the next step"
            )
        name = "+".join(clock)

        def unread() -> str:
            cell = ", ".join(str(row[part])[:80] for part in clock)
            return f'"{cell}" in column "{name}" is not a time; expected one such as {self._words(self._expected())}'

        time = time_of_row(row, name, self._format, unread)
        return self._second_hour(row, name, time)

    def _expected(self) -> Any:
        if self._fitted.encoder.frequency.unit == "row":
            return self._fitted.encoder.tail.series[self._series].last
        return self._next if self._next is not None else self._fitted.encoder.tail.series[self._series].start

    def _second_hour(self, row: Mapping[str, Any], name: str, time: Any) -> Any:
        """Return the later of the two instants that a clock may mean as it goes back, once the first has passed."""
        zone = self._fitted.encoder.frequency.zone
        if zone is None or self._next is None or time >= self._next:
            return time
        wall = wall_times(np.array([time]), zone)
        later = instants_of(wall, zone, later=True)[0]
        # a time with an offset says by itself which hour it is
        plain = read_cell(row, name, replace(self._format, zone="UTC")) == wall[0]
        return later if later != time and plain else time


@dataclass(frozen=True)
class _WithFuture:
    """A row whose future was given apart."""

    row: Any
    future: Any


def _find(fitted: Fitted, series_id: str | None) -> int:
    names = fitted.encoder.scaler.series_ids
    if series_id is None:
        if len(names) > 1:
            raise UsageError(
                f"the model has {len(names)} series; say which one streams, with series_id (--series-id): "
                f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
            )
        return 0
    if series_id not in names:
        raise UsageError(f'the model knows no series "{series_id}"; it was trained on {", ".join(names[:8])}')
    return names.index(series_id)


def _row_names(fitted: Fitted) -> tuple[str, ...]:
    return fitted.encoder.schema.used
