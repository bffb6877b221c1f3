"""Years with decimals as times: 1949.083 is February 1949, 1956.25 the second quarter, 1749.042 mid-January."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

    from ostinato.data.frequency import Times

FORM = "decimal year"
NAMES = (
    "time",
    "year",
    "date",
    "ds",
    "t",
    "decimal_date",
    "decimal date",
    "decimal_year",
    "index",
    "yearmon",
    "period",
)
"""What a column is called that may hold them."""
_TEXT = re.compile(r"^\s*(?:1[5-9]|2[01])\d{2}(?:\.\d+)?\s*$")
_OFF = 0.13  # of a month: years are often written with two decimals
_FIRST, _LAST = 1500, 2200


def months_of(values: NDArray[np.float64]) -> Times | None:
    """Return the first day of the month of each year with decimals, `datetime64[us]`; `None` where it is none.

    A month is named by where it begins, or all by their middles.

    >>> months_of(np.array([1949.0, 1949.083, 1949.17])).astype("datetime64[M]").tolist()[-1].month
    3
    """
    if not len(values) or not np.isfinite(values).all() or values.min() < _FIRST or values.max() >= _LAST:
        return None
    months = values * 12
    for middle in (0.0, 0.5):
        found = np.round(months - middle)
        if (np.abs(months - middle - found) <= _OFF).all():
            return np.asarray((found.astype(np.int64) - 1970 * 12).astype("datetime64[M]").astype("datetime64[us]"))
    return None


def years_of(column: pl.Series) -> NDArray[np.float64] | None:
    """Return a column as years with decimals, of which one at least has some; `None` if it is something else."""
    import polars as pl

    if column.dtype.is_float():
        values = column.to_numpy()
    elif column.dtype == pl.String:
        if not column.str.contains(_TEXT.pattern).fill_null(False).all():
            return None
        values = column.str.strip_chars().cast(pl.Float64).to_numpy()
    else:
        return None
    values = np.asarray(values, np.float64)
    return values if np.isfinite(values).all() and (values != np.round(values)).any() else None


def are_decimal_years(column: pl.Series) -> bool:
    """Tell whether a column holds years with decimals that name months, each another one."""
    values = years_of(column)
    months = None if values is None else months_of(values)
    return months is not None and len(months) > 2 and bool((np.diff(months) > np.timedelta64(0, "us")).mean() > 0.9)
