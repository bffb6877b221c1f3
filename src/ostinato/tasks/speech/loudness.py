"""How long it has been quiet, frame by frame: loudness over a floor that follows the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ABOVE = 9.0  # decibels over the floor that are loud
_RISE = 3.0  # decibels a second by which the floor rises at most; it falls at once
_DECIBELS = 10 / np.log(10)


class Quiet:
    """Counts frames since the last loud one; the same however frames are divided.

    The floor is the least loudness, which is let rise slowly, so that a fan that begins to run is no speech for ever.
    Whatever comes first is loud until something quieter was heard.

    Args:
        step: seconds from one frame to the next.

    >>> quiet = Quiet(0.01)
    >>> quiet.accept(np.array([[0.0], [-9.0], [-9.0], [0.0], [-9.0]])).tolist()
    [0, 1, 2, 0, 1]
    """

    def __init__(self, step: float) -> None:
        self.step = step
        self.reset()

    def reset(self) -> None:
        """Begin a new recording."""
        self._floor: float | None = None
        self._count = 0

    def accept(self, frames: NDArray[Any]) -> NDArray[np.int64]:
        """Return for each frame `(frames, bands)` of logarithms of energies how long it has been quiet, in frames."""
        wide = frames.astype(np.float64)
        top = wide.max(1, initial=-100.0, keepdims=True)
        levels = (_DECIBELS * (top[:, 0] + np.log(np.exp(wide - top).sum(1)))).tolist()
        found = np.zeros(len(levels), np.int64)
        for place, level in enumerate(levels):
            before = level if self._floor is None else self._floor
            loud = self._floor is None or level > before + _ABOVE
            self._floor = min(level, before + _RISE * self.step)
            # what was heard until now is loud beside something that is this much quieter
            quieter = level < before - _ABOVE
            self._count = 0 if loud and not quieter else self._count + 1
            found[place] = self._count
        return found

    def state(self) -> dict[str, Any]:
        """Return what is kept."""
        return {"floor": self._floor, "count": self._count}

    def restore(self, state: Any) -> bool:
        """Resume from a state; tell whether it is one, without which all stays as it was."""
        floor, count = (state.get(name) for name in ("floor", "count")) if isinstance(state, Mapping) else (0, None)
        if not (floor is None or isinstance(floor, float)) or type(count) is not int or count < 0:
            return False
        self._floor, self._count = floor, count
        return True
