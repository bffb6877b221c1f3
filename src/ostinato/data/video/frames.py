"""Frames of anything that shows something over time, at a rate and of a size, one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archives import ARCHIVES, archive_of, members
from ostinato.data.video import arrays, files, pictures
from ostinato.data.video.arrays import ArrayClip, read_arrays
from ostinato.data.video.files import VideoFile
from ostinato.data.video.pictures import Pictures, pictures_in, pictures_of
from ostinato.data.video.raw import Look, Pixels, RawFrame, RawSource
from ostinato.errors import DataError, NotEnoughMemory, UsageError

_MOST = 2 << 30  # bytes of a clip that is read whole
_EARLY = 0.1  # of a period: a frame that comes so much too late still counts as in time


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip that was read.

    Args:
        frames: `(T, H, W, C)`, uint8.
        times: seconds since its first frame, `(T,)`, float64.
        rate: frames a second: the one that was asked for, else the usual one of the source.
        name: what to call it.
        warnings: what was wrong with it, in sentences.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    rate: float
    name: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)


class FrameStream(Iterator[tuple[float, Pixels]]):
    """Frames of a source as they are decoded: `(seconds, (H, W, C) uint8)`; as much memory as one frame takes.

    Args:
        source: where they come from.
        rate: frames a second that are wanted; `None`: as they are.
        look: their size and channels.
        start, end: seconds between which they lie; `end` not included.
    """

    def __init__(
        self, source: RawSource, rate: float | None, look: Look, start: float = 0.0, end: float | None = None
    ) -> None:
        self.source, self.name, self.rate = source, source.name, rate or source.rate
        raw = source.frames(start)
        timed = _as_they_are(raw, start) if rate is None else _at_rate(raw, rate, start)
        self._frames = self._looked(timed, look, end)

    def __next__(self) -> tuple[float, Pixels]:
        found: tuple[float, Pixels] = next(self._frames)
        return found

    def close(self) -> None:
        """Close the file, before all frames were read."""
        self._frames.close()

    @property
    def damaged(self) -> int:
        """How many frames could not be read so far, and were left out."""
        return self.source.damage.frames

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong, once all is read: sentences."""
        return tuple(f"{self.name}: {remark}" for remark in self.source.damage.remarks)

    def _looked(self, frames: Iterator[tuple[float, RawFrame]], look: Look, end: float | None) -> Any:
        size: tuple[int, int] | None = None
        last: RawFrame | None = None
        for time, frame in frames:
            if end is not None and time >= end - 1e-9:
                return
            size = look.size(*frame.size, frame.aspect) if size is None else size
            if frame is not last:
                pixels, last = frame.pixels(*size, look.channels), frame
            yield time, pixels


def stream_frames(
    source: Any,
    *,
    rate: float | None = None,
    height: int | None = None,
    width: int | None = None,
    channels: int = 3,
    start: float = 0.0,
    end: float | None = None,
    native_rate: float | None = None,
) -> FrameStream:
    """Return the frames of a source, decoded as they are asked for.

    Args:
        source: a video file; a folder of pictures, in natural order; a picture, or several in a file (WebP, TIFF); a
            `.npy` or `.npz` file, or an array, `(T, H, W)` or `(T, H, W, C)`. A path may lead into a `.zip` or `.tar`
            that is not compressed.
        rate: frames a second; the frame at a moment is the last one shown before it, so that a variable rate becomes a
            fixed one, and a stream of frames gives the same; `None`: as they are.
        height: in pixels; where only one of height and width is given, the other follows; none: as they are.
        width: likewise.
        channels: 1 for grey, 3 for colours.
        start: seconds from which on frames lie.
        end: seconds up to which, not included.
        native_rate: frames a second of what does not say, pictures and arrays; `None`: 25.

    Returns:
        An iterator of `(seconds, frame)`, seconds since the first frame, frame `(H, W, C)` uint8; with `rate`,
        `damaged` and `warnings`.

    Raises:
        DataError: the source is not there, or cannot be read; while it is read: it holds no frames.
        UsageError: an option is wrong.
        MissingExtra: the library that it needs is not installed.
    """
    for name, value in (("rate", rate), ("native_rate", native_rate)):
        if value is not None and not (_is_number(value) and 0.001 <= value <= 1000):
            raise UsageError(f"{name} is {value!r}; expected frames a second, from 0.001 to 1000")
    if not (_is_number(start) and start >= 0) or (end is not None and not (_is_number(end) and end > start)):
        raise UsageError(f"start is {start!r} and end {end!r}; expected seconds, start from 0 on and end after it")
    return FrameStream(open_source(source, native_rate), rate, Look(height, width, channels), start, end)


