"""Tables with a row a day and a column for each hour, half hour or quarter of an hour (`Date,H1,...,H24`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Times
from ostinato.data.guessing import guess_time_column
from ostinato.data.notes import note
from ostinato.data.schema import MISSING, Schema
from ostinato.data.table import Table, is_numeric, is_text
from ostinato.data.time_columns import decide_times
from ostinato.data.time_format import TimeFormat

_DAY = 24 * 60
_COUNTS = {24: "hour", 48: "half hour", 96: "quarter of an hour"}
_WORDS = (
    "h|hr|hrs|hour|hours|he|hour ending|stunde|std|hora|heure|uur|ora|godzina|time|t|p|period|sp|hh|qh|k|v|kwh|mw|mwh"
)
_COUNTED = re.compile(rf"(?i)^((?:{_WORDS})?[ _.-]?)(\d{{1,2}})(?:h|hr|:00)?$")
_CLOCK = re.compile(r"^(\d{1,2})[:.h](\d{2})(?:[:.]00)?(?:\s*(?:-|–|to)\s*\d{1,2}[:.h]\d{2}(?:[:.]00)?)?$")
_FEWEST = 12  # columns of clock times that are no accident


def hours_as_rows(table: Table, schema: Schema) -> tuple[Table, Schema] | None:
    """Return a table with a row for each hour, where it had a row a day and a column for each hour; `None` for another.

    Columns are clock times (`00:00`, `00:30`, ...), or counts of 24, 48 or 96 parts of a day from 0 or 1 (`H1` to
    `H24`, `h00` to `h23`, `1` to `24`), each standing for its beginning. It is said.

    Args:
        table: as read.
        schema: what was said of its columns; a table of which it names a target or a covariate is left as it is.

    Returns:
        The long table, and the schema with the order of day and month that was found.
    """
    if table.frame is None or schema.target or schema.used or schema.static_covariates or table.rows < 2:
        return None
    minutes = minutes_of(table.columns)
    if minutes is None:
        return None
    others = [name for name in table.columns if name not in minutes]
    left = replace(table, frame=table.frame.select(others)) if others else table
    time = schema.time if schema.time in others else guess_time_column(left) if others else None
    naming = [
        name
        for name in others
        if name == schema.series_id or (is_text(table, name) and not is_numeric(table, name, ()))
    ]
    if time is None or time not in others or schema.time not in (None, time):
        return None
    naming = [name for name in naming if name != time]
    wanted = TimeFormat.wanted(day_first=schema.day_first, time_format=schema.time_format, time_zone=None)
    groups = _groups(table, naming)
    days, found = decide_times(left, time, wanted, groups)
    if not _are_daily(days, groups):
        return None
    _say(table, minutes, [name for name in others if name not in (time, *naming)])
    key = schema.time or "ds"
    order = {"dmy": True, "mdy": False}.get(found.order, schema.day_first)
    return _long(table, schema, minutes, naming, days, key), replace(schema, day_first=order)


def minutes_of(columns: Sequence[str]) -> dict[str, int] | None:
    """Return the minute of the day that each of some columns stands for, in order; `None` where they do not fill a day.

    >>> minutes_of(["Date", *(f"H{hour}" for hour in range(1, 25))])["H24"]
    1380
    """
    clocks = {name: int(found[1]) * 60 + int(found[2]) for name in columns if (found := _CLOCK.match(name.strip()))}
    if len(clocks) >= _FEWEST:
        steps = set(np.diff(list(clocks.values())).tolist())
        step = next(iter(steps)) if len(steps) == 1 else 0
        first = next(iter(clocks.values()))
        return clocks if step > 0 and step * len(clocks) == _DAY and first in (0, step) else None
    counted = {name: found for name in columns if (found := _COUNTED.match(name.strip()))}
    numbers = {name: int(found[2]) for name, found in counted.items()}
    if len({found[1].lower() for found in counted.values()}) != 1 or len(numbers) not in _COUNTS:
        return None
    first = min(numbers.values())
    if first > 1 or list(numbers.values()) != list(range(first, first + len(numbers))):
        return None
    return {name: (number - first) * (_DAY // len(numbers)) for name, number in numbers.items()}


def _groups(table: Table, naming: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the rows of each series."""
    assert table.frame is not None
    if not naming:
        return [np.arange(table.rows)]
    names = table.frame.select(naming).rows()
    found: dict[tuple[object, ...], list[int]] = {}
    for row, each in enumerate(names):
        found.setdefault(each, []).append(row)
    return [np.asarray(rows) for rows in found.values()]


def _are_daily(days: Times, groups: Sequence[NDArray[np.int64]]) -> bool:
    """Tell whether times are days, each once a series and most of them one after the other."""
    if days.dtype.kind != "M" or (days != days.astype("datetime64[D]")).any():
        return False
    steps = np.concatenate([np.diff(np.sort(days[rows])) for rows in groups])
    return len(steps) > 0 and bool((steps > np.timedelta64(0)).all()) and bool(
        np.median(steps.astype(np.int64)) == np.timedelta64(1, "D").astype("timedelta64[us]").astype(np.int64)
    )  # fmt: skip


def _long(
    table: Table, schema: Schema, minutes: Mapping[str, int], naming: Sequence[str], days: Times, key: str
) -> Table:
    """Return the table of a row for each time at which there is a value, the series one after the other."""
    import polars as pl

    assert table.frame is not None
    series = schema.series_id or "unique_id"
    named = pl.concat_str([pl.col(name).cast(pl.String) for name in naming], separator=", ", ignore_nulls=True)
    frame = table.frame.with_columns(
        pl.Series("__day", days.astype("datetime64[us]")),
        pl.Series("__row", np.arange(table.rows)),
        (named if naming else pl.lit("")).alias("__series"),
    )
    long = frame.unpivot(list(minutes), index=["__row", "__day", "__series"], variable_name="__clock", value_name="y")
    after = pl.col("__clock").replace_strict(dict(minutes), return_dtype=pl.Int64) * 60_000_000
    long = long.with_columns((pl.col("__day") + after.cast(pl.Duration("us"))).alias(key))
    first = pl.col("__row").min().over("__series")
    long = long.with_columns(first.alias("__first")).sort(["__first", key])
    cells = pl.col("y").cast(pl.String).str.strip_chars()
    long = long.filter(cells.is_not_null() & ~cells.is_in(["", *MISSING, *table.missing]))
    lines = np.array([table.number(int(row)) for row in long["__row"]], np.int64)
    long = long.rename({"__series": series})
    return replace(table, frame=long.select([*([series] if naming else []), key, "y"]), lines=lines)


def _say(table: Table, minutes: Mapping[str, int], left: Sequence[str]) -> None:
    names, values = list(minutes), list(minutes.values())
    clocks = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in (values[0], values[-1])]
    part = _COUNTS.get(len(names), f"{_DAY // len(names)} minutes")
    without = f"; left out: {', '.join(left[:4])}" if left else ""
    note(
        f'{table.origin} has a row a day and a column for each {part} ("{names[0]}" is read as {clocks[0]}, '
        f'"{names[-1]}" as {clocks[1]}) and is read as one value "y" a time{without}; name columns with target '
        "(--target) to have it read as it stands"
    )
