"""Series as they were recorded: rows in the order of the file, with whatever times they have, on no grid.

What watches a machine cannot wait until its log is regular: clocks are set back, rows come late or twice, some are
missing. Each row has a place, counted in usual steps from the first one, so that a day ago is a day ago whatever lies
between; places only rise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Times
from ostinato.data.identities import rows_by_name
from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.roles import resolve_schema
from ostinato.data.schema import Schema
from ostinato.data.table import Table, is_numeric, numbers, refuse_stray_cells, texts
from ostinato.data.times import ANY, TimeFormat, decide_times
from ostinato.errors import ColumnError, DataError
from ostinato.words import counted

_NORMAL = frozenset({"", "0", "0.0", "no", "n", "false", "f", "normal", "ok", "none", "benign"})
_FALLS = 0.01  # of the rows may go back in time: clocks are set back once a year
_FAR = 1 << 40  # steps, beyond which a time is an error


@dataclass(frozen=True)
class Recording:
    """One series.

    Args:
        id: its name; empty when there is only one.
        values: `(rows, channels)`, NaN where missing.
        times: `(rows,)`: `datetime64[us]` (instants in UTC, if the times have a zone), `timedelta64[us]` or numbers;
            without times the numbers of the rows.
        labels: `(rows,)`, whether each row is anomalous; `None`: not known.
    """

    id: str
    values: NDArray[np.float64]
    times: Times
    labels: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class RecordingReading:
    """How a table was read, which holds for all later ones.

    Args:
        schema: the roles of its columns; labels: the column of labels, if there is one.
        time_format: how times are written.
        step: the usual step between rows, in microseconds or in the units of numbers; 0 without times.
    """

    schema: Schema
    time_format: TimeFormat = ANY
    step: float = 0.0
    labels: str | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels."""
        return self.schema.target


@dataclass(frozen=True)
class RecordingSet:
    """Series of the same channels, as they were recorded."""

    origin: str
    reading: RecordingReading
    series: tuple[Recording, ...]
    unused: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return sum(map(len, self.series))

    @property
    def labelled(self) -> bool:
        """Whether it is known of every row if it is anomalous."""
        return all(one.labels is not None for one in self.series)

    def with_labels(self, labels: tuple[NDArray[np.bool_], ...]) -> RecordingSet:
        """Return the same series with labels."""
        return replace(
            self, series=tuple(replace(one, labels=label) for one, label in zip(self.series, labels, strict=True))
        )


def read_recordings(
    source: Any, schema: Schema, *, labels: str | None = None, reading: RecordingReading | None = None
) -> RecordingSet:
    """Read a table of series, one row a step.

    Args:
        source: what `read_table` takes.
        schema: the roles of the columns, of which only targets, time and series are used here.
        labels: a column that says which rows are anomalous, if it is there.
        reading: how an earlier table was read; `None`: found.

    Raises:
        DataError: something in the table is wrong; the message says what and in which row.
    """
    wanted = schema if reading is None else reading.schema
    asked, custom = (wanted.decimal, None) if reading is None else (None, wanted.decimal)
    table = read_table(source, decimal=asked, custom=custom, missing=wanted.missing)
    found = _resolved(table, wanted, labels, reading)
    time_format = (
        reading.time_format
        if reading is not None
        else TimeFormat.wanted(day_first=wanted.day_first, time_format=wanted.time_format, time_zone=wanted.time_zone)
    )
    groups = list(rows_by_name(table, found.series_id).items()) if table.rows else []
    times: Times = np.concatenate([np.arange(len(rows)) for _, rows in groups]) if groups else np.zeros(0, np.int64)
    if found.time is not None:
        times, time_format = decide_times(table, found.time, time_format, [rows for _, rows in groups])
    else:
        order = np.concatenate([rows for _, rows in groups])
        times = times[np.argsort(order, kind="stable")]
    values = np.stack([_channel(table, name, found.missing, reading is None) for name in found.target], -1)
    marked = _labels(table, labels, found.missing)
    series = []
    for name, rows in groups:
        _check_order(table, name, rows, times[rows], timed=found.time is not None)
        series.append(Recording(name, values[rows], times[rows], None if marked is None else marked[rows]))
    step = reading.step if reading is not None else _usual_step(series) if found.time is not None else 0.0
    used = {*found.target, found.series_id, *(found.time or "").split("+"), found.time, labels}
    schema = replace(found, decimal=found.decimal or table.decimal or table.evidence) if reading is None else found
    return RecordingSet(
        table.origin, RecordingReading(schema, time_format, step, labels if marked is not None else None),
        tuple(series), tuple(name for name in table.columns if name not in used),
    )  # fmt: skip


