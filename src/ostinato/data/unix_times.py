"""Times as numbers since 1970: seconds, or thousandths, millionths and billionths of one, by their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ostinato.data.frequency import Times
    from ostinato.data.table import Table

PATTERN = "unix"
"""What a user says, in place of a format of `strptime`, of times that are such numbers."""
_UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (1e20, 0.001))
"""Below each size: how many microseconds one of them has. Seconds are below 1e11 until the year 5138."""
_SINCE = 315_532_800.0  # 1980: smaller numbers may count anything
_UNTIL = 4_102_444_800.0  # 2100


def read_unix(table: Table, name: str, column: pl.Series) -> Times:
    """Return numbers since 1970 as instants in UTC, `datetime64[us]`.

    Raises:
        DataError: a cell is no such number; the row is named.
    """
    import polars as pl

    values = column.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    wrong = ~np.isfinite(values) | (np.abs(values) >= _UNITS[-1][0])
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f'{table.place(row)}: "{str(column[row])[:80]}" in column "{name}" is no number of seconds since 1970; '
            "expected one such as 1704067200, or 1704067200000 in milliseconds"
        )
    exact = column.cast(pl.Int64, strict=False) if column.dtype.is_integer() else None
    micro = _microseconds(values if exact is None or exact.null_count() else exact.to_numpy(), _unit(values))
    return np.asarray(micro.astype("datetime64[us]"))


def _unit(values: NDArray[np.float64]) -> float:
    largest = float(np.abs(values).max())
    return next(unit for limit, unit in _UNITS if largest < limit)


def _microseconds(values: NDArray[np.float64] | NDArray[np.int64], unit: float) -> NDArray[np.int64]:
    if values.dtype.kind == "i":  # a float has too few digits for billionths
        return np.asarray(values // 1000 if unit < 1 else values * int(unit), np.int64)
    return np.asarray(np.round(values * unit), np.int64)


def may_be_unix(values: NDArray[np.int64]) -> bool:
    """Tell whether whole numbers may be times since 1970, all of 1980 to 2100 in one unit, at least a second apart.

    >>> may_be_unix(np.array([1704067200, 1704070800])), may_be_unix(np.array([1, 2, 3]))
    (True, False)
    """
    if len(values) < 2 or int(values.min()) < _SINCE or int(values.max()) >= int(_UNITS[-1][0]):
        return False
    unit = _unit(values.astype(np.float64)) / 1e6
    seconds = values * unit
    steps = np.abs(np.diff(seconds))
    return bool(
        seconds.min() >= _SINCE and seconds.max() < _UNTIL and steps[steps > 0].size and steps[steps > 0].min() >= 1
    )
