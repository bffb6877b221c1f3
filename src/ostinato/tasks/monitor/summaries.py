"""What is known of each variable up to a step: the value, whether it was measured, how long ago, and summaries.

The same numbers come of whole stays (`of_batch`) and of one step after the other (`Running`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
READ = 3
"""Numbers a variable that cells of missing values read: value, mask, time gap."""
KEPT = 8
"""Numbers a variable that sum up all before: last, mean, least, greatest, change, count, seen, freshness."""
TIMES = 3
"""Numbers of the time: since admission, on two scales, and since the step before."""
_LONGEST_GAP = 10.0
_LAST, _SUM, _LEAST, _MOST, _FIRST, _COUNT, _AT = range(7)
_FAR = 1e30


def width(variables: int) -> int:
    """Return the numbers of a step."""
    return (READ + KEPT) * variables + TIMES


def of_batch(values: Floats, mask: NDArray[np.bool_], hours: Floats, scale: float) -> Singles:
    """Return what is known at each step of some patients, `(time, batch, numbers)`.

    Args:
        values: `(time, batch, variables)`, on one scale; what stands where nothing was measured is not read.
        mask: `(time, batch, variables)`, whether it was measured.
        hours: `(time, batch)`, since admission.
        scale: hours that count as one.
    """
    time, batch, variables = values.shape
    found = np.empty((time, batch, width(variables)), np.float32)
    steps = np.arange(time)[:, None, None]
    last = np.maximum.accumulate(np.where(mask, steps, -1), 0)
    first = np.where(mask.any(0), mask.argmax(0), -1)
    seen = last >= 0
    at = np.where(seen, np.take_along_axis(hours[:, :, None], np.maximum(last, 0), 0), 0.0)
    before = np.concatenate([np.zeros((1, batch, variables)), at[:-1]], 0)
    now = hours[:, :, None]
    filled = np.where(mask, values, 0.0)
    newest = np.where(seen, np.take_along_axis(filled, np.maximum(last, 0), 0), 0.0)
    begun = np.take_along_axis(filled, np.maximum(first, 0)[None], 0)
    count = np.cumsum(mask, 0)
    known = np.maximum(count, 1)
    own = [
        filled,
        mask,
        np.minimum((now - before) / scale, _LONGEST_GAP),
        newest,
        np.cumsum(filled, 0) / known,
        np.where(seen, np.minimum.accumulate(np.where(mask, values, _FAR), 0), 0.0),
        np.where(seen, np.maximum.accumulate(np.where(mask, values, -_FAR), 0), 0.0),
        np.where(seen, newest - begun, 0.0),
        np.log1p(count) / 2,
        seen,
        np.where(seen, np.exp(-(now - at) / scale), 0.0),
    ]
    for place, part in enumerate(own):
        found[..., place * variables : (place + 1) * variables] = part
    waits = np.diff(hours, axis=0, prepend=np.zeros((1, batch)))
    found[..., -TIMES] = np.log1p(hours) / 4
    found[..., -TIMES + 1] = np.minimum(hours / scale, _LONGEST_GAP) / _LONGEST_GAP
    found[..., -1] = np.minimum(waits / scale, _LONGEST_GAP)
    return found


class Running:
    """What is kept of one patient, from which the numbers of the next step come; it does not grow.

    Args:
        variables: how many there are.
        scale: hours that count as one.
    """

    def __init__(self, variables: int, scale: float) -> None:
        self.variables, self.scale = variables, scale
        self.kept = np.zeros((7, variables))
        self.hour = 0.0

    @property
    def begun(self) -> bool:
        """Whether anything was measured yet."""
        return bool(self.kept[_COUNT].any())

    def copy(self) -> Running:
        """Return a copy."""
        found = Running.__new__(Running)
        found.variables, found.scale, found.hour = self.variables, self.scale, self.hour
        found.kept = self.kept.copy()
        return found

    def step(self, hour: float, codes: list[int], values: list[float]) -> Singles:
        """Take what was measured at an hour, each variable once; return the numbers of the step, `(numbers,)`."""
        kept, size = self.kept, self.variables
        found = np.empty(width(size), np.float32)
        rows = found[: (READ + KEPT) * size].reshape(READ + KEPT, size)
        rows[:2] = 0.0
        gaps = (hour - kept[_AT]) / self.scale
        np.minimum(gaps, _LONGEST_GAP, out=gaps)
        rows[2] = gaps
        for code, value in zip(codes, values, strict=True):
            rows[0, code], rows[1, code] = value, 1.0
            column = kept[:, code]
            if column[_COUNT] == 0:
                column[_LEAST] = column[_MOST] = column[_FIRST] = value
            else:
                column[_LEAST], column[_MOST] = min(column[_LEAST], value), max(column[_MOST], value)
            column[_LAST], column[_AT] = value, hour
            column[_SUM] += value
            column[_COUNT] += 1
        count = kept[_COUNT]
        seen = count > 0
        rows[3] = kept[_LAST]
        rows[4] = kept[_SUM] / np.maximum(count, 1)
        rows[5:7] = kept[_LEAST : _MOST + 1]
        rows[7] = kept[_LAST] - kept[_FIRST]
        rows[8] = np.log1p(count) / 2
        rows[9] = seen
        rows[10] = np.exp((kept[_AT] - hour) / self.scale) * seen
        found[-TIMES] = np.log1p(hour) / 4
        found[-TIMES + 1] = min(hour / self.scale, _LONGEST_GAP) / _LONGEST_GAP
        found[-1] = min((hour - self.hour) / self.scale, _LONGEST_GAP)
        self.hour = hour
        return found
