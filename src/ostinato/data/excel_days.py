"""Times as days since 30 December 1899, as spreadsheets count them: 45292 is 1 January 2024, 45292.5 its noon."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.time_format import is_called_a_time
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ostinato.data.frequency import Times
    from ostinato.data.table import Table

PATTERN = "excel"
"""What a user says, in place of a format of `strptime`, of times that are such numbers."""
_FIRST = np.datetime64("1899-12-30", "us")
_SINCE, _UNTIL = 36526.0, 51136.0  # 2000 to 2040: days since 1960, as other programs count them, are hardly so many
_LEAST, _MOSTLY, _OFF = 3, 0.8, 0.02  # rows; the share of steps one way; of a minute
_DATE = re.compile(r"(?i)date|datum|fecha|\bdata\b|\bda(?:y|g)\b|\btag\b|\bjour\b|\bd[ií]a\b|giorno")
_MOST = 2_958_466.0  # the year 10000


def read_excel_days(table: Table, name: str, column: pl.Series) -> Times:
    """Return days as `datetime64[us]`, to the second.

    Raises:
        DataError: a cell is no such number; the row is named.
    """
    values = values_of(column)
    wrong = ~np.isfinite(values) | (values < 0) | (values >= _MOST)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f'{table.place(row)}: "{str(column[row])[:80]}" in column "{name}" is no number of days since 1899-12-30; '
            "expected one such as 45292, or 45292.5 with a time of day"
        )
    return np.asarray(_FIRST + np.round(values * 86400).astype(np.int64).astype("timedelta64[s]"))


def values_of(column: pl.Series) -> NDArray[np.float64]:
    """Return a column as floats, NaN where it holds no number."""
    import polars as pl

    cells = column if column.dtype.is_numeric() else column.cast(pl.String).str.strip_chars()
    return np.asarray(cells.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy())


def counts_from_1899(name: str, column: pl.Series) -> bool:
    """Tell whether numbers seem to be such days: all of 2000 to 2040, rising or falling, and called dates.

    Where all are whole, only a column that is called a date has them; `time` may count seconds.
    """
    if not is_called_a_time(name) or column.dtype.is_temporal() or column.dtype.base_type().__name__ == "Boolean":
        return False
    values = values_of(column)
    if len(values) < _LEAST or not np.isfinite(values).all() or values.min() < _SINCE or values.max() >= _UNTIL:
        return False
    steps = np.diff(values)
    minutes = np.abs(values * 1440 - np.round(values * 1440)) < _OFF
    whole = bool((values == np.round(values)).all())
    rising = (steps > 0).mean() > _MOSTLY or (steps < 0).mean() > _MOSTLY
    return bool(rising and minutes.all()) and (not whole or _DATE.search(name) is not None)
