"""Numbers of music: which notes and intervals there are, how dissonant it is, what is copied and what comes again.

All of frames, `(steps, 128)`, whole pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.bool_]
Floats = NDArray[np.float64]
DISSONANT = (1, 2, 6, 10, 11)
"""Intervals within the octave that are heard as dissonant: seconds, sevenths, the tritone."""
INTERVALS = ("unison", "minor second", "major second", "minor third", "major third", "fourth", "tritone", "fifth",
             "minor sixth", "major sixth", "minor seventh", "major seventh")  # fmt: skip
_TRANSPOSED = range(-6, 6)


def pitch_classes(pieces: Iterable[Frames]) -> Floats:
    """Return the share of each of the twelve notes of an octave, `(12,)`, by how long they sound."""
    counts = sum((piece.sum(0) for piece in pieces), np.zeros(128))
    found = np.bincount(np.arange(128) % 12, counts, 12)
    return np.asarray(found / max(found.sum(), 1.0))


def intervals(pieces: Iterable[Frames]) -> Floats:
    """Return the share of each interval, within the octave, among pairs of notes that sound together, `(12,)`."""
    found = np.zeros(12)
    for piece in pieces:
        found += _pairs(piece)
    return np.asarray(found / max(found.sum(), 1.0))


def _pairs(frames: Frames) -> Floats:
    """Return how many pairs of notes sound together at each interval, within the octave, `(12,)`."""
    values = frames.astype(np.float32)
    together = values.T @ values
    low, high = np.triu_indices(128, 1)
    return np.bincount((high - low) % 12, together[low, high], 12).astype(np.float64)


def dissonance(frames: Frames) -> float:
    """Return the share of dissonant intervals among all pairs of notes that sound together; 0 without any."""
    pairs = _pairs(frames)
    return float(pairs[list(DISSONANT)].sum() / pairs.sum()) if pairs.any() else 0.0


def note_range(frames: Frames) -> tuple[int, int]:
    """Return the lowest and the highest note; -1 and -1 of silence."""
    found = np.flatnonzero(frames.any(0))
    return (int(found[0]), int(found[-1])) if len(found) else (-1, -1)


def density(frames: Frames) -> float:
    """Return how many notes sound at a time, in the mean."""
    return float(frames.sum(1).mean()) if len(frames) else 0.0


def leaps(frames: Frames) -> float:
    """Return the mean step of the highest note from frame to frame where it moves, in semitones."""
    sounding = np.asarray(frames.any(1))
    top = 127 - frames[:, ::-1].argmax(1)
    moved = np.abs(np.diff(top))[sounding[1:] & sounding[:-1]]
    moved = moved[moved > 0]
    return float(moved.mean()) if len(moved) else 0.0


@dataclass(frozen=True)
class Copied:
    """The longest run of steps that stands in other music too.

    Args:
        steps: how many; start: where it begins; piece: in which of the others; transposed: by how many semitones.
    """

    steps: int
    start: int = 0
    piece: int = 0
    transposed: int = 0


def longest_copy(frames: Frames, corpus: Sequence[Frames], *, transposed: bool = True) -> Copied:
    """Return the longest run of a piece that is in a corpus, step for step and note for note; silence is no copy.

    Args:
        frames: of the piece.
        corpus: of the pieces that it is held against.
        transposed: whether a run in another key is one, too.
    """
    if not len(frames) or not len(corpus):
        return Copied(0)
    # a step between pieces, so that no run goes on from one into the next
    rows = np.concatenate([np.concatenate([corpu, np.zeros((1, 128), bool)]) for corpu in corpus])
    owners = np.repeat(np.arange(len(corpus)), [len(corpu) + 1 for corpu in corpus])
    names = _names(rows)
    order = np.argsort(names, kind="stable")
    order = order[np.asarray(rows.any(1))[order]]  # silence is not looked for
    best = Copied(0)
    for shift in _TRANSPOSED if transposed else (0,):
        steps, end, place = _longest(_names(np.roll(frames, shift, 1)), names, order)
        if steps > best.steps:
            best = Copied(steps, end - steps + 1, int(owners[place]), shift)
    return best


def _names(frames: Frames) -> NDArray[np.uint64]:
    """Return a number for each frame by which equal ones are known, `(steps,)`."""
    words = np.ascontiguousarray(np.packbits(frames, axis=1)).view(np.uint64)
    first, second = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
    return np.asarray(words[:, 0] * first ^ (words[:, 1] + first) * second, np.uint64)


def _longest(given: NDArray[np.uint64], others: NDArray[np.uint64], order: NDArray[np.int64]) -> tuple[int, int, int]:
    """Return the length of the longest common run, and where it ends in both; `order` sorts those of others."""
    first, last = (np.searchsorted(others[order], given, side) for side in ("left", "right"))
    best, before, run = (0, 0, 0), order[:0], np.zeros(len(others) + 1, np.int64)
    for step in range(len(given)):
        here = order[first[step] : last[step]]
        lengths = run[here] + 1  # those that ended one step before, at the place before
        run[before + 1] = 0
        run[here + 1] = lengths
        before = here
        if len(here) and (longest := int(lengths.max())) > best[0]:
            best = (longest, step, int(here[lengths.argmax()]))
    return best


def self_repetition(frames: Frames, run: int) -> float:
    """Return the share of runs of so many steps that stood in the piece before, note for note; silence is none."""
    names = _names(frames)
    if len(names) < run:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(names, run)
    sounding = np.asarray(np.lib.stride_tricks.sliding_window_view(np.asarray(frames.any(1)), run).any(1))
    seen: set[bytes] = set()
    again = 0
    for window, counts in zip(windows, sounding, strict=True):
        key = window.tobytes()
        again += int(counts and key in seen)
        seen.add(key)
    return again / max(int(sounding.sum()), 1)
