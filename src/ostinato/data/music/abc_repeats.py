"""The repeats of a tune, played out: what is written once is heard as often as the bars say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias


@dataclass(frozen=True)
class Sound:
    """Notes struck together, or a rest, for a length in quarters; tied: those that sound on into the next one."""

    length: Fraction
    pitches: tuple[int, ...]
    tied: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Bar:
    """A bar line as it is written, `|`, `|:`, `:|`; endings: the passes that what follows is for, if only for some."""

    mark: str
    endings: frozenset[int] = frozenset()


Item: TypeAlias = "Sound | Bar"
_MOST = 1_000_000
_SECTIONS = ("||", "|]", "[|")


def in_order(items: Sequence[Item]) -> Iterator[Sound]:
    """Yield sounds in the order in which they are played."""
    at, start, passed, done, last = 0, 0, 1, 0, False
    while at < len(items) and done < _MOST:
        item, at = items[at], at + 1
        if isinstance(item, Sound):
            done += 1
            yield item
        elif item.mark.startswith(":"):
            if passed < _passes(items, start, at):
                at, passed = start, passed + 1
            else:
                start, passed, last = at, 1, False
        elif item.mark.endswith(":") or (last and item.mark in _SECTIONS):
            if at > start:
                start, passed, last = at, 1, False
        elif item.endings and passed not in item.endings:
            at, last = _ending(items, at, passed), True


def _passes(items: Sequence[Item], start: int, end: int) -> int:
    """Return how often what stands before a closing repeat is played: twice, or as often as its endings say."""
    return max([2, *(n for item in items[start:end] if isinstance(item, Bar) for n in item.endings)])


def _ending(items: Sequence[Item], at: int, passed: int) -> int:
    """Return the place where the ending of a pass begins, when that of another one is passed over."""
    for place in range(at, len(items)):
        found = items[place]
        if isinstance(found, Bar) and passed in found.endings:
            return place + 1
        if isinstance(found, Bar) and found.mark.endswith(":") and not found.endings:
            return place
    return len(items)


def played(items: Sequence[Item]) -> Iterator[tuple[Fraction, Fraction, int]]:
    """Yield `(start, length, pitch)` of each note that sounds, ties joined."""
    now, tied = Fraction(0), dict[int, tuple[Fraction, Fraction]]()
    for sound in in_order(items):
        held = {}
        for pitch in sound.pitches:
            start, length = tied.pop(pitch, (now, Fraction(0)))
            if pitch in sound.tied:
                held[pitch] = (start, length + sound.length)
            else:
                yield start, length + sound.length, pitch
        for pitch, (start, length) in tied.items():  # tied to a note that does not come
            yield start, length, pitch
        tied, now = held, now + sound.length
    for pitch, (start, length) in tied.items():
        yield start, length, pitch
