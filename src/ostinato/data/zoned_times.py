"""Clock times as instants of a zone, and columns of times in which one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.frequency import Times
from ostinato.data.notes import note
from ostinato.data.table import Table
from ostinato.data.time_format import Groups, TimeFormat
from ostinato.data.zones import instants_of, wall_times
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def takes_utc(table: Table, name: str, row: int, wanted: TimeFormat) -> bool:
    """Tell whether times with a zone are brought to UTC, since the training data have none, and say so."""
    if wanted.kind != "stamps" or wanted.zone is not None:
        return False
    note(
        f'{table.place(row)}: the times in column "{name}" have a zone, but those that the model was trained on have '
        "none: these are taken to be in UTC; write times without a zone, or fit with time_zone (--time-zone)"
    )
    return True


def localised(table: Table, name: str, walls: Times, zone: str, groups: Groups) -> Times:
    """Return the instants at which clocks in a zone show some times.

    Of an hour that comes twice the first is meant, unless the row before is already later.

    Raises:
        DataError: clocks never show such a time, since they go forward; the row is named.
    """
    early, late = instants_of(walls, zone), instants_of(walls, zone, later=True)
    midnight = walls == walls.astype("datetime64[D]")  # a day begins all the same
    never = (wall_times(early, zone) != walls) & ~midnight
    if never.any():
        row = int(never.argmax())
        shown = str(walls[row]).replace("T", " ")[:16]
        raise DataError(
            f'{table.place(row)}: clocks in {zone} never show {shown} (column "{name}"), since they go forward then; '
            "mend the row, or fit with the zone that the times are in (time_zone, --time-zone)"
        )
    if (early != late).any():
        for rows in groups:
            for place in np.flatnonzero(early[rows] != late[rows]):
                if place and early[rows[place]] <= early[rows[place - 1]]:
                    early[rows[place]] = late[rows[place]]
    return early


def refuse_missing(table: Table, name: str, column: pl.Series) -> None:
    """Refuse a column of times in which one is missing.

    Raises:
        DataError: it is; the row is named.
    """
    absent = column.is_null()
    if column.dtype.is_float():
        absent |= column.is_nan().fill_null(True)
    if absent.any():
        row = int(absent.arg_max() or 0)
        raise DataError(f'{table.place(row)}: column "{name}" has no time; every row needs one')
