"""Where in the day, the week and the year a time lies, as smooth features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import DAY, Frequency, Times
from ostinato.data.zones import wall_times

_FEATURES = {"time of day": DAY, "day of week": 7 * DAY, "day of year": int(365.2425 * DAY)}
_WHOLE = 2  # of a cycle, that are needed to learn it
_MONDAY = 4 * DAY  # 1970-01-01 was a Thursday, so that this much later a week begins


def calendar_cycles(frequency: Frequency, rows: int | None = None) -> tuple[str, ...]:
    """Return which cycles can be told apart at a frequency, the shortest first: those several steps long.

    Args:
        frequency: of the grid.
        rows: steps that there are to learn from: a cycle that they do not hold twice is left away, since what comes at
            one phase of it came only once (from one year, a network memorises dates); `None`: as many as needed.
    """
    features = _distinct(frequency)
    if rows is None:
        return features
    return tuple(name for name in features if rows * _time_of_step(frequency) >= _WHOLE * _FEATURES[name])


def _distinct(frequency: Frequency) -> tuple[str, ...]:
    if not frequency.has_calendar:
        return ()
    if frequency.unit == "month":
        return ("day of year",) if frequency.step < 12 else ()
    if frequency.unit == "business":
        return ("day of week", "day of year")
    return tuple(name for name, length in _FEATURES.items() if frequency.step * 2 <= length)


def _time_of_step(frequency: Frequency) -> float:
    """Return the microseconds of a step, on average."""
    units = {"us": 1.0, "month": _FEATURES["day of year"] / 12, "business": 1.4 * DAY}
    return frequency.step * units[frequency.unit]


def calendar_features(times: Times, frequency: Frequency, cycles: int | None = None) -> NDArray[np.float32]:
    """Return sine and cosine of each cycle's phase.

    Args:
        times: `datetime64[us]` of any shape; instants in UTC, where the frequency has a zone: its clocks count.
        frequency: the grid they lie on, which decides the cycles.
        cycles: how many of them, the shortest first; `None`: all.

    Returns:
        Shape `(*times.shape, 2 * cycles)`, values from -1 to 1; no features for numbered rows.
    """
    names = calendar_cycles(frequency)[:cycles]
    if not names:
        return np.zeros((*times.shape, 0), np.float32)
    stamps = wall_times(times.astype("datetime64[us]"), frequency.zone).astype(np.int64) - _MONDAY
    phases = np.stack([(stamps % _FEATURES[name]) / _FEATURES[name] for name in names], -1) * (2 * np.pi)
    return np.concatenate([np.sin(phases), np.cos(phases)], -1).astype(np.float32)