def read_clip(
    source: Any,
    *,
    rate: float | None = None,
    height: int | None = None,
    width: int | None = None,
    channels: int = 3,
    limit: int | None = None,
    start: float = 0.0,
    end: float | None = None,
    native_rate: float | None = None,
) -> Clip:
    """Return the frames of a source as one array.

    Args:
        source: of frames; see `stream_frames` for all but `limit`.
        rate: frames a second.
        height: in pixels.
        width: in pixels.
        channels: 1 for grey, 3 for colours.
        limit: of these frames, the first so many; `None`: all.
        start: seconds from which on.
        end: seconds up to which.
        native_rate: frames a second of pictures and arrays.

    Raises:
        DataError: the source is not there, cannot be read, or holds no frames.
        NotEnoughMemory: its frames are more than 2 GiB.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; expected a number of frames, 1 or more")
    stream = stream_frames(
        source, rate=rate, height=height, width=width, channels=channels, start=start, end=end, native_rate=native_rate
    )
    frames, times, size = list[Pixels](), list[float](), 0
    for time, frame in stream:
        frames.append(frame)
        times.append(time)
        size += frame.nbytes
        if size > _MOST:
            raise NotEnoughMemory(
                f"{stream.name} has more than {_MOST >> 30} GiB of frames ({len(frames):,} of {frame.shape} so far); "
                "ask for a smaller height, a lower rate, a limit or a part, or read it with stream_frames"
            )
        if limit is not None and len(frames) >= limit:
            break
    stream.close()
    if not frames:
        raise DataError(f"{stream.name} has no frames from {start:g} s on; take an earlier start")
    return Clip(np.stack(frames), np.array(times, np.float64), stream.rate, stream.name, stream.warnings)


def open_source(source: Any, native_rate: float | None = None) -> RawSource:
    """Return where frames come from; see `stream_frames`."""
    if isinstance(source, Clip):
        return ArrayClip(source.frames, source.name, source.rate)
    if isinstance(source, (str, Path)):
        return _of_path(str(source), native_rate)
    if isinstance(source, (list, tuple)) and source and all(isinstance(one, (str, Path)) for one in source):
        return Pictures([str(one) for one in source], f"{source[0]} and others", native_rate)
    given = source.detach().cpu().numpy() if hasattr(source, "detach") else source
    if isinstance(given, np.ndarray):
        return ArrayClip(given, "the clip", native_rate)
    raise UsageError(f"a clip is a {type(source).__name__}; expected a path or an array (T, H, W, C)")


def _of_path(path: str, native_rate: float | None) -> RawSource:
    kind = kind_of(path)
    if kind == "pictures":
        alone = PurePosixPath(path).suffix.lower() in pictures.SUFFIXES
        return pictures_of(path, native_rate) if alone else Pictures(pictures_in(path), path, native_rate)
    if kind == "array":
        array, rate = read_arrays(path)
        return ArrayClip(array, path, native_rate or rate)
    return VideoFile(path)


def kind_of(path: str) -> str:
    """Return what a path is: `"pictures"` (a folder of them, or one), `"array"`, or `"video"`.

    Raises:
        DataError: it is not there, or a folder without pictures.
    """
    suffix = PurePosixPath(path).suffix.lower()
    try:
        there, folder = Path(path).exists(), Path(path).is_dir()
        inside = archive_of(path)
    except (OSError, ValueError):
        there, folder, inside = False, False, None
    if there and suffix in ARCHIVES and not folder:
        folder = True
    if inside is not None:
        names = members(inside[0])
        there = inside[1] in names
        folder = not there and any(name.startswith(f"{inside[1].rstrip('/')}/") for name in names)
    if not there and not folder:
        raise DataError(f"{path[:200]} does not exist; check the path")
    if folder or suffix in pictures.SUFFIXES:
        return "pictures"
    return "array" if suffix in arrays.SUFFIXES else "video"


def is_clip_name(name: str) -> bool:
    """Tell whether a file is a clip by its ending."""
    return PurePosixPath(name).suffix.lower() in files.SUFFIXES | arrays.SUFFIXES


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)


def _as_they_are(frames: Iterator[RawFrame], start: float) -> Iterator[tuple[float, RawFrame]]:
    for frame in frames:
        if frame.time >= start - 1e-6:
            yield frame.time, frame


def _at_rate(frames: Iterator[RawFrame], rate: float, start: float) -> Iterator[tuple[float, RawFrame]]:
    """Yield the frame that is seen at each moment, `1 / rate` seconds apart, counted from the first frame of all."""
    moments = Moments(rate, start)
    before: RawFrame | None = None
    for frame in frames:
        missed, there = moments.until(frame.time)
        for moment in missed:
            yield moment, before or frame
        if there is not None:
            yield there, frame
        before = frame


class Moments:
    """Moments `1 / rate` seconds apart, and which of them a frame that comes is seen at.

    What is seen at a moment is decided when a frame comes, never later, so that a stream of frames gives what the whole
    clip gives: a frame that comes up to a tenth of a step late still counts for the moment; of one that comes later,
    the moments before it show the frame before.

    Args:
        rate: moments a second.
        start: seconds from which on there are any.

    >>> moments = Moments(10.0)
    >>> moments.until(0.0), moments.until(0.08), moments.until(0.26)
    (([], 0.0), ([], None), ([0.1, 0.2], None))
    """

    def __init__(self, rate: float, start: float = 0.0) -> None:
        self.rate, self.number = rate, math.ceil(start * rate - 1e-6)

    def until(self, time: float) -> tuple[list[float], float | None]:
        """Return the moments that a frame comes too late for, and the one that it is in time for, if it is for any."""
        early = _EARLY / self.rate
        missed, there = list[float](), None
        while self.number / self.rate < time - early:
            missed.append(self.number / self.rate)
            self.number += 1
        if self.number / self.rate <= time + early:
            there = self.number / self.rate
            self.number += 1
        return missed, there
