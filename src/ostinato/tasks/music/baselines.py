"""Simple models of music: how often notes sound, what each note does next, which chord follows which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.task import Baselines
from ostinato.tasks.music.encoding import Examples
from ostinato.tasks.music.grams import Grams
from ostinato.tasks.music.reading import Judged, event_counts, joined, note_counts

Floats = NDArray[np.float64]
_CHORDS, _EVENTS = 3, 4  # of an n-gram


@dataclass(frozen=True)
class NoteShares:
    """Each note sounds as often as in training, `(notes,)`, whatever came before."""

    shares: Floats

    @classmethod
    def fit(cls, train: Examples) -> NoteShares:
        """Count."""
        sums, steps = np.zeros(train.notes), 0
        for place in range(len(train)):
            found = train.frames(place)
            sums, steps = sums + found.sum(0), steps + len(found)
        return cls((sums + 0.01) / (steps + 1.0))

    def predict(self, examples: Examples) -> Judged:
        """Return what it says of each step."""
        rows = []
        for place in range(len(examples)):
            found = examples.frames(place)
            rows.append(
                (_bits(found, np.broadcast_to(self.shares, found.shape)), note_counts(_most(self.shares, found), found))
            )
        return joined(rows)


@dataclass(frozen=True)
class LastAgain:
    """The last frame again with the share that frames repeat in training, else notes as often as they sound.

    Args:
        repeated: the share of frames that are the frame before; shares: of the notes.
    """

    repeated: float
    shares: NoteShares

    @classmethod
    def fit(cls, train: Examples) -> LastAgain:
        """Count."""
        repeats, steps = 0, 0
        for place in range(len(train)):
            found = train.frames(place)
            repeats, steps = repeats + int((found[1:] == found[:-1]).all(1).sum()), steps + max(len(found) - 1, 0)
        return cls((repeats + 1.0) / (steps + 2.0), NoteShares.fit(train))

    def predict(self, examples: Examples) -> Judged:
        """Return what it says of each step."""
        rows = []
        for place in range(len(examples)):
            found = examples.frames(place)
            best = np.concatenate([np.zeros_like(found[:1]), found[:-1]])
            probabilities = np.exp(-_bits(found, np.broadcast_to(self.shares.shares, found.shape)))
            mixed = (1.0 - self.repeated) * probabilities + self.repeated * (found == best).all(1)
            mixed[:1] = probabilities[:1]
            rows.append((-np.log(np.maximum(mixed, 1e-300)), note_counts(best, found)))
        return joined(rows)


@dataclass(frozen=True)
class NoteChains:
    """Each note by itself, by whether it sounded before: probabilities `(notes,)` at first, after, without."""

    first: Floats
    after: Floats
    without: Floats

    @classmethod
    def fit(cls, train: Examples) -> NoteChains:
        """Count."""
        counts = np.zeros((3, 2, train.notes))
        for place in range(len(train)):
            held = train.frames(place)
            counts[0] += [held[:1].sum(0), np.full(train.notes, len(held[:1]))]
            before, now = held[:-1], held[1:]
            counts[1] += [(before & now).sum(0), before.sum(0)]
            counts[2] += [(~before & now).sum(0), (~before).sum(0)]
        # a note that was never heard is as the others are in the mean
        usual = (counts[:, 0].sum(1) + 0.1) / (counts[:, 1].sum(1) + 1.0)
        found = (counts[:, 0] + usual[:, None]) / (counts[:, 1] + 1.0)
        return cls(found[0], found[1], found[2])

    def probabilities(self, frames: NDArray[np.bool_]) -> Floats:
        """Return the chance of each note in each step of a piece, `(steps, notes)`."""
        found = np.empty(frames.shape)
        found[:1] = self.first
        found[1:] = np.where(frames[:-1], self.after, self.without)
        return found

    def predict(self, examples: Examples) -> Judged:
        """Return what it says of each step."""
        rows = []
        for place in range(len(examples)):
            found = examples.frames(place)
            probabilities = self.probabilities(found)
            rows.append((_bits(found, probabilities), note_counts(probabilities > 0.5, found)))
        return joined(rows)


@dataclass(frozen=True)
class ChordGrams:
    """Which chord followed the two before, and where none is known, what notes do by themselves.

    Args:
        chains: what stands behind the n-grams.
        steps: training pieces, packed, one behind the other; lengths: of each.
    """

    chains: NoteChains
    steps: NDArray[np.uint8]
    lengths: NDArray[np.int64]

    @classmethod
    def fit(cls, train: Examples) -> ChordGrams:
        """Keep the training pieces, and count the notes by themselves."""
        steps = np.concatenate(train.steps)
        return cls(NoteChains.fit(train), steps.astype(np.uint8), np.array(train.lengths, np.int64))

    def predict(self, examples: Examples) -> Judged:
        """Return what it says of each step."""
        parts = np.split(self.steps, np.cumsum(self.lengths)[:-1])
        grams = Grams([_chords(part) for part in parts], _CHORDS)
        rows = []
        for place in range(len(examples)):
            deadline().check()
            found, chords = examples.frames(place), _chords(examples.steps[place])
            base = np.exp(-_bits(found, self.chains.probabilities(found)))
            losses, best = np.empty(len(found)), np.zeros_like(found)
            for step, chord in enumerate(chords):
                before = chords[max(0, step - _CHORDS + 1) : step]
                losses[step] = -np.log(max(grams.chance(before, chord, base[step]), 1e-300))
                follows = grams.best(before) or b""
                best[step] = np.unpackbits(np.frombuffer(follows, np.uint8), count=examples.notes) if follows else 0
            rows.append((losses, note_counts(best, found)))
        return joined(rows)


@dataclass(frozen=True)
class EventGrams:
    """Which event followed the ones before.

    Args:
        order: events of a gram; 1: how often each comes.
        events: how many there are.
        steps: training pieces one behind the other; lengths: of each.
    """

    order: int
    events: int
    steps: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @property
    def called(self) -> str:
        """Its name."""
        return "event frequencies" if self.order == 1 else f"{self.order}-grams of events"

    @classmethod
    def fit(cls, train: Examples, order: int, events: int) -> EventGrams:
        """Keep the training pieces."""
        return cls(order, events, np.concatenate(train.steps).astype(np.int32), np.array(train.lengths, np.int64))

    def predict(self, examples: Examples) -> Judged:
        """Return what it says of each event."""
        parts = np.split(self.steps, np.cumsum(self.lengths)[:-1])
        grams = Grams([part.tolist() for part in parts], self.order)
        rows = []
        for each in examples.steps:
            deadline().check()
            tokens = each.tolist()
            losses, right = np.empty(len(tokens)), np.zeros(len(tokens))
            for step, token in enumerate(tokens):
                before = tokens[max(0, step - self.order + 1) : step]
                losses[step] = -np.log(grams.chance(before, token, 1.0 / self.events))
                right[step] = grams.best(before) == token
            rows.append((losses, event_counts(right)))
        return joined(rows)


def baselines_of(kind: str, train: Examples, events: int) -> Baselines:
    """Return what fits each simple model, by its name."""
    if kind == "frames":
        return {
            "note frequencies": lambda: NoteShares.fit(train),
            "the last frame again": lambda: LastAgain.fit(train),
            "note by note, after the last step": lambda: NoteChains.fit(train),
            f"{_CHORDS}-grams of chords": lambda: ChordGrams.fit(train),
        }
    return {
        "event frequencies": lambda: EventGrams.fit(train, 1, events),
        f"{_EVENTS}-grams of events": lambda: EventGrams.fit(train, _EVENTS, events),
    }


TYPES: tuple[type[Any], ...] = (NoteShares, LastAgain, NoteChains, ChordGrams, EventGrams)


def _chords(steps: NDArray[Any]) -> list[bytes]:
    return [step.tobytes() for step in steps]


def _bits(frames: NDArray[np.bool_], probabilities: Floats) -> Floats:
    """Return the loss of frames whose notes are drawn each by itself, `(steps,)`."""
    found: Floats = -np.log(np.where(frames, probabilities, 1.0 - probabilities)).sum(1)
    return found


def _most(shares: Floats, frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.broadcast_to(shares > 0.5, frames.shape)
