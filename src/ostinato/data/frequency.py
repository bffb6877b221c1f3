"""The regular grid of times that a series lies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data.zones import instants_of, wall_times
from ostinato.words import counted

SECOND = 1_000_000
DAY = 86_400 * SECOND
_WORDS = (
    ("weeks", 7 * DAY),
    ("days", DAY),
    ("hours", 3_600 * SECOND),
    ("minutes", 60 * SECOND),
    ("seconds", SECOND),
    ("milliseconds", 1000),
    ("microseconds", 1),
)
_ONE_DAY = np.timedelta64(1, "D")

Times = NDArray[Any]  # datetime64[us] (instants where there is a zone), timedelta64[us] or int64


@dataclass(frozen=True)
class Frequency:
    """A regular step.

    Args:
        unit: what a step is counted in: microseconds of a calendar, months, business days, whole numbers of a time
            column, microseconds that went by since some start (`elapsed`), or rows, whatever their times.
        step: how many of them.
        month_end: a monthly series is stamped on the last day of its month.
        day: the day of the month it is stamped on, where not every month has that day: 29 or 30; in a shorter month it
            is the last day. 0: the day of its start.
        business: a monthly series is stamped on the first business day of its month, or with `month_end` on the last.
        zone: the zone whose days and months are counted; hours and less are counted as they pass. `None`: none.
        anchor: the weekday of weeks (`"SUN"`) or a month in which quarters or years begin or end (`"FEB"`), where it
            was asked for.
    """

    unit: Literal["us", "month", "business", "integer", "elapsed", "row"]
    step: int = 1
    month_end: bool = False
    day: int = 0
    business: bool = False
    zone: str | None = None
    anchor: str = ""

    @classmethod
    def parse(cls, text: Any) -> Frequency:
        """Return the frequency that a text such as `"h"`, `"15min"`, `"W-SUN"`, `"BME"`, `"2"` or `"rows"` stands for.

        Raises:
            UsageError: the text is not a frequency.
        """
        from ostinato.data.aliases import parse_frequency

        return parse_frequency(text)

    def alias(self) -> str:
        """Return the shortest text that `parse` reads back as this frequency, but for the zone and the day."""
        from ostinato.data.aliases import alias_of

        return alias_of(self)

    @property
    def has_calendar(self) -> bool:
        """Whether its times are dates, and not numbers."""
        return self.unit in ("us", "month", "business")

    def times(self, start: Any, first: int, count: int) -> Times:
        """Return `count` times of the grid that has `start` at place 0, from place `first` on."""
        return self.at(start, np.arange(first, first + count))

    def at(self, start: Any, places: NDArray[np.int64]) -> Times:
        """Return the times at the given places of the grid that has `start` at place 0; instants if it has a zone."""
        if self.unit in ("row", "integer"):
            return np.asarray(int(start) + places * self.step)
        if self.unit == "elapsed":
            return np.asarray(np.timedelta64(start, "us") + (places * self.step).astype("timedelta64[us]"))
        origin = np.datetime64(start, "us")
        if not self._on_wall:
            return np.asarray(origin + (places * self.step).astype("timedelta64[us]"))
        wall = wall_times(np.array([origin]), self.zone)[0]
        found = self._walls(wall, np.asarray(places))
        return instants_of(found.reshape(-1), self.zone).reshape(found.shape)

    @property
    def _on_wall(self) -> bool:
        """Whether a step is one of the calendar's, which a change of clocks makes longer or shorter."""
        return self.unit in ("month", "business") or (self.zone is not None and self.step % DAY == 0)

    def _walls(self, origin: np.datetime64, places: NDArray[np.int64]) -> Times:
        if self.unit == "us":
            return np.asarray(origin + (places * self.step).astype("timedelta64[us]"))
        day = origin.astype("datetime64[D]")
        if self.unit == "business":
            days = np.busday_offset(day, places * self.step, roll="forward")
            return np.asarray(days.astype("datetime64[us]") + (origin - day))
        month = origin.astype("datetime64[M]")
        months = month + (places * self.step).astype("timedelta64[M]")
        if self.month_end or self.day or self.business:
            return np.asarray(self.days_of(months).astype("datetime64[us]") + (origin - day))
        return np.asarray(months.astype("datetime64[us]") + (origin - month))

    def days_of(self, months: Times) -> Times:
        """Return the day of each month that is stamped, of a monthly series that says which."""
        first = months.astype("datetime64[D]")
        last = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - _ONE_DAY
        if self.business:
            day, roll = (last, "backward") if self.month_end else (first, "forward")
            return np.asarray(np.busday_offset(day, 0, roll=roll))  # type: ignore[call-overload]
        return last if self.month_end else np.minimum(first + np.timedelta64(self.day - 1, "D"), last)

    def places(self, start: Any, times: Times) -> NDArray[np.int64]:
        """Return the place of each time on the grid that has `start` at place 0; `-1` for a time off the grid."""
        if self.unit in ("row", "integer"):
            offset = np.asarray(times, np.int64) - int(start)
            return np.where(offset % self.step == 0, offset // self.step, -1)
        if self.unit == "elapsed":
            offset = (np.asarray(times, "timedelta64[us]") - np.timedelta64(start, "us")).astype(np.int64)
            return np.where(offset % self.step == 0, offset // self.step, -1)
        origin, stamps = np.datetime64(start, "us"), np.asarray(times, "datetime64[us]")
        guess = self._guess(origin, stamps)
        return np.where(self.at(start, guess) == stamps, guess, -1)

    def _guess(self, origin: np.datetime64, stamps: Times) -> NDArray[np.int64]:
        if self._on_wall and self.zone is not None:
            origin, stamps = wall_times(np.array([origin]), self.zone)[0], wall_times(stamps, self.zone)
        if self.unit == "us":
            # a day whose first hour was skipped begins an hour late; it is that day all the same
            span = stamps.astype("datetime64[D]") - origin.astype("datetime64[D]") if self._on_wall else stamps - origin
            return np.asarray(span.astype("timedelta64[us]").astype(np.int64) // self.step)
        if self.unit == "business":
            days = np.busday_count(origin.astype("datetime64[D]"), stamps.astype("datetime64[D]"))
            return np.asarray(days, np.int64) // self.step
        months = stamps.astype("datetime64[M]") - origin.astype("datetime64[M]")
        return np.asarray(months.astype(np.int64) // self.step)

    @property
    def seconds(self) -> float | None:
        """How long a step is, of months the mean; `None`: it is no time."""
        if self.unit in ("us", "elapsed"):
            return self.step / SECOND
        days = {"month": 365.2425 / 12, "business": 1.0}.get(self.unit)
        return None if days is None else self.step * days * DAY / SECOND

    @property
    def seasons(self) -> tuple[int, ...]:
        """The usual season lengths in steps, the shortest first: a day and a week for hours, a year for months."""
        if self.unit in ("row", "integer"):
            return ()
        if self.unit == "business":
            return (5,) if self.step == 1 else ()
        if self.unit == "month":
            return (12 // self.step,) if 12 % self.step == 0 and self.step < 12 else ()
        if self.step == 7 * DAY:
            return (52,)
        spans = (DAY, 7 * DAY) if self.step < DAY else (7 * DAY,)
        return tuple(span // self.step for span in spans if span % self.step == 0 and span // self.step > 1)

    def describe(self) -> str:
        """Return the step in words: `"1 hour"`, `"15 minutes"`, `"1 business day"`, `"1 quarter"`."""
        if self.unit in ("row", "integer"):
            return counted(self.step, "rows" if self.unit == "row" else "units")
        if self.unit == "business":
            return counted(self.step, "business days")
        if self.unit == "month":
            size, word = next((size, word) for size, word in _MONTH_WORDS if self.step % size == 0)
            return counted(self.step // size, word)
        word, size = next((word, size) for word, size in _WORDS if self.step % size == 0)
        return counted(self.step // size, word)


_MONTH_WORDS = ((12, "years"), (3, "quarters"), (1, "months"))
