"""Writing frames: pictures as text for a report, clips as video files, words drawn on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.libraries import library
from ostinato.data.video.raw import Pixels
from ostinato.errors import OutputError, UsageError
from ostinato.files import make_folder, remove_empty_folders

_CODECS = (("libx264", {"crf": "14", "preset": "veryfast"}), ("mpeg4", {"qscale": "2"}))
"""The first that is there; with little loss, as small pictures and fine words show it."""
_FASTEST = 1000


def frame_text(frame: NDArray[np.uint8], height: int = 96) -> str:
    """Return a frame `(H, W, C)` as a JPEG file in base64, for a panel `Frames`.

    Args:
        frame: grey or in colours.
        height: that it is brought to.
    """
    image = library("PIL.Image")
    flat = frame[..., 0] if frame.ndim == 3 and frame.shape[2] == 1 else frame
    picture = image.fromarray(np.ascontiguousarray(flat)).convert("RGB")
    width = max(round(picture.width * height / picture.height), 1)
    held = io.BytesIO()
    picture.resize((width, height), image.Resampling.BILINEAR).save(held, "JPEG", quality=85)
    return base64.b64encode(held.getvalue()).decode()


def with_words(frame: Pixels, words: str, share: float | None = None) -> Pixels:
    """Return a frame `(H, W, 3)` with a line of words on it, and a bar below them.

    Args:
        frame: at least some 120 pixels high, so that words can be read.
        words: what to write.
        share: of the width, how long the bar is; `None`: there is none.
    """
    image, draw = library("PIL.Image"), library("PIL.ImageDraw")
    picture = image.fromarray(np.ascontiguousarray(frame)).convert("RGB")
    pen = draw.Draw(picture)
    top = max(picture.height // 10, 14)
    pen.rectangle((0, 0, picture.width, top), fill=(0, 0, 0))
    pen.text((4, (top - 11) // 2), words, fill=(255, 255, 255))
    if share is not None:
        wide = int(min(max(share, 0.0), 1.0) * picture.width)
        pen.rectangle((0, top, wide, top + 3), fill=(230, 159, 0))
    return np.asarray(picture, np.uint8)


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], rate: float) -> Path:
    """Write frames as a video file, aside and then renamed, in the memory of a few frames; return its path.

    Args:
        path: its ending says the container, such as `.mp4`; its folder is made.
        frames: `(height, width, 3)`, or `(height, width, 1)` grey, all of one size; an odd side is a pixel longer in
            the file, as codecs want it.
        rate: frames a second.

    Raises:
        MissingExtra: PyAV is not installed.
        OutputError: it cannot be written.
        UsageError: there are no frames, they are of several sizes, or no pictures.
    """
    av, path = library("av"), Path(path)
    if not 0 < rate <= _FASTEST:
        raise UsageError(f"the rate is {rate}; expected frames a second, more than 0 and {_FASTEST:,} at most")
    made = make_folder(path.parent)
    aside = path.with_name(f".{path.stem}.part{path.suffix}")
    container, whole = None, False
    try:
        container = av.open(str(aside), "w")
        _encode(av, container, frames, rate)
        container.close()
        aside.replace(path)
        whole = True
    except UsageError:
        raise
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise OutputError(f"{path} cannot be written ({str(error)[:100]}); choose another folder or ending") from error
    finally:
        if container is not None:
            container.close()
        aside.unlink(missing_ok=True)
        if not whole:
            remove_empty_folders(made)
    return path


def _encode(av: Any, container: Any, frames: Iterable[NDArray[np.uint8]], rate: float) -> None:
    """Write frames into a container."""
    stream, size = None, (0, 0)
    for number, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] not in (1, 3) or 0 in frame.shape:
            raise UsageError(f"frame {number} is of shape {frame.shape}; expected (height, width, 3)")
        high, wide = frame.shape[:2]
        if stream is None:
            codec, options = next(each for each in _CODECS if each[0] in av.codecs_available)
            stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000), options=options)
            stream.height, stream.width, stream.pix_fmt = high + high % 2, wide + wide % 2, "yuv420p"
            size = (high, wide)
        if size != (high, wide):
            raise UsageError(f"frame {number} is {high} x {wide} pixels, and the first is {size[0]} x {size[1]}")
        even = np.pad(frame, ((0, high % 2), (0, wide % 2), (0, 0)), mode="edge")
        even = np.repeat(even, 3, 2) if even.shape[2] == 1 else np.ascontiguousarray(even)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
    if stream is None:
        raise UsageError("there are no frames to write; give one or more")
    container.mux(stream.encode(None))
