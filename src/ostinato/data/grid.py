"""Rows of series on a regular grid, in which missing rows are gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.columns import Columns
from ostinato.data.frequency import Frequency, Times
from ostinato.data.panel import Series, format_time
from ostinato.data.table import Table
from ostinato.errors import DataError
from ostinato.words import counted

_SPARSE = 20  # a grid with this many times more rows than the input is not believed


@dataclass(frozen=True)
class Group:
    """The rows of one series in the table, in order, with their times."""

    id: str
    rows: NDArray[np.int64]
    times: Times


def lay_out(
    table: Table, groups: list[Group], frequency: Frequency, encoded: Columns
) -> tuple[tuple[Series, ...], int]:
    """Return the series on their grid, and how many rows were missing.

    Raises:
        DataError: a time is not on the grid, the grid would be nearly empty, or a static column changes.
    """
    series, gaps = [], 0
    for group in groups:
        rows_only = frequency.unit == "row"
        start, last = (0, group.times[-1]) if rows_only else (group.times[0], None)
        places = np.arange(len(group.rows)) if rows_only else frequency.places(start, group.times)
        _check_places(table, group, frequency, places)
        length = int(places[-1]) + 1
        gaps += length - len(places)
        values = _on_grid(encoded.values, group.rows, places, length)
        series.append(Series(group.id, start, values, _static(table, group, encoded), encoded.take, last))
    return tuple(series), gaps


def _check_places(table: Table, group: Group, frequency: Frequency, places: NDArray[np.int64]) -> None:
    if (places < 0).any():
        row = int((places < 0).argmax())
        when, first = (format_time(time, frequency.zone) for time in (group.times[row], group.times[0]))
        raise DataError(
            f"{table.place(int(group.rows[row]))}: the time {when} is not on the grid of "
            f"{frequency.describe()} from {first}; fit with another frequency (--frequency), "
            'or "rows" to take the rows as equally spaced'
        )
    if places[-1] + 1 > _SPARSE * len(places) + 1000:
        raise DataError(
            f"{table.origin}: at {frequency.describe()} a step, {counted(len(places), 'rows')} would be spread over "
            f'{places[-1] + 1} steps; fit with a longer frequency (--frequency), or "rows"'
        )


def _on_grid(values: NDArray[Any], rows: NDArray[np.int64], places: NDArray[np.int64], length: int) -> NDArray[Any]:
    contiguous = len(rows) == 0 or int(rows[-1]) - int(rows[0]) + 1 == len(rows)
    if length == len(rows) and contiguous:
        return values[int(rows[0]) : int(rows[-1]) + 1]  # a view: a memory-mapped file stays on disk
    grid = np.full((length, values.shape[1]), np.nan, np.float64)
    grid[places] = values[rows]
    return grid


def _static(table: Table, group: Group, encoded: Columns) -> NDArray[np.float64]:
    values = encoded.static[group.rows]
    first = values[0]
    changed = np.flatnonzero(~((values == first) | (np.isnan(values) & np.isnan(first))).all(1))
    if changed.size:
        row = int(changed[0])
        column = encoded.static_names[int(np.flatnonzero(values[row] != first)[0])]
        raise DataError(
            f'{table.place(int(group.rows[row]))}: static column "{column}" changes within series "{group.id}"; '
            "name it as a past or known covariate instead"
        )
    return np.asarray(first)
