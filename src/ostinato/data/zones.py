"""Time zones: instants, which are counted in UTC, and the wall clock of a zone.

A zone is a name of the IANA database (`"Europe/Berlin"`, `"UTC"`) or a fixed offset (`"+05:30"`). Arrays are
`datetime64[us]` without a zone of their own: instants are in UTC, walls are what a clock in the zone shows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})?")
_DAY = np.timedelta64(1, "D")


def checked_zone(name: str) -> str:
    """Return a zone as it is kept: `"UTC"`, a name, or an offset such as `"+05:30"`.

    Raises:
        UsageError: there is no such zone.
    """
    if name in ("Z", "z", "UTC", "GMT", "Etc/UTC"):
        return "UTC"
    match = _OFFSET.fullmatch(name)
    if match:
        return offset_name((int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1))
    try:
        wall_times(np.array(["2024-01-01"], "datetime64[us]"), name)
    except Exception as error:  # polars has no error of its own for an unknown zone
        raise UsageError(
            f'time zone "{name}" is not known; expected a name such as Europe/Berlin, UTC, or an offset such as +01:00'
        ) from error
    return name


def offset_name(minutes: int) -> str:
    """Return the name of a fixed offset from UTC."""
    if minutes == 0:
        return "UTC"
    return f"{'+' if minutes > 0 else '-'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def zone_of(info: tzinfo | None) -> str | None:
    """Return the name of the zone of a `datetime` or of a pandas column; `None` without one."""
    if info is None:
        return None
    name = getattr(info, "key", None) or getattr(info, "zone", None)
    if name is None:
        # dateutil keeps the file of its zone; what is left is an offset that does not change
        found = re.search(r"zoneinfo/([A-Za-z_]+(?:/[A-Za-z_+-]+)*)", repr(info))
        name = found[1] if found else None
    if name is None:
        offset = info.utcoffset(datetime(2024, 1, 1))
        return None if offset is None else offset_name(round(offset.total_seconds() / 60))
    return checked_zone(str(name))


def _fixed(zone: str) -> np.timedelta64 | None:
    """Return the offset of a zone that has but one."""
    if zone == "UTC":
        return np.timedelta64(0, "us")
    match = _OFFSET.fullmatch(zone)
    if match is None:
        return None
    return np.timedelta64((int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1), "m")


def wall_times(instants: NDArray[Any], zone: str | None) -> NDArray[Any]:
    """Return what a clock in a zone shows at some instants, of any shape."""
    if zone is None:
        return instants
    fixed = _fixed(zone)
    if fixed is not None:
        return np.asarray(instants + fixed)
    import polars as pl

    flat = pl.Series(values=np.ascontiguousarray(instants, "datetime64[us]").reshape(-1))
    walls = flat.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return np.asarray(walls.to_numpy().astype("datetime64[us]").reshape(np.shape(instants)))


def instants_of(walls: NDArray[Any], zone: str | None, *, later: bool = False) -> NDArray[Any]:
    """Return the instants at which a clock in a zone shows some times, `(times,)`.

    Args:
        walls: what the clock shows; a time that is skipped as clocks go forward counts on from before the change.
        zone: the zone; `None`: there is none, and times stay as they are.
        later: of an hour that comes twice as clocks go back, whether the second is meant.
    """
    if zone is None:
        return walls
    fixed = _fixed(zone)
    if fixed is not None:
        return np.asarray(walls - fixed)
    found = _localised(walls, zone, later)
    skipped = np.isnat(found) & ~np.isnat(walls)
    if skipped.any():
        # the offset of the day before still counts: 02:30 of a day without it is 03:30
        before = walls[skipped] - _DAY
        found[skipped] = _localised(before, zone, later) + _DAY
    return found


def _localised(walls: NDArray[Any], zone: str, later: bool) -> NDArray[Any]:
    import polars as pl

    series = pl.Series(values=np.ascontiguousarray(walls, "datetime64[us]"))
    local = series.dt.replace_time_zone(zone, ambiguous="latest" if later else "earliest", non_existent="null")
    return np.array(local.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy(), "datetime64[us]")


def aware(instants: NDArray[Any], zone: str | None) -> NDArray[Any]:
    """Return instants as `datetime` objects of their zone; without a zone as they are."""
    if zone is None:
        return instants
    walls = wall_times(instants, zone).reshape(-1).tolist()
    fixed = _fixed(zone)
    info: tzinfo | None = _zone_info(zone) if fixed is None else timezone(fixed.astype("timedelta64[us]").item())
    found = np.empty(instants.size, object)
    for place, (instant, wall) in enumerate(zip(instants.reshape(-1).tolist(), walls, strict=True)):
        offset = info or timezone(timedelta(minutes=round((wall - instant) / timedelta(minutes=1))))
        found[place] = instant.replace(tzinfo=UTC).astimezone(UTC if zone == "UTC" else offset)
    return found.reshape(instants.shape)


def _zone_info(zone: str) -> ZoneInfo | None:
    """Return Python's own zone; `None` on a machine that has no data of zones."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None


def as_instant(moment: datetime) -> np.datetime64:
    """Return the instant of a `datetime` that has a zone."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def time_series(times: NDArray[Any]) -> pl.Series:
    """Return times, as a panel gives them, `(times,)`, as a column: with their zone if they have one.

    A zone that polars cannot name (`"+05:30"`) is written out: ISO texts with the offset.
    """
    import polars as pl

    if times.dtype != object:
        return pl.Series(values=times)
    zone = zone_of(times[0].tzinfo) if len(times) else "UTC"
    assert zone is not None
    if _fixed(zone) is not None and zone != "UTC":
        return pl.Series(values=[moment.isoformat() for moment in times.tolist()], dtype=pl.String)
    instants = np.array([as_instant(moment) for moment in times.tolist()], "datetime64[us]")
    return pl.Series(values=instants).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