def _resolved(table: Table, wanted: Schema, labels: str | None, reading: RecordingReading | None) -> Schema:
    """Return the schema with what was left open found; a later table has to have the same columns."""
    marked = (labels,) if labels is not None and labels in table.columns else ()
    if reading is not None:
        table.require((*wanted.target, *([wanted.series_id] if wanted.series_id else [])))
        return wanted
    try:
        found = resolve_schema(table, replace(wanted, past_covariates=marked))
    except ColumnError as error:
        raise ColumnError(str(error).replace("numeric column to forecast", "column of numbers to watch")) from error
    return replace(found, past_covariates=())


def _channel(table: Table, name: str, missing: tuple[str, ...], fitting: bool) -> NDArray[np.float64]:
    if fitting and table.frame is not None:
        refuse_stray_cells(table, name, missing)
    values = numbers(table, name, missing)
    if fitting and len(values) and np.isnan(values).all():
        raise DataError(f'column "{name}" of {table.origin} has no value at all; choose another target')
    return values


def _labels(table: Table, name: str | None, missing: tuple[str, ...]) -> NDArray[np.bool_] | None:
    if name is None or name not in table.columns:
        return None
    if is_numeric(table, name, missing):
        marked: NDArray[np.bool_] = np.nan_to_num(numbers(table, name, missing)) != 0
        return marked
    return np.array([(cell or "").strip().lower() not in _NORMAL for cell in texts(table, name, missing)])


def ticks(times: Times) -> NDArray[np.float64]:
    """Return times as numbers: microseconds, or the numbers that they are."""
    return times.astype(np.int64).astype(np.float64) if times.dtype.kind in "mM" else times.astype(np.float64)


def _usual_step(series: list[Recording]) -> float:
    steps = np.concatenate([np.diff(ticks(one.times)) for one in series]) if series else np.zeros(0)
    steps = steps[steps > 0]
    if not len(steps):
        return 0.0
    values, counts = np.unique(steps, return_counts=True)
    common = float(values[counts.argmax()])
    # of times that are never alike, such as those with fractions of a second, the middle one
    return common if counts.max() > 0.05 * len(steps) else float(np.median(steps))


def _check_order(table: Table, name: str, rows: NDArray[np.int64], times: Times, *, timed: bool) -> None:
    """Refuse rows in no order; a few that go back are a clock that was set back, and are taken as they come."""
    falls = np.flatnonzero(np.diff(ticks(times)) < 0)
    if not timed or not len(falls):
        return
    of_series = f' of series "{name}"' if name else ""
    if len(falls) > 1 + _FALLS * len(rows):
        here, before = table.place(int(rows[falls[0] + 1])), table.number(int(rows[falls[0]]))
        raise DataError(
            f"{here}: its time{of_series} comes before that of row {before}, as in {counted(len(falls), 'rows')}; "
            "sort the rows by time"
        )
    note(
        f"{table.origin}: the times{of_series} go back {counted(len(falls), 'times')}, first in row "
        f"{table.number(int(rows[falls[0] + 1]))}; rows are taken in their order, as if a clock had been set back"
    )


def place_after(place: int, start: float, time: float, step: float) -> int:
    """Return the place of a row, after one at `place`; `start` is the time of place 0."""
    if step <= 0:
        return place + 1
    nearest = (time - start) / step
    return max(place + 1, min(round(nearest), _FAR)) if nearest == nearest else place + 1


def places_of(one: Recording, step: float) -> NDArray[np.int64]:
    """Return the place of each row of a series, `(rows,)`, strictly rising from 0."""
    if step <= 0 or not len(one):
        return np.arange(len(one))
    held = ticks(one.times)
    nearest = np.minimum(np.rint((held - held[0]) / step), _FAR).astype(np.int64)
    # max(the place before + 1, the nearest): a running maximum of nearest - row, and the row back on
    rows = np.arange(len(one))
    found: NDArray[np.int64] = np.maximum.accumulate(nearest - rows) + rows
    return found
