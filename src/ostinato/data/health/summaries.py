"""What is known of each variable up to a step: the value, whether it was measured, how long ago, and summaries.

The same numbers come of whole stays (`of_batch`) and of one step after the other (`Running`).
"""

from __future__ import annotations

from collections.abc import Mapping

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
COUNTS = _COUNT
"""The row of what is kept that counts measurements."""


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
    held = [
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
    for place, part in enumerate(held):
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
        self._known = np.zeros((READ + KEPT, variables), np.float32)

    @property
    def begun(self) -> bool:
        """Whether anything was measured yet."""
        return bool(self.kept[_COUNT].any())

    def copy(self) -> Running:
        """Return a copy."""
        found = Running.__new__(Running)
        found.variables, found.scale, found.hour = self.variables, self.scale, self.hour
        found.kept, found._known = self.kept.copy(), self._known.copy()
        return found

    def restore(self, kept: Floats, hour: float) -> None:
        """Resume from what was kept, `(7, variables)`, at an hour."""
        self.kept, self.hour = kept.copy(), hour
        for code in np.flatnonzero(kept[_COUNT]).tolist():
            self._sum_up(code)

    def step(self, hour: float, measured: Mapping[int, float]) -> Singles:
        """Take what was measured at an hour, by variable; return the numbers of the step, `(numbers,)`."""
        kept, size = self.kept, self.variables
        at = kept[_AT]
        # only what depends on the time is computed of all variables: the rest stands as it was
        gaps = np.minimum((hour - at) / self.scale, _LONGEST_GAP)
        for code, value in measured.items():
            self._take(code, value, hour)
        found = np.empty(width(size), np.float32)
        rows = found[: (READ + KEPT) * size].reshape(READ + KEPT, size)
        rows[:] = self._known
        rows[2] = gaps
        rows[-1] = np.exp(-(hour - at) / self.scale) * rows[-2]
        for code, value in measured.items():
            rows[0, code], rows[1, code] = value, 1.0
        found[-TIMES] = np.log1p(hour) / 4
        found[-TIMES + 1] = min(hour / self.scale, _LONGEST_GAP) / _LONGEST_GAP
        found[-1] = min((hour - self.hour) / self.scale, _LONGEST_GAP)
        self.hour = hour
        return found

    def add(self, x: Singles, hour: float, measured: Mapping[int, float]) -> None:
        """Take more at the hour of the last step, of variables that were not measured then; `x` is what it gave."""
        rows = x[: (READ + KEPT) * self.variables].reshape(READ + KEPT, self.variables)
        for code, value in measured.items():
            self._take(code, value, hour)
            rows[0, code], rows[1, code], rows[-1, code] = value, 1.0, 1.0
            rows[READ:-1, code] = self._known[READ:-1, code]

    def _take(self, code: int, value: float, hour: float) -> None:
        kept = self.kept
        if kept[_COUNT, code] == 0:
            kept[_LEAST, code] = kept[_MOST, code] = kept[_FIRST, code] = value
        elif value < kept[_LEAST, code]:
            kept[_LEAST, code] = value
        elif value > kept[_MOST, code]:
            kept[_MOST, code] = value
        kept[_LAST, code], kept[_AT, code] = value, hour
        kept[_SUM, code] += value
        kept[_COUNT, code] += 1
        self._sum_up(code)

    def _sum_up(self, code: int) -> None:
        last, total, least, most, first, count, _ = self.kept[:, code].tolist()
        self._known[READ:-1, code] = last, total / count, least, most, last - first, np.log1p(count) / 2, 1.0
