"""Reading landmarks of people: arrays, a folder of arrays of one frame each, a folder of OpenPose's JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archives import ARCHIVES, archive_of, content_of, members
from ostinato.data.video.arrays import read_arrays
from ostinato.data.video.bodies import Body
from ostinato.data.video.layouts import NAMES, Layout, Person, layout_of, openpose_people, people_of
from ostinato.data.video.pictures import natural
from ostinato.errors import DataError, UsageError

__all__ = ["Body", "Landmarks", "files_in", "read_landmarks"]

_LONGEST = 64 << 20  # bytes of a JSON file of one frame


class Landmarks:
    """Landmarks of one clip: what layout they have, and the persons of each frame.

    Args:
        source: a `.npy` or `.npz` file `(T, ...)`; a folder of `.npy` files, one a frame; a folder of OpenPose's JSON
            files; an array. A path may lead into an archive.
        layout: one of `auto`, `mediapipe`, `mediapipe-hands`, `mediapipe-pose`, `yolo`, `openpose`, `openpose-coco`,
            `joints` and `plain`.

    Raises:
        DataError: it is not there, has no frames, or is of no such layout.
        UsageError: there is no layout of this name.
    """

    def __init__(self, source: Any, layout: str = "auto") -> None:
        if layout not in NAMES:
            raise UsageError(f"layout is {layout!r}; expected one of {', '.join(NAMES)}")
        self.name = str(source) if isinstance(source, (str, Path)) else "the landmarks"
        self._people: list[list[Person]] | None = None
        self._array: NDArray[Any] | None = None
        if isinstance(source, (str, Path)):
            self.layout = self._read(str(source), layout)
        else:
            self.layout = self._take(np.asarray(source), layout)

    def __len__(self) -> int:
        return len(self._people) if self._people is not None else len(self._array)  # type: ignore[arg-type]

    def features(self) -> NDArray[np.float32]:
        """Return them as a network reads them, `(T, features)`: by `Body`, and `plain` ones as they are."""
        if self.layout.name == "plain":
            assert self._array is not None
            return held(np.asarray(self._array, np.float32))
        body = Body(self.layout)
        return np.stack([body.push(people) for people in self.people()])

    def people(self) -> Iterator[list[Person]]:
        """Yield the persons of each frame."""
        if self._people is not None:
            yield from self._people
            return
        for frame in self._array if self._array is not None else ():
            yield people_of(np.asarray(frame, np.float32), self.layout)

    def _read(self, path: str, layout: str) -> Layout:
        if PurePosixPath(path).suffix.lower() in (".npy", ".npz"):
            array, _ = read_arrays(path)
            return self._take(array, layout)
        names = files_in(path)
        frames = [name for name in names if name.lower().endswith(".npy")]
        if frames:
            return self._take(_together(path, sorted(frames, key=natural)), layout)
        texts = [name for name in names if name.lower().endswith(".json")]
        if not texts:
            raise DataError(
                f"{path} holds no landmarks; expected .npy files of one frame each, or OpenPose's .json files"
            )
        read = [openpose_people(_json(f"{path}/{name}"), f"{path}/{name}") for name in sorted(texts, key=natural)]
        self._people = [people for people, _ in read]
        kinds = {layout.name: layout for people, layout in read if people}
        if len(kinds) > 1:
            raise DataError(f"{path} has frames of {' and '.join(sorted(kinds))}; expected one layout in a clip")
        return next(iter(kinds.values()), read[0][1])

    def _take(self, array: NDArray[Any], layout: str) -> Layout:
        if array.dtype.kind not in "biuf" or not 2 <= array.ndim <= 4:
            raise DataError(
                f"{self.name} is an array of shape {array.shape} and type {array.dtype}; expected landmarks, "
                "(T, features), (T, joints, 3) or (T, persons, joints, 3), of numbers"
            )
        if 0 in array.shape:
            raise DataError(f"{self.name} has the shape {array.shape}, nothing in it; leave it out")
        self._array = array
        return layout_of(array.shape[1:], layout, self.name)


def read_landmarks(path: Any, layout: str = "auto") -> NDArray[np.float32]:
    """Return the landmarks of a clip as a network reads them, `(T, features)`, normalised by body; see `Landmarks`."""
    return Landmarks(path, layout).features()


def held(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return numbers in which one that is missing is the last that was there; 0 before there is one."""
    if np.isfinite(values).all():
        return values
    last, found = np.zeros(values.shape[1:], np.float32), np.empty_like(values)
    for row, value in enumerate(values):
        last = np.where(np.isfinite(value), value, last)
        found[row] = last
    return found


def files_in(folder: str) -> list[str]:
    """Return the names of the files that lie in a folder, which may lead into an archive."""
    inside = archive_of(folder)
    if inside is None and PurePosixPath(folder).suffix.lower() in ARCHIVES and Path(folder).is_file():
        inside = Path(folder), ""
    if inside is not None:
        home = f"{inside[1].rstrip('/')}/" if inside[1] else ""
        found = [name.removeprefix(home) for name in members(inside[0]) if name.startswith(home)]
        return [name for name in found if "/" not in name and not name.startswith(".")]
    try:
        return [path.name for path in Path(folder).iterdir() if not path.name.startswith(".")]
    except (OSError, ValueError) as error:
        raise DataError(f"{folder[:200]} is no file or folder of landmarks; check the path") from error


def _together(folder: str, names: list[str]) -> NDArray[Any]:
    frames = [read_arrays(f"{folder}/{name}")[0] for name in names]
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        other = next(name for name, frame in zip(names, frames, strict=True) if frame.shape != frames[0].shape)
        raise DataError(f"{folder} has frames of several shapes: {names[0]} and {other} differ; expected one shape")
    return np.stack([np.asarray(frame) for frame in frames])


def _json(path: str) -> Any:
    try:
        content = content_of(path)
        raw = content if isinstance(content, bytes) else Path(path).read_bytes()
        if len(raw) > _LONGEST:
            raise DataError(f"{path} has {len(raw):,} bytes; expected the landmarks of one frame")
        return json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no JSON that can be read ({str(error)[:80]}); expected OpenPose's file") from error
