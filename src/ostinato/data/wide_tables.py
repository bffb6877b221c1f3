"""Tables with a column for each time: a row a year with its months, or a row a series with its dates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ostinato.data.guessing import guess_time_column
from ostinato.data.month_names import NUMBERS
from ostinato.data.notes import note
from ostinato.data.row_numbers import is_identity
from ostinato.data.schema import MISSING, Schema
from ostinato.data.table import Table, is_numeric, is_text
from ostinato.data.time_format import is_called_a_time
from ostinato.data.time_texts import reads_as_time

_YEARS = ("year", "yr", "jahr", "año", "ano", "année", "annee", "anno", "jaar", "år")
_TOTALS = re.compile(
    r"(?i)^(?:annual|total|sum|mean|avg|average|ann|year total|ytd|gesamt|summe|j-d|d-n|djf|mam|jja|son)$"
)
_FEWEST = 6  # columns of times that are no accident
_SHARE = 0.5  # of all columns that are times
_QUARTERS = {f"{word}{number}": number for word in ("q", "qtr", "quarter ", "qtr ") for number in (1, 2, 3, 4)}


@dataclass(frozen=True)
class _Wide:
    """What a wide table is made of: columns of times and what they are, and those that name a row's series."""

    times: Mapping[str, str | int]  # in order
    naming: tuple[str, ...]
    what: str  # it has, for a message
    year: str | None = None  # the column of the year that each row is of; the times are what divides it
    left: tuple[str, ...] = ()
    month: str | None = None  # the column of the month that each row is of; the times are years


def lengthened(table: Table, schema: Schema) -> Table:
    """Return a table with a row for each time, where it had a column for each; another as it is.

    A row a year with columns `Jan` to `Dec`, or `Q1` to `Q4`, or a row a month with columns of years, becomes one
    series; a row a series with columns that are dates, or count (`d_1`, `d_2`, ...), becomes as many, `unique_id` being
    those of its texts. It is said.

    Args:
        table: as read.
        schema: what was said of its columns; a table of which it names one as target or time is left as it is.
    """
    named = {*schema.target, *((schema.time or "").split("+") if schema.time else ())}
    if table.frame is None or not table.rows or named & set(table.columns) or not named <= {"ds", "y"}:
        return table
    if schema.past_covariates or schema.known_covariates or {"ds", "y"} & set(table.columns):
        return table
    wide = _by_year(table) or _by_month(table) or _by_date(table, schema) or _by_count(table, schema)
    return table if wide is None else _long(table, schema, wide)


def _by_year(table: Table) -> _Wide | None:
    """Return what a table of years and their months or quarters is made of; `None` if it is no such table."""
    assert table.frame is not None
    year = next((name for name in table.columns if name.strip().lower() in _YEARS), None)
    if year is None:
        return None
    for numbers, count, unit, mark in ((NUMBERS, 12, "month", "-"), (_QUARTERS, 4, "quarter", "-Q")):
        parts = {name: numbers[low] for name in table.columns if (low := name.strip().lower().rstrip(".")) in numbers}
        others = [name for name in table.columns if name != year and name not in parts]
        naming = [name for name in others if not _TOTALS.match(name.strip())]
        if sorted(parts.values()) != list(range(1, count + 1)) or not all(is_text(table, name) for name in naming):
            continue
        if table.frame.select([year, *naming]).n_unique() < table.rows:
            return None
        ordered = sorted(parts, key=lambda name: parts[name])
        times = {name: f"{mark}{parts[name]:0{len(str(count))}d}" for name in ordered}
        left = tuple(name for name in others if name not in naming)
        return _Wide(times, tuple(naming), f"a row for each year and a column for each {unit}", year, left)
    return None


def _by_month(table: Table) -> _Wide | None:
    """Return what a table of months and a column for each year is made of; `None` if it is no such table."""
    assert table.frame is not None
    years = {name: name.strip() for name in table.columns if re.fullmatch(r"(?:1[89]|20)\d\d", name.strip())}
    others = [name for name in table.columns if name not in years]
    left = tuple(name for name in others if _TOTALS.match(name.strip()))
    months = [name for name in others if name not in left]
    if len(years) < 2 or len(months) != 1 or table.rows != 12:
        return None
    if sorted(NUMBERS.get(_month_text(cell), 0) for cell in table.frame[months[0]]) != list(range(1, 13)):
        return None
    ordered = dict(sorted(years.items(), key=lambda item: item[1]))
    return _Wide(ordered, (), "a row for each month and a column for each year", month=months[0], left=left)


def _month_text(cell: object) -> str:
    return str(cell or "").strip().lower().rstrip(".")


def _by_date(table: Table, schema: Schema) -> _Wide | None:
    """Return what a table whose columns are dates is made of; `None` if it is no such table."""
    import polars as pl

    dated = [name for name in table.columns if _is_date(name)]
    if len(dated) < max(_FEWEST, _SHARE * len(table.columns)) or not reads_as_time(pl.Series(dated), weak=True):
        return None
    return _by_series(table, schema, {name: name for name in dated}, dated=True)


def _is_date(name: str) -> bool:
    import polars as pl

    text = name.strip()
    return bool(re.search(r"\d", text)) and reads_as_time(pl.Series([text]), weak=len(text) in (4, 6, 8))


