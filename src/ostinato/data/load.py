"""From a table to a panel: roles found, times checked, gaps filled with missing rows, text encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.columns import Columns
from ostinato.data.frequency import Frequency, Times
from ostinato.data.grid import Group, lay_out
from ostinato.data.hour_columns import hours_as_rows
from ostinato.data.identities import rows_by_name
from ostinato.data.inference import check_anchor, infer_frequency, settled
from ostinato.data.notes import note
from ostinato.data.panel import Panel, format_time
from ostinato.data.readers import read_table
from ostinato.data.roles import resolve_schema
from ostinato.data.schema import Schema
from ostinato.data.sentinels import say_sentinel
from ostinato.data.series_names import series_hint, with_series, without_attributes
from ostinato.data.table import Table, numbers
from ostinato.data.times import TimeFormat, decide_times
from ostinato.data.wide_tables import lengthened
from ostinato.errors import DataError, UsageError

_LEAST_RANGE = 1e-30  # of the values of a target: the squares of smaller ones are zero in float32
_UNEVEN = 0.05  # of a step: times with decimals are rounded


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
    named, schema = schema.target, resolve_schema(table, schema)
    if fitting:
        schema = with_series(table, schema)
        schema = schema if named else without_attributes(table, schema)
    if table.rows < 2 and fitting:
        raise DataError(f"{table.origin} has one row of data; a series needs at least two, and training many more")
    time_format = time_format or TimeFormat.wanted(
        day_first=schema.day_first, time_format=schema.time_format, time_zone=schema.time_zone
    )
    groups, time_format = _groups(table, schema, time_format)
    frequency = frequency or _frequency(table, schema, groups, time_format.zone)
    encoded = Columns.read(table, schema, categories, fitting)
    if fitting:
        _check_targets(table, schema)
    series, gaps = lay_out(table, groups, frequency, encoded)
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


def _groups(table: Table, schema: Schema, wanted: TimeFormat) -> tuple[list[Group], TimeFormat]:
    """Return the series of a table with their times, and how those are written."""
    rows_of = list(rows_by_name(table, schema.series_id).items())
    if schema.time is None:
        return [Group(name, rows, np.arange(len(rows))) for name, rows in rows_of], wanted
    times, found = decide_times(table, schema.time, wanted, [rows for _, rows in rows_of])
    rows_of = _oldest_first(table, schema, rows_of, times)
    for name, rows in rows_of:
        _check_order(table, schema, name, rows, times[rows], found.zone)
    return [Group(name, rows, times[rows]) for name, rows in rows_of], found


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
        first, hint = table.number(int(rows[twin[0]])), series_hint(table, schema)
        raise DataError(f"{here}: the time {when}{of_series} is already in row {first}; {hint}")
    raise DataError(
        f"{here}: the time {when}{of_series} comes before that of row {before}, {format_time(times[place - 1], zone)}; "
        "sort the rows by time"
    )


def _frequency(table: Table, schema: Schema, groups: list[Group], zone: str | None) -> Frequency:
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
        if np.nanmax(values) - np.nanmin(values) < _LEAST_RANGE:
            raise DataError(
                f'column "{name}" of {table.origin} goes from {np.nanmin(values):g} to {np.nanmax(values):g}, which is '
                "too small a range for float32; scale the column"
            )
