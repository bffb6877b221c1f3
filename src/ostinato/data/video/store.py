"""What was decoded, kept on disk: clips as the network reads them, by what is in their files and how they are read.

The folder is that of `ostinato.files.cache_folder`; it is bounded, and what is in it can be deleted at any time. A
clip is written aside, frame by frame, and renamed once it is whole, so that one that was cut short by a kill is
never read.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.numpy_files import read_npy
from ostinato.errors import DataError
from ostinato.files import cache_folder, delete_quietly, sweep_leftovers

LIMIT = 4 << 30  # bytes of all clips together
_HEADER = 256  # bytes before the numbers of a file
_ENDING = ".npy"


class ClipStore:
    """Arrays by their keys, on disk, the longest unused of them deleted when they become too many.

    Args:
        folder: where they are; `None`: the user's cache, or nowhere where there is none.
        limit: bytes of all of them together.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        base = cache_folder() if folder is None else folder
        self.folder = None if base is None else base / "video" if folder is None else folder
        self.limit = limit

    def get(self, key: str) -> NDArray[Any] | None:
        """Return an array that is kept, as a map of its file; `None`: there is none, or it is damaged."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}{_ENDING}"
        try:
            found = read_npy(path)
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, DataError, ValueError):
            delete_quietly(path)
            return None
        return found

    def put(self, key: str, frames: Iterator[NDArray[Any]]) -> NDArray[Any]:
        """Keep frames of one shape as one array, `(T, ...)`, and return it; no more than one is in memory.

        Where nothing can be written, the array is in memory.

        Raises:
            DataError: there are no frames.
        """
        first = next(frames, None)
        if first is None:
            raise DataError("a clip has no frames")
        rest = _before(first, frames)
        aside = self._opened(key)
        if aside is None:
            return np.stack(list(rest))
        handle, path = aside
        count, held = 0, list[NDArray[Any]]()
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(b"\0" * _HEADER)
                for frame in rest:
                    held = [frame]
                    file.write(np.ascontiguousarray(frame).tobytes())
                    held = []
                    count += 1
                file.seek(0)
                file.write(_header((count, *first.shape), first.dtype))
            assert self.folder is not None
            path.replace(self.folder / f"{key}{_ENDING}")
        except OSError as error:  # the disk is full: what was written is read back, and the rest stays in memory
            written = _read_back(path, count, first)
            delete_quietly(path)
            if isinstance(error, DataError):
                raise
            return np.stack([*written, *held, *rest])
        except BaseException:
            delete_quietly(path)
            raise
        self._shrink()
        found = self.get(key)
        if found is None:
            raise DataError("a clip was deleted from the cache as it was read; try again")
        return found

    def _opened(self, key: str) -> tuple[int, Path] | None:
        if self.folder is None:
            return None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=f".{key}{_ENDING}.", suffix=".ostinato")
        except OSError:
            return None
        return handle, Path(name)

    def _shrink(self) -> None:
        """Delete those that were not used for longest, and what killed runs left behind."""
        if self.folder is None:
            return
        sweep_leftovers(self.folder, r"[0-9a-f]+\.npy")
        found = []
        for path in self.folder.glob(f"*{_ENDING}"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found)[:-1]:  # never the one that was just written
            if total <= self.limit:
                return
            delete_quietly(path)
            total -= size


def _before(first: NDArray[Any], rest: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from rest


def _header(shape: tuple[int, ...], kind: np.dtype[Any]) -> bytes:
    """Return the header of a `.npy` file of version 1.0, of a fixed length."""
    text = repr({"descr": kind.str, "fortran_order": False, "shape": shape}).encode()
    size = _HEADER - 10
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + text.ljust(size - 1) + b"\n"


def _read_back(path: Path, count: int, like: NDArray[Any]) -> list[NDArray[Any]]:
    try:
        raw = path.read_bytes()[_HEADER:]
    except OSError:
        raw = b""
    size = like.nbytes
    return [
        np.frombuffer(raw[row * size : (row + 1) * size], like.dtype).reshape(like.shape)
        for row in range(min(count, len(raw) // max(size, 1)))
    ]
