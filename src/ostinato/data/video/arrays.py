"""Clips that are arrays: `.npy`, `.npz`, or in memory, `(T, H, W)` or `(T, H, W, C)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archives import content_of
from ostinato.data.numpy_files import ZIP_ERRORS, array_of, read_npy, read_npz
from ostinato.data.video.libraries import library
from ostinato.data.video.pictures import pixels_of
from ostinato.data.video.raw import USUAL_RATE, Damage, Pixels, RawFrame
from ostinato.errors import DataError

SUFFIXES = frozenset([".npy", ".npz"])
_FRAMES = ("frames", "video", "clip", "images", "x", "arr_0")
_RATES = ("rate", "fps", "frame_rate")
_DARKER = 0.01  # of white: what is below zero by so little is rounding


class ArrayClip:
    """An array as a clip.

    Args:
        array: `(T, H, W)`, `(T, H, W, C)` or `(T, C, H, W)`; C is 1, 3 or 4. Integers from 0 to 255, or floats, which
            are from 0 to 1 where none is larger, else to 255.
        name: what to call it in a message.
        rate: frames a second; `None`: 25.

    Raises:
        DataError: it is of another shape or type.
    """

    def __init__(self, array: NDArray[Any], name: str, rate: float | None = None) -> None:
        self.name, self.rate, self.damage = name, rate or USUAL_RATE, Damage()
        if array.dtype.kind not in "biuf" or array.ndim not in (3, 4):
            raise DataError(
                f"{name} is an array of shape {array.shape} and type {array.dtype}; expected frames, (T, H, W) or "
                "(T, H, W, C), of numbers"
            )
        if array.ndim == 4 and array.shape[3] not in (1, 3, 4):
            if array.shape[1] not in (1, 3, 4):
                raise DataError(
                    f"{name} has the shape {array.shape}; expected (T, H, W, C) with C 1 (grey) or 3 (colours)"
                )
            array = array.transpose(0, 2, 3, 1)
        if not len(array):
            raise DataError(f"{name} holds no frames; leave it out")
        if 0 in array.shape:
            raise DataError(f"{name} has the shape {array.shape}, frames without pixels; leave it out")
        self.array = array if array.ndim == 4 else array[..., None]

    def frames(self, start: float = 0.0) -> Iterator[RawFrame]:
        """Yield frames from the one on that is seen at a second.

        Raises:
            DataError: a value is not a number, or below zero.
        """
        self.damage = Damage()
        height, width = self.array.shape[1:3]
        top: float | None = None
        for number in range(int(start * self.rate + 1e-6), len(self.array)):
            frame = np.asarray(self.array[number])
            if frame.dtype.kind == "f" and not np.isfinite(frame).all():
                raise DataError(
                    f"frame {number:,} of {self.name} has values that are not numbers; mend or leave it out"
                )
            if frame.dtype.kind != "u" or frame.dtype.itemsize > 1:
                top = self._top() if top is None else top
                if frame.dtype.kind in "if" and float(frame.min()) < -_DARKER * top:
                    raise DataError(
                        f"frame {number:,} of {self.name} has values below zero ({float(frame.min()):.3g}); expected "
                        "brightness, from 0 to 1, 255 or 65535: add what was taken away"
                    )
                frame = np.clip(frame * (255.0 / top), 0, 255).round().astype(np.uint8)
            yield RawFrame(number / self.rate, (height, width), _pixels(frame))

    def _top(self) -> float:
        """Return the value that is white."""
        kind = self.array.dtype
        if kind.kind == "b":
            return 1.0
        most = max(float(np.nanmax(frame)) for frame in self.array)
        if kind.kind == "f" and most <= 1.0:
            return 1.0
        return 255.0 if most <= 255 else 65535.0 if most <= 65535 else most


def pixels_of_array(frame: NDArray[Any], height: int, width: int, channels: int) -> Pixels:
    """Return a frame in memory, `(H, W)` or `(H, W, C)`, as pixels of a size, as a clip of it would be read.

    Raises:
        DataError: it is no frame.
    """
    if frame.ndim not in (2, 3):
        raise DataError(f"a frame has the shape {frame.shape}; expected (H, W) or (H, W, C)")
    source = ArrayClip(frame[None], "the frame")
    return next(source.frames()).pixels(height, width, channels)


def _pixels(frame: NDArray[np.uint8]) -> Callable[[int, int, int], Pixels]:
    def pixels(height: int, width: int, channels: int) -> Pixels:
        if frame.shape == (height, width, channels):
            return np.array(frame)
        if frame.shape[:2] == (height, width) and channels == 3 and frame.shape[2] == 1:
            return np.repeat(frame, 3, 2)
        flat = frame[..., 0] if frame.shape[2] == 1 else frame
        return pixels_of(library("PIL.Image").fromarray(np.ascontiguousarray(flat)))(height, width, channels)

    return pixels


def read_arrays(path: str) -> tuple[NDArray[Any], float | None]:
    """Return the array of a `.npy` or `.npz` file, and the frames a second that it says, if it does.

    Raises:
        DataError: it cannot be read, or it is not clear which of its arrays is meant.
    """
    name = Path(path).name
    try:
        content = content_of(path)
        if name.lower().endswith(".npy"):
            return (array_of(name, content) if isinstance(content, bytes) else read_npy(Path(path))), None
        if isinstance(content, bytes):
            raise DataError(f"{path} is an archive in an archive; unpack the outer one")
        arrays = read_npz(Path(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the path") from error
    except (OSError, *ZIP_ERRORS) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({str(error)[:80]}); it is damaged: save it again") from error
    rate = next((float(arrays[each]) for each in _RATES if each in arrays and arrays[each].size == 1), None)
    if rate is not None and not 0.01 <= rate <= 10_000:
        raise DataError(f"{name} says {rate:g} frames a second; expected 0.01 to 10000")
    found = {each: array for each, array in arrays.items() if each not in _RATES}
    chosen = next((each for each in _FRAMES if each in found), next(iter(found)) if len(found) == 1 else None)
    if chosen is None:
        shown = ", ".join(list(found)[:6]) or "none"
        raise DataError(f"{name} has the arrays {shown}; expected one, or one that is called {_FRAMES[0]}")
    return found[chosen], rate
