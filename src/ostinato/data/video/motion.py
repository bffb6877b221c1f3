"""What moves between two frames: optical flow by OpenCV, or the change of brightness where it is not installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.libraries import library

Motion = Literal["flow", "change"]
UNIT = 16
"""Of a pixel a frame: motion is kept in steps of a sixteenth, up to almost eight pixels."""
_MOST = 127
_LEAST = 48


def found_motion() -> Motion:
    """Return what motion can be measured by here."""
    return "flow" if importlib.util.find_spec("cv2") is not None else "change"


def motion_between(before: NDArray[np.uint8], after: NDArray[np.uint8], by: Motion) -> NDArray[np.int8]:
    """Return the motion from one grey frame `(H, W)` to the next, `(H, W, 2)`, in sixteenths of a pixel.

    Args:
        before: the frame before.
        after: the frame.
        by: `"flow"`: to the right and down, dense inverse search (T. Kroeger et al., "Fast optical flow using dense
            inverse search", ECCV 2016); `"change"`: how much brighter and darker it became, of 255 parts the half.

    Raises:
        MissingExtra: flow is wanted, and OpenCV is not installed.
    """
    found: NDArray[np.int8] = np.clip(np.rint(measured_motion(before, after, by)), -_MOST, _MOST).astype(np.int8)
    return found


def fine_motion(before: NDArray[np.uint8], after: NDArray[np.uint8], by: Motion) -> NDArray[np.float32]:
    """Return the same as it is measured, `(H, W, 2)`, of any size, at each pixel; see `motion_between`.

    There the search ends at frames four times smaller, where what is a few pixels wide moves as its surroundings do:
    of people 8 pixels wide it sees less than half of the speed. This goes on to the frames as they are, and takes
    several times as long.
    """
    return measured_motion(before, after, by, finest=0)


def measured_motion(
    before: NDArray[np.uint8], after: NDArray[np.uint8], by: Motion, *, finest: int = 2
) -> NDArray[np.float32]:
    """Return the same as it is measured; the search ends at frames that are so many times halved."""
    if by == "change":
        change = (after.astype(np.int16) - before.astype(np.int16)) // 2
        return np.stack([np.maximum(change, 0), np.maximum(-change, 0)], -1).astype(np.float32)
    high, wide = before.shape
    # the search begins on frames four times smaller, with windows of 8 pixels
    room = ((0, max(0, _LEAST - high)), (0, max(0, _LEAST - wide)))
    pair = [np.ascontiguousarray(np.pad(frame, room, mode="edge")) for frame in (before, after)]
    found: NDArray[np.float32] = _search(finest).calc(*pair, None)[:high, :wide] * np.float32(UNIT)
    return found


@cache
def _search(finest: int) -> Any:
    cv2 = library("cv2")
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    found.setFinestScale(finest)
    return found
