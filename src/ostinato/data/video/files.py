"""Video files of any container that FFmpeg reads, decoded by PyAV one frame at a time.

What real files are like is dealt with here: frames at no fixed distance, a rotation that is only written down, damaged
packets in the middle (left out and counted), times that jump, no index, pixels that are not square, a cover picture
that is no video.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.archives import content_of
from ostinato.data.video.libraries import library
from ostinato.data.video.raw import USUAL_RATE, Damage, Pixels, RawFrame
from ostinato.errors import DataError

SUFFIXES = frozenset(
    [
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
        ".hevc",
        ".ivf",
        ".m1v",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)
_JUMP = 60.0  # seconds between two frames that are a broken clock rather than a pause
_DAMAGED = 500  # packets in a row that cannot be decoded, after which a file is given up
_RATES = (0.01, 1000.0)


class VideoFile:
    """A video file; it is opened again for each pass.

    Args:
        path: of the file, or into an archive: `clips.zip/a.mp4`.
        name: what to call it in a message.
    """

    def __init__(self, path: str, name: str | None = None) -> None:
        self.path, self.name = path, name or path
        self.damage = Damage()
        with self._opened() as (_, stream):
            self.rate = _rate_of(stream)

    def frames(self, start: float = 0.0) -> Iterator[RawFrame]:
        """Yield frames as they are decoded, from the one on that is seen at a second.

        Raises:
            DataError: there are none, or the file cannot be read.
        """
        # where an index leads to a place after the second, or to none, the file is decoded from its beginning
        begun = False
        if start > 1.0:
            for frame in self._from(start, sought=True):
                begun = True
                yield frame
        if not begun:
            yield from self._from(start, sought=False)

    def _from(self, start: float, *, sought: bool) -> Iterator[RawFrame]:
        self.damage = Damage()
        with self._opened() as (container, stream):
            if sought and not _sought(container, stream, start):
                return
            clock = _Clock(1.0 / self.rate, _start_of(stream) if sought else None)
            count, turn = 0, None
            before: RawFrame | None = None
            for frame in self._decoded(container, stream):
                count += 1
                turn = _turn_of(frame) if turn is None else turn
                time = clock.time(frame)
                raw = _raw(frame, time, turn, _aspect_of(stream))
                if time < start - 1e-6:
                    before = raw
                    continue
                if before is None and sought and time > start + 1e-6 and count == 1:
                    return
                if before is not None and time > start + 1e-6:
                    yield before
                before = None
                yield raw
            self._settle(count, clock.jumps, stream, whole=not sought)

    def _settle(self, count: int, jumps: int, stream: Any, *, whole: bool) -> None:
        """Say what was wrong, now that all is read."""
        if not count and whole:
            damaged = f" that can be decoded ({self.damage.frames} damaged packets)" if self.damage.frames else ""
            raise DataError(f"{self.name} holds no frames{damaged}; leave it out, or record it again")
        if self.damage.frames:
            self.damage.remark(f"{self.damage.frames:,} damaged frames were left out")
        if whole and stream.frames > count + self.damage.frames:
            self.damage.remark(f"it ends early: {count:,} of the {stream.frames:,} frames that its header has")
        if jumps:
            self.damage.remark(f"its clock jumps {jumps:,} times; the frames there were taken to follow each other")

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield frames; what cannot be decoded is counted and passed over."""
        av = library("av")
        bad, packets = 0, container.demux(stream)
        while bad < _DAMAGED:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError) as error:
                if isinstance(error, OSError) and not isinstance(error, av.error.InvalidDataError):
                    raise DataError(f"{self.name} cannot be read ({_why(error)})") from error
                self.damage.frames += 1
                bad += 1
                packets = container.demux(stream)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damage.frames += 1
                    continue
                bad = 0
                yield frame

    def _opened(self) -> _Opened:
        return _Opened(self.path, self.name)


