"""Times that several columns make together: year, month and day; a date and a time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.dates_and_clocks import CLOCK_DIGITS, is_clock
from ostinato.data.formats import Parts, assemble, month_numbers
from ostinato.data.frequency import Times
from ostinato.data.table import Table, is_text, numbers
from ostinato.data.time_format import FARTHEST, PARTS, ROLES, Groups, TimeFormat
from ostinato.data.time_texts import finish, read_texts
from ostinato.data.zoned_times import refuse_missing
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def read_joined(table: Table, name: str, wanted: TimeFormat, groups: Groups) -> tuple[Times, TimeFormat]:
    """Read times from the columns that `name` joins by `+`."""
    import polars as pl

    names = name.split("+")
    table.require(names)
    assert table.frame is not None
    for part in names:
        refuse_missing(table, part, table.frame[part])
    digits = _are_days_in_digits(table, names[0]) or any(_is_clock_in_digits(table, part) for part in names[1:])
    if digits or not all(whole_numbers(table.frame[part]) is not None or _is_month(table, part) for part in names):
        texts = [_as_part(table, part) for part in names]
        return read_texts(table, name, pl.select(pl.concat_str(texts, separator=" ")).to_series(), wanted, groups)
    parts = _parts_of(table, names)
    walls, good = assemble(parts, "")
    if not good.all():
        row = int((~good).argmax())
        cells = ", ".join(f"{part} {table.frame[part][row]}" for part in names)
        raise DataError(f"{table.place(row)}: {cells} is not a time that exists; mend the row")
    return finish(table, name, walls, parts, wanted, replace(wanted, kind="stamps"), groups)


def _as_part(table: Table, name: str) -> pl.Series:
    """Return a column that is a part of a time as text: a day, or the clock of a time gone by since midnight.

    Raises:
        DataError: it is more than a part; the row is named.
    """
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        more = column.dt.time() != pl.Series([time()])
        if more.any():
            row = int(more.arg_max() or 0)
            raise DataError(
                f'{table.place(row)}: {column[row]} in column "{name}" has a time of day already; name only that one'
            )
        return column.dt.date().cast(pl.String)
    if column.dtype == pl.Duration:
        micro = column.dt.total_microseconds()
        more = (micro < 0) | (micro >= 86_400_000_000)
        if more.any():
            row = int(more.arg_max() or 0)
            raise DataError(
                f'{table.place(row)}: {column[row]} in column "{name}" is no time of day; expected below 24 h'
            )
        return micro.cast(pl.Datetime("us")).dt.strftime("%H:%M:%S%.6f")
    texts = column.cast(pl.String).str.strip_chars()
    if _is_clock_in_digits(table, name):
        return texts.str.replace(r"^(\d\d)(\d\d)$", "${1}:${2}")
    if _are_days_in_digits(table, name):
        return texts.str.replace(r"^(\d{4})(\d\d)(\d\d)$", "${1}-${2}-${3}")
    return texts


def _is_clock_in_digits(table: Table, name: str) -> bool:
    """Tell whether a column has times of day as 0130."""
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    return (
        is_text(table, name) and is_clock(table, name) and bool(column.cast(pl.String).str.contains(CLOCK_DIGITS).all())
    )


def _are_days_in_digits(table: Table, name: str) -> bool:
    """Tell whether a column has days as 20240131."""
    import polars as pl

    assert table.frame is not None
    return bool(table.frame[name].cast(pl.String).str.contains(r"^\s*\d{8}\s*$").all())


def _is_month(table: Table, name: str) -> bool:
    return name.lower() == "month" and is_text(table, name) and bool((month_numbers(_column(table, name)) > 0).all())


def _column(table: Table, name: str) -> pl.Series:
    import polars as pl

    assert table.frame is not None
    return table.frame[name].cast(pl.String)


def _parts_of(table: Table, names: Sequence[str]) -> Parts:
    roles = [part.lower() for part in names]
    roles = [ROLES.get(role, role) for role in roles]
    known = (*PARTS, "quarter", "week", "ordinal")
    if not all(role in known for role in roles):
        roles = list(PARTS[: len(names)])
    found = {
        role: month_numbers(_column(table, part)) if _is_month(table, part) else numbers(table, part, ()).astype(int)
        for role, part in zip(roles, names, strict=False)
    }
    rows = table.rows
    digits = np.where(found["year"] < 100, 2, 4)
    return Parts(found, digits, np.full(rows, np.nan), (), np.full(rows, True))


def whole_numbers(column: pl.Series) -> pl.Series | None:
    """Return a column of whole numbers as such, be they text or floats; `None` if it is another."""
    import polars as pl

    if column.dtype.is_integer():
        return column
    if column.dtype.is_float():
        small = bool((column.abs() < FARTHEST).all())
        return column.cast(pl.Int64) if small and bool((column == column.round()).all()) else None
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    texts = column.cast(pl.String).str.strip_chars()
    if not texts.str.contains(r"^[+-]?\d+(\.0*)?$").all():
        return None
    whole = texts.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    return whole if whole.null_count() == 0 else None
