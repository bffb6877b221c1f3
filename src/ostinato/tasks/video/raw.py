"""Raw frames as they come from a camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ostinato.errors import DataError, UsageError
from ostinato.streaming import SoundStream, refused
from ostinato.tasks.video.stream import VideoStream


class RawVideo(SoundStream):
    """Raw frames as bytes, one behind the other: what `ffmpeg -f rawvideo -pix_fmt rgb24` writes.

    Args:
        stream: that answers frames.
        size: of a frame, `"WIDTHxHEIGHT"`.

    Raises:
        UsageError: it is no size.
    """

    kind = "raw video"

    def __init__(self, stream: VideoStream, size: str) -> None:
        parts = str(size).lower().split("x")
        if len(parts) != 2 or not all(part.isdigit() and 1 <= int(part) <= 16_384 for part in parts):
            raise UsageError(f'raw is "{size}"; expected the size of a frame, WIDTHxHEIGHT, such as 320x240')
        if stream.reader.kind != "pixels":
            raise UsageError(
                "the model reads landmarks, so that raw frames tell it nothing; push landmarks, a frame a line"
            )
        self.stream, self.width, self.height = stream, int(parts[0]), int(parts[1])
        self._bytes, self._count = b"", 0

    @property
    def packet(self) -> int:
        """Bytes that are read at once, at most: what a frame lacks."""
        return self._size - len(self._bytes)

    @property
    def _size(self) -> int:
        return self.width * self.height * 3

    def push(self, row: bytes) -> list[dict[str, Any]]:
        """Take bytes in, and return an answer for each frame that is whole with them."""
        held, found = self._bytes + bytes(row), []
        while len(held) >= self._size:
            frame, held = held[: self._size], held[self._size :]
            pixels = np.frombuffer(frame, np.uint8).reshape(self.height, self.width, 3)
            answer = self.stream.push(pixels)
            self._count += 1
            found.append({"frame": self._count, **answer})
        self._bytes = held
        return found

    def lines(self, answer: Any) -> Iterator[Mapping[str, Any]]:
        """Yield answers as they are."""
        yield from answer

    def finish(self) -> list[dict[str, Any]]:
        """Return nothing: every frame was answered; and begin again.

        Raises:
            DataError: the last frame is not whole.
        """
        left = len(self._bytes)
        self.reset()
        if left:
            raise DataError(
                f"the last frame has {left:,} of {self._size:,} bytes; expected frames of {self.width} x "
                f"{self.height} RGB: "
                "check --raw and the pixel format (rgb24)"
            )
        return []

    def reset(self) -> None:
        """Begin a new clip."""
        self.stream.reset()
        self._bytes, self._count = b"", 0

    def mark(self) -> str:
        """Return what tells the model and the size from others."""
        return f"{self.stream.mark()} {self.width}x{self.height}"

    def kept(self) -> Mapping[str, Any]:
        """Return what the stream keeps, and the bytes of a frame that is not whole."""
        return {"inner": dict(self.stream.kept()), "bytes": list(self._bytes), "frames": self._count}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what was kept."""
        held, count = kept.get("bytes"), kept.get("frames")
        if not isinstance(held, list) or len(held) >= self._size or type(count) is not int or count < 0:
            raise refused("has no frame that was begun")
        if not all(type(one) is int and 0 <= one < 256 for one in held) or not isinstance(kept.get("inner"), dict):
            raise refused("has no bytes of a frame")
        self.stream.accept(kept["inner"])
        self._bytes, self._count = bytes(held), count
