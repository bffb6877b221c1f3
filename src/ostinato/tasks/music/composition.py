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

_AGAIN = 2  # quarters of a run that comes again


@dataclass(frozen=True)
class Composition:
    """A piece that was written.

    Args:
        tracks: the given voice first, if there is one, note for note as it was given; then what was written.
        given: how many of the tracks were given.
        opening: quarters at the beginning that were given.
        nats: what the model makes of it, nats a step (of events, an event).
        copied: the longest run of its steps that is in the training pieces, in quarters, transposed or not.
        repeated: the share of runs of two quarters that stood in it before.
    """

    tracks: tuple[Piece, ...]
    given: int
    opening: float
    nats: float
    copied: float
    repeated: float

    @property
    def piece(self) -> Piece:
        """All tracks as one."""
        first, own = self.tracks[0], self.tracks
        start, duration, pitch, velocity = (
            np.concatenate([getattr(one, name) for one in own]) for name in ("start", "duration", "pitch", "velocity")
        )
        length = max(one.length for one in own)
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

    def plain(self) -> Mapping[str, Any]:
        """Return what there is to say of it as plain data."""
        own = self.piece
        return {
            "notes": len(own),
            "quarters": round(own.length, 4),
            "seconds": round(own.seconds, 2),
            "nats": round(self.nats, 4),
            "copied_quarters": self.copied,
            "repeated": round(self.repeated, 4),
        }


def composition(
    tracks: tuple[Piece, ...], corpus: Corpus, nats: float, *, given: int = 0, opening: float = 0.0
) -> Composition:
    """Return a composition, held against the training pieces from the end of its opening on."""
    found = Composition(tracks, given, opening, nats, 0.0, 0.0)
    steps = corpus.steps_per_quarter
    frames = to_frames(found.piece, steps)
    copied = copied_run(frames[round(opening * steps) :], corpus)
    return replace(found, copied=copied.steps / steps, repeated=self_repetition(frames, max(1, _AGAIN * steps)))


def copied_run(frames: NDArray[np.bool_], corpus: Corpus) -> Copied:
    """Return the longest run of a piece, on the grid of the training pieces, that is in them."""
    return longest_copy(frames, corpus.pieces())
