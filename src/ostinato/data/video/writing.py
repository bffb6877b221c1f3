"""Writing frames: pictures as text for a report, clips as video files, words drawn on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.libraries import library
from ostinato.data.video.raw import Pixels
from ostinato.errors import OutputError, UsageError


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
    """Write frames `(H, W, 3)` as a video file, aside and then renamed; return its path.

    Args:
        path: its ending says the container, such as `.mp4`.
        frames: of one size, which is cut to even numbers, as codecs want it.
        rate: frames a second.

    Raises:
        OutputError: it cannot be written.
        UsageError: there are no frames.
    """
    from fractions import Fraction

    av, path = library("av"), Path(path)
    aside = path.with_name(f".{path.stem}.part{path.suffix}")
    stream, container = None, None
    try:
        container = av.open(str(aside), "w")
        for frame in frames:
            if stream is None:
                codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
                stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
                stream.height, stream.width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
                stream.pix_fmt = "yuv420p"
            even = np.ascontiguousarray(frame[: stream.height, : stream.width])
            even = np.repeat(even, 3, 2) if even.shape[2] == 1 else even
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is None:
            raise UsageError("there are no frames to write; give one or more")
        container.mux(stream.encode(None))
        container.close()
        aside.replace(path)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        if isinstance(error, UsageError):
            raise
        raise OutputError(f"{path} cannot be written ({str(error)[:100]}); choose another folder or ending") from error
    finally:
        if container is not None:
            container.close()
        aside.unlink(missing_ok=True)
    return path