def _by_count(table: Table, schema: Schema) -> _Wide | None:
    """Return what a table whose columns count (`V2`, `V3`, ...) is made of; `None` if it is no such table."""
    found = {name: match for name in table.columns if (match := re.fullmatch(r"(\D*?)(\d{1,9})", name.strip()))}
    if len(found) < max(_FEWEST, _SHARE * len(table.columns)) or len({match[1] for match in found.values()}) > 1:
        return None
    counts = {name: int(match[2]) for name, match in found.items()}
    if not (np.diff(list(counts.values())) == 1).all() or _rows_are_times(table, schema, counts):
        return None
    return _by_series(table, schema, counts)


def _rows_are_times(table: Table, schema: Schema, counts: Mapping[str, int]) -> bool:
    """Tell whether columns that count are sensors or the like, and each row is a time.

    A time stands in each row then; or nothing but numbers names it, and rows are no fewer than columns that count.
    """
    others = [name for name in table.columns if name not in counts]
    if schema.series_id in others:
        return False
    if {*(guess_time_column(table) or "").split("+")} & set(others):
        return True
    others = [name for name in others if not is_called_a_time(name)]
    named = any(not is_numeric(table, name, ()) or is_identity(table, name) for name in others)
    return not named and len(counts) <= table.rows


def _by_series(table: Table, schema: Schema, times: Mapping[str, str | int], *, dated: bool = False) -> _Wide | None:
    """Return what a table with a row a series is made of; `None` where nothing names each row."""
    assert table.frame is not None
    others = [name for name in table.columns if name not in times]
    texts = [name for name in others if is_text(table, name) and not is_numeric(table, name, ())]
    naming = [schema.series_id] if schema.series_id in others else texts
    alone = [name for name in (naming or others) if table.frame[name].n_unique() == table.rows]
    naming = alone[:1] or naming
    if not naming or table.frame.select(naming).n_unique() < table.rows:
        if not dated:  # columns that count may be sensors, and rows times
            return None
        # a region is of several rows: numbers that differ in each are names then
        naming = [name for name in others if table.frame[name].n_unique() == table.rows][:1]
    if not naming:
        note(
            f"{table.origin} has a column for each time ({next(iter(times))}, ...), but none that names each row: it "
            "is read as it stands; add a column of names, or turn the table so that each row is a time"
        )
        return None
    left = tuple(name for name in others if name not in (*naming, *schema.static_covariates))
    return _Wide(times, tuple(naming), "a column for each time", left=left)


def _long(table: Table, schema: Schema, wide: _Wide) -> Table:
    """Return the table of a row for each time, each series without the missing values at its ends, and say so."""
    import polars as pl

    assert table.frame is not None
    key = schema.series_id or "unique_id"
    static = [name for name in schema.static_covariates if name in table.columns]
    parts = [name for name in (wide.year, wide.month) if name]
    kept = list(dict.fromkeys([*parts, *wide.naming, *static]))
    names = list(wide.times)
    long = table.frame.with_row_index("__row").unpivot(
        names, index=["__row", *kept], variable_name="ds", value_name="y"
    )
    series = pl.concat_str([pl.col(name).cast(pl.String) for name in wide.naming], separator=", ", ignore_nulls=True)
    long = long.with_columns((series if wide.naming else pl.lit("")).alias(key))
    places = long["ds"].replace_strict({name: at for at, name in enumerate(names)})
    long = long.with_columns(places.alias("__place"))
    order, stamps = ["__row", "__place"], pl.col("ds").replace_strict(dict(wide.times))
    if wide.year:
        year = pl.col(wide.year).cast(pl.String).str.strip_chars().str.replace(r"\.0+$", "")
        stamps = pl.concat_str(year, stamps)
        # the years of a series in any order: there is only one that is meant
        long = long.with_columns(
            pl.col("__row").min().over(key).alias("__first"), year.cast(pl.Int64, strict=False).alias("__year")
        )
        order = ["__first", "__year", *order] if not long["__year"].null_count() else order
    if wide.month:
        numbers = [NUMBERS[_month_text(cell)] for cell in long[wide.month]]
        long = long.with_columns(pl.Series("__month", [f"-{number:02d}" for number in numbers]))
        order, stamps = ["__place", "__month"], pl.concat_str(stamps, "__month")
    long = long.sort(order).with_columns(stamps.alias("ds"))
    cells = pl.col("y").cast(pl.String).str.strip_chars()
    filled = cells.is_not_null() & ~cells.is_in(["", *MISSING, *table.missing])
    long = long.filter(filled.cum_max().over(key) & filled.cum_max(reverse=True).over(key))
    _say(table, wide, long[key].n_unique())
    lines = np.array([table.number(int(row)) for row in long["__row"]], np.int64)
    return replace(table, frame=long.select([*([key] if wide.naming else []), "ds", "y", *static]), lines=lines)


def _say(table: Table, wide: _Wide, series: int) -> None:
    times = list(wide.times)
    count = f", of {series:,} series" if wide.naming else ""
    left: Sequence[str] = wide.left[:4]
    without = f"; left out: {', '.join(left)}" if left else ""
    note(
        f'{table.origin} has {wide.what} ({times[0]} to {times[-1]}) and is read as one value "y" a time{count}'
        f"{without}; name columns with target (--target) to have it read as it stands"
    )
