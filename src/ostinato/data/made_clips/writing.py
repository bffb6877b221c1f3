"""Clips as video files, and a table that names them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.made_clips.clip import MadeClip
from ostinato.errors import MissingExtra, OutputError, UsageError
from ostinato.files import make_folder, write_atomically

_CODECS = (("libx264", {"crf": "14", "preset": "veryfast"}), ("mpeg4", {"qscale": "2"}))
"""The first that is there; with little loss, since the clips are small."""


def write_video(path: str | Path, frames: NDArray[np.uint8], rate: float) -> None:
    """Write frames as a video file; the folder is made.

    Args:
        path: its suffix says which container: `.mp4`, `.mkv`, `.avi`, `.mov`.
        frames: `(time, height, width, 3)`, uint8; an odd side is widened by a pixel, as the codecs want it.
        rate: frames a second.

    Raises:
        MissingExtra: PyAV is not installed.
        UsageError: the frames are none.
        OutputError: the file cannot be written.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise UsageError(f"the frames are of shape {frames.shape}; expected (time, height, width, 3), one or more")
    where = Path(path)
    try:
        content = _encoded(frames, rate, where.suffix[1:] or "mp4")
    except (ValueError, OSError) as error:
        raise OutputError(f"{where} cannot be written as a video: {error}; expected a name such as clip.mp4") from error
    make_folder(where.parent)
    write_atomically(where, content)


def write_clips(folder: str | Path, clips: Iterable[MadeClip], *, suffix: str = ".mp4", captions: int = 1) -> Path:
    """Write clips as video files, and `clips.csv` beside them; return the table.

    Its columns are `video`, `label`, `caption` and `onset` (seconds); a clip has a row for each of its captions, up to
    so many as `captions` says.

    Raises:
        MissingExtra: PyAV is not installed.
        OutputError: a file cannot be written.
    """
    where = Path(folder)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["video", "label", "caption", "onset"])
    for number, clip in enumerate(clips):
        name = f"{number:04}{suffix}"
        write_video(where / name, clip.frames, clip.rate)
        writer.writerows([name, clip.label, each, clip.onset / clip.rate] for each in clip.captions[:captions])
    make_folder(where)
    write_atomically(where / "clips.csv", table.getvalue().encode())
    return where / "clips.csv"


def _encoded(frames: NDArray[np.uint8], rate: float, container: str) -> bytes:
    try:
        import av
    except ImportError as error:
        raise MissingExtra("writing video needs the extra video: pip install 'ostinato[video]'") from error
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    made = io.BytesIO()
    codec, options = next(each for each in _CODECS if each[0] in av.codecs_available)
    known = {"mkv": "matroska"}.get(container, container)
    with av.open(made, "w", format=known) as output:
        stream: Any = output.add_stream(codec, rate=Fraction(rate).limit_denominator(1000), options=options)
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        for frame in even:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    return made.getvalue()
