"""Which frames are anomalous, from a table beside the clips."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.table import texts
from ostinato.errors import DataError
from ostinato.tasks.video_anomaly.footage import Clipped, Footage

Marks = NDArray[np.bool_]
_EXPECTED = "clip and anomalous, a row for each frame, or clip, start and end, a row for each stretch"
_NORMAL = frozenset({"", "0", "0.0", "false", "no", "normal", "none", "nan"})


def with_labels(clips: Clipped, file: str) -> Clipped:
    """Return clips with the labels of a table; none where the table is of other clips.

    Args:
        clips: that were read.
        file: with a row for each frame (`clip`, perhaps `frame`, and `anomalous` or `label`), in order; or a row for
            each stretch (`clip`, `start`, `end`: numbers of frames from 0, the last one included).

    Raises:
        DataError: it is no such table.
    """
    table = read_table(file)
    columns = {name.strip().lower(): name for name in table.columns}
    kind = next((name for name in ("anomalous", "anomaly", "label", "labels") if name in columns), None)
    if kind is None and not {"start", "end"} <= columns.keys():
        raise DataError(f"{file} has the columns {', '.join(table.columns[:8])}; expected {_EXPECTED}")
    if "clip" not in columns and len(clips.clips) > 1:
        raise DataError(
            f"{file} has no column clip, and there are {len(clips.clips):,} clips; expected {_EXPECTED}, with the name "
            f"of a clip in each row, such as {clips.clips[0].name}"
        )
    names = texts(table, columns["clip"], ()) if "clip" in columns else [""] * table.rows
    owners = [_stem(name or "") for name in names]
    if kind is not None:
        cells = texts(table, columns[kind], ())
        known = _by_owner(owners, [str(cell or "").strip().lower() not in _NORMAL for cell in cells])
        found = [_whole(known, clip) for clip in clips.clips]
    else:
        bounds = [_numbers(texts(table, columns[name], ()), file, name) for name in ("start", "end")]
        stretches = _by_owner(owners, list(zip(*bounds, strict=True)))
        if not stretches.keys() & {"", *(_stem(clip.name) for clip in clips.clips)}:
            note(f"{file} names none of the clips of {clips.origin}, which count as not labelled")
            return clips
        found = [_marked(stretches.get(_stem(clip.name), stretches.get("", [])), clip, file) for clip in clips.clips]
    if any(marks is None for marks in found):
        lacking = next(clip.name for clip, marks in zip(clips.clips, found, strict=True) if marks is None)
        note(f"{file} has no label for each frame of {lacking}; the clips of {clips.origin} count as not labelled")
        return clips
    return clips.labelled([marks for marks in found if marks is not None])


def _stem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() not in ("", ".") and not path.suffix[1:].isdigit() else path.name


def _by_owner(owners: list[str], values: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for owner, value in zip(owners, values, strict=True):
        found.setdefault(owner, []).append(value)
    return found


def _whole(known: dict[str, list[bool]], clip: Footage) -> Marks | None:
    marks = known.get(_stem(clip.name), known.get(""))
    fits = marks is not None and (len(marks) == len(clip) or (len(marks) > len(clip) and not clip.whole))
    return np.array(marks[: len(clip)], np.bool_) if marks is not None and fits else None


def _marked(stretches: list[tuple[int, int]], clip: Footage, file: str) -> Marks:
    marks = np.zeros(len(clip), np.bool_)
    for start, end in stretches:
        if end < start or (clip.whole and end >= len(clip)):
            raise DataError(
                f"{file} has a stretch from frame {start} to {end} of {clip.name}, which has {len(clip):,} frames; "
                f"expected numbers from 0 to {len(clip) - 1}, the first one first"
            )
        marks[start : end + 1] = True
    return marks


def _numbers(cells: list[Any], file: str, column: str) -> list[int]:
    found = []
    for row, cell in enumerate(cells, 1):
        text = str(cell if cell is not None else "").strip()
        if not text.removesuffix(".0").isdecimal():
            raise DataError(f'row {row} of {file}: "{text[:40]}" in column "{column}" is no number of a frame, from 0')
        found.append(int(text.removesuffix(".0")))
    return found
