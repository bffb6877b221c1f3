"""What is found of rows: scores, alarms, what was expected; and runs of alarms as events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """What a model, or a baseline, says of rows.

    Args:
        scores: `(rows,)`, higher is stranger; NaN where nothing can be said.
        alarms: `(rows,)`.
        expected: `(rows, channels)`, in the units of the data; `None`: it expects nothing.
        why: `(rows, 3)`, the view, side and channel that the score is from; `None`: it does not say.
        spread: `(rows, channels)`, of what was expected, likewise in the units of the data.
    """

    scores: Floats
    alarms: Marks
    expected: Floats | None = None
    why: NDArray[np.int64] | None = None
    spread: Floats | None = None


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
