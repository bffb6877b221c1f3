"""Clips as the network reads them: small frames at even distances, or rows of numbers that stand for frames."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.video import Clips, stream_frames
from ostinato.data.video.arrays import read_arrays
from ostinato.errors import DataError
from ostinato.tasks.captions.parameters import CaptionParameters
from ostinato.tasks.captions.reading import Captioned

Frames = NDArray[Any]
_SIZE, _RATE = 48, 8.0  # of frames, where nothing is said
_LOOKED = 25  # clips that are opened to find out what they are like
_KEPT = 1 << 30  # bytes of frames that are kept in memory; those of further clips are decoded each time
_NAMED = 5
_NONE = "none of the clips"
_ROOM = 8  # times as many frames as are taken are held, so that those that are taken lie at even distances


@dataclass(frozen=True)
class FrameSettings:
    """How clips become steps.

    Args:
        height: pixels of a frame; 0: clips are rows of numbers.
        width: likewise; the numbers of a row.
        rate: frames a second; 0: as they are.
        most: frames of a clip.
        usual: seconds of a training clip, the longest but for a tenth of them.
    """

    height: int
    width: int
    rate: float
    most: int
    usual: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that no clip can have, which a file may hold.

        Raises:
            ValueError: so it is.
        """
        widest = 1 << 20 if self.vectors else 1024
        if not (0 <= self.height <= 1024 and 1 <= self.width <= widest and 1 <= self.most <= 10_000):
            raise ValueError(f"its frames are {self.height} x {self.width}, {self.most} of them at most")
        if not (0 <= self.rate <= 1000 and 0 <= self.usual < 1e9):
            raise ValueError(f"its frames come at {self.rate} a second, for {self.usual} s")

    @property
    def vectors(self) -> bool:
        """Whether a step is a row of numbers rather than a picture."""
        return self.height == 0

    @property
    def words(self) -> str:
        """The settings in words."""
        if self.vectors:
            return f"{self.width:,} numbers a step, {self.most} steps at most"
        rate = "as they come" if not self.rate else f"{self.rate:g} a second"
        return f"{self.width} x {self.height} pixels, {rate}, {self.most} at most"

    @classmethod
    def fit(cls, parameters: CaptionParameters, clips: Clips) -> FrameSettings:
        """Look at some clips; those that cannot be read are passed over.

        Raises:
            DataError: none of them can be read.
        """
        rows = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), 4 * _LOOKED)).astype(int)).tolist()
        shapes, rates, failed = list[tuple[int, ...]](), list[float](), ""
        for row in rows:
            try:
                shape, rate = looked_at(clips.sources[row])
            except DataError as error:
                failed = failed or str(error)
                continue
            shapes.append(shape)
            rates.append(rate)
            if len(shapes) == _LOOKED:
                break
        if not shapes:
            raise DataError(failed if len(clips) == 1 else f"{_NONE} in {clips.origin} can be read: {failed}")
        shape = Counter(shapes).most_common(1)[0][0]
        if len(shape) == 1:
            return cls(0, shape[0], 0.0, parameters.max_frames)
        height, width = _small(shape, parameters.size)
        known = [rate for rate in rates if rate]
        found = min(float(np.median(known)), _RATE) if known else 0.0
        return cls(height, width, float(parameters.rate or found), parameters.max_frames)


def _small(shape: tuple[int, ...], size: int | None) -> tuple[int, int]:
    """Return height and width, the shorter one as asked for; a picture that is far from square is brought nearer."""
    height, width = shape[:2]
    wanted = size or min(_SIZE, height, width)
    scale = wanted / min(height, width)
    most = 2 * wanted
    return max(1, min(round(height * scale), most)), max(1, min(round(width * scale), most))


def looked_at(source: Any) -> tuple[tuple[int, ...], float]:
    """Return the shape of a frame, and how many come a second; 0 where an array does not say."""
    if (rows := vectors_of(source)) is not None:
        return rows.shape[1:], 0.0
    with_frames = stream_frames(source)
    _, frame = next(with_frames)
    with_frames.close()
    array = not isinstance(source, (str, Path)) or str(source).lower().endswith((".npy", ".npz"))
    return frame.shape[:2], 0.0 if array else float(with_frames.rate)


def vectors_of(source: Any) -> NDArray[np.float32] | None:
    """Return a clip that is rows of numbers, `(steps, features)`; `None`: it is pictures.

    Raises:
        DataError: it has no rows, or values that are not numbers.
    """
    if isinstance(source, (str, Path)):
        if not str(source).lower().endswith((".npy", ".npz")):
            return None
        found, name = read_arrays(str(source))[0], str(source)
    else:
        found, name = np.asarray(source), "a clip in memory"
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        return None
    if not found.size:
        raise DataError(f"{name} is an array of shape {found.shape}; expected (steps, features), one or more of each")
    if not np.isfinite(found).all():
        raise DataError(f"{name} has values that are not numbers; mend it, or leave it out")
    return found.astype(np.float32)


