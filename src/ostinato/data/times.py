"""Reading a column of times in whatever common way it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.frequency import Times
from ostinato.data.table import Table, is_text, numbers
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl

# tried in this order; the first that reads every value is taken, so month-first before day-first
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%b %d %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
)
_GUESSES = ("ds", "date", "time", "timestamp", "datetime", "date_time", "month", "day", "week", "year", "period")
_NAMES = _GUESSES[:6]
_PARTS = ("year", "month", "day", "hour", "minute", "second")


def guess_time_column(table: Table) -> str | None:
    """Return the column that holds the times: by its type, its usual names, or because its texts read as times.

    Several columns that make a time together (`year`, `month`, `day` and perhaps `hour`) are returned joined by `+`.
    """
    if table.frame is None:
        return None
    typed = [name for name in table.columns if table.frame[name].dtype.is_temporal()]
    texts = [name for name in table.columns if is_text(table, name)]
    texts.sort(key=lambda name: _GUESSES.index(name.lower()) if name.lower() in _GUESSES else len(_GUESSES))
    plain = [name for name in texts if _reads(table, name) and not _whole_numbers(table, name)]
    parts = [lowered[part] for lowered in [{n.lower(): n for n in table.columns}] for part in _PARTS if part in lowered]
    joined = ["+".join(parts)] if [part.lower() for part in parts[:3]] == list(_PARTS[:3]) else []
    years = [name for name in texts if name.lower() in _GUESSES and _reads(table, name)]
    # a column that is called a time but does not read as one is taken all the same: reading it then says what is wrong
    named = [name for name in texts if name.lower() in _NAMES and not _whole_numbers(table, name)]
    return next(iter([*typed, *plain, *joined, *years, *named]), None)


def _reads(table: Table, name: str) -> bool:
    assert table.frame is not None
    head = table.frame[name].head(50).drop_nulls()
    return len(head) > 0 and _read(head) is not None


def _whole_numbers(table: Table, name: str) -> bool:
    assert table.frame is not None
    return bool(table.frame[name].head(50).drop_nulls().str.contains(r"^\s*\d+\s*$").all())


def read_times(table: Table, name: str) -> Times:
    """Return a column of times as `datetime64[us]` in UTC where an offset is given, or as integers where it has those.

    Raises:
        DataError: a value is missing or is not a time; the message names its row.
    """
    import polars as pl

    if table.frame is None:
        raise DataError(f'{table.origin} is a plain array, so "{name}" cannot be a column of times')
    if name not in table.columns:
        return _joined(table, name)
    column = table.frame[name]
    if column.dtype.is_temporal():
        if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        column = column.cast(pl.Datetime("us"))
    elif column.dtype.is_integer():
        _refuse_missing(table, name, column)
        return column.to_numpy().astype(np.int64)
    else:
        texts = column.cast(pl.String)
        parsed = None if texts.null_count() else _read(texts)
        if (
            parsed is None
            and texts.null_count() == 0
            and (whole := texts.cast(pl.Int64, strict=False)).null_count() == 0
        ):
            return whole.to_numpy().astype(np.int64)
        column = _parse(table, name, texts)
    _refuse_missing(table, name, column)
    return np.asarray(column.to_numpy().astype("datetime64[us]"))


def _joined(table: Table, name: str) -> Times:
    """Read times from the columns that `name` joins by `+`: year, month, day and perhaps hour, minute and second."""
    parts = [numbers(table, part, ()).astype(np.int64) for part in name.split("+")]
    parts += [np.zeros_like(parts[0])] * (6 - len(parts))
    year, month, day, hour, minute, second = parts
    days = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1).astype("timedelta64[M]")
    clock = ((hour * 60 + minute) * 60 + second).astype("timedelta64[s]")
    return np.asarray(days.astype("datetime64[us]") + (day - 1).astype("timedelta64[D]") + clock)


def _parse(table: Table, name: str, column: pl.Series) -> pl.Series:
    _refuse_missing(table, name, column)
    parsed = _read(column)
    if parsed is not None:
        return parsed
    best = max((_strptime(column, form) for form in _FORMATS), key=lambda series: series.count())
    row = int(best.is_null().arg_max() or 0)
    raise DataError(
        f'{table.place(row)}: "{column[row]}" in column "{name}" is not a time; expected the form of its other rows, '
        "such as 2024-01-31 13:00"
    )


def _read(texts: pl.Series) -> pl.Series | None:
    """Return texts as times, or `None` when no known form reads all of them."""
    texts = texts.str.strip_chars().str.replace(r"[Zz]$", "+00:00")
    head = texts.head(20)
    for form in _FORMATS:
        if _strptime(head, form).null_count() == 0 and (whole := _strptime(texts, form)).null_count() == 0:
            return whole
    if texts.str.contains(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}$").all():
        return _strptime(texts.str.replace("T", " ") + ":00", "%Y-%m-%d %H:%M")
    if texts.str.contains(r"^\d{4}-\d{1,2}$").all():
        return _strptime(texts + "-01", "%Y-%m-%d")
    if texts.str.contains(r"^(1[5-9]|20|21)\d\d$").all():
        return _strptime(texts + "-01-01", "%Y-%m-%d")
    return None


def _strptime(texts: pl.Series, form: str) -> pl.Series:
    import polars as pl

    parsed = texts.str.strptime(pl.Datetime("us", "UTC" if "%z" in form else None), form, strict=False)
    return parsed.dt.replace_time_zone(None) if "%z" in form else parsed


def _refuse_missing(table: Table, name: str, column: pl.Series) -> None:
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise DataError(f'{table.place(row)}: column "{name}" has no time; every row needs one')
