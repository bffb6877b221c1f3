"""A piano roll as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ostinato.data.music import note_name
from ostinato.errors import MissingExtra
from ostinato.files import write_atomically
from ostinato.tasks.music.composition import Composition

_GIVEN, _WRITTEN = "#D55E00", "#0072B2"
_INCHES = 0.11  # of a quarter across


def draw(made: Composition, path: str | Path, title: str = "") -> Path:
    """Write a piano roll of a composition as PNG or SVG: what was given of one colour, what was written of another.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: it cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("a picture needs matplotlib: pip install 'ostinato[report]'") from error
    length = max(each.length for each in made.tracks)
    figure: Any = Figure(figsize=(min(16.0, max(6.0, _INCHES * length)), 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, track in enumerate(made.tracks):
        for start, lasts, pitch in zip(track.start, track.duration, track.pitch, strict=True):
            given = number < made.given or start < made.opening
            axes.broken_barh([(start, lasts * 0.94)], (pitch - 0.4, 0.8), color=_GIVEN if given else _WRITTEN)
    pitches = [int(each) for track in made.tracks for each in track.pitch] or [60]
    marked = range(-(-min(pitches) // 12) * 12, max(pitches) + 1, 12)
    axes.set_yticks(list(marked), [note_name(each) for each in marked])
    axes.set(xlabel="quarter", ylabel="note", title=title, xlim=(0, length))
    axes.grid(axis="y", alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="svg" if Path(path).suffix.lower() == ".svg" else "png", dpi=120)
    write_atomically(Path(path), content.getvalue())
    return Path(path)