def read_steps(source: Any, settings: FrameSettings, name: str) -> tuple[Frames, float]:
    """Return a clip as the network reads it, and its seconds.

    Args:
        source: a path or an array.
        settings: how.
        name: what to call it in a message.

    Returns:
        `(steps, height, width, 3)` uint8, or `(steps, features)` float32; of a clip with more frames than `most` those
        at even distances, whatever its length, in as much memory as eight times `most` of them take.

    Raises:
        DataError: it cannot be read, or is of another kind.
    """
    rows = vectors_of(source)
    if (rows is not None) != settings.vectors or (rows is not None and rows.shape[1] != settings.width):
        is_, are = ("pictures", f"rows of {settings.width:,} numbers") if settings.vectors else ("numbers", "pictures")
        found = is_ if rows is None else f"rows of {rows.shape[1]:,} numbers"
        raise DataError(f"{name} holds {found}, but the clips of the model are {are}; expected the same")
    if rows is not None:
        return rows[_even(len(rows), settings.most)], float(len(rows))
    kept, seconds = _thinned(
        stream_frames(source, rate=settings.rate or None, height=settings.height, width=settings.width), settings.most
    )
    if not kept:
        raise DataError(f"{name} has no frames; leave it out")
    return np.stack(kept), seconds


def _thinned(frames: Iterator[tuple[float, Frames]], most: int) -> tuple[list[Frames], float]:
    """Return frames at even distances, `most` of them at most, of as many as come."""
    kept, every, last, first = list[Frames](), 1, 0.0, 0.0
    for number, (time, frame) in enumerate(frames):
        first, last = (time if not number else first), time
        if number % every == 0:
            kept.append(frame)
        if len(kept) > _ROOM * most:
            kept, every = kept[::2], 2 * every
    return [kept[place] for place in _even(len(kept), most)], last - first


def _even(count: int, most: int) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else np.rint(np.linspace(0, count - 1, most)).astype(np.int64)


class FrameStore:
    """The steps of clips: in memory up to a bound, else decoded when they are asked for.

    Args:
        records: whose.
        settings: how.
    """

    def __init__(self, records: Captioned, settings: FrameSettings) -> None:
        # not the records themselves: they are what the frames are kept by
        self._clips, self.settings = records.clips, settings
        self._kept: dict[int, Frames] = {}
        self.lengths = np.zeros(len(records), np.int64)
        self.seconds = np.zeros(len(records))
        self.sums = np.zeros(len(records))
        self.failed: dict[int, str] = {}
        size = 0
        for row in range(len(records)):
            try:
                frames, self.seconds[row] = self._read(row)
            except DataError as error:
                self.failed[row] = str(error)
                continue
            self.lengths[row], self.sums[row] = len(frames), float(frames.sum(dtype=np.float64))
            size += frames.nbytes
            if size <= _KEPT:
                self._kept[row] = frames

    @classmethod
    def of(cls, records: Captioned, settings: FrameSettings) -> FrameStore:
        """Return the steps of clips, those that were read already if there are any."""
        found = _known.get(records)
        if found is None or found.settings != settings:
            found = _known[records] = cls(records, settings)
            found.say()
        return found

    def __getitem__(self, row: int) -> Frames:
        found = self._kept.get(row)
        return self._read(row)[0] if found is None else found

    @property
    def sources(self) -> Sequence[Any]:
        """Paths or arrays of the clips."""
        return self._clips.sources

    def _read(self, row: int) -> tuple[Frames, float]:
        return read_steps(self._clips.sources[row], self.settings, self._clips.names[row])

    def say(self) -> None:
        """Say which clips cannot be read.

        Raises:
            DataError: none can.
        """
        if not self.failed:
            return
        count, clips = len(self.failed), self._clips
        named = ", ".join(clips.names[row] for row in list(self.failed)[:_NAMED]) + (", ..." if count > _NAMED else "")
        why = next(iter(self.failed.values()))
        if count == len(clips):
            raise DataError(why if count == 1 else f"{_NONE} in {clips.origin} can be read, all {count:,}: {why}")
        note(
            f"{count:,} of the {len(clips):,} clips of {clips.origin} cannot be read and are left out ({named}); the "
            f"first because {why}"
        )


_known: weakref.WeakKeyDictionary[Captioned, FrameStore] = weakref.WeakKeyDictionary()


def together(clips: Sequence[Frames]) -> tuple[Frames, NDArray[np.int64]]:
    """Return clips side by side, `(steps, clips, ...)`, zeros behind the shorter ones, and their lengths."""
    lengths = np.array([len(each) for each in clips], np.int64)
    block = np.zeros((int(lengths.max()), len(clips), *clips[0].shape[1:]), clips[0].dtype)
    for column, each in enumerate(clips):
        block[: len(each), column] = each
    return block, lengths
