"""What a composer wrote: to be heard, to be written to a file, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import Piece, abc_text, midi_bytes, to_frames
from ostinato.data.music.abc_writing import is_melody
from ostinato.errors import UsageError
from ostinato.files import write_atomically
from ostinato.tasks.music.encoding import Corpus
from ostinato.tasks.music.statistics import Copied, longest_copy, self_repetition
from ostinato.words import counted

_AGAIN = 2  # quarters of a run that comes again


@dataclass(frozen=True)
class Composition:
    """A piece that was written.

    Args:
        tracks: the given voice first, if there is one, note for note as it was given; then what was written.
        given: how many of the tracks were given.
        opening: quarters at the beginning that were given.
        nats: what the model made of it as it wrote it, nats a frame (of events, an event).
        copied: the longest run of its steps that is in the training pieces, in quarters, transposed or not.
        repeated: the share of runs of two quarters that stood in it before.
        unit: what the nats are of, a `"frame"` or an `"event"`.
    """

    tracks: tuple[Piece, ...]
    given: int
    opening: float
    nats: float
    copied: float
    repeated: float
    unit: str = "frame"

    @property
    def piece(self) -> Piece:
        """All tracks as one."""
        first, tracks = self.tracks[0], self.tracks
        start, duration, pitch, velocity = (
            np.concatenate([getattr(one, name) for one in tracks])
            for name in ("start", "duration", "pitch", "velocity")
        )
        length = max(one.length for one in tracks)
        merged = Piece.sorted_by_time(first.name, start, duration, pitch, velocity, length)
        return replace(merged, tempo=first.tempo, metre=first.metre, sharps=first.sharps)

    def save(self, path: str | Path, *, program: int = 0) -> Path:
        """Write it to a file, by its ending MIDI (`.mid`) or, of a melody, ABC (`.abc`).

        Raises:
            UsageError: the ending is another, or ABC was asked for and notes sound together.
            OutputError: it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() in (".mid", ".midi"):
            content = midi_bytes(self.tracks, program=program)
        elif path.suffix.lower() == ".abc":
            content = abc_text(self.piece, title=path.stem).encode()
        else:
            raise UsageError(f"{path} ends in none that is written; expected .mid, or .abc of melodies")
        write_atomically(path, content)
        return path

    @property
    def is_melody(self) -> bool:
        """Whether no two notes sound at a time."""
        return is_melody(self.piece)

    @property
    def still(self) -> tuple[float, float]:
        """The longest time of what was written in which no note begins, from and until, in quarters."""
        piece = self.piece
        times = np.unique(np.concatenate([piece.start[piece.start >= self.opening], [self.opening, piece.length]]))
        if len(times) < 2:
            return self.opening, piece.length
        longest = int(np.diff(times).argmax())
        return float(times[longest]), float(times[longest + 1])

    @property
    def holds_still(self) -> str:
        """Where nothing happens for two bars and a quarter of the piece, in words; empty if there is no such time."""
        (begin, end), bar = self.still, self.piece.bar
        if end - begin < max(2 * bar, (self.piece.length - self.opening) / 4) or self.given:
            return ""
        until = "the end" if end >= self.piece.length else f"bar {int(end / bar) + 1}"
        return f"from bar {int(begin / bar) + 1} to {until} ({end - begin:g} quarters) no note begins"

    def __str__(self) -> str:
        """Return what there is to say of it as a sentence."""
        piece = self.piece
        bars = piece.length / piece.bar
        return (
            f"{counted(len(piece), 'notes')}, {counted(bars, 'bars')}, {piece.seconds:.3g} s, {self.nats:.2f} nats "
            f"{_a(self.unit)}; longest run as in training: {counted(self.copied, 'quarters')}"
        )

    def plain(self) -> Mapping[str, Any]:
        """Return what there is to say of it as plain data."""
        piece = self.piece
        return {
            "notes": len(piece),
            "quarters": round(piece.length, 4),
            "seconds": round(piece.seconds, 2),
            "nats": round(self.nats, 4),
            "copied_quarters": self.copied,
            "repeated": round(self.repeated, 4),
            "still_quarters": round(self.still[1] - self.still[0], 4),
        }


def composition(
    tracks: tuple[Piece, ...],
    corpus: Corpus,
    nats: float,
    *,
    given: int = 0,
    opening: float = 0.0,
    unit: str = "frame",
) -> Composition:
    """Return a composition, held against the training pieces from the end of its opening on."""
    found = Composition(tracks, given, opening, nats, 0.0, 0.0, unit)
    steps = corpus.steps_per_quarter
    frames = to_frames(found.piece, steps)
    copied = copied_run(frames[round(opening * steps) :], corpus)
    return replace(found, copied=copied.steps / steps, repeated=self_repetition(frames, max(1, _AGAIN * steps)))


def copied_run(frames: NDArray[np.bool_], corpus: Corpus) -> Copied:
    """Return the longest run of a piece, on the grid of the training pieces, that is in them."""
    return longest_copy(frames, corpus.pieces())


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
