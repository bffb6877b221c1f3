"""Clips as the network reads them: grey frames of one size, their motion, and what is known to be anomalous."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.video import Clips, stream_frames
from ostinato.data.video.clips import content_key, read_clips
from ostinato.data.video.frames import open_source
from ostinato.data.video.motion import Motion, found_motion, motion_between
from ostinato.errors import DataError

Grey = NDArray[np.uint8]
Marks = NDArray[np.bool_]
UNIT = 8
"""Frames are brought to heights and widths that are multiples of so many pixels: of a patch."""
_FEWEST = 2


@dataclass(frozen=True)
class Reading:
    """How frames are brought into the form that the network reads.

    Args:
        height, width: of a frame, in pixels.
        rate: frames a second; `None`: as they come.
        motion: by what it is measured.
    """

    height: int
    width: int
    rate: float | None
    motion: Motion


@dataclass(frozen=True, eq=False)
class Footage:
    """A clip that was read.

    Args:
        name: what to call it.
        frames: `(frames, height, width)`, grey.
        motion: `(frames, height, width, 2)`, to each frame from the one before; zeros to the first.
        times: `(frames,)`, seconds.
        labels: `(frames,)`, whether each is anomalous; `None`: not known.
        first: the number of its first frame in the clip that it was cut from.
        whole: whether all of the clip's frames were read.
    """

    name: str
    frames: Grey
    motion: NDArray[np.int8]
    times: NDArray[np.float64]
    labels: Marks | None = None
    first: int = 0
    whole: bool = True

    def __len__(self) -> int:
        return len(self.frames)

    def cut(self, part: slice) -> Footage:
        """Return a part of it."""
        labels = None if self.labels is None else self.labels[part]
        return replace(
            self, frames=self.frames[part], motion=self.motion[part], times=self.times[part], labels=labels,
            first=self.first + (part.start or 0),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Clipped:
    """Clips that were read, all of one size.

    Args:
        origin: what to call their source.
        clips: the clips.
        reading: how they were read.
    """

    origin: str
    clips: tuple[Footage, ...]
    reading: Reading

    def __len__(self) -> int:
        return sum(map(len, self.clips))

    @property
    def labels(self) -> Marks | None:
        """What is known of all frames, one clip behind the other; `None`: nothing of some clip."""
        known = [clip.labels for clip in self.clips]
        return None if not known or any(each is None for each in known) else np.concatenate(known)  # type: ignore[arg-type]

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells them from others in a checkpoint."""
        return tuple((clip.name, clip.frames.shape, content_key(clip.frames), clip.labels) for clip in self.clips)

    def labelled(self, marks: Sequence[Any]) -> Clipped:
        """Return the same with labels for each clip, one for each frame.

        Raises:
            DataError: there are not as many.
        """
        if len(marks) != len(self.clips):
            raise DataError(f"there are labels of {len(marks)} clips for {len(self.clips)}; expected some for each")
        return replace(
            self, clips=tuple(_labelled(clip, labels) for clip, labels in zip(self.clips, marks, strict=True))
        )

    def part(self, clips: Iterable[Footage]) -> Clipped:
        """Return the same of other clips."""
        return replace(self, clips=tuple(clip for clip in clips if len(clip)))


def read_footage(source: Any, *, height: int, rate: float | None, most: int, reading: Reading | None = None) -> Clipped:
    """Read clips of any form that `ostinato.data.video` knows.

    Args:
        source: a clip, a folder of clips, paths, arrays.
        height: about so many pixels high, where `reading` does not say.
        rate: frames a second, likewise.
        most: frames that are read in all, at most.
        reading: how the training clips were read.

    Raises:
        DataError: there are no clips, one cannot be read or has less than two frames.
    """
    if isinstance(source, Clipped):
        return source
    clips = read_clips(source, labelled=False)
    found, left = [], most
    for place, (one, name) in enumerate(zip(clips.sources, clips.names, strict=True)):
        reading = reading or reading_of(one, height, rate)
        footage = _read(one, name, reading, left)
        left -= len(footage)
        found.append(footage)
        if left < _FEWEST and (place + 1 < len(clips) or not footage.whole):
            _tell_of_the_rest(clips, place, most)
            break
    if not found or reading is None:
        raise DataError(f"{clips.origin} holds no clips; expected video files, or folders of pictures")
    return Clipped(clips.origin, tuple(found), reading)


def _tell_of_the_rest(clips: Clips, place: int, most: int) -> None:
    rest = len(clips) - place - 1
    note(f"{most:,} frames of {clips.origin} were read, as max_frames has it; {rest:,} more clips were left")


def reading_of(source: Any, height: int, rate: float | None) -> Reading:
    """Return how clips are to be read that are like this one."""
    raw = next(open_source(source).frames(), None)
    if raw is None:
        raise DataError(f"{source if isinstance(source, str) else 'a clip'} has no frames; leave it out")
    high, wide = raw.size
    used = min(height, high)
    grid = [max(2 * UNIT, round(size * used / high / UNIT) * UNIT) for size in (high, wide)]
    return Reading(grid[0], grid[1], rate, found_motion())


def frames_of(source: Any, reading: Reading) -> Iterator[tuple[float, Grey]]:
    """Yield the frames of a clip, `(height, width)`, with their times, as they are decoded."""
    stream = stream_frames(source, rate=reading.rate, height=reading.height, width=reading.width, channels=1)
    for time, frame in stream:
        yield time, frame[..., 0]
    for warning in stream.warnings:
        note(warning)


def _read(source: Any, name: str, reading: Reading, most: int) -> Footage:
    frames, times, whole = list[Grey](), list[float](), True
    for time, frame in frames_of(source, reading):
        if len(frames) == most:
            whole = False
            break
        frames.append(frame)
        times.append(time)
    if len(frames) < _FEWEST:
        raise DataError(f"{name} has {len(frames)} frame; expected a clip of {_FEWEST} or more")
    moved = [motion_between(a, b, reading.motion) for a, b in pairwise(frames)]
    motion = np.stack([np.zeros_like(moved[0]), *moved])
    return Footage(name, np.stack(frames), motion, np.array(times, np.float64), whole=whole)


def _labelled(clip: Footage, marks: Any) -> Footage:
    try:
        given = np.asarray(marks)
    except ValueError as error:
        raise DataError(f"{clip.name} has labels of several lengths; expected one for each frame") from error
    if given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        wrong = next((each for each in given.ravel().tolist() if each not in (0, 1)), given.dtype)
        raise DataError(f"{clip.name} has the label {wrong!r}; expected true or 1 for an anomalous frame, else 0")
    known = given.astype(bool).ravel()
    if len(known) != len(clip) and (clip.whole or len(known) < len(clip)):
        raise DataError(f"{clip.name} has {len(clip):,} frames and {len(known):,} labels; expected one for each frame")
    return replace(clip, labels=known[: len(clip)])
