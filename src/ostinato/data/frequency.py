"""The regular grid of times that a series lies on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError, UsageError

SECOND = 1_000_000
DAY = 86_400 * SECOND
_FIXED = {"us": 1, "ms": 1_000, "s": SECOND, "min": 60 * SECOND, "h": 3_600 * SECOND, "D": DAY, "W": 7 * DAY}
_MONTHS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
_SYNONYMS = {"H": "h", "T": "min", "m": "min", "S": "s", "d": "D", "w": "W", "M": "MS", "Q": "QS", "Y": "YS", "A": "YS"}
_WORDS = (("week", 7 * DAY), ("day", DAY), ("hour", 3_600 * SECOND), ("minute", 60 * SECOND), ("second", SECOND))

Times = NDArray[Any]  # datetime64[us], or int64 where rows are only numbered


@dataclass(frozen=True)
class Frequency:
    """A regular step: `step` microseconds, months, business days or rows.

    `month_end` says that a monthly series is stamped on the last day of its month.
    """

    unit: Literal["us", "month", "business", "row"]
    step: int = 1
    month_end: bool = False

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """Return the frequency that a text such as `"h"`, `"15min"`, `"B"`, `"MS"` or `"rows"` stands for.

        Raises:
            UsageError: the text is not a frequency.
        """
        match = re.fullmatch(r"(\d*)\s*([A-Za-z]+)", text.strip())
        count = int(match[1] or 1) if match else 0
        name = _SYNONYMS.get(match[2], match[2]) if match else ""
        if count > 0 and name in _FIXED:
            return cls("us", count * _FIXED[name])
        if count > 0 and name in _MONTHS:
            return cls("month", count * _MONTHS[name], month_end=name.endswith("E"))
        if count == 1 and name in ("B", "rows", "row"):
            return cls("business" if name == "B" else "row")
        raise UsageError(
            f'frequency "{text}" is not known; expected s, min, h, D, B, W, MS, QS or YS with a number before it '
            'if need be (as in "15min"), or "rows"'
        )

    def times(self, start: Any, first: int, count: int) -> Times:
        """Return `count` times of the grid that has `start` at place 0, from place `first` on."""
        return self.at(start, np.arange(first, first + count))

    def at(self, start: Any, places: NDArray[np.int64]) -> Times:
        """Return the times at the given places of the grid that has `start` at place 0."""
        if self.unit == "row":
            return np.asarray(int(start) + places * self.step)
        origin = np.datetime64(start, "us")
        if self.unit == "us":
            return np.asarray(origin + (places * self.step).astype("timedelta64[us]"))
        if self.unit == "business":
            day = origin.astype("datetime64[D]")
            return np.asarray(np.busday_offset(day, places, roll="forward").astype("datetime64[us]") + (origin - day))
        return self._months(origin, places)

    def _months(self, origin: np.datetime64, places: NDArray[np.int64]) -> Times:
        month = origin.astype("datetime64[M]")
        months = month + (places * self.step).astype("timedelta64[M]")
        if not self.month_end:
            return np.asarray(months.astype("datetime64[us]") + (origin - month))
        clock = origin - origin.astype("datetime64[D]")
        last_day = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
        return np.asarray(last_day.astype("datetime64[us]") + clock)

    def places(self, start: Any, times: Times) -> NDArray[np.int64]:
        """Return the place of each time on the grid that has `start` at place 0; `-1` for a time off the grid."""
        if self.unit == "row":
            offset = np.asarray(times, np.int64) - int(start)
            return np.where(offset % self.step == 0, offset // self.step, -1)
        origin, stamps = np.datetime64(start, "us"), np.asarray(times, "datetime64[us]")
        if self.unit == "us":
            guess = (stamps - origin).astype(np.int64) // self.step
        elif self.unit == "business":
            guess = np.busday_count(origin.astype("datetime64[D]"), stamps.astype("datetime64[D]"))
        else:
            months = stamps.astype("datetime64[M]") - origin.astype("datetime64[M]")
            guess = months.astype(np.int64) // self.step
        guess = np.asarray(guess, np.int64)
        return np.where(self.at(start, guess) == stamps, guess, -1)

    @property
    def seasons(self) -> tuple[int, ...]:
        """The usual season lengths in steps, the shortest first: a day and a week for hours, a year for months."""
        if self.unit == "row":
            return ()
        if self.unit == "business":
            return (5,)
        if self.unit == "month":
            return (12 // self.step,) if 12 % self.step == 0 and self.step < 12 else ()
        if self.step == 7 * DAY:
            return (52,)
        spans = (DAY, 7 * DAY) if self.step < DAY else (7 * DAY,)
        return tuple(span // self.step for span in spans if span % self.step == 0 and span // self.step > 1)

    def describe(self) -> str:
        """Return the step in words: `"1 hour"`, `"15 minutes"`, `"1 business day"`."""
        if self.unit == "row":
            return "1 row" if self.step == 1 else f"{self.step} units"
        if self.unit == "business":
            return "1 business day"
        if self.unit == "month":
            return _plural(self.step // 12, "year") if self.step % 12 == 0 else _plural(self.step, "month")
        for word, size in _WORDS:
            if self.step % size == 0:
                return _plural(self.step // size, word)
        return f"{self.step} microseconds"

    def alias(self) -> str:
        """Return the shortest text that `parse` reads back as this frequency."""
        if self.unit in ("row", "business"):
            return "rows" if self.unit == "row" else "B"
        table = _FIXED if self.unit == "us" else {k: v for k, v in _MONTHS.items() if k.endswith("E") == self.month_end}
        name = max((k for k, v in table.items() if self.step % v == 0), key=lambda k: table[k])
        count = self.step // table[name]
        return name if count == 1 else f"{count}{name}"


def infer_frequency(series_times: list[Times]) -> Frequency:
    """Return the regular grid that all series lie on, each given by its sorted, distinct times.

    Raises:
        DataError: the times do not lie on a regular grid.
    """
    steps = np.concatenate([np.diff(times) for times in series_times]) if series_times else np.zeros(0)
    if not steps.size:
        raise DataError("every series has a single row, so that no step can be seen; pass a frequency")
    if steps.dtype.kind == "i":
        return Frequency("row", int(np.gcd.reduce(steps)))
    for candidate in (_monthly, _business):
        found = candidate(series_times, steps)
        if found is not None:
            return found
    return _fixed(series_times, steps.astype(np.int64))


def _monthly(series_times: list[Times], steps: Times) -> Frequency | None:
    if steps.min() < np.timedelta64(28, "D"):
        return None
    stamps = np.concatenate(series_times)
    months = stamps.astype("datetime64[M]")
    in_month = stamps - months
    to_end = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - stamps.astype("datetime64[D]")
    at_end = bool((to_end == np.timedelta64(1, "D")).all())
    if not at_end and not (in_month == in_month[0]).all():
        return None
    apart = np.concatenate([np.diff(times.astype("datetime64[M]")).astype(np.int64) for times in series_times])
    return Frequency("month", int(np.gcd.reduce(apart)), month_end=at_end)


def _business(series_times: list[Times], steps: Times) -> Frequency | None:
    days = np.concatenate([times.astype("datetime64[D]") for times in series_times])
    clocks = np.concatenate([times - times.astype("datetime64[D]") for times in series_times])
    daily = steps.min() == np.timedelta64(1, "D") and (clocks == clocks[0]).all()
    return Frequency("business") if daily and len(steps) >= 5 and np.is_busday(days).all() else None


def _fixed(series_times: list[Times], steps: NDArray[np.int64]) -> Frequency:
    values, counts = np.unique(steps, return_counts=True)
    common, greatest = int(values[counts.argmax()]), int(np.gcd.reduce(steps))
    if (steps % common == 0).all():
        return Frequency("us", common)
    span = sum(int((times[-1] - times[0]).astype("timedelta64[us]").astype(np.int64)) for times in series_times)
    # a finer grid is believed only when at least a third of it is really there
    if span // greatest <= 3 * steps.size:
        return Frequency("us", greatest)
    odd = next(
        times[1:][np.diff(times).astype(np.int64) % common != 0][0] for times in series_times if _off(times, common)
    )
    raise DataError(
        f"the times are not regular: most rows are {Frequency('us', common).describe()} apart, but the one at {odd} is "
        'not on that grid; pass frequency="rows" to take the rows as equally spaced, or resample the file'
    )


def _off(times: Times, common: int) -> bool:
    return bool((np.diff(times).astype(np.int64) % common != 0).any())


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
