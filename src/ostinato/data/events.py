"""Event logs: what happened in each case, in order, and how long after the event before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Times
from ostinato.data.identities import names, rows_by_name
from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.sequences import in_seconds
from ostinato.data.table import Table, is_numeric, numbers, texts
from ostinato.data.times import ANY, TimeFormat, decide_times
from ostinato.data.zones import wall_times
from ostinato.errors import DataError

ColumnKind: TypeAlias = Literal["number", "text"]
Columns: TypeAlias = Mapping[str, tuple[NDArray[Any], ...]]


@dataclass(frozen=True)
class EventReading:
    """How a log was read, and later ones are.

    Args:
        times: how its times are written.
        columns: the columns beside case, activity and time that are read too, by what their cells are.
    """

    times: TimeFormat = ANY
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)


@dataclass(frozen=True)
class EventLog:
    """Cases, each a sequence of activities with times.

    Args:
        origin: what to call it in a message.
        cases: the names of the cases, in the order in which they first come.
        activities: for each case, its activities in the order of time.
        gaps: for each case `(events,)`, the seconds since the event before (or the difference of whole numbers), 0 at
            the first; NaN where that is not known.
        starts: `(cases,)`, the time of each case's first event, to split by: an instant in UTC, if the times have a
            zone; without times, its row.
        time_format: how the times are written.
        columns: what else is known of each event, by column and case `(events,)`: numbers, NaN where missing, or texts
            (an array of objects), `None` where missing.
    """

    origin: str
    cases: tuple[str, ...]
    activities: tuple[tuple[str, ...], ...]
    gaps: tuple[NDArray[np.float64], ...]
    starts: Times
    time_format: TimeFormat = ANY
    columns: Columns = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The different activities, sorted."""
        return tuple(sorted({name for case in self.activities for name in case}))

    @property
    def reading(self) -> EventReading:
        """How the log was read."""
        kinds = {name: cells[0].dtype.kind for name, cells in self.columns.items() if cells}
        return EventReading(
            self.time_format, {name: "text" if kind == "O" else "number" for name, kind in kinds.items()}
        )

    @cached_property
    def moments(self) -> tuple[NDArray[np.float64], ...]:
        """For each case `(events,)`, the seconds from 1970 on to each event, as clocks in its zone show it.

        NaN where times are no dates.
        """
        if self.starts.dtype.kind != "M":
            return tuple(np.full(len(gap), np.nan) for gap in self.gaps)
        first = self.starts.astype("datetime64[us]").astype(np.int64) / 1e6
        instants = [start + np.cumsum(gap) for start, gap in zip(first, self.gaps, strict=True)]
        return tuple(wall_seconds(instant, self.time_format.zone) for instant in instants)

    def take(self, rows: NDArray[np.int64]) -> EventLog:
        """Return some of the cases, by their places, in that order."""
        return EventLog(
            self.origin,
            tuple(self.cases[row] for row in rows),
            tuple(self.activities[row] for row in rows),
            tuple(self.gaps[row] for row in rows),
            self.starts[rows],
            self.time_format,
            {name: tuple(cells[row] for row in rows) for name, cells in self.columns.items()},
        )

    def joined(self, other: EventLog) -> EventLog:
        """Return the cases of this log and, behind them, those of another; columns that both have are kept.

        Raises:
            DataError: one has times and the other numbers.
        """
        if self.starts.dtype.kind != other.starts.dtype.kind:
            raise DataError(f"{self.origin} has other times than {other.origin}; expected times, or numbers, in both")
        return EventLog(
            self.origin,
            self.cases + other.cases,
            self.activities + other.activities,
            self.gaps + other.gaps,
            np.concatenate([self.starts, other.starts]),
            self.time_format,
            {name: column + other.columns[name] for name, column in self.columns.items() if name in other.columns},
        )

    def encode(self, kinds: tuple[str, ...] | None = None) -> tuple[NDArray[np.int64], ...]:
        """Return the activities of each case as numbers, `(events,)`.

        Args:
            kinds: the activities that have the numbers from 1 on; any other is 0. `None`: those of this log.
        """
        index = {name: number for number, name in enumerate(self.kinds if kinds is None else kinds, 1)}
        return tuple(np.array([index.get(name, 0) for name in case], np.int64) for case in self.activities)


