"""Pieces on a grid of equal steps: which notes sound in each, and back.

A note begins at the step nearest to its start and sounds until the step nearest to its end, for one step at least.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music.pieces import TEMPO, VELOCITY, Piece
from ostinato.errors import DataError

Frames = NDArray[np.bool_]
"""Which notes sound in each step, `(steps, 128)`."""
_MOST_STEPS = 4_000_000


def on_grid(piece: Piece, steps_per_quarter: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the first step of each note and the one after its last, `(notes,)`, and how many steps there are.

    Raises:
        DataError: the piece has too many steps.
    """
    start = np.floor(piece.start * steps_per_quarter + 0.5).astype(np.int64)
    end = np.floor((piece.start + piece.duration) * steps_per_quarter + 0.5).astype(np.int64)
    end = np.maximum(end, start + 1)
    steps = max(int(np.floor(piece.length * steps_per_quarter + 0.5)), int(end.max(initial=0)))
    if steps > _MOST_STEPS:
        raise DataError(f"{piece.name} has {steps:,} steps; expected at most {_MOST_STEPS:,}: take fewer a quarter")
    return start, end, steps


def to_frames(piece: Piece, steps_per_quarter: int) -> Frames:
    """Return which notes sound in each step, `(steps, 128)`.

    >>> to_frames(Piece.of([(0, 1, 60), (0.5, 0.5, 64)]), 2).nonzero()
    (array([0, 1, 1]), array([60, 60, 64]))
    """
    start, end, steps = on_grid(piece, steps_per_quarter)
    # beginnings and ends are counted and summed up, so that the work does not depend on how long notes are
    change = np.zeros((steps + 1, 128), np.int32)
    np.add.at(change, (start, piece.pitch), 1)
    np.add.at(change, (end, piece.pitch), -1)
    found: Frames = change[:-1].cumsum(0) > 0
    return found


def from_frames(
    frames: Frames,
    steps_per_quarter: int,
    name: str = "the piece",
    *,
    struck: int | None = None,
    tempo: float = TEMPO,
    metre: tuple[int, int] = (4, 4),
    velocity: int = VELOCITY,
    sharps: int | None = None,
) -> Piece:
    """Return the piece of which `to_frames` has these steps: a note that sounds on from step to step is held.

    Args:
        frames: `(steps, 128)`.
        steps_per_quarter: of them.
        name: what messages call it.
        struck: after so many steps from the beginning on, a held note is struck again; `None`: it never is.
        tempo: of the piece, as metre and sharps.
        metre: likewise.
        velocity: of every note.
        sharps: see tempo.
    """
    again = np.zeros(len(frames), bool)
    if struck:
        again[::struck] = True
    before = np.zeros_like(frames)
    before[1:] = frames[:-1] & ~again[1:, None]
    first = frames & ~before
    after = np.zeros_like(frames)
    after[:-1] = frames[1:] & ~again[1:, None]
    last = frames & ~after
    # by pitch, then by time: the n-th beginning of a pitch goes with its n-th end
    pitch, start = first.T.nonzero()
    _, end = last.T.nonzero()
    return Piece.sorted_by_time(
        name, start / steps_per_quarter, (end + 1 - start) / steps_per_quarter, pitch,
        np.full(len(pitch), velocity), len(frames) / steps_per_quarter, tempo=tempo, metre=metre, sharps=sharps,
    )  # fmt: skip


def of_chords(chords: Sequence[Sequence[int]], name: str = "the piece") -> Frames:
    """Return steps of which the notes that sound in each are listed, as `(steps, 128)`.

    Raises:
        DataError: a note is none.
    """
    frames = np.zeros((len(chords), 128), bool)
    for step, chord in enumerate(chords):
        for pitch in chord:
            if isinstance(pitch, bool) or int(pitch) != pitch or not 0 <= pitch <= 127:
                raise DataError(f"{name} has a note {pitch!r} in step {step + 1}; expected whole numbers, 0 to 127")
            frames[step, int(pitch)] = True
    return frames
