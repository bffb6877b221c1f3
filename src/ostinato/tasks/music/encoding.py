"""What is fitted on the training pieces, and pieces as the networks read them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import PIANO, Piece, Pieces, note_name, to_frames
from ostinato.errors import DataError, DataWarning
from ostinato.tasks.music.events import EventCode
from ostinato.tasks.music.keys import KEYS, key_of
from ostinato.tasks.music.parameters import Kind, MusicParameters

Packed = NDArray[np.uint8]
"""Eight notes a byte, `(steps, bytes)`."""
_KEPT = 500_000  # steps of training pieces that are kept with a model, at most
_LONGEST_BAR = 384
STEPS = {"frames": 4, "events": 12}


@dataclass(frozen=True)
class Corpus:
    """Training pieces, kept with a model: what it writes is held against them.

    Args:
        frames: of all pieces one behind the other, `(steps, 16)`, 128 notes in bits; a grid of its own.
        lengths: steps of each piece.
        steps_per_quarter: of its grid.
    """

    frames: Packed
    lengths: NDArray[np.int64]
    steps_per_quarter: int

    @classmethod
    def of(cls, pieces: Pieces, steps_per_quarter: int) -> Corpus:
        """Return the first pieces, as many as fit."""
        kept: list[Packed] = []
        for piece in pieces.pieces:
            found = np.packbits(to_frames(piece, steps_per_quarter), axis=1)
            if kept and sum(map(len, kept)) + len(found) > _KEPT:
                break
            kept.append(found)
        return cls(np.concatenate(kept), np.array([len(each) for each in kept], np.int64), steps_per_quarter)

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together, as in a file that was changed."""
        whole = self.frames.ndim == 2 and self.frames.shape[1] == 16 and self.frames.dtype == np.uint8
        counts = self.lengths.dtype == np.int64 and self.lengths.ndim == 1 and self.lengths.min(initial=1) >= 0
        if (
            not whole
            or not counts
            or int(self.lengths.sum()) != len(self.frames)
            or not 1 <= self.steps_per_quarter <= 96
        ):
            raise ValueError("the training pieces do not have the steps that they are said to have")

    def pieces(self) -> list[NDArray[np.bool_]]:
        """Return the frames of each piece, `(steps, 128)`."""
        ends = np.cumsum(self.lengths)[:-1]
        return [np.unpackbits(each, axis=1).astype(bool) for each in np.split(self.frames, ends)]


@dataclass(frozen=True)
class MusicEncoder:
    """What is known of the training pieces.

    Args:
        kind: what a step is; steps_per_quarter: of the grid.
        low, high: of frames, the lowest and the highest note that there is a place for.
        found_low, found_high: the lowest and the highest note of training; transposed pieces stay within.
        bar_steps: of a metre condition, places within a bar; 0: there is none. keyed: whether the key is a condition.
        tempo, metre, key: the usual ones of the training pieces; most: notes that sound at a time, at most.
        corpus: the training pieces; shares: how often each note sounds in a step, while a model is fitted.
    """

    kind: Kind
    steps_per_quarter: int
    low: int
    high: int
    found_low: int
    found_high: int
    bar_steps: int
    keyed: bool
    tempo: float
    metre: tuple[int, int]
    key: int
    most: int
    corpus: Corpus
    shares: NDArray[np.float64] | None = field(default=None, metadata={"saved": False})

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be."""
        ranges = 0 <= self.low <= self.high <= 127 and 0 <= self.found_low <= self.found_high <= 127
        if not ranges or not 1 <= self.steps_per_quarter <= 96 or not 0 <= self.bar_steps <= _LONGEST_BAR:
            raise ValueError("the notes or the grid of the composer are none that there can be")
        if not 0 < self.tempo <= 10_000 or not (0 < self.metre[0] <= 64 and 0 < self.metre[1] <= 64):
            raise ValueError("the tempo or the metre of the composer are none that there can be")
        if not 0 <= self.key < KEYS or not 1 <= self.most <= 128:
            raise ValueError("the key or the number of voices of the composer are none that there can be")

    @classmethod
    def fit(cls, parameters: MusicParameters, train: Pieces) -> MusicEncoder:
        """Find out the range, the tempo and the metre of the training pieces."""
        steps = parameters.steps_per_quarter or STEPS[parameters.representation]
        pitches = np.concatenate([piece.pitch for piece in train.pieces])
        if not len(pitches):
            raise DataError(f"{train.origin} has no note in its training part; give pieces with some")
        found = (int(pitches.min()), int(pitches.max()))
        low, high = found if parameters.notes == "found" else PIANO
        if parameters.representation == "events":
            low, high = 0, 127
        if not ((pitches >= low) & (pitches <= high)).any():
            raise DataError(
                f'{train.origin} has no note of a piano, {low} to {high}; choose notes="found" (--notes found)'
            )
        metres = [piece.metre for piece in train.pieces]
        bars = min(max(_bar_steps(piece, steps) for piece in train.pieces), _LONGEST_BAR)
        frames = parameters.representation == "frames"
        keys = [key_of(piece) for piece in train.pieces] if parameters.key else [0]
        corpus = Corpus.of(train, steps if frames else STEPS["frames"])
        most = int(np.unpackbits(corpus.frames, axis=1)[:, low : high + 1].sum(1).max(initial=1))
        return cls(
            parameters.representation, steps, low, high, max(found[0], low), min(found[1], high),
            bars if parameters.metre and frames else 0, parameters.key and frames,
            float(np.median([piece.tempo for piece in train.pieces])), max(metres, key=metres.count),
            max(keys, key=keys.count), max(most, 1), corpus, _shares(train, steps, low, high) if frames else None,
        )  # fmt: skip

    @property
    def notes(self) -> int:
        """How many notes there is a place for."""
        return self.high - self.low + 1

    @property
    def conditions(self) -> int:
        """How many features a step has that are told, and not read of the step before."""
        return self.bar_steps + (KEYS if self.keyed else 0)

    @property
    def code(self) -> EventCode:
        """The events there are."""
        return EventCode(self.steps_per_quarter)

    def frames(self, piece: Piece) -> NDArray[np.bool_]:
        """Return which notes sound in each step, `(steps, notes)`; those out of range are left out."""
        return to_frames(piece, self.steps_per_quarter)[:, self.low : self.high + 1]

    def whole(self, frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return frames with a place for all 128 notes."""
        return np.pad(frames, ((0, 0), (self.low, 127 - self.high)))


