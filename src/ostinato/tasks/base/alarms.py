"""Alarms as runs of steps, and the rate of false ones in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Marks = NDArray[np.bool_]


def merged(marks: Marks, gap: int) -> list[tuple[int, int]]:
    """Return runs of marks as `(first, stop)`, those with up to `gap` steps between as one.

    >>> merged(np.array([1, 0, 0, 1, 1, 0], bool), 1), merged(np.array([1, 0, 0, 1, 1, 0], bool), 2)
    ([(0, 1), (3, 5)], [(0, 5)])
    """
    places = np.flatnonzero(marks)
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > gap + 1)
    first, last = places[np.append(0, breaks + 1)], places[np.append(breaks, len(places) - 1)]
    return [(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]


def beginnings(marks: Marks, gap: int) -> Marks:
    """Return where each run of alarms begins, `(steps,)`."""
    found = np.zeros(len(marks), np.bool_)
    found[[first for first, _ in merged(marks, gap)]] = True
    return found


def asked_words(rate: float, of: str) -> str:
    """Return a rate of false alarms as a person says it.

    >>> asked_words(1e-4, "steps")
    '1 false alarm in 10,000 steps was asked for'
    """
    return (
        f"1 false alarm in {1 / rate:,.3g} {of} was asked for"
        if rate > 1e-3
        else (f"1 false alarm in {round(1 / rate):,} {of} was asked for")
    )
