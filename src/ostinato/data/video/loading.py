"""Clips as a network reads them: pixels of a size at a rate, with motion beside them, or landmarks by body."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.video.clips import Clips, content_key
from ostinato.data.video.frames import Clip, Moments, kind_of, stream_frames
from ostinato.data.video.landmarks import Landmarks, files_in
from ostinato.data.video.libraries import library
from ostinato.data.video.raw import Pixels
from ostinato.data.video.store import ClipStore
from ostinato.errors import DataError

Kind = Literal["pixels", "landmarks"]
_VERSION = 2  # of what is kept on disk: one more whenever the same clip is read as other numbers
_HELD = 512 << 20  # bytes of clips in memory
_THREADS = 4
FLOW_STEP = 8.0  # levels of a pixel's way from one frame to the next


@dataclass(frozen=True)
class Reader:
    """How clips are read.

    Args:
        kind: `"pixels"` or `"landmarks"`.
        rate: frames a second of pixels; landmarks are read as they are.
        height: of frames, in pixels; width: likewise.
        colour: whether frames have colours; else they are grey.
        flow: whether two channels of optical flow are beside them.
        layout: of landmarks, see `Landmarks`.
        features: of landmarks, how many numbers a frame comes to; 0: not known yet.
    """

    kind: Kind
    rate: float = 8.0
    height: int = 48
    width: int = 64
    colour: bool = False
    flow: bool = False
    layout: str = "auto"
    features: int = 0

    @property
    def channels(self) -> int:
        """Channels of a frame of pixels."""
        return (3 if self.colour else 1) + 2 * self.flow

    def key(self, source: Any) -> str:
        """Return what a clip is kept by: its content, and how it is read."""
        how = (_VERSION, self.kind, self.rate, self.height, self.width, self.colour, self.flow, self.layout)
        return hashlib.blake2b(content_key(source) + repr(how).encode(), digest_size=20).hexdigest()

    def read(self, source: Any, name: str) -> Iterator[NDArray[Any]]:
        """Yield the frames of a clip: `(H, W, C)` uint8, or `(features,)` float32.

        Raises:
            DataError: it cannot be read.
        """
        if self.kind == "landmarks":
            yield from self._checked(Landmarks(source, self.layout).features(), name)
            return
        colours = 3 if self.colour else 1
        stream = stream_frames(source, rate=self.rate, height=self.height, width=self.width, channels=colours)
        flow = Flow() if self.flow else None
        for _, frame in stream:
            yield frame if flow is None else np.concatenate([frame, flow.push(frame)], 2)
        for warning in stream.warnings:
            note(warning)

    def _checked(self, values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        if self.features and values.shape[1] != self.features:
            raise DataError(
                f"{name} has {values.shape[1]} numbers a frame, the others have {self.features}; expected landmarks of "
                "one layout"
            )
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > 1e15:
            raise DataError(f"{name} has values that are not numbers, or too large; leave it out")
        return values


class Flow:
    """Optical flow from the frame before to each frame: two channels, uint8, 128 where nothing moves.

    Source: G. Farnebäck, "Two-frame motion estimation based on polynomial expansion", SCIA 2003, as OpenCV has it.
    """

    def __init__(self, before: Pixels | None = None) -> None:
        self.before = before

    def push(self, frame: Pixels) -> Pixels:
        """Return the flow to a frame `(H, W, C)`, `(H, W, 2)`; of the first one, none."""
        cv2 = library("cv2")
        grey = frame[..., 0] if frame.shape[2] == 1 else cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        before, self.before = self.before, np.ascontiguousarray(grey)
        if before is None or min(grey.shape) < 8:
            return np.full((*grey.shape, 2), 128, np.uint8)
        moved = cv2.calcOpticalFlowFarneback(before, self.before, None, 0.5, 2, 9, 2, 5, 1.1, 0)
        return np.asarray(np.clip(128 + FLOW_STEP * moved, 0, 255).round(), np.uint8)


@dataclass(eq=False)
class LoadedClips(Sequence[NDArray[Any]]):
    """Clips as a network reads them, each read when it is asked for, and kept on disk and, some, in memory.

    Args:
        clips: where they are.
        reader: how they are read.
        store: where they are kept.
    """

    clips: Clips
    reader: Reader
    store: ClipStore = field(default_factory=ClipStore)

    def __post_init__(self) -> None:
        """Begin with none."""
        self._held: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._size, self._lock = 0, Lock()
        self._lengths: list[int] | None = None
        self._keys: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, row: Any) -> Any:
        """Return a clip, `(T, H, W, C)` uint8 or `(T, features)` float32.

        Raises:
            DataError: it cannot be read.
        """
        with self._lock:
            if row in self._held:
                self._held.move_to_end(row)
                return self._held[row]
        found = self._read(row)
        with self._lock:
            if found.nbytes < _HELD // 4 and row not in self._held:
                self._held[row] = np.asarray(found)
                self._size += found.nbytes
                while self._size > _HELD:
                    self._size -= self._held.popitem(last=False)[1].nbytes
        return found

    @property
    def lengths(self) -> list[int]:
        """Frames of each clip; all are read for it, several at once.

        Raises:
            DataError: one cannot be read.
        """
        if self._lengths is None:
            threads = min(_THREADS, os.cpu_count() or 1)
            if threads > 1 and len(self) > 1:
                with ThreadPoolExecutor(threads) as pool:
                    self._lengths = list(pool.map(lambda row: len(self[row]), range(len(self))))
            else:
                self._lengths = [len(self[row]) for row in range(len(self))]
        return self._lengths

    def _read(self, row: int) -> NDArray[Any]:
        source, name = self.clips.sources[row], self.clips.names[row]
        try:
            if not isinstance(source, (str, Path)):
                return np.stack(list(self.reader.read(source, name)))
            key = self._keys.setdefault(row, self.reader.key(source))
            found = self.store.get(key)
            return self.store.put(key, self.reader.read(source, name)) if found is None else found
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{name} cannot be read ({str(error)[:100]})") from error


def kind_of_clip(source: Any) -> Kind:
    """Return whether a clip is of pixels or of landmarks.

    Raises:
        DataError: it is neither.
    """
    if isinstance(source, (str, Path)):
        path = str(source)
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in (".npy", ".npz"):
            from ostinato.data.video.arrays import read_arrays

            return _kind_of_array(read_arrays(path)[0])
        if kind_of(path) == "pictures" and suffix not in (".png", ".jpg", ".jpeg"):
            endings = {PurePosixPath(name).suffix.lower() for name in files_in(path)}
            return "landmarks" if endings & {".npy", ".json"} else "pixels"
        return "pixels"
    return "pixels" if isinstance(source, Clip) else _kind_of_array(np.asarray(source))


def _kind_of_array(array: NDArray[Any]) -> Kind:
    """Return what an array is: `(T, F)` and joints `(T, 5 to 99, 2 or 3)` are landmarks, what is larger is pictures."""
    if array.ndim == 2:
        return "landmarks"
    if array.ndim == 3:
        small = array.shape[2] in (2, 3, 4) and (array.dtype.kind == "f" or array.shape[1] > 8)
        return "landmarks" if small else "pixels"
    if array.ndim == 4 and array.shape[3] in (2, 3) and array.dtype.kind == "f" and array.shape[2] in (17, 18, 25, 33):
        return "landmarks"
    return "pixels"


__all__ = ["FLOW_STEP", "Flow", "LoadedClips", "Moments", "Reader", "kind_of_clip"]
