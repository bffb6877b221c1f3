"""A clip that was drawn, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError


@dataclass(frozen=True)
class MadeClip:
    """A clip and what is known of it.

    Args:
        frames: `(time, height, width, 3)`, uint8, red green blue.
        rate: frames a second.
        label: what happens, as a class.
        captions: sentences that say it, the plainest first.
        onset: the frame at which it begins to happen.
        landmarks: `(time, joints, 2)`, float32: right and down, as shares of width and height; `None`: there is
            no body.
    """

    frames: NDArray[np.uint8]
    rate: float
    label: str
    captions: tuple[str, ...]
    onset: int = 0
    landmarks: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frames)


def sized(size: int | tuple[int, int], least: int) -> tuple[int, int]:
    """Return height and width of frames.

    Raises:
        UsageError: they are too small to draw in.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < least:
        raise UsageError(f"the frames are {height} x {width} pixels; expected {least} or more each way to draw in")
    return height, width


def counted(name: str, value: int, least: int) -> int:
    """Return a number that has to be so large at least.

    Raises:
        UsageError: it is not.
    """
    if isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is {value!r}; expected {least} or more")
    return value
