"""From a table to a panel: roles found, times checked, gaps filled with missing rows, text encoded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.asked_times import column_as_asked
from ostinato.data.categories import category_codes
from ostinato.data.frequency import Frequency, Times
from ostinato.data.guessing import (
    are_times,
    guess_time_column,
    measures,
    numbers_named_as_times,
    numbers_rows,
    unread_times,
)
from ostinato.data.hour_columns import hours_as_rows
from ostinato.data.identities import names
from ostinato.data.inference import check_anchor, infer_frequency, settled
from ostinato.data.notes import note
from ostinato.data.panel import Panel, Series, format_time
from ostinato.data.readers import read_table
from ostinato.data.row_numbers import counts_rows, is_identity
from ostinato.data.schema import Schema
from ostinato.data.sentinels import say_sentinel
from ostinato.data.table import (
    Table,
    check_finite,
    is_numeric,
    is_text,
    numbers,
    refuse_stray_cells,
    refused_times,
    texts,
    too_large,
)
from ostinato.data.times import TimeFormat, decide_times
from ostinato.data.wide_tables import lengthened
from ostinato.errors import ColumnError, DataError, UsageError

_UNEVEN = 0.05  # of a step: times with decimals are rounded
_SPARSE = 20  # a grid with this many times more rows than the input is not believed


@dataclass(frozen=True)
class _Group:
    """The rows of one series in the table, in order, with their times."""

    id: str
    rows: NDArray[np.int64]
    times: Times


def load_panel(
    source: Any,
    schema: Schema | None = None,
    *,
    delimiter: str | None = None,
    categories: Mapping[str, tuple[str, ...]] | None = None,
    frequency: Frequency | None = None,
    time_format: TimeFormat | None = None,
    fitting: bool = True,
) -> Panel:
    """Read a table and lay its series on a regular grid.

    Args:
        source: what `read_table` takes.
        schema: the roles of the columns; `None`: all found by themselves.
        delimiter: what separates the columns of a text file; `None`: found.
        categories: the categories of text columns, from an earlier panel; one not among them encodes as all zeros.
        frequency: the grid, from an earlier panel; `None`: as the schema says, or found.
        time_format: how times are written, likewise.
        fitting: whether a model will be trained on it: a constant or wholly missing target is then refused.

    Returns:
        The panel, its schema completed with what was found.

    Raises:
        DataError: something in the table is wrong; the message says what and in which row.
    """
    schema = schema or Schema()
    # what training decided about the decimal mark is only custom for a later table, which may show another
    asked, custom = (schema.decimal, None) if fitting else (None, schema.decimal)
    table = read_table(source, delimiter=delimiter, decimal=asked, custom=custom)
    table, schema = hours_as_rows(table, schema) or (lengthened(table, schema), schema)
    schema = resolve_schema(table, schema)
    if table.rows < 2 and fitting:
        raise DataError(f"{table.origin} has one row of data; a series needs at least two, and training many more")
    time_format = time_format or TimeFormat.wanted(
        day_first=schema.day_first, time_format=schema.time_format, time_zone=schema.time_zone
    )
    groups, time_format = _groups(table, schema, time_format)
    frequency = frequency or _frequency(table, schema, groups, time_format.zone)
    encoded = _Columns.read(table, schema, categories, fitting)
    if fitting:
        _check_targets(table, schema)
    series, gaps = _lay_out(table, groups, frequency, encoded)
    return Panel(
        origin=table.origin,
        schema=replace(schema, frequency=frequency.alias(), **_decided(table, schema, fitting)),
        frequency=frequency,
        columns=encoded.names,
        targets=len(schema.target),
        past=encoded.past,
        known=encoded.known,
        static_columns=encoded.static_names,
        categories=encoded.categories,
        gaps=gaps,
        series=series,
        time_format=time_format,
        unused=_unused(table, schema),
    )


def _unused(table: Table, schema: Schema) -> tuple[str, ...]:
    """Return the columns that nothing is made of."""
    times = (schema.time or "").split("+") if schema.time not in table.columns else [schema.time]
    used = {*schema.used, *schema.static_covariates, *times, schema.series_id}
    return tuple(name for name in table.columns if name not in used)


def _decided(table: Table, schema: Schema, fitting: bool) -> dict[str, Any]:
    """Return what the training table decided, for every later one."""
    if not fitting:
        return {}
    return {
        "decimal": schema.decimal or table.decimal or table.evidence or ("," if table.thousands else None),
        "missing": (*schema.missing, *(each for each in table.missing if each not in schema.missing)),
    }


def resolve_schema(table: Table, schema: Schema) -> Schema:
    """Return the schema with every role that was left open found in the table."""
    time = schema.time if schema.time is not None else guess_time_column(table) or column_as_asked(table, schema)
    if time is None and (passed := numbers_named_as_times(table)) is not None and passed not in schema.used:
        note(
            f'column "{passed}" of {table.origin} holds numbers that are no dates, and is not taken as times, so that '
            f'the rows count as equally spaced; write dates, or name it with time="{passed}" (--time) for whole numbers'
        )
    if time is None and schema.frequency != "rows" and (unread := unread_times(table)) and unread[0] not in schema.used:
        note(
            f'column "{unread[0]}" of {table.origin} is not read as times ("{unread[1][:40]}"), so that the rows count '
            f'as equally spaced; if it holds times, say so and how they are written: time="{unread[0]}" (--time) and '
            "time_format (--time-format)"
        )
    series_id = schema.series_id or _guess_series(table)
    stamps = time.split("+") if time and time not in table.columns else [time]
    named = (*schema.used, *schema.static_covariates, *(name for name in (*stamps, series_id) if name))
    table.require((*named, *table.categorical))
    target = schema.target
    if wrong := next((name for name in target if name in table.categorical), None):
        raise UsageError(f'column "{wrong}" is the target, which has to be of numbers; leave it out of categorical')
    if not target:
        rest = [name for name in table.columns if name not in named and name not in table.index]
        rest = [name for name in rest if not numbers_rows(table, name)]
        rest = _without_names(table, rest)
        if "y" not in rest:
            for name in rest:
                refuse_stray_cells(table, name, schema.missing)
        target = ("y",) if "y" in rest else tuple(name for name in rest if is_numeric(table, name, schema.missing))
        left = [] if "y" in rest else [name for name in rest if name not in target and measures(table, name)]
        _say_left_out(table, left, target)
    return replace(schema, time=time, series_id=series_id, target=target)


def _without_names(table: Table, rest: list[str]) -> list[str]:
    """Return columns without those that count or name rows, and say which those are."""
    if "y" in rest:
        return rest
    # columns of an array have no names that could say what they are
    counting = [name for name in rest if not re.fullmatch(r"column_\d+", name) and counts_rows(table, name)]
    naming = [name for name in rest if name not in counting and is_identity(table, name)]
    flat = [name for name in rest if name not in (*counting, *naming) and _is_flat(table, name)]
    kept = [name for name in rest if name not in (*counting, *naming, *flat)]
    if not any(is_numeric(table, name, ()) for name in kept):
        return rest
    for names_, what in ((counting, "counts the rows"), (naming, "holds identities"), (flat, "is constant")):
        if names_:
            note(
                f'column "{names_[0]}" of {table.origin} {what} and is not forecast; name it with '
                f'target="{names_[0]}" (--target) if it should be'
                + (f"; so do {len(names_) - 1} others" if len(names_) > 1 else "")
            )
    return kept


def _is_flat(table: Table, name: str) -> bool:
    if not is_numeric(table, name, ()):
        return False
    values = numbers(table, name, ())
    return len(values) > 2 and bool((values == values[0]).all())


def _say_left_out(table: Table, left: list[str], target: tuple[str, ...]) -> None:
    """Say which columns that look like values are no targets, and why; refuse a table that has none."""
    import polars as pl

    assert table.frame is not None or target
    shown = []
    for name in left[:6] if table.frame is not None else []:
        column = table.frame[name] if table.frame is not None else pl.Series()
        text = str(column.drop_nulls()[0])
        shown.append(f'"{name}" ("{text[:40]}" is {"no number" if is_text(table, name) else "a time"})')
    words = ", ".join(shown) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
    if target and left:
        note(
            f"{table.origin}: no {'targets are' if len(left) > 1 else 'target is'} {words}; write plain numbers there, "
            "or name the targets with target=... (--target)"
        )
    if target:
        return
    hint = table.undivided()
    raise ColumnError(
        f"{table.origin} has no numeric column to forecast"
        + (f": {words}; write plain numbers there" if left else f"; {hint}" if hint else "; name one with target=...")
        + ("" if left or hint else " (--target)")
    )


def _guess_series(table: Table) -> str | None:
    if "unique_id" in table.columns:
        return "unique_id"
    return next((name for name, role in table.index.items() if role == "series_id"), None)


def _groups(table: Table, schema: Schema, wanted: TimeFormat) -> tuple[list[_Group], TimeFormat]:
    """Return the series of a table with their times, and how those are written."""
    rows_of = _rows_by_series(table, schema.series_id)
    if schema.time is None:
        return [_Group(name, rows, np.arange(len(rows))) for name, rows in rows_of], wanted
    times, found = decide_times(table, schema.time, wanted, [rows for _, rows in rows_of])
    rows_of = _oldest_first(table, schema, rows_of, times)
    for name, rows in rows_of:
        _check_order(table, schema, name, rows, times[rows], found.zone)
    return [_Group(name, rows, times[rows]) for name, rows in rows_of], found


def _oldest_first(
    table: Table, schema: Schema, rows_of: list[tuple[str, NDArray[np.int64]]], times: Times
) -> list[tuple[str, NDArray[np.int64]]]:
    """Return the rows of each series from the oldest on, where all have the newest first, and say so."""
    zero = np.zeros(1, np.diff(times[:2]).dtype)
    longer = [rows for _, rows in rows_of if len(rows) > 1]
    if not longer or not all(bool((np.diff(times[rows]) < zero).all()) for rows in longer):
        return rows_of
    note(f'{table.origin} has the newest row first in column "{schema.time}"; it is read from the oldest on')
    return [(name, rows[::-1]) for name, rows in rows_of]


def _rows_by_series(table: Table, series_id: str | None) -> list[tuple[str, NDArray[np.int64]]]:
    if series_id is None:
        return [("", np.arange(table.rows))]
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names(table, series_id, "must name its series")):
        rows.setdefault(name, []).append(row)
    return [(name, np.asarray(value)) for name, value in rows.items()]


def _check_order(
    table: Table, schema: Schema, name: str, rows: NDArray[np.int64], times: Times, zone: str | None
) -> None:
    wrong = np.flatnonzero(times[1:] <= times[:-1])
    if not wrong.size:
        return
    place = int(wrong[0]) + 1
    here, before = table.place(int(rows[place])), table.number(int(rows[place - 1]))
    of_series = f' of series "{name}"' if name else ""
    when = format_time(times[place], zone)
    twin = np.flatnonzero(times[:place] == times[place])
    if twin.size:
        hint = (
            "keep one row a time"
            if schema.series_id
            else "keep one row a time, or name the column that tells series apart"
        )
        first = table.number(int(rows[twin[0]]))
        raise DataError(f"{here}: the time {when}{of_series} is already in row {first}; {hint}")
    raise DataError(
        f"{here}: the time {when}{of_series} comes before that of row {before}, {format_time(times[place - 1], zone)}; "
        "sort the rows by time"
    )


def _frequency(table: Table, schema: Schema, groups: list[_Group], zone: str | None) -> Frequency:
    times = [group.times for group in groups]
    wanted = Frequency.parse(schema.frequency) if schema.frequency else None
    if schema.time is None:
        if wanted is not None and wanted.unit != "row":
            raise UsageError(
                f'frequency "{schema.frequency}" needs times, and {table.origin} has no column of them that is found; '
                "name it with time=... (--time)"
            )
        return Frequency("row")
    if wanted is None and (step := _even_step(times)) is not None:
        note(
            f'{table.origin}: the times in column "{schema.time}" are numbers with decimals, {step:.6g} apart; the '
            'rows count as equally spaced, as by frequency="rows" (--frequency rows)'
        )
        return Frequency("row")
    try:
        found = settled(wanted, times, zone) if wanted is not None else infer_frequency(times, zone)
    except DataError as error:
        raise DataError(f"{table.origin}: {error}") from error
    for each in times:
        check_anchor(found, each[0])
    return found


def _even_step(series_times: list[Times]) -> float | None:
    """Return how far apart times are that are numbers with decimals, if all are as far; else `None`."""
    steps = [np.diff(times) for times in series_times if len(times) > 1]
    if not steps or steps[0].dtype.kind != "f":
        return None
    every = np.concatenate(steps)
    usual = float(np.median(every))
    return usual if (np.abs(every - usual) <= _UNEVEN * usual).all() else None


def _check_targets(table: Table, schema: Schema) -> None:
    for name in schema.target:
        if table.matrix is not None and table.matrix.nbytes > 1 << 28:
            continue  # an array this large is not read whole only to be checked
        values = numbers(table, name, schema.missing)
        say_sentinel(table, name, values)
        if np.isnan(values).all():
            raise DataError(f'column "{name}" of {table.origin} has no value at all; choose another target')
        if np.nanmin(values) == np.nanmax(values):
            raise DataError(
                f'column "{name}" of {table.origin} is constant ({np.nanmin(values):g} in every row); '
                "there is nothing to learn: choose another target"
            )


@dataclass(frozen=True)
class _Columns:
    """The table's values in the panel's order, text encoded."""

    names: tuple[str, ...]
    past: int
    known: int
    values: NDArray[Any]  # (rows, columns)
    take: tuple[int, ...] | None
    static_names: tuple[str, ...]
    static: NDArray[np.float64]  # (rows, static columns)
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(
        cls, table: Table, schema: Schema, categories: Mapping[str, tuple[str, ...]] | None, fitting: bool
    ) -> _Columns:
        known_categories: dict[str, tuple[str, ...]] = dict(categories or {})
        if table.matrix is not None:
            take = tuple(table.names.index(name) for name in schema.used)
            _check_matrix(table)
            whole = take == tuple(range(table.matrix.shape[1]))
            static = np.zeros((table.rows, 0))
            counts = len(schema.past_covariates), len(schema.known_covariates)
            return cls(schema.used, *counts, table.matrix, None if whole else take, (), static, {})
        parts = {
            role: [encode(table, name, schema.missing, known_categories, fitting) for name in getattr(schema, role)]
            for role in ("target", "past_covariates", "known_covariates", "static_covariates")
        }
        columns = {role: tuple(n for part in group for n in part[0]) for role, group in parts.items()}
        arrays = {role: _side_by_side(table, [part[1] for part in group]) for role, group in parts.items()}
        temporal = ("target", "past_covariates", "known_covariates")
        return cls(
            names=tuple(n for role in temporal for n in columns[role]),
            past=len(columns["past_covariates"]),
            known=len(columns["known_covariates"]),
            values=np.concatenate([arrays[role] for role in temporal], 1),
            take=None,
            static_names=columns["static_covariates"],
            static=arrays["static_covariates"],
            categories=known_categories,
        )


def encode(
    table: Table,
    name: str,
    missing: tuple[str, ...],
    categories: dict[str, tuple[str, ...]],
    fitting: bool = True,
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return a column as numbers, `(rows, width)`, with a name for each: itself, or one a category for a text column.

    In a fit, the categories found are added to `categories`. Later a column is what it was then: those that are there
    already are used as they are, and any other column holds numbers.

    Raises:
        DataError: a column of numbers holds something else, in a fit a few cells of it.
    """
    if name not in categories:
        if fitting:
            if are_times(table, name):
                raise DataError(refused_times(table, name))
            refuse_stray_cells(table, name, missing)
        categorical = is_text(table, name) or name in table.categorical
        cells = texts(table, name, missing) if fitting and categorical else []
        kinds = {cell for cell in cells if cell is not None}
        if not kinds or is_numeric(table, name, missing):
            return (name,), numbers(table, name, missing)[:, None]
        if len(kinds) > 200:
            numbers(table, name, missing)  # more likely a number column with a bad cell: this says which
        categories[name] = tuple(sorted(kinds))
    codes = category_codes(table, name, missing, categories[name])
    hot = (codes[:, None] == np.arange(len(categories[name]))).astype(np.float64)
    hot[codes == -1] = np.nan
    return tuple(f"{name}={category}" for category in categories[name]), hot


