"""Sets of whole sequences, for classification and regression; here from long tables, in `ts_files.py` from `.ts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Times
from ostinato.data.identities import Label, labels, rows_by_name
from ostinato.data.panel import format_time
from ostinato.data.readers import read_table
from ostinato.data.schema import MISSING
from ostinato.data.table import Table, is_numeric, numbers, refuse_stray_cells
from ostinato.data.times import ANY, TimeFormat, decide_times
from ostinato.errors import ColumnError, DataError

Floats = NDArray[np.float32]
_HIDDEN = 1e-4  # of how far values of a channel lie apart, that rounding may move one


@dataclass(frozen=True)
class SequenceSet:
    """Sequences of several channels, each with what it is to be told by.

    Args:
        origin: what to call it in a message.
        channels: the names of the channels.
        sequences: each `(time, channels)`, NaN where missing; float32, but see `narrowed`.
        ids: a name for each: the table's, or its number, from 1, in the file.
        labels: the class of each, in the type that it has in a data frame, or `None`.
        classes: the classes there are, in the order of the file's header, else sorted; empty without labels.
        targets: `(sequences,)`, the number to be told for each (regression), or `None`.
        times: for each `(time,)`, seconds since its first row (or, of numbers, the difference); or `None`.
        time_format: how the times are written; decimal: the mark before decimals that the cells showed, if they did.
    """

    origin: str
    channels: tuple[str, ...]
    sequences: tuple[Floats, ...]
    ids: tuple[str, ...]
    labels: tuple[Label, ...] | None = None
    classes: tuple[Label, ...] = ()
    targets: NDArray[np.float64] | None = None
    times: tuple[NDArray[np.float64], ...] | None = None
    time_format: TimeFormat = ANY
    decimal: str | None = None

    def __len__(self) -> int:
        return len(self.sequences)


def read_sequences(
    source: Any,
    *,
    series_id: str,
    time: str | None = None,
    channels: tuple[str, ...] = (),
    label: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    missing: tuple[str, ...] = MISSING,
    time_format: TimeFormat | None = None,
    custom: str | None = None,
) -> SequenceSet:
    """Read a long table: one row a sequence and time, the rows of a sequence in the order of time.

    Args:
        source: what `read_table` takes.
        series_id: the column that says to which sequence a row belongs.
        time: the column of times, or of numbers; `None`: the rows are in order and equally spaced.
        channels: the columns of values; none: all other numeric ones.
        label: the column of the class, the same in all rows of a sequence.
        delimiter: what separates the columns of a text file; `None`: found.
        decimal: the mark before decimals in text cells that can be read two ways; `None`: found.
        missing: cells that mean there is no value; so does an empty one.
        time_format: how times are written; `None`: found.
        custom: the decimal mark where neither the cell, nor its column, nor the table shows it.

    Returns:
        The sequences in the order in which they first come.

    Raises:
        ColumnError: there is no such column.
        DataError: the times of a sequence do not rise, its label changes or is missing, or a value is no number.

    >>> import numpy as np
    >>> table = {"id": ["a", "a", "b"], "second": [0, 2, 0], "x": [1.0, np.nan, 5.0], "kind": ["on", "on", "off"]}
    >>> found = read_sequences(table, series_id="id", time="second", label="kind")
    >>> found.ids, found.channels, found.sequences[0].tolist(), found.times[0].tolist(), found.labels
    (('a', 'b'), ('x',), [[1.0], [nan]], [0.0, 2.0], ('on', 'off'))
    """
    table = read_table(source, delimiter=delimiter, decimal=decimal, custom=custom)
    if series_id == "id" and "id" not in table.columns and len(table.columns) > 1:
        shown = ", ".join(f'"{name}"' for name in table.columns[:12])
        raise ColumnError(
            f'{table.origin} has no column "id", which would say the sequence that a row belongs to; name the one that '
            f"does with series_id=... (--series-id): it has {shown}"
        )
    table.require([series_id, *filter(None, (time, label)), *channels])
    channels = tuple(channels) or _numeric(table, (series_id, time, label), missing)
    (values,) = narrowed([np.stack([numbers(table, name, missing) for name in channels], 1)])
    groups = rows_by_name(table, series_id, "must name its sequence")
    stamps, time_format = (None, ANY) if time is None else _stamps(table, time, time_format or TimeFormat())
    labels = None if label is None else _labels(table, label, groups)
    if stamps is not None:
        for name, rows in groups.items():
            _check_rising(table, name, rows, stamps)
    return SequenceSet(
        origin=table.origin,
        channels=channels,
        sequences=tuple(values[rows] for rows in groups.values()),
        ids=tuple(groups),
        labels=labels,
        classes=() if labels is None else tuple(sorted(set(labels))),
        times=None if stamps is None else tuple(elapsed(stamps[rows]) for rows in groups.values()),
        time_format=time_format,
        decimal=decimal or table.decimal or table.evidence,
    )


def elapsed(times: Times) -> NDArray[np.float64]:
    """Return the seconds since the first of some times, or the difference of numbers, `(time,)`."""
    return in_seconds(times - times[0])


def in_seconds(differences: NDArray[Any]) -> NDArray[np.float64]:
    """Return differences of times as seconds; those of numbers stay as they are."""
    if differences.dtype.kind == "m":
        differences = differences / np.timedelta64(1, "s")
    return np.asarray(differences, np.float64)


def _numeric(table: Table, others: tuple[str | None, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    rest = [name for name in table.columns if name not in others]
    for name in rest:
        refuse_stray_cells(table, name, missing)
    found = tuple(name for name in rest if is_numeric(table, name, missing))
    if not found:
        raise ColumnError(f"{table.origin} has no numeric column beside those named; name one with channels=(...)")
    return found


def narrowed(sequences: Sequence[NDArray[np.float64]]) -> list[NDArray[Any]]:
    """Return sequences `(time, channels)` as float32, or as they are where rounding would hide how values differ.

    So it would in a channel whose values lie close together and far from zero, as ten digits of a counter do.

    >>> [each.dtype.name for each in narrowed([np.array([[1e9], [1e9 + 1]]), np.array([[1e9 + 2]])])]
    ['float64', 'float64']
    """
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = [sequence.astype(np.float32) for sequence in sequences]
        known = [(wide, rounded) for wide, rounded in zip(sequences, narrow, strict=True) if wide.size]
        if len({wide.shape[1] for wide, _ in known}) != 1:  # refused elsewhere
            return list(narrow)
        lost = np.fmax.reduce([np.fmax.reduce(np.abs(wide - rounded), 0) for wide, rounded in known])
        least = np.fmin.reduce([np.fmin.reduce(wide, 0) for wide, _ in known])
        largest = np.fmax.reduce([np.fmax.reduce(wide, 0) for wide, _ in known])
        hidden = np.isfinite(lost) & (lost > _HIDDEN * (largest - least)) & (largest > least)
    return list(sequences if hidden.any() else narrow)


def _stamps(table: Table, name: str, wanted: TimeFormat) -> tuple[Times, TimeFormat]:
    """Return times and how they are written, or numbers with decimals as they are: seconds since some moment."""
    if name in table.columns and table.frame is not None and is_numeric(table, name, ()):
        values = numbers(table, name, ())
        if not np.isnan(values).any() and (values != np.floor(values)).any():
            return values, wanted
    return decide_times(table, name, wanted)


def _labels(table: Table, column: str, groups: dict[str, NDArray[np.int64]]) -> tuple[Label, ...]:
    cells, found = labels(table, column, "needs the label of its sequence"), list[Label]()
    for name, rows in groups.items():
        first = cells[rows[0]]
        for row in rows.tolist():
            if cells[row] != first:
                raise DataError(
                    f'{table.place(row)}: column "{column}" is "{cells[row]}", but sequence "{name}" begins with '
                    f'"{first}"; expected one label for all its rows'
                )
        found.append(first)
    return tuple(found)


def _check_rising(table: Table, name: str, rows: NDArray[np.int64], times: Times) -> None:
    seen = times[rows]
    wrong = np.flatnonzero(seen[1:] <= seen[:-1])
    if wrong.size:
        place = int(wrong[0]) + 1
        before = table.number(int(rows[place - 1]))
        raise DataError(
            f'{table.place(int(rows[place]))}: the time {format_time(seen[place])} of sequence "{name}" does not come '
            f"after that of row {before}, {format_time(seen[place - 1])}; sort the rows by time, one row a time"
        )
