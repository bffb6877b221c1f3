"""Event logs: what happened in each case, in order, and how long after the event before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Times
from ostinato.data.identities import names
from ostinato.data.readers import read_table
from ostinato.data.sequences import group_rows, in_seconds
from ostinato.data.times import ANY, TimeFormat, decide_times
from ostinato.data.zones import wall_times


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
    """

    origin: str
    cases: tuple[str, ...]
    activities: tuple[tuple[str, ...], ...]
    gaps: tuple[NDArray[np.float64], ...]
    starts: Times
    time_format: TimeFormat = ANY

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The different activities, sorted."""
        return tuple(sorted({name for case in self.activities for name in case}))

    @property
    def moments(self) -> tuple[NDArray[np.float64], ...]:
        """For each case `(events,)`, the seconds from 1970 on to each event, as clocks in its zone show it.

        NaN where times are no dates.
        """
        if self.starts.dtype.kind != "M":
            return tuple(np.full(len(own), np.nan) for own in self.gaps)
        first = self.starts.astype("datetime64[us]").astype(np.int64) / 1e6
        instants = [start + np.cumsum(own) for start, own in zip(first, self.gaps, strict=True)]
        return tuple(wall_seconds(own, self.time_format.zone) for own in instants)

    def take(self, rows: NDArray[np.int64]) -> EventLog:
        """Return some of the cases, by their places, in that order."""
        return EventLog(
            self.origin,
            tuple(self.cases[row] for row in rows),
            tuple(self.activities[row] for row in rows),
            tuple(self.gaps[row] for row in rows),
            self.starts[rows],
            self.time_format,
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
    time_format: TimeFormat | None = None,
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
        time_format: how times are written; `None`: found.

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
    groups = group_rows(table, case)
    times, time_format = np.arange(len(found)), time_format or TimeFormat()
    if time is not None:
        times, time_format = decide_times(table, time, time_format, list(groups.values()))
    ordered = [rows[np.argsort(times[rows], kind="stable")] for rows in groups.values()]
    gaps = tuple(in_seconds(np.diff(times[rows], prepend=times[rows[:1]])) for rows in ordered)
    return EventLog(
        origin=table.origin,
        cases=tuple(groups),
        activities=tuple(tuple(found[row] for row in rows) for rows in ordered),
        gaps=gaps if time is not None else tuple(np.full(len(own), np.nan) for own in gaps),
        starts=times[[rows[0] for rows in ordered]],
        time_format=time_format,
    )


def wall_seconds(seconds: NDArray[np.float64], zone: str | None) -> NDArray[np.float64]:
    """Return seconds from 1970 on, in UTC, as clocks in a zone show them; NaN stays."""
    if zone is None:
        return seconds
    known = np.isfinite(seconds)
    instants = (np.where(known, seconds, 0.0) * 1e6).round().astype(np.int64).astype("datetime64[us]")
    walls = wall_times(instants, zone).astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(known, walls, np.nan)