def _side_by_side(table: Table, parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts, 1) if parts else np.zeros((table.rows, 0))


def _check_matrix(table: Table) -> None:
    assert table.matrix is not None
    for first in range(0, table.rows, 1 << 18):
        block = np.asarray(table.matrix[first : first + (1 << 18)])
        wrong = too_large(block)
        if wrong.any():
            column = int(wrong.any(0).argmax())
            check_finite(table, table.names[column], block[:, column], first)


def _lay_out(
    table: Table, groups: list[_Group], frequency: Frequency, encoded: _Columns
) -> tuple[tuple[Series, ...], int]:
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


def _check_places(table: Table, group: _Group, frequency: Frequency, places: NDArray[np.int64]) -> None:
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
            f"{table.origin}: at {frequency.describe()} a step, {len(places)} rows would be spread over "
            f'{places[-1] + 1} steps; fit with a longer frequency (--frequency), or "rows"'
        )


def _on_grid(values: NDArray[Any], rows: NDArray[np.int64], places: NDArray[np.int64], length: int) -> NDArray[Any]:
    contiguous = len(rows) == 0 or int(rows[-1]) - int(rows[0]) + 1 == len(rows)
    if length == len(rows) and contiguous:
        return values[int(rows[0]) : int(rows[-1]) + 1]  # a view: a memory-mapped file stays on disk
    grid = np.full((length, values.shape[1]), np.nan, np.float64)
    grid[places] = values[rows]
    return grid


def _static(table: Table, group: _Group, encoded: _Columns) -> NDArray[np.float64]:
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
