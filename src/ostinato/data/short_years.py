"""`Mar-01`: March of 2001, or the first of March of a year that is not written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.data.formats import Order, Parts
from ostinato.data.frequency import Times
from ostinato.data.inference import irregularity
from ostinato.data.notes import note
from ostinato.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ostinato.data.table import Table

_LEAP = np.datetime64("2000", "Y")


def check_year(
    table: Table,
    name: str,
    texts: pl.Series,
    parts: Parts,
    order: Order,
    walls: Times,
    groups: Sequence[NDArray[np.int64]],
) -> None:
    """Say that months were read with a year of two digits, where as days without a year they lie as regularly.

    Raises:
        DataError: only as days are they in order.
    """
    days = _days(parts, order)
    if days is None:
        return
    as_days = [_running(days[rows]) for rows in groups]
    as_months = [walls[rows] for rows in groups]
    mark, other = irregularity(as_months), irregularity(as_days)
    if other > mark:
        return
    row, example = 0, {"my": "%m-%y", "ym": "%y-%m", "index": "%y-%m"}.get(order, "%b-%y")
    month = str(walls[row])[:7]
    shown = f'{table.place(row)}: "{texts[row]}" in column "{name}"'
    if mark[0] and not other[0]:
        raise DataError(
            f"{shown} and those below it seem to be a month and a day without a year, which is no time: write the year "
            f'too, such as 2024-03-01, or say how they are written: time_format="{example}" (--time-format) for example'
        )
    note(
        f"{shown} is read as the month {month}; if its number is a day, write the year too, such as 2024-03-01; "
        f'time_format="{example}" (--time-format) for example says that it is the year'
    )


def _days(parts: Parts, order: Order) -> Times | None:
    """Return months with the other number as their day, of the year 2000; `None` where it can be no day."""
    numbers = parts.numbers
    if set(numbers) & {"day", "quarter", "week", "hour", "ordinal", "halfyear", "c"} or (parts.digits > 2).any():
        return None
    if "month" in numbers and "year" in numbers:
        month, day = numbers["month"], numbers["year"]
    elif order in ("my", "index", "ym"):
        first, second = numbers["a"], numbers["b"]
        # as 3-15 or 15-3: whichever can be the month
        month, day = (first, second) if (first <= 12).all() else (second, first)
    else:
        return None
    if not ((month >= 1) & (month <= 12) & (day >= 1)).all():
        return None
    months = _LEAP.astype("datetime64[M]") + (month - 1).astype("timedelta64[M]")
    days = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    return days.astype("datetime64[us]") if (days.astype("datetime64[M]") == months).all() else None


def _running(days: Times) -> Times:
    """Return days of one year after the other, a new one where they fall."""
    falls = np.concatenate([[0], np.cumsum(np.diff(days) <= np.timedelta64(0, "us"))])
    months = days.astype("datetime64[M]")
    later = (months + (12 * falls).astype("timedelta64[M]")).astype("datetime64[D]")
    return np.asarray((later + (days - months).astype("timedelta64[D]")).astype("datetime64[us]"))
