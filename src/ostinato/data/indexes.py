"""What pandas keeps of times: columns of dates, periods and durations with their zone, and a frame's index.

Nothing here imports pandas: what is handed in brings its own methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.data.zones import checked_zone, zone_of

if TYPE_CHECKING:
    import polars as pl

_SERIES_NAMES = ("unique_id", "series_id", "series", "id")


def series_of_times(name: str, column: Any) -> pl.Series | None:
    """Return a column of pandas that holds times as a column with its zone; `None` if it holds something else.

    A period stands for its first moment. A zone that polars cannot name (`+05:30`) is written into texts.
    """
    import polars as pl

    kind = str(column.dtype)
    if kind.startswith("period["):
        return pl.Series(name, column.dt.to_timestamp().to_numpy().astype("datetime64[us]"))
    if kind.startswith("timedelta64"):
        return pl.Series(name, column.to_numpy().astype("timedelta64[us]"))
    if kind.startswith(("timestamp[", "duration[", "date32", "date64")):  # columns of Arrow in pandas
        return pl.Series(name, pl.from_arrow(column.array.__arrow_array__()))
    if kind.startswith("datetime64"):
        info = getattr(column.dt, "tz", None)
        if info is None:
            return pl.Series(name, column.to_numpy().astype("datetime64[us]"))
        instants = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        return _in_zone(name, instants, zone_of(info))
    return series_of_moments(name, list(column)) if kind == "object" else None


def series_of_moments(name: str, values: Sequence[Any]) -> pl.Series | None:
    """Return `date`, `datetime` or `Period` objects as a column, moments of different zones as texts.

    `None` if they are others.
    """
    import polars as pl

    kept = [value for value in values if not is_missing(value)]
    if not kept or not (isinstance(kept[0], date) or _is_period(kept[0])):
        return None
    if all(_is_period(value) for value in kept):
        moments = [None if is_missing(value) else value.to_timestamp().to_pydatetime() for value in values]
        return pl.Series(name, moments, pl.Datetime("us"))
    if all(type(value) is date for value in kept):
        return pl.Series(name, [None if is_missing(value) else value for value in values], pl.Date)
    if not all(isinstance(value, datetime) for value in kept):
        return None
    zones = {zone_of(value.tzinfo) for value in kept}
    if len(zones) > 1:
        return pl.Series(name, [None if is_missing(value) else str(value) for value in values])
    zone = zones.pop()
    return _in_zone(name, np.array([_instant(value, zone) for value in values], "datetime64[us]"), zone)


def is_missing(value: Any) -> bool:
    """Tell whether a value is `None`, NaN, `NaT` or pandas' `NA`, which nothing may be compared with."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _is_period(value: Any) -> bool:
    return hasattr(value, "to_timestamp") and hasattr(value, "freqstr")


def _instant(value: Any, zone: str | None) -> np.datetime64:
    if is_missing(value):
        return np.datetime64("NaT")
    return np.datetime64((value.astimezone(UTC) if zone else value).replace(tzinfo=None), "us")


def _in_zone(name: str, instants: Any, zone: str | None) -> pl.Series:
    import polars as pl

    series = pl.Series(name, instants)
    if zone is None:
        return series
    if zone[0] in "+-":
        from ostinato.data.zones import wall_times

        walls = pl.Series(name, wall_times(instants, zone))
        return (walls.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f") + zone).alias(name)
    return series.dt.replace_time_zone("UTC").dt.convert_time_zone(checked_zone(zone))


def index_columns(frame: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the columns that the index of a pandas frame stands for, and what each is for.

    An index that only numbers or labels the rows is left out. One of times, of dates as texts or objects, or with a
    name is a column, and so is each level of several. A column of the frame with the name of a level goes before it.

    Returns:
        The columns by name, and for each `"time"`, `"series_id"` or `""`.
    """
    index = frame.index
    levels = [index.get_level_values(place) for place in range(index.nlevels)]
    taken = {str(name) for name in frame.columns}
    timed = [place for place, level in enumerate(levels) if _is_time(level)]
    columns: dict[str, Any] = {}
    roles: dict[str, str] = {}
    for place, level in enumerate(levels):
        time = place in timed[:1]
        if not time and level.name is None and (index.nlevels == 1 or not timed):
            continue  # row numbers and labels
        if not time and level.name is not None and index.nlevels == 1 and not _says_something(level):
            continue
        name = str(level.name) if level.name is not None else "time" if time else "unique_id"
        if name in taken or name in columns:
            continue
        columns[name] = level.to_series(index=frame.index)
        only = time or (index.nlevels == 2 and bool(timed)) or name in _SERIES_NAMES
        roles[name] = ("time" if time else "series_id") if only else ""
    return columns, roles


def _says_something(level: Any) -> bool:
    """Tell whether a named index is more than the numbers of the rows."""
    return type(level).__name__ != "RangeIndex"


def _is_time(level: Any) -> bool:
    from ostinato.data.time_texts import reads_as_time

    kind = str(level.dtype)
    if kind.startswith(("datetime64", "period[", "timedelta64", "timestamp[", "duration[", "date32", "date64")):
        return True
    if kind not in ("object", "str", "string") and not kind.startswith(("string", "large_string")):
        return level.name is not None and str(level.name).lower() in ("ds", "t", "time", "year", "step", "timestamp")
    head = [value for value in level[:50] if not is_missing(value)]
    if not head:
        return False
    if all(isinstance(value, date) or _is_period(value) for value in head):
        return True
    if not all(isinstance(value, str) for value in head):
        return False
    import polars as pl

    return reads_as_time(pl.Series(head), weak=str(level.name).lower() in ("ds", "date", "time", "month", "year"))
