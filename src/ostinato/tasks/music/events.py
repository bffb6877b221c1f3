"""A piece as events: a note begins, a note ends, time goes on, notes are struck harder (S. Oore et al., 2018).

The order of numbers: notes on, notes off, shifts of 1, 2, ... steps, loudnesses; the last one stands for the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import Piece
from ostinato.data.music.grid import on_grid
from ostinato.errors import DataError

Tokens = NDArray[np.int32]
LOUDNESSES = 32
_WHOLE = 4  # quarters of the longest shift
_MIDDLE = 20  # the loudness where nothing is said: 80 of 127


@dataclass(frozen=True)
class EventCode:
    """The events there are, by their numbers.

    Args:
        steps_per_quarter: of the grid.

    >>> code = EventCode(4)
    >>> code.names(code.encode(Piece.of([(0, 1, 60)])))
    ('loudness 20', 'on 60', 'shift 4', 'off 60')
    """

    steps_per_quarter: int

    @property
    def shifts(self) -> int:
        """The longest shift, in steps."""
        return _WHOLE * self.steps_per_quarter

    @property
    def size(self) -> int:
        """How many events there are, without the beginning."""
        return 256 + self.shifts + LOUDNESSES

    @property
    def begin(self) -> int:
        """What stands for the beginning of a piece."""
        return self.size

    def encode(self, piece: Piece) -> Tokens:
        """Return the events of a piece, in time; of those at one time, ends come first, then the lowest note."""
        start, end, steps = on_grid(piece, self.steps_per_quarter)
        loud = piece.velocity.astype(np.int64) * LOUDNESSES // 128
        rows = [(int(t), 1, int(p), int(v)) for t, p, v in zip(start, piece.pitch, loud, strict=True)]
        rows += [(t, 0, p, 0) for t, p in zip(*self._ends(start, end, piece.pitch), strict=True)]
        found: list[int] = []
        now, level = 0, -1
        for time, on, pitch, loudness in sorted(rows):
            found += self._shifted(time - now)
            now = time
            if on and loudness != level:
                found.append(256 + self.shifts + loudness)
                level = loudness
            found.append(pitch if on else 128 + pitch)
        found += self._shifted(steps - now)
        return np.array(found, np.int32)

    def _ends(
        self, start: NDArray[np.int64], end: NDArray[np.int64], pitch: NDArray[np.int16]
    ) -> tuple[list[int], list[int]]:
        """Return when notes end and which: one that is struck again ends then."""
        order = np.lexsort((start, pitch))
        ends, found = end[order].copy(), pitch[order]
        same = found[:-1] == found[1:]
        ends[:-1] = np.where(same, np.minimum(ends[:-1], start[order][1:]), ends[:-1])
        kept = ends > start[order]  # of two that begin at once, one is heard
        return ends[kept].tolist(), found[kept].tolist()

    def _shifted(self, steps: int) -> list[int]:
        whole, rest = divmod(max(steps, 0), self.shifts)
        return [256 + self.shifts - 1] * whole + ([256 + rest - 1] if rest else [])

    def decode(self, tokens: Iterable[int], name: str = "the piece") -> Piece:
        """Return the piece of events; notes that do not end last until the end, ends of no note are passed over."""
        now, level = 0, _MIDDLE
        open_: dict[int, tuple[int, int]] = {}
        notes: list[tuple[float, float, int, int]] = []
        scale = self.steps_per_quarter

        def close(pitch: int) -> None:
            begun, loudness = open_.pop(pitch)
            if now > begun:
                velocity = min(127, (2 * loudness + 1) * 64 // LOUDNESSES)
                notes.append((begun / scale, (now - begun) / scale, pitch, velocity))

        for token in tokens:
            if token < 128:
                if token in open_:
                    close(token)
                open_[token] = (now, level)
            elif token < 256:
                if token - 128 in open_:
                    close(token - 128)
            elif token < 256 + self.shifts:
                now += token - 255
            elif token < self.size:
                level = token - 256 - self.shifts
        for pitch in list(open_):
            close(pitch)
        return Piece.of(notes, name, now / scale)

    def steps_of(self, tokens: Tokens) -> NDArray[np.int64]:
        """Return how many steps each event takes: those of shifts, none of others."""
        array = np.asarray(tokens, np.int64)
        return np.where((array >= 256) & (array < 256 + self.shifts), array - 255, 0)

    def transposed(self, tokens: Tokens, semitones: int) -> Tokens:
        """Return events whose notes are so many semitones higher."""
        return np.where(tokens < 256, tokens + semitones, tokens).astype(np.int32)

    def name(self, token: int) -> str:
        """Return an event in words."""
        if token < 256:
            return f"{'on' if token < 128 else 'off'} {token % 128}"
        if token < 256 + self.shifts:
            return f"shift {token - 255}"
        return f"loudness {token - 256 - self.shifts}" if token < self.size else "begin"

    def names(self, tokens: Iterable[int]) -> tuple[str, ...]:
        """Return events in words."""
        return tuple(self.name(int(token)) for token in tokens)

    def number(self, words: str) -> int:
        """Return the number of an event in words.

        Raises:
            DataError: it is none.
        """
        kind, _, value = words.strip().partition(" ")
        first, count, least = {
            "on": (0, 128, 0), "off": (128, 128, 0), "shift": (256, self.shifts, 1),
            "loudness": (256 + self.shifts, LOUDNESSES, 0),
        }.get(kind, (0, 0, 0))  # fmt: skip
        if not value.strip().isdecimal() or len(value) > 12 or not 0 <= int(value) - least < count:
            raise DataError(
                f'"{words[:40]}" is no event; expected "on 60", "off 60", "shift N" of 1 to {self.shifts} steps, or '
                f'"loudness N" of 0 to {LOUDNESSES - 1}'
            )
        return first + int(value) - least


def sounding(tokens: Sequence[int]) -> set[int]:
    """Return the notes that sound after events."""
    found: set[int] = set()
    for token in tokens:
        if token < 128:
            found.add(int(token))
        elif token < 256:
            found.discard(int(token) - 128)
    return found