class _Opened:
    """An open container with its video, closed at the end of a `with`."""

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name

    def __enter__(self) -> tuple[Any, Any]:
        av = library("av")
        content = content_of(self.path)
        if isinstance(content, bytes):
            file: Any = io.BytesIO(content)
            size = len(content)
        else:  # with "file:" before it, no name is taken for an address or a pattern
            file, size = f"file:{self.path}", _size_of(self.path, self.name)
        if not size:
            raise DataError(f"{self.name} is empty (0 bytes); leave it out, or fetch it again")
        try:
            self.container = av.open(file, metadata_errors="replace")
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise DataError(
                f"{self.name} cannot be read as video ({_why(error)}); expected a file that FFmpeg reads (MP4, MKV, "
                "AVI, WebM, MPEG, ...): it is none, or a recording that was cut off before its index was written"
            ) from error
        streams = [one for one in self.container.streams.video if not _is_cover(av, one)]
        if not streams:
            kinds = sorted({one.type for one in self.container.streams}) or ["nothing"]
            self.container.close()
            raise DataError(f"{self.name} holds no video, but {' and '.join(kinds)}; expected a video file")
        stream = streams[0]
        stream.thread_type = "AUTO"
        return self.container, stream

    def __exit__(self, *_: object) -> None:
        self.container.close()


class _Clock:
    """Times of frames in seconds since the first one, which never fall and never leap."""

    def __init__(self, period: float, zero: float | None) -> None:
        self.period, self.zero, self.jumps = period, zero, 0
        self.shift = 0.0
        self.last: float | None = None

    def time(self, frame: Any) -> float:
        """Return when a frame is shown."""
        given = frame.time
        if given is None or not math.isfinite(given):
            found = 0.0 if self.last is None else self.last + self.period
        else:
            self.zero = given if self.zero is None else self.zero
            found = given - self.zero + self.shift
            if self.last is not None and not -1e-6 <= found - self.last <= _JUMP:
                self.jumps += 1
                self.shift += self.last + self.period - found
                found = self.last + self.period
        self.last = max(found, 0.0)
        return self.last


def _raw(frame: Any, time: float, turn: int, aspect: float) -> RawFrame:
    height, width = frame.height, frame.width
    return RawFrame(
        time,
        (width, height) if turn % 2 else (height, width),
        _pixels_of(frame, turn),
        1 / aspect if turn % 2 else aspect,
    )


def _pixels_of(frame: Any, turn: int) -> Callable[[int, int, int], Pixels]:
    def pixels(height: int, width: int, channels: int) -> Pixels:
        lying = (width, height) if turn % 2 else (height, width)
        smaller = lying[0] < frame.height or lying[1] < frame.width
        found: Any = frame.to_ndarray(
            format="gray" if channels == 1 else "rgb24",
            height=lying[0],
            width=lying[1],
            interpolation="AREA" if smaller else "BILINEAR",
        )
        found = found[..., None] if found.ndim == 2 else found
        return np.ascontiguousarray(np.rot90(found, turn)) if turn else found

    return pixels


def _turn_of(frame: Any) -> int:
    """Return by how many quarters, against the clock, a frame has to be turned so that it stands upright."""
    degrees = getattr(frame, "rotation", 0) or 0
    return round(degrees / 90) % 4


def _aspect_of(stream: Any) -> float:
    found = stream.sample_aspect_ratio
    return float(found) if found and 0.1 < found < 10 else 1.0


def _rate_of(stream: Any) -> float:
    for given in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if given and _RATES[0] <= float(given) <= _RATES[1]:
            return float(given)
    return USUAL_RATE


def _start_of(stream: Any) -> float:
    return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)


def _sought(container: Any, stream: Any, start: float) -> bool:
    """Go to the key frame before a second, where the file can be sought in; else it is decoded from its beginning."""
    if stream.time_base is None or stream.start_time is None:
        return False
    av = library("av")
    try:
        container.seek(int((start + _start_of(stream)) / stream.time_base), stream=stream, backward=True)
    except (av.error.FFmpegError, ValueError, OSError):
        return False
    return True


def _is_cover(av: Any, stream: Any) -> bool:
    """Tell whether a stream is the picture of a record's cover."""
    cover = getattr(getattr(av.stream, "Disposition", None), "attached_pic", None)
    return cover is not None and bool(stream.disposition & cover)


def _size_of(path: str, name: str) -> int:
    try:
        found = Path(path)
        if found.is_dir():
            raise DataError(f"{name} is a folder; expected a video file")
        return found.stat().st_size
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name[:200]} does not exist; check the path") from error


def _why(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error).splitlines()[0] or type(error).__name__).lower()[:100]
