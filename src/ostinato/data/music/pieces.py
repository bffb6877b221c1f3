"""A piece of music as notes in time, whatever file it came from, and many of them with the parts they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

LOWEST, HIGHEST = 0, 127
PIANO = (21, 108)
"""The lowest and the highest note of a piano, as MIDI numbers them: A0 and C8."""
LONGEST = 200_000.0
"""Quarters that a piece may last, at most: some 28 hours at 120 a minute."""
TEMPO, VELOCITY = 120.0, 80
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True)
class Piece:
    """Notes in time, sorted by their start, then by their pitch.

    Args:
        name: what messages call it.
        start, duration: `(notes,)`, in quarters.
        pitch: `(notes,)`, as MIDI numbers them, 60 is the middle C.
        velocity: `(notes,)`, how hard each is struck, 1 to 127.
        length: of the piece, in quarters; silence at the end counts.
        tempo: quarters a minute.
        metre: beats of a bar, and the note that has one: `(3, 4)`.
        sharps: of the key signature, less than none for flats; `None`: it is not said.

    >>> piece = Piece.of([(0, 1, 60), (1, 1, 64)])
    >>> len(piece), piece.length
    (2, 2.0)
    """

    name: str
    start: NDArray[np.float64]
    duration: NDArray[np.float64]
    pitch: NDArray[np.int16]
    velocity: NDArray[np.uint8]
    length: float
    tempo: float = TEMPO
    metre: tuple[int, int] = (4, 4)
    sharps: int | None = None

    @classmethod
    def of(cls, notes: Iterable[Any], name: str = "the piece", length: float = 0.0, **more: Any) -> Piece:
        """Return a piece of notes `(start, duration, pitch)` or `(start, duration, pitch, velocity)`, in quarters."""
        rows = [(*own, VELOCITY)[:4] for own in notes]
        start, duration, pitch, velocity = (np.array([row[i] for row in rows], np.float64) for i in range(4))
        return cls.sorted_by_time(name, start, duration, pitch, velocity, length, **more)

    @classmethod
    def sorted_by_time(
        cls, name: str, start: Any, duration: Any, pitch: Any, velocity: Any, length: float = 0.0, **more: Any
    ) -> Piece:
        """Return a piece of notes in any order; it lasts until the last of them ends, or for `length`.

        Raises:
            DataError: a note is none, or the piece lasts too long.
        """
        start, duration, pitch = (np.asarray(own, np.float64) for own in (start, duration, pitch))
        if not (np.isfinite(start).all() and np.isfinite(duration).all()):
            raise DataError(f"{name} has a note at no finite time; write the file again")
        if len(pitch) and not (pitch.min() >= LOWEST and pitch.max() <= HIGHEST):
            raise DataError(f"{name} has a note {pitch.max():g}; expected pitches from {LOWEST} to {HIGHEST}")
        if len(start) and start.min() < 0:
            raise DataError(f"{name} has a note at {start.min():g} quarters; expected times of 0 or more")
        end = max(float((start + duration).max(initial=0.0)), length)
        if end > LONGEST:
            raise DataError(f"{name} lasts {end:,.0f} quarters; expected at most {LONGEST:,.0f}: is its time right?")
        order = np.lexsort((pitch, start))
        return cls(
            name, start[order], duration[order], pitch[order].astype(np.int16),
            np.clip(np.asarray(velocity, np.float64)[order], 1, 127).astype(np.uint8), end, **more,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.pitch)

    @property
    def seconds(self) -> float:
        """How long it lasts at its tempo."""
        return self.length * 60.0 / self.tempo

    @property
    def bar(self) -> float:
        """How long a bar lasts, in quarters."""
        return 4.0 * self.metre[0] / self.metre[1]

    def transposed(self, semitones: int) -> Piece:
        """Return the piece so many semitones higher."""
        return replace(self, pitch=(self.pitch + semitones).astype(np.int16))

    def within(self, low: int, high: int) -> Piece:
        """Return the piece without the notes below `low` and above `high`."""
        kept = (self.pitch >= low) & (self.pitch <= high)
        return replace(
            self, start=self.start[kept], duration=self.duration[kept], pitch=self.pitch[kept],
            velocity=self.velocity[kept],
        )  # fmt: skip

    def until(self, quarters: float) -> Piece:
        """Return what begins before a time; notes that sound on are cut there."""
        kept = self.start < quarters
        cut = np.minimum(self.duration, quarters - self.start)[kept]
        return replace(
            self, start=self.start[kept], duration=cut, pitch=self.pitch[kept], velocity=self.velocity[kept],
            length=min(self.length, quarters),
        )  # fmt: skip


@dataclass(frozen=True)
class Pieces:
    """Pieces of music, and the part of the data that each is said to belong to.

    Args:
        origin: what they are called.
        pieces: in the order of the source.
        parts: of each, `"train"`, `"validation"` or `"test"`, or `""` where the source does not say.
    """

    origin: str
    pieces: tuple[Piece, ...]
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            object.__setattr__(self, "parts", ("",) * len(self.pieces))

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, rows: Any) -> Pieces:
        """Return some of them, by a slice or by numbers."""
        places = range(len(self))[rows] if isinstance(rows, slice) else [int(row) for row in rows]
        return Pieces(self.origin, tuple(self.pieces[i] for i in places), tuple(self.parts[i] for i in places))

    @property
    def divided(self) -> bool:
        """Whether the source says which of them are trained on, and which are held out."""
        return "train" in self.parts and bool({"validation", "test"} & set(self.parts))

    def part(self, name: str) -> Pieces:
        """Return those that belong to a part."""
        return self[[i for i, part in enumerate(self.parts) if part == name]]


def note_name(pitch: int) -> str:
    """Return the name of a note.

    >>> note_name(60), note_name(70)
    ('C4', 'A#4')
    """
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"
