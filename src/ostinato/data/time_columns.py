"""Reading a column of times in whatever common way it is written, and remembering how that was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.decimal_years import FORM as DECIMAL
from ostinato.data.decimal_years import NAMES as DECIMAL_NAMES
from ostinato.data.decimal_years import are_decimal_years, months_of, years_of
from ostinato.data.directives import with_zeros
from ostinato.data.excel_days import PATTERN as EXCEL
from ostinato.data.excel_days import counts_from_1899, read_excel_days
from ostinato.data.frequency import Times
from ostinato.data.joined_times import read_joined, whole_numbers
from ostinato.data.notes import note
from ostinato.data.table import Table, is_text
from ostinato.data.time_format import COUNTERS, FARTHEST, WORDS, YEARS, Groups, TimeFormat
from ostinato.data.time_texts import read_elapsed, read_texts, reads_as_time
from ostinato.data.unix_times import PATTERN as UNIX
from ostinato.data.unix_times import may_be_unix, read_unix
from ostinato.data.zoned_times import localised, refuse_missing, takes_utc
from ostinato.data.zones import checked_zone
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def read_times(table: Table, name: str, wanted: TimeFormat | None = None) -> Times:
    """Return a column of times: `datetime64[us]`, instants in UTC where it has a zone; or numbers, where it has those.

    Args:
        table: with the column.
        name: the column, or several joined by `+`.
        wanted: how they are written; `None`: found.

    Raises:
        DataError: a value is missing or is not a time; the message names its row.
    """
    return decide_times(table, name, wanted or TimeFormat())[0]


def decide_times(table: Table, name: str, wanted: TimeFormat, groups: Groups | None = None) -> tuple[Times, TimeFormat]:
    """Return a column of times and how it is written.

    Where the order of day and month is open, it is the one by which every row is a date; if both do, the one by which
    the rows of each series are in order and regular; if nothing tells, the month is first after `/` and `-`, the day
    after a dot. The last two are said in a `DataWarning`.

    Args:
        table: with the column.
        name: the column, or several joined by `+`: year, month, day, ...; or a date and a time of day.
        wanted: what is asked for, or was found in the training data.
        groups: the rows of each series, in order.

    Raises:
        DataError: a value is missing, is not a time, or not of the kind that is wanted; the message names its row.
    """
    if table.frame is None:
        raise DataError(f'{table.origin} is a plain array, so "{name}" cannot be a column of times')
    groups = groups if groups is not None else [np.arange(table.rows)]
    if name not in table.columns:
        return read_joined(table, name, wanted, groups)
    column = table.frame[name]
    refuse_missing(table, name, column)
    _refuse_far(table, name, column, wanted)
    times, found = _by_type(table, name, column, wanted, groups)
    if wanted.kind and found.kind != wanted.kind:
        raise DataError(
            f'{table.place(0)}: "{column[0]}" in column "{name}" is not of the kind that the training data have; '
            f"expected {WORDS[wanted.kind]}, as there"
        )
    return times, found


def _by_type(
    table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups
) -> tuple[Times, TimeFormat]:
    import polars as pl

    if column.dtype == pl.Duration:
        return column.cast(pl.Duration("us")).to_numpy(), TimeFormat("elapsed")
    if column.dtype == pl.Time:
        raise DataError(f'column "{name}" of {table.origin} has times of day without a date; expected dates')
    if column.dtype.is_temporal():
        return _typed(table, name, column, wanted, groups)
    if wanted.pattern == UNIX:
        return read_unix(table, name, column), replace(wanted, kind="stamps", zone=wanted.zone or "UTC")
    if wanted.pattern == EXCEL or (not wanted.kind and wanted.pattern is None and counts_from_1899(name, column)):
        return _days_of_sheet(table, name, column, wanted, groups)
    whole = whole_numbers(column)
    if wanted.form == DECIMAL or (not wanted.kind and whole is None and wanted.pattern is None):
        months = _decimal(table, name, column, wanted, groups)
        if months is not None:
            return months, replace(wanted, kind="stamps", form=DECIMAL)
    if wanted.pattern is not None:
        cells = column.cast(pl.String) if whole is None or is_text(table, name) else whole
        return read_texts(table, name, with_zeros(cells, wanted.pattern), wanted, groups)
    if whole is not None and not (wanted.kind == "stamps" or _are_dates(name, whole, wanted, groups)):
        if wanted.kind == "numbers":  # with decimals in the training data, which these rows happen to lack
            return whole.cast(pl.Float64).to_numpy(), TimeFormat("numbers")
        if not wanted.kind and may_be_unix(whole.to_numpy().astype(np.int64)):
            note(
                f'column "{name}" of {table.origin} seems to count since 1970, and is taken as whole numbers, which '
                'have no days or weeks; pass time_format="unix" (--time-format unix) to have dates made of it'
            )
        return whole.to_numpy().astype(np.int64), TimeFormat("integers")
    if whole is None and column.dtype.is_numeric():
        return column.cast(pl.Float64).to_numpy(), TimeFormat("numbers")
    texts = column.cast(pl.String) if whole is None else whole.cast(pl.String)
    elapsed = read_elapsed(texts)
    if elapsed is not None:
        return elapsed, TimeFormat("elapsed")
    return read_texts(table, name, texts, wanted, groups)


def _days_of_sheet(
    table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups
) -> tuple[Times, TimeFormat]:
    """Return the times of days since 1899; say so where they were not asked for."""
    walls = read_excel_days(table, name, column)
    if wanted.pattern is None:
        first = str(walls[0])[:16].replace("T", " ")
        note(
            f'{table.place(0)}: {column[0]} in column "{name}" is read as {first}, in days '
            'since 1899-12-30 as spreadsheets count them; pass frequency="rows" (--frequency rows) to take the rows as '
            "equally spaced"
        )
    if wanted.zone is not None:
        walls = localised(table, name, walls, wanted.zone, groups)
    return walls, replace(wanted, kind="stamps", pattern=EXCEL)


def _decimal(table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups) -> Times | None:
    """Return the months of years with decimals, if the column has them; say so where nothing was known before."""
    import polars as pl

    if wanted.form == DECIMAL:
        values = column.cast(pl.Float64, strict=False).to_numpy()
    elif name.strip().lower() in DECIMAL_NAMES and are_decimal_years(column):
        values = np.asarray(years_of(column))
    else:
        return None
    walls = months_of(np.asarray(values, np.float64))
    if walls is None:
        raise DataError(
            f'{table.place(0)}: "{column[0]}" in column "{name}" is no year with decimals that names a month, as the '
            "training data have; expected one such as 1949.083"
        )
    if wanted.form != DECIMAL:
        note(
            f'column "{name}" of {table.origin} has years with decimals, read as months: {column[1]} is '
            f'{str(walls[1])[:7]}; pass frequency="rows" (--frequency rows) to take the rows as equally spaced'
        )
    return walls if wanted.zone is None else localised(table, name, walls, wanted.zone, groups)


def _typed(table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups) -> tuple[Times, TimeFormat]:
    import polars as pl

    zone = None
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        zone = wanted.zone or checked_zone(column.dtype.time_zone)
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        zone = None if takes_utc(table, name, 0, wanted) else zone
    walls = np.asarray(column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]"))
    if zone is None and wanted.zone is not None:
        walls, zone = localised(table, name, walls, wanted.zone, groups), wanted.zone
    return walls, replace(wanted, kind="stamps", zone=zone)


def _are_dates(name: str, whole: pl.Series, wanted: TimeFormat, groups: Groups) -> bool:
    """Tell whether whole numbers are years, months (`202401`) or days (`20240131`).

    Numbers from 1500 to 2199 may count something else: they are years if the column is called so, or if each follows
    the one before.
    """
    import polars as pl

    values = whole.to_numpy()
    counter = name.strip().lower() in COUNTERS
    # what counts does so evenly, which days (20240131, 20240201) and months (202412, 202501) written in digits do not
    if counter and (int(values.max()) < 150_000 or len(np.unique(np.diff(np.unique(values)))) < 2):
        return False
    if wanted.kind in ("integers", "numbers") or not reads_as_time(whole.cast(pl.String), weak=True):
        return False
    named = any(word in name.strip().lower() for word in YEARS)
    return named or int(values.max()) > 9999 or all((np.diff(values[rows]) == 1).all() for rows in groups)


def _refuse_far(table: Table, name: str, column: pl.Series, wanted: TimeFormat) -> None:
    """Refuse numbers that are no times, or that times a little later could not be told from, or are not numbers."""
    import polars as pl

    if column.dtype.is_unsigned_integer():
        far = column.cast(pl.UInt64) >= FARTHEST
    elif column.dtype.is_integer():
        far = (column.cast(pl.Int64) >= FARTHEST) | (column.cast(pl.Int64) <= -FARTHEST)
    elif column.dtype.is_float():
        far = column.cast(pl.Float64).abs() >= FARTHEST
    elif column.dtype == pl.String and wanted.pattern is None:  # a format may have this many digits
        far = (column.str.strip_chars().cast(pl.Float64, strict=False).abs() >= FARTHEST).fill_null(False)
    else:
        return
    if far.any():
        row = int(far.arg_max() or 0)
        raise DataError(
            f'{table.place(row)}: {str(column[row])[:80]} in column "{name}" is too large for a time; expected dates, '
            "or numbers below 2**62"
        )