@dataclass(frozen=True)
class Examples:
    """Pieces as a network reads them.

    Args:
        steps: of each piece packed frames `(steps, bytes)`, or events `(events,)`.
        notes: how many notes a frame has; 0 of events.
        ranges: the lowest and the highest note of each piece, as they are numbered in frames, `(pieces, 2)`.
        bars: steps of a bar of each, and keys: its key, see `ostinato.tasks.music.keys`, `(pieces,)`.
        quarters: steps of a quarter.
        left_out: notes that the model has no place for; they are read as silence.
    """

    steps: tuple[NDArray[np.uint8] | NDArray[np.int32], ...]
    notes: int
    ranges: NDArray[np.int64]
    bars: NDArray[np.int64]
    keys: NDArray[np.int64]
    quarters: int
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def lengths(self) -> list[int]:
        """How many steps each piece has."""
        return [len(step) for step in self.steps]

    def frames(self, place: int) -> NDArray[np.bool_]:
        """Return the frames of a piece, `(steps, notes)`."""
        return np.unpackbits(self.steps[place], axis=1, count=self.notes).astype(bool)  # type: ignore[arg-type]


def say_left_out(encoder: MusicEncoder, records: Pieces) -> int:
    """Return how many notes of pieces are out of the model's range, with a warning if there are any."""
    pitches = np.concatenate([np.zeros(0, np.int16), *(piece.pitch for piece in records.pieces)])
    count = int(((pitches < encoder.low) | (pitches > encoder.high)).sum())
    if not count:
        return 0
    notes = f"{count:,} of {len(pitches):,} notes"
    if (encoder.low, encoder.high) == PIANO:
        words = f"{notes} are not among the 88 of a piano and are left out"
        words += '; notes="found" (--notes found) in training keeps them'
    else:
        span = f"{note_name(encoder.low)} to {note_name(encoder.high)}"
        words = (
            f"{notes} are out of the model's range, {span}, and are left out; transpose them, or train on such notes"
        )
    warnings.warn(words, DataWarning, stacklevel=3)
    return count


def encode(encoder: MusicEncoder, records: Pieces, *, said: bool = False) -> Examples:
    """Return pieces as a network reads them; those without a step are left out.

    Args:
        encoder: of the model.
        records: the pieces.
        said: whether it was said already how many notes are out of the model's range; if not, there is a warning.
    """
    left_out = 0 if said else say_left_out(encoder, records)
    steps: list[NDArray[np.uint8] | NDArray[np.int32]] = []
    ranges, bars, keys = [], [], []
    for piece in records.pieces:
        if encoder.kind == "frames":
            found: NDArray[np.uint8] | NDArray[np.int32] = np.packbits(encoder.frames(piece), axis=1)
        else:
            found = encoder.code.encode(piece)
        if not len(found):
            continue
        steps.append(found)
        inside = piece.pitch[(piece.pitch >= encoder.low) & (piece.pitch <= encoder.high)]
        ranges.append((inside.min(), inside.max()) if len(inside) else (encoder.found_low, encoder.found_high))
        bars.append(_bar_steps(piece, encoder.steps_per_quarter))
        keys.append(key_of(piece) if encoder.keyed else 0)
    return Examples(
        tuple(steps), encoder.notes if encoder.kind == "frames" else 0,
        np.array(ranges, np.int64).reshape(-1, 2) - encoder.low, np.array(bars, np.int64), np.array(keys, np.int64),
        encoder.steps_per_quarter, left_out,
    )  # fmt: skip


def condition_rows(encoder: MusicEncoder, first: int, steps: int, bar: int, key: int) -> NDArray[np.float32]:
    """Return what is told of steps `first` and following, `(steps, conditions)`: the place within the bar, the key."""
    found = np.zeros((steps, encoder.conditions), np.float32)
    if encoder.bar_steps:
        places = (np.arange(first, first + steps) % max(bar, 1)) % encoder.bar_steps
        found[np.arange(steps), places] = 1.0
    if encoder.keyed:
        found[:, encoder.bar_steps + key] = 1.0
    return found


def _bar_steps(piece: Piece, steps_per_quarter: int) -> int:
    return max(1, round(piece.bar * steps_per_quarter))


def _shares(train: Pieces, steps: int, low: int, high: int) -> NDArray[np.float64]:
    sums, count = np.zeros(high - low + 1), 0
    for piece in train.pieces:
        found = to_frames(piece, steps)[:, low : high + 1]
        sums, count = sums + found.sum(0), count + len(found)
    return (sums + 0.01) / (count + 1.0)
