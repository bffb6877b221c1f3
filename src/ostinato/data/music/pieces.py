"""A piece of music as notes in time, whatever file it came from, and many of them with the parts they belong to."""

from __future__ import annotations

import math
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
SLOWEST, FASTEST = 3.58, 10_000.0
"""Quarters a minute that a tempo may have: a MIDI file has 24 bits for the microseconds of a quarter."""
METRES = (1, 2, 4, 8, 16, 32, 64)
"""The notes that a beat may be, `B` of a metre `A/B`; `A` is at most `MOST_BEATS`."""
MOST_BEATS = 64
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True)
class Piece:
    """Notes in time, sorted by their start, then by their pitch.

    Args:
        name: what messages call it.
        start, duration: `(notes,)`, in quarters; a note lasts more than 0.
        pitch: `(notes,)`, as MIDI numbers them, 60 is the middle C.
        velocity: `(notes,)`, how hard each is struck, 1 to 127.
        length: of the piece, in quarters; silence at the end counts.
        tempo: quarters a minute, 3.58 to 10,000.
        metre: beats of a bar, at most 64, and the note that has one, a power of two up to 64: `(3, 4)`.
        sharps: of the key signature, up to 7, less than none for flats, -7; `None`: it is not said.

    Raises:
        DataError: a number is out of its range.

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

    def __post_init__(self) -> None:
        """Refuse what no file could say."""
        self._check_head()
        if not len(self.pitch):
            return
        if not (np.isfinite(self.start).all() and np.isfinite(self.duration).all()):
            raise DataError(f"{self.name} has a note at no finite time; write the file again")
        if self.start.min() < 0:
            raise DataError(f"{self.name} has a note at {self.start.min():g} quarters; expected times of 0 or more")
        if self.duration.min() <= 0:
            raise DataError(f"{self.name} has a note that lasts {self.duration.min():g} quarters; expected more than 0")
        _check_pitches(self.name, self.pitch)

    def _check_head(self) -> None:
        if not _is_number(self.tempo) or not SLOWEST <= self.tempo <= FASTEST:
            raise DataError(
                f"{self.name} has a tempo of {_short(self.tempo)}; expected quarters a minute, {SLOWEST:g} to "
                f"{FASTEST:,.0f}"
            )
        if not is_metre(self.metre):
            raise DataError(
                f"{self.name} has the metre {_short(self.metre)}; expected beats of a bar, 1 to {MOST_BEATS}, and a "
                f"power of two, 1 to {METRES[-1]}: (3, 4)"
            )
        if self.sharps is not None and not (_is_number(self.sharps) and self.sharps in range(-7, 8)):
            raise DataError(f"{self.name} has {_short(self.sharps)} sharps; expected -7 (flats) to 7")
        if not _is_number(self.length) or not 0 <= self.length <= LONGEST:
            raise DataError(
                f"{self.name} lasts {_short(self.length)} quarters; expected at most {LONGEST:,.0f}: is its time right?"
            )

    @classmethod
    def of(cls, notes: Iterable[Any], name: str = "the piece", length: float = 0.0, **more: Any) -> Piece:
        """Return a piece of notes `(start, duration, pitch)` or `(start, duration, pitch, velocity)`, in quarters.

        Raises:
            DataError: a note is none, or the piece lasts too long.
        """
        try:
            rows = [(*note, VELOCITY)[:4] for note in notes]
            start, duration, pitch, velocity = (np.array([row[i] for row in rows], np.float64) for i in range(4))
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise DataError(
                f"{name} has a note that is none; expected numbers (start, duration, pitch) or (start, duration, "
                "pitch, velocity)"
            ) from error
        return cls.sorted_by_time(name, start, duration, pitch, velocity, length, **more)

    @classmethod
    def sorted_by_time(
        cls, name: str, start: Any, duration: Any, pitch: Any, velocity: Any, length: float = 0.0, **more: Any
    ) -> Piece:
        """Return a piece of notes in any order; it lasts until the last of them ends, or for `length`.

        A velocity below 1 or above 127 is taken as that.

        Raises:
            DataError: a note is none, or the piece lasts too long.
        """
        start, duration, pitch, velocity = (np.asarray(each, np.float64) for each in (start, duration, pitch, velocity))
        if not (np.isfinite(start).all() and np.isfinite(duration).all()):
            raise DataError(f"{name} has a note at no finite time; write the file again")
        _check_pitches(name, pitch)
        if not np.isfinite(velocity).all():
            raise DataError(f"{name} has a note with a velocity that is no number; expected 1 to 127")
        if not _is_number(length) or math.isnan(length):
            raise DataError(f"{name} lasts {_short(length)} quarters; expected a number of 0 or more")
        end = max(float((start + duration).max(initial=0.0)), length)
        if end > LONGEST:
            raise DataError(f"{name} lasts {end:,.0f} quarters; expected at most {LONGEST:,.0f}: is its time right?")
        order = np.lexsort((pitch, start))
        return cls(
            name, start[order], duration[order], pitch[order].astype(np.int16),
            np.clip(velocity[order], 1, 127).astype(np.uint8), end, **more,
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
        """Return the piece so many semitones higher.

        Raises:
            DataError: a note would be below 0 or above 127.
        """
        # no note is moved by more than all there are, and what is larger would not fit into its type
        moved = self.pitch.astype(np.int64) + max(-2 * HIGHEST, min(2 * HIGHEST, semitones))
        _check_pitches(f"{self.name}, transposed by {_short(semitones)},", moved)
        return replace(self, pitch=moved.astype(np.int16))

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


def is_metre(metre: Any) -> bool:
    """Tell whether it is one: beats of a bar, and the note that has one, a power of two."""
    if not isinstance(metre, (tuple, list)) or len(metre) != 2 or not all(_is_number(each) for each in metre):
        return False
    return metre[0] in range(1, MOST_BEATS + 1) and metre[1] in METRES


def _check_pitches(name: str, pitch: NDArray[Any]) -> None:
    """Refuse notes that MIDI does not have."""
    wrong = ~((pitch >= LOWEST) & (pitch <= HIGHEST) & (pitch == np.floor(pitch)))
    if wrong.any():
        raise DataError(
            f"{name} has a note {pitch[wrong][0]:g}; expected pitches from {LOWEST} to {HIGHEST}, whole numbers"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    """Return a value for a message; a whole number of thousands of digits is not written out."""
    try:
        return f"{value:g}" if _is_number(value) else repr(value)[:40]
    except (OverflowError, ValueError):
        return "a number beyond all bounds"


def note_name(pitch: int) -> str:
    """Return the name of a note.

    >>> note_name(60), note_name(70)
    ('C4', 'A#4')
    """
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"
