"""Clips as video files, and a table that names them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from ostinato.data.made_clips.clip import MadeClip
from ostinato.data.video.writing import write_video
from ostinato.files import make_folder, write_atomically


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
