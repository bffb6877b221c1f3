"""Finding the regular grid that times lie on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ostinato.data.aliases import MONTHS, WEEKDAYS
from ostinato.data.frequency import Frequency, Times
from ostinato.data.time_words import format_time
from ostinato.data.zones import instants_of, wall_times
from ostinato.errors import DataError, UsageError

_ROWS_HINT = 'pass frequency="rows" (--frequency rows) to take the rows as equally spaced'


def infer_frequency(series_times: Sequence[Times], zone: str | None = None) -> Frequency:
    """Return the regular grid that all series lie on, each given by its sorted, distinct times.

    Args:
        series_times: instants, if there is a zone.
        zone: whose days and months are meant.

    Raises:
        DataError: the times do not lie on a regular grid.
    """
    steps = np.concatenate([np.diff(times) for times in series_times]) if series_times else np.zeros(0)
    if not steps.size:
        raise DataError("every series has a single row, so that no step can be seen; pass a frequency (--frequency)")
    if steps.dtype.kind == "f":
        raise DataError(f"the times are numbers with decimals, which are no grid; {_ROWS_HINT}")
    if steps.dtype.kind == "i":
        return _fixed(series_times, steps.astype(np.int64), Frequency("integer"))
    if steps.dtype.kind == "m" and series_times[0].dtype.kind == "m":
        return _fixed(series_times, steps.astype(np.int64), Frequency("elapsed"))
    walls = [_walls_of(times, zone) for times in series_times]
    apart = np.concatenate([np.diff(times) for times in walls])
    found = _monthly(walls, apart) or _business(walls, apart)
    if found is None:
        # whole days are days of the calendar, 23 or 25 hours as clocks change; what is shorter is counted as it passes
        daily = zone is not None and _same_clock(walls)
        found = _fixed(
            walls if daily else series_times,
            (apart if daily else steps).astype(np.int64),
            Frequency("us"),
            None if daily else zone,
        )
    return replace(found, zone=zone)


def settled(frequency: Frequency, series_times: Sequence[Times], zone: str | None) -> Frequency:
    """Return a frequency that was asked for, with what only the times show: the day of the month, the zone.

    Raises:
        UsageError: it is none for such times: an hour for whole numbers, for example.
    """
    if frequency.unit == "row" or not len(series_times):
        return frequency
    kind = series_times[0].dtype.kind
    if kind == "m" and frequency.unit == "us":
        return replace(frequency, unit="elapsed")
    if (kind in "if") != (frequency.unit == "integer") or (kind == "m") != (frequency.unit == "elapsed"):
        words = {"i": "whole numbers", "f": "numbers with decimals", "m": "times gone by"}.get(kind, "dates")
        fitting = '"1"' if kind == "i" else '"h"' if kind == "m" else '"rows"' if kind == "f" else '"D"'
        raise UsageError(
            f'frequency "{frequency.alias()}" does not go with times that are {words}; expected one such as {fitting}, '
            'or "rows", or leave it out'
        )
    frequency = replace(frequency, zone=zone)
    if frequency.unit == "month":
        walls = [_walls_of(times, zone) for times in series_times]
        found = _day_of_month(np.concatenate(walls))
        if found is not None:
            frequency = replace(frequency, month_end=found.month_end, day=found.day, business=found.business)
    return frequency


def check_anchor(frequency: Frequency, start: np.datetime64) -> None:
    """Refuse a start that is not on the weekday, or the month, that was asked for.

    Raises:
        UsageError: it is not.
    """
    if not frequency.anchor:
        return
    wall = wall_times(np.array([start], "datetime64[us]"), frequency.zone)[0]
    if frequency.unit == "us":
        begins = WEEKDAYS[int(wall.astype("datetime64[D]").astype(int) + 3) % 7]
        fits = begins == frequency.anchor
    else:
        month = int(wall.astype("datetime64[M]").astype(int)) % 12
        begins = MONTHS[month]
        fits = (month - MONTHS.index(frequency.anchor)) % min(frequency.step, 12) == 0
    if not fits:
        bare = replace(frequency, anchor="").alias()
        raise UsageError(
            f'frequency "{frequency.alias()}" does not go with a series that starts at {str(wall)[:10]} ({begins}); '
            f'pass "{bare}-{begins}", or "{bare}"'
        )


def _monthly(walls: Sequence[Times], steps: Times) -> Frequency | None:
    if steps.min() < np.timedelta64(26, "D"):  # from the last business day of a month to that of the next, at least
        return None
    found = _day_of_month(np.concatenate(walls))
    if found is None:
        return None
    apart = np.concatenate([np.diff(times.astype("datetime64[M]")).astype(np.int64) for times in walls])
    return replace(found, step=int(np.gcd.reduce(apart))) if apart.min() > 0 else None


def _day_of_month(stamps: Times) -> Frequency | None:
    """Return a monthly frequency that has every time on its day of the month, whichever months there are."""
    months, dates = stamps.astype("datetime64[M]"), stamps.astype("datetime64[D]")
    if not _same_clock([stamps]):
        return None
    day = (dates - months.astype("datetime64[D]")).astype(int) + 1
    greatest = int(day.max())
    if (day == day[0]).all() and greatest < 28:
        return Frequency("month")
    rules = [
        Frequency("month", month_end=True),
        Frequency("month", day=min(greatest, 30)),
        Frequency("month", month_end=True, business=True),
        Frequency("month", business=True),
    ]
    found = next((rule for rule in rules if (rule.days_of(months) == dates).all()), None)
    return replace(found, day=found.day if found.day > 28 else 0) if found is not None else None


def _same_clock(walls: Sequence[Times]) -> bool:
    """Tell whether every time has the same time of day."""
    clocks = np.concatenate([times - times.astype("datetime64[D]") for times in walls])
    return bool((clocks == clocks[0]).all())


def _walls_of(instants: Times, zone: str | None) -> Times:
    """Return walls, a time of day that was skipped as clocks went forward being what it would have been.

    Days that begin at midnight then do so on the day without one too.
    """
    walls = wall_times(instants, zone)
    if zone is None or not len(walls):
        return walls
    days = walls.astype("datetime64[D]")
    clocks, counts = np.unique(walls - days, return_counts=True)
    usual = days + clocks[counts.argmax()]
    other = usual != walls
    if other.mean() < 0.2:
        places = np.flatnonzero(other)
        same = places[instants_of(usual[places], zone) == instants[places]]
        walls = walls.copy()
        walls[same] = usual[same]
    return walls


def _business(walls: Sequence[Times], steps: Times) -> Frequency | None:
    days = np.concatenate([times.astype("datetime64[D]") for times in walls])
    daily = steps.min() == np.timedelta64(1, "D") and _same_clock(walls)
    # Monday to Friday, each seen: of days that never have a Friday, every one would be put in as missing
    each = len(np.unique((days.astype(np.int64) + 3) % 7)) == 5
    return Frequency("business") if daily and each and np.is_busday(days).all() else None


def _fixed(
    series_times: Sequence[Times], steps: NDArray[np.int64], unit: Frequency, zone: str | None = None
) -> Frequency:
    values, counts = np.unique(steps, return_counts=True)
    common, greatest = int(values[counts.argmax()]), int(np.gcd.reduce(steps))
    if (steps % common == 0).all():
        return replace(unit, step=common)
    span = sum(int((times[-1] - times[0]).astype(np.int64)) for times in series_times if len(times))
    # a finer grid is believed only when at least a third of it is really there
    if span // greatest <= 3 * steps.size:
        return replace(unit, step=greatest)
    odd = next(
        times[1:][np.diff(times).astype(np.int64) % common != 0][0] for times in series_times if _off(times, common)
    )
    raise DataError(
        f"the times are not regular: most rows are {replace(unit, step=common).describe()} apart, but the one at "
        f"{format_time(odd, zone)} is not on that grid; {_ROWS_HINT}, or resample the file"
    )


def _off(times: Times, common: int) -> bool:
    return bool((np.diff(times).astype(np.int64) % common != 0).any())


def irregularity(series_times: Sequence[Times]) -> tuple[int, float]:
    """Return how little some readings of times look like series: rows out of order, and rows that a grid lacks.

    A file may have the newest row first.
    """
    if all(len(times) > 1 and times[-1] < times[0] for times in series_times):
        series_times = [times[::-1] for times in series_times]
    falls = sum(int((np.diff(times) <= np.timedelta64(0, "us")).sum()) for times in series_times)
    if falls:
        return falls, np.inf
    if sum(max(0, len(times) - 1) for times in series_times) == 0:
        return 0, 0.0
    try:
        frequency = infer_frequency(series_times)
        return 0, float(
            sum(frequency.places(times[0], times)[-1] + 1 - len(times) for times in series_times if len(times))
        )
    except DataError:
        return 0, np.inf
