"""Music from wherever it is: a file, a folder of files, or pieces that are there already."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.music import abc_tunes, midi, rolls
from ostinato.data.music.grid import from_frames, of_chords
from ostinato.data.music.pieces import Piece, Pieces
from ostinato.errors import DataError, DataWarning, UsageError
from ostinato.words import counted

ENDINGS = (*midi.ENDINGS, *abc_tunes.ENDINGS, *rolls.ENDINGS)
_SHOWN = 3  # of files that are left out


def read_music(source: Any, *, steps_per_quarter: int = 4, drums: bool = False) -> Pieces:
    """Read music.

    Args:
        source: a path of a MIDI file, of tunes in ABC or of piano rolls; a folder of such files, in which folders or
            files called `train`, `valid` and `test` are these parts; pieces; or piano rolls, each `(steps, 88)` or
            `(steps, 128)` or a list of the notes of each step.
        steps_per_quarter: how many steps of a piano roll make a quarter.
        drums: whether to keep drums of MIDI files.

    Raises:
        DataError: it cannot be read, or there is nothing in it. A damaged file of a folder is left out with a warning.
    """
    if isinstance(source, Pieces):
        return source
    if isinstance(source, Piece):
        return Pieces(source.name, (source,))
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise DataError(f"{path} does not exist; give a MIDI file, ABC tunes, piano rolls, or a folder of them")
        return _folder(path, steps_per_quarter, drums) if path.is_dir() else _file(path, steps_per_quarter, drums)
    if isinstance(source, (list, tuple)):
        found = [_given(value, f"piece {i}", steps_per_quarter, drums) for i, value in enumerate(source, 1)]
        return Pieces("the pieces", tuple(piece for each in found for piece in each.pieces))
    raise UsageError(f"music is a {type(source).__name__}; expected a path, pieces, or a list of piano rolls")


def _given(given: Any, name: str, steps: int, drums: bool) -> Pieces:
    if isinstance(given, (Piece, Pieces, str, os.PathLike)):
        return read_music(given, steps_per_quarter=steps, drums=drums)
    if isinstance(given, np.ndarray):
        return Pieces(name, (from_frames(rolls.frames_of(given, name), steps, name),))
    if isinstance(given, Sequence) and all(isinstance(chord, (list, tuple)) for chord in given):
        return Pieces(name, (from_frames(of_chords(given, name), steps, name),))
    raise UsageError(f"{name} is a {type(given).__name__}; expected a path, a Piece, or a piano roll")


def _file(path: Path, steps: int, drums: bool) -> Pieces:
    name = path.name.lower()
    if name.endswith(midi.ENDINGS):
        return Pieces(str(path), (midi.read_midi(path, drums=drums),))
    if name.endswith(abc_tunes.ENDINGS):
        tunes = tuple(abc_tunes.read_abc(path))
        if not tunes:
            raise DataError(f"{path} has no notes; give tunes with some")
        return Pieces(str(path), tunes)
    if name.endswith((*rolls.ENDINGS, ".pickle", ".pkl")):
        return rolls.read_rolls(path, steps)
    with path.open("rb") as file:
        begin = file.read(4)
    if begin == b"MThd":
        return Pieces(str(path), (midi.read_midi(path, drums=drums),))
    raise DataError(f"{path} is no music that is known by its ending; expected one of {', '.join(ENDINGS)}")


def _folder(path: Path, steps: int, drums: bool) -> Pieces:
    files = sorted(each for each in path.rglob("*") if each.is_file() and each.name.lower().endswith(ENDINGS))
    if not files:
        raise DataError(f"{path} has no music; expected files that end in {', '.join(ENDINGS)}")
    pieces: list[Piece] = []
    parts: list[str] = []
    bad: list[str] = []
    for file in files:
        try:
            found = _file(file, steps, drums)
        except DataError as error:
            bad.append(str(error))
            continue
        within = [rolls.part_of(each) for each in file.relative_to(path).parts]
        part = next(filter(None, within), "")
        pieces += found.pieces
        parts += [each or part for each in found.parts]
    if not pieces:
        raise DataError(f"{path} has {counted(len(files), 'files')}, of which none can be read: {bad[0]}")
    if bad:
        shown = "; ".join(bad[:_SHOWN])
        warnings.warn(
            f"{len(bad):,} of {counted(len(files), 'files')} of {path} left out: {shown}", DataWarning, stacklevel=2
        )
    return Pieces(str(path), tuple(pieces), tuple(parts))
