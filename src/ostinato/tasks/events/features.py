"""What the times of events say, as numbers, and how a network takes numbers.

The same functions make the features of whole cases and of one event in a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_DAY, _HOURS = 86400.0, 168
_WEEK = 7 * _DAY
_MONDAY = 4 * _DAY  # 1970-01-05, from 1970-01-01
_WEEKDAYS = 7
_LEAST = 0.1  # of the mean rate: what an hour counts in which nothing happened
_PIECES = 12
LAGS = 4
"""Of how many activities the last ones are kept for counts and trees."""


class Seen(NamedTuple):
    """What is known at events, one a row, for models that have no memory of their own.

    Shapes: `lags (events, LAGS)`, the last activities, the newest first, one more than the number of each, 0 for none;
    `counts (events, counted)`, how often each came so far; `numbers` and `codes` as a `Case` has them.
    """

    lags: Codes
    counts: Codes
    numbers: Floats
    codes: Codes

    def at(self, events: Codes) -> Seen:
        """Return some of the events."""
        return Seen(self.lags[events], self.counts[events], self.numbers[events], self.codes[events])


def lags_of(kinds: Codes) -> Codes:
    """Return the last activities at each event of a case, `(events, LAGS)`; see `Seen`."""
    padded = np.concatenate([np.zeros(LAGS - 1, np.int64), kinds + 1])
    return np.stack([padded[LAGS - 1 - back : len(padded) - back] for back in range(LAGS)], -1)


@dataclass(frozen=True)
class Clock:
    """Working time, as a log itself shows it: how many events there are in each hour of the week.

    Args:
        rates: `(168,)`, events in an hour of the week from Monday on, their mean 1. A night without events takes hardly
            any working time, an hour in which most happens takes several.
    """

    rates: tuple[float, ...]

    @classmethod
    def fit(cls, moments: Floats) -> Clock:
        """Count events; without times, all hours are alike."""
        known = moments[np.isfinite(moments)]
        counts = np.bincount(_hour(known), minlength=_HOURS).astype(np.float64)
        rates = counts + _LEAST * max(counts.mean(), 1.0)
        return cls(tuple((rates / rates.mean()).tolist()))

    def rate(self, moments: Floats) -> Floats:
        """Return how much happens at that hour of the week; NaN stays."""
        known = np.isfinite(moments)
        return np.where(known, np.array(self.rates)[_hour(np.where(known, moments, 0.0))], np.nan)

    def __call__(self, moments: Floats) -> Floats:
        """Return the working seconds from 1970 on, whose differences are the working time between two moments."""
        passed = np.append(0.0, np.cumsum(self.rates)) * 3600
        weeks, rest = np.divmod(moments - _MONDAY, _WEEK)
        return np.asarray(weeks * passed[-1] + np.interp(rest, np.arange(_HOURS + 1) * 3600.0, passed))


def _hour(moments: Floats) -> Codes:
    return np.asarray(np.mod(moments - _MONDAY, _WEEK) // 3600, np.int64)


def time_numbers(
    clock: Clock, places: ArrayLike, gaps: Floats, elapsed: Floats, walls: tuple[Floats, Floats, Floats]
) -> Floats:
    """Return what the times of events say, `(events, 8)`, NaN where it is not known.

    Logarithms of the time since the event before, of that since the case's first event, of both in working time, and of
    the event's place; the time of day and of the week, as shares; how much happens at that hour.

    Args:
        clock: of working time.
        places: `(events,)`, of an event in its case, from 0.
        gaps: `(events,)`, seconds since the event before; NaN where there is none.
        elapsed: `(events,)`, seconds since the first event of the case.
        walls: `(events,)` each, as clocks show them: the time of the event, of the one before, and of the first.
    """
    now, before, first = walls
    with np.errstate(invalid="ignore"):
        working = clock(now)
        columns = [
            log_time(gaps),
            log_time(elapsed),
            log_time(working - clock(before) + 0 * gaps),
            log_time(working - clock(first)),
            np.log1p(np.asarray(places, np.float64)),
            np.mod(now, _DAY) / _DAY,
            np.mod(now - _MONDAY, _WEEK) / _WEEK,
            clock.rate(now),
        ]
    return np.stack(columns, -1)


def weekdays(walls: Floats) -> Codes:
    """Return the weekday of moments, Monday 1 and Sunday 7, 0 where it is not known."""
    known = np.isfinite(walls)
    days = np.mod(np.floor((np.where(known, walls, 0.0) - _MONDAY) / _DAY), _WEEKDAYS) + 1
    return np.where(known, days, 0).astype(np.int64)


def log_time(seconds: Floats) -> Floats:
    """Return `log(1 + seconds)`; a negative time counts as none."""
    return np.asarray(np.log1p(np.maximum(seconds, 0.0)))


@dataclass(frozen=True)
class Pieces:
    """How numbers are cut into pieces, on which a network is linear: thresholds, as decision trees have them.

    Args:
        columns: `(pieces,)`, of which column a piece is.
        lows: `(pieces,)`, where it begins; widths: `(pieces,)`.
        fill: `(columns,)`, what stands for a missing number.
        missing: the columns in which numbers were missing: that one is, is a feature too.

    Source: Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical features in tabular deep learning",
    NeurIPS 2022, section 3.2 (quantile-based piecewise linear encoding).
    """

    columns: NDArray[np.int64]
    lows: NDArray[np.float32]
    widths: NDArray[np.float32]
    fill: NDArray[np.float32]
    missing: NDArray[np.int64]

    @classmethod
    def fit(cls, numbers: Floats) -> Pieces:
        """Cut each column of `(rows, columns)` at its quantiles; one without two different numbers has no pieces."""
        places, lows, widths, fill, missing = [], [], [], [], []
        for place, column in enumerate(numbers.T):
            known = column[np.isfinite(column)]
            fill.append(float(np.median(known)) if len(known) else 0.0)
            if 0 < len(known) < len(column):
                missing.append(place)
            edges = np.unique(
                np.quantile(known, np.linspace(0, 1, _PIECES + 1)).astype(np.float32) if len(known) else []
            )
            places += [place] * (len(edges) - 1)
            lows += edges[:-1].tolist()
            widths += np.diff(edges).tolist()
        return cls(
            np.array(places, np.int64), np.array(lows, np.float32), np.array(widths, np.float32),
            np.array(fill, np.float32), np.array(missing, np.int64),
        )  # fmt: skip

    @property
    def features(self) -> int:
        """How many features numbers become."""
        return len(self.columns) + len(self.missing)
