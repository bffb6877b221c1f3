"""What is known at an event beside its activity: the time since the one before, and when it is.

The same function makes the features of whole cases and of one event in a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
FEATURES = 15
_DAY, _WEEK = 86400.0, 7
_THURSDAY = 3  # 1970-01-01, with Monday as 0


@dataclass(frozen=True)
class TimeFeatures:
    """Times as numbers that a network can read.

    Of an event: the logarithm of the time since the event before and of that since the case's first event, each scaled
    to mean 0 and deviation 1, and whether it is missing; the logarithm of the event's place; time of day as a point
    on a circle; the weekday, one number of seven. What is missing is 0.

    Args:
        gap: mean and deviation of `log(1 + seconds since the event before)`.
        elapsed: of `log(1 + seconds since the first event)`.

    Source: N. Tax et al., "Predictive business process monitoring with LSTM neural networks", CAiSE 2017, section 4.1,
    whose features are the same without logarithms and circles.
    """

    gap: tuple[float, float]
    elapsed: tuple[float, float]

    @classmethod
    def fit(cls, gaps: Sequence[Floats]) -> TimeFeatures:
        """Find the scales on the gaps of cases, one array `(events,)` a case."""
        later = [own[1:] for own in gaps]
        return cls(_scale(np.concatenate(later)), _scale(np.concatenate([np.cumsum(own) for own in later])))

    def __call__(self, gaps: ArrayLike, elapsed: ArrayLike, places: ArrayLike, moments: ArrayLike) -> Floats:
        """Return the features of events, `(events, FEATURES)`.

        Args:
            gaps: `(events,)`, seconds since the event before; NaN where there is none, or it is not known.
            elapsed: `(events,)`, seconds since the first event of the case, likewise.
            places: `(events,)`, of an event in its case, from 0.
            moments: `(events,)`, seconds from 1970 on; NaN where not known.
        """
        moment = np.asarray(moments, np.float64)
        known = np.isfinite(moment)
        day = np.where(known, np.mod(moment, _DAY) / _DAY, 0.0) * 2 * np.pi
        weekday = np.mod(np.floor(np.where(known, moment, 0.0) / _DAY) + _THURSDAY, _WEEK)
        own = [
            *_scaled(np.asarray(gaps, np.float64), self.gap),
            *_scaled(np.asarray(elapsed, np.float64), self.elapsed),
            np.log1p(np.asarray(places, np.float64)),
            np.where(known, np.sin(day), 0.0),
            np.where(known, np.cos(day), 0.0),
            ~known,
            *(known & (weekday == number) for number in range(_WEEK)),
        ]
        return np.stack(own, -1).astype(np.float64)

    def of_case(self, gaps: Floats, moments: Floats) -> Floats:
        """Return the features of all events of a case, `(events, FEATURES)`; nothing comes before the first."""
        before = np.concatenate([[np.nan], gaps[1:]])
        return self(before, np.cumsum(gaps), np.arange(len(gaps)), moments)


def _scaled(seconds: Floats, scale: tuple[float, float]) -> tuple[Floats, NDArray[np.bool_]]:
    missing = ~np.isfinite(seconds)
    mean, deviation = scale
    return np.where(missing, 0.0, (log_time(np.where(missing, 0.0, seconds)) - mean) / deviation), missing


def log_time(seconds: Floats) -> Floats:
    """Return `log(1 + seconds)`; a negative time counts as none."""
    return np.log1p(np.maximum(seconds, 0.0))


def _scale(seconds: Floats) -> tuple[float, float]:
    known = log_time(seconds[np.isfinite(seconds)])
    if not len(known):
        return 0.0, 1.0
    return float(known.mean()), float(known.std()) or 1.0
