"""Windows in which something is anomalous, in a file beside the data: CSV of start and end, or JSON as that of NAB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.recordings import RecordingSet
from ostinato.data.table import texts
from ostinato.data.times import TimeFormat, read_cell
from ostinato.data.zones import instants_of
from ostinato.errors import DataError
from ostinato.words import counted

_ENDINGS = (".json", ".csv", ".tsv", ".txt", ".jsonl", ".parquet")
Window = tuple[str, Any, Any]


def is_window_file(name: str) -> bool:
    """Tell whether labels are named by a file, rather than by a column."""
    return Path(name).suffix.lower() in _ENDINGS or Path(name).is_file()


def labelled(records: RecordingSet, file: str) -> RecordingSet:
    """Return series with the labels that a file of windows gives; what lies in none is normal.

    Args:
        records: the series.
        file: CSV or the like, with columns `start` and `end` (or the first two), and `series` where there are several;
            or JSON: a list of `[start, end]`, or such lists by the name of the series or of the data's file.

    Raises:
        DataError: the file cannot be read, a time is none, or a window ends before it starts.
    """
    windows = _from_json(Path(file), records) if Path(file).suffix.lower() == ".json" else _from_table(file)
    known = {one.id for one in records.series}
    marks = {one.id: np.zeros(len(one), np.bool_) for one in records.series}
    for number, (name, start, end) in enumerate(windows, 1):
        if name not in known:
            raise DataError(
                f'window {number} of {file} is of series "{name[:80]}", which is not in {records.origin}; it has '
                f"{', '.join(repr(each) for each in sorted(known)[:8])}"
            )
        one = next(series for series in records.series if series.id == name)
        first, last = (_time(cell, one.times, records.reading.time_format, file, number) for cell in (start, end))
        if last < first:
            raise DataError(
                f"window {number} of {file} ends at {end}, before it starts at {start}; put the start first"
            )
        marks[name] |= (one.times >= first) & (one.times <= last)
    if windows and not any(mark.any() for mark in marks.values()):
        note(f"no row of {records.origin} lies in any of the {len(windows):,} windows of {file}; all count as normal")
    return records.with_labels(tuple(marks[one.id] for one in records.series))


def _from_json(path: Path, records: RecordingSet) -> Sequence[Window]:
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise DataError(
            f"{path} is nested too deeply to be read; expected a list of [start, end], or such lists by name"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is no JSON ({error}); expected a list of [start, end], or such lists by name"
        ) from error
    names = [one.id for one in records.series]
    if isinstance(found, Mapping):
        held = {str(key): value for key, value in found.items()}
        if set(held) & set(names) and len(names) > 1:
            return [pair for name in held if name in names for pair in _pairs(name, held[name], path)]
        fitting = [key for key in held if Path(key).name == Path(records.origin).name or key in names]
        if len(fitting) != 1:
            raise DataError(
                f"{path} has windows of {counted(len(held), 'files')}, {len(fitting)} of them called {records.origin}; "
                "expected one"
            )
        found = held[fitting[0]]
    if len(names) > 1:
        raise DataError(f"{path} does not say of which series its windows are; give lists by the names of the series")
    return _pairs(names[0], found, path)


def _pairs(name: str, found: Any, path: Path) -> list[Window]:
    if not isinstance(found, list):
        whose = f' for "{name[:80]}"' if name else ""
        raise DataError(f"{path} holds a {type(found).__name__}{whose}; expected a list of [start, end]")
    return [(name, *_pair(pair, path)) for pair in found]


def _pair(pair: Any, path: Path) -> tuple[Any, Any]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise DataError(f"{path} has the window {str(pair)[:60]}; expected [start, end]")
    return pair[0], pair[1]


def _from_table(file: str) -> Sequence[Window]:
    table = read_table(file)
    columns = {name.strip().lower(): name for name in table.columns}
    if len(table.columns) < 2:
        raise DataError(f"{file} has {len(table.columns)} column; expected start and end of each window")
    start = columns.get("start", table.columns[0])
    end = columns.get("end", table.columns[1])
    series = columns.get("series") or columns.get("unique_id") or (table.columns[2] if len(table.columns) > 2 else None)
    cells = [texts(table, name, ()) for name in (start, end)]
    names = texts(table, series, ()) if series is not None else [""] * table.rows
    return [(name or "", a, b) for name, a, b in zip(names, *cells, strict=True)]


def _time(cell: Any, times: NDArray[Any], wanted: TimeFormat, file: str, number: int) -> Any:
    """Return a time as those of the data are."""
    found = _read(cell, times, wanted, file, number)
    if found != found:  # NaN, or no time
        raise DataError(f'window {number} of {file}: "{str(cell)[:60]}" is missing; expected a start and an end')
    return found


def _read(cell: Any, times: NDArray[Any], wanted: TimeFormat, file: str, number: int) -> Any:
    if times.dtype.kind in "iuf":
        try:
            return float(cell)
        except (TypeError, ValueError) as error:
            raise DataError(
                f'window {number} of {file}: "{cell}" is no number, but the times of the data are'
            ) from error
    for read in (_written_plainly, _written_as_there):
        try:
            return read(cell, times, wanted)
        except (DataError, ValueError, TypeError, OverflowError):
            continue
    raise DataError(f'window {number} of {file}: "{str(cell)[:60]}" is not a time; expected one as in the data')


def _written_plainly(cell: Any, times: NDArray[Any], wanted: TimeFormat) -> Any:
    if times.dtype.kind != "M":
        raise ValueError(cell)
    stamp = np.datetime64(str(cell).strip().replace(" ", "T"), "us")
    return stamp if wanted.zone is None else instants_of(np.array([stamp]), wanted.zone)[0]


def _written_as_there(cell: Any, times: NDArray[Any], wanted: TimeFormat) -> Any:
    found = read_cell({"time": cell}, "time", wanted)
    if found.dtype.kind != times.dtype.kind:
        raise ValueError(cell)
    return found