def read_event_log(
    source: Any,
    *,
    case: str,
    activity: str,
    time: str | None,
    delimiter: str | None = None,
    decimal: str | None = None,
    missing: tuple[str, ...] = (),
    reading: EventReading | None = None,
    time_format: TimeFormat | None = None,
    columns: Sequence[str] | None = (),
) -> EventLog:
    """Read an event log: one event a row, in any order.

    Args:
        source: what `read_table` takes.
        case: the column that says to which case an event belongs.
        activity: the column of what happened.
        time: the column of when; events of one case and time stay in the order of the rows. `None`: there is none, and
            the rows are in order.
        delimiter: what separates the columns of a text file; `None`: found.
        decimal: the mark before decimals in text cells that can be read two ways; `None`: found.
        missing: cells that mean there is no value, beside those that always do.
        reading: how an earlier log was read, which holds for this one; `None`: found, as the next two say.
        time_format: how times are written; `None`: found.
        columns: the other columns to read; `None`: all that hold numbers or texts.

    Raises:
        ColumnError: there is no such column.
        DataError: a case, an activity or a time is missing, or one is not a time; the row is named.

    >>> log = read_event_log(
    ...     {"id": [7, 7, 8], "what": ["close", "open", "open"], "when": ["2024-01-02", "2024-01-01", "2024-01-01"]},
    ...     case="id", activity="what", time="when",
    ... )
    >>> log.cases, log.activities, log.gaps[0].tolist()
    (('7', '8'), (('open', 'close'), ('open',)), [0.0, 86400.0])
    """
    table = read_table(source, delimiter=delimiter, decimal=decimal, missing=missing)
    clock = [] if time is None else [time] if time in table.columns else time.split("+")
    table.require([case, activity, *clock])
    found = names(table, activity, "needs an activity")
    groups = rows_by_name(table, case, "must name its sequence")
    times, time_format = np.arange(len(found)), (reading.times if reading else time_format) or TimeFormat()
    if time is not None:
        times, time_format = decide_times(table, time, time_format, list(groups.values()))
    ordered = [rows[np.argsort(times[rows], kind="stable")] for rows in groups.values()]
    gaps = tuple(in_seconds(np.diff(times[rows], prepend=times[rows[:1]])) for rows in ordered)
    if reading is not None:
        cells = _as_they_were(table, reading.columns, missing)
    else:
        cells = _found(table, columns, missing, {case, activity, *clock})
    return EventLog(
        origin=table.origin,
        cases=tuple(groups),
        activities=tuple(tuple(found[row] for row in rows) for rows in ordered),
        gaps=gaps if time is not None else tuple(np.full(len(gap), np.nan) for gap in gaps),
        starts=times[[rows[0] for rows in ordered]],
        time_format=time_format,
        columns={name: tuple(cell[rows] for rows in ordered) for name, cell in cells.items()},
    )


def _found(
    table: Table, wanted: Sequence[str] | None, missing: tuple[str, ...], taken: set[str]
) -> dict[str, NDArray[Any]]:
    """Return columns as numbers or texts; of all columns, those that are neither are left out."""
    if wanted is not None:
        table.require(wanted)
    cells = {}
    for name in table.columns if wanted is None else wanted:
        if name in taken:
            continue
        try:
            cells[name] = _cells(table, name, "number" if is_numeric(table, name, missing) else "text", missing)
        except DataError as error:
            if wanted is not None:
                raise
            note(f"{table.origin}: the column is not used: {error}")
    return cells


def _as_they_were(table: Table, columns: Mapping[str, ColumnKind], missing: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the columns that an earlier log had; one that is not there is missing in every row."""
    absent = [name for name in columns if name not in table.columns]
    if absent:
        shown = ", ".join(f'"{name}"' for name in absent)
        note(f"{table.origin} lacks columns of the training data, which count as missing: {shown}")
    return {
        name: np.full(table.rows, None if kind == "text" else np.nan)
        if name in absent
        else _cells(table, name, kind, missing)
        for name, kind in columns.items()
    }


def _cells(table: Table, name: str, kind: ColumnKind, missing: tuple[str, ...]) -> NDArray[Any]:
    return numbers(table, name, missing) if kind == "number" else np.array(texts(table, name, missing), object)


def wall_seconds(seconds: NDArray[np.float64], zone: str | None) -> NDArray[np.float64]:
    """Return seconds from 1970 on, in UTC, as clocks in a zone show them; NaN stays."""
    if zone is None:
        return seconds
    known = np.isfinite(seconds)
    instants = (np.where(known, seconds, 0.0) * 1e6).round().astype(np.int64).astype("datetime64[us]")
    walls = wall_times(instants, zone).astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(known, walls, np.nan)
