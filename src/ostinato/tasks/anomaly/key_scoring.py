"""Sequences of keys, scored key by key: how improbable each was, given those before it, and the end too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data import EventLog, EventReading
from ostinato.data.logs import LogReading
from ostinato.data.notes import note
from ostinato.engine import scan
from ostinato.streaming import Headed
from ostinato.streaming.cells import cell_of
from ostinato.tasks.base.tail import Tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
END = "(end of sequence)"
_TOGETHER = 256
_LOUDEST = 50.0  # nats: what is less probable than this is all alike


@dataclass(frozen=True)
class KeyEncoder:
    """What is fitted for sequences of keys beside the network.

    Args:
        reading: how the log was read.
        keys: those that are known, numbered from 1 on; 0 is any other, one more the end, or the beginning.
        events: how many normal ones were learned from.
        top: an event is strange unless it is among so many expected ones; `None`: by its probability.
        tail: of the scores of normal sequences.
        threshold: the score from which on there is an alarm; chosen: how it was found, in words.
    """

    reading: EventReading | LogReading
    keys: tuple[str, ...]
    events: int
    top: int | None
    tail: Tail
    threshold: float
    chosen: str

    @property
    def ends(self) -> bool:
        """Whether that a sequence ends says something: of runs of lines it does not."""
        return not (isinstance(self.reading, LogReading) and not self.reading.pattern)

    @property
    def loudest(self) -> float:
        """The least nats of a key that was never seen: it came less than once among all events."""
        return math.log(self.events + 1)

    def name_of(self, number: int) -> str:
        """Return the name of what may come."""
        if number == len(self.keys) + 1:
            return END
        return self.keys[number - 1] if number else "(any other)"


@dataclass(frozen=True)
class KeyExamples:
    """Sequences as the network reads them.

    Args:
        log: where they are from.
        keys: the numbers of each, `(events,)`.
        labels: `(sequences,)`, whether each is anomalous; `None`: not known.
    """

    log: EventLog
    keys: tuple[Ints, ...]
    labels: NDArray[np.bool_] | None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells them from others in a checkpoint."""
        return self.log.activities, () if self.labels is None else self.labels


@dataclass(frozen=True)
class Found:
    """What is said of sequences: scores and alarms `(sequences,)`, and of each the nats of its keys and its end."""

    scores: Floats
    alarms: NDArray[np.bool_]
    nats: tuple[Floats, ...] | None = None


@dataclass(frozen=True)
class SequenceScores:
    """One sequence: of each key and of the end `(events + 1,)` its score, its nats, and what was expected most."""

    scores: Floats
    nats: Floats
    expected: Ints
    probability: Floats


def indices(encoder: KeyEncoder, names: Sequence[str]) -> Ints:
    """Return the numbers of keys, 0 for those that are not known."""
    known = {name: number for number, name in enumerate(encoder.keys, 1)}
    return np.array([known.get(name, 0) for name in names], np.int64)


def stepped(network: Any) -> Headed:
    """Return what of a network is stepped: its stack, with the head behind it; the embedding comes with them."""
    return Headed(network.stack, network.head, embedding=network.embedding)


def judged(encoder: KeyEncoder, said: NDArray[np.float32], key: int) -> tuple[float, float, int, float]:
    """Return the score and the nats of a key, what was expected in its place, and how probable that was.

    The score is the nats, or with `top` the place of the key among all that may come, from 0.

    Args:
        encoder: of the model.
        said: scores of all that may come, `(keys + 2,)`.
        key: what came.
    """
    raw = said.astype(np.float64)
    top = float(raw.max())
    total = top + math.log(float(np.exp(raw - top).sum()))
    nats = min(total - float(raw[key]), _LOUDEST)
    if key == 0:
        nats = max(nats, encoder.loudest)
    best = int(raw.argmax())
    score = nats if encoder.top is None else float((raw > raw[key]).sum() if key else len(raw))
    return score, nats, best, math.exp(top - total)


def scored(network: Any, encoder: KeyEncoder, sequences: Sequence[Ints]) -> list[SequenceScores]:
    """Return the scores of sequences; those that are alike are read once."""
    distinct: dict[bytes, int] = {}
    owners = [distinct.setdefault(sequence.tobytes(), len(distinct)) for sequence in sequences]
    first = {owner: place for place, owner in reversed(list(enumerate(owners)))}
    order = sorted(distinct.values(), key=lambda owner: len(sequences[first[owner]]))
    found: dict[int, SequenceScores] = {}
    cell = cell_of(stepped(network))
    with torch.no_grad():
        for begin in range(0, len(order), _TOGETHER):
            places = order[begin : begin + _TOGETHER]
            said = _said(network, cell, [sequences[first[owner]] for owner in places], len(encoder.keys))
            for owner, value in zip(places, said, strict=True):
                found[owner] = _one(encoder, value, sequences[first[owner]])
    return [found[owner] for owner in owners]


def _said(network: Any, cell: Any, sequences: Sequence[Ints], keys: int) -> list[NDArray[np.float32]]:
    longest = max(map(len, sequences)) + 1
    read = np.zeros((longest, len(sequences)), np.int64)
    read[0] = keys + 1
    for column, sequence in enumerate(sequences):
        read[1 : len(sequence) + 1, column] = sequence
    lengths = torch.tensor([len(sequence) + 1 for sequence in sequences])
    ys, _ = scan(cell, network.embedding(torch.from_numpy(read)), lengths=lengths)
    return [ys[: len(sequence) + 1, column].numpy() for column, sequence in enumerate(sequences)]


def _one(encoder: KeyEncoder, said: NDArray[np.float32], keys: Ints) -> SequenceScores:
    came = [*keys.tolist(), len(encoder.keys) + 1]
    rows = [judged(encoder, said[place], key) for place, key in enumerate(came)]
    scores, nats, expected, probability = zip(*rows, strict=True)
    if not encoder.ends:
        scores = (*scores[:-1], 0.0)
    return SequenceScores(np.array(scores), np.array(nats), np.array(expected, np.int64), np.array(probability))


def sequence_score(found: SequenceScores) -> float:
    """Return the score of a sequence: that of its strangest key, or of its end."""
    return float(found.scores.max())


def say_if_unheard(encoder: KeyEncoder, rate: float) -> None:
    """Say that not even an event that never came is an alarm, where there are too few events for the rate."""
    if encoder.threshold <= encoder.loudest:
        return
    wanted = next_rate(encoder.tail.probability(encoder.loudest))
    way = f"accept {wanted:g} (--false-alarm-rate {wanted:g}), or " if rate < wanted < 1 else ""
    count = "1 event" if encoder.events == 1 else f"{encoder.events:,} events"
    note(
        f"of {count} it cannot be told that one which never came is rarer than {rate:g} false alarms a "
        f"sequence, so that it is no alarm by itself; {way}fit on a longer log"
    )


def next_rate(rate: float) -> float:
    """Return the next larger number of one digit.

    >>> next_rate(0.0469), next_rate(0.95)
    (0.05, 1.0)
    """
    size = 10.0 ** math.floor(math.log10(rate))
    return float(f"{math.ceil(rate / size) * size:.1g}")


def answers_of(encoder: KeyEncoder, case: str, names: Sequence[str], found: SequenceScores) -> Iterator[dict[str, Any]]:
    """Yield what is said of each event of a sequence, and of its end."""
    for place, name in enumerate([*names, END] if encoder.ends else names):
        yield answer_of(
            encoder, case, place + 1, name, float(found.scores[place]), int(found.expected[place]),
            float(found.probability[place]),
        )  # fmt: skip


def answer_of(
    encoder: KeyEncoder, case: str, place: int, name: str, score: float, expected: int, probability: float
) -> dict[str, Any]:
    """Return what is said of one event."""
    alarm = score >= encoder.threshold
    likely = f"{encoder.name_of(expected)} was expected ({100 * probability:.3g} %), {name} came"
    if alarm and name not in encoder.keys and name != END:
        likely = f"{name} never came in training; {encoder.name_of(expected)} was expected"
    return {
        "id": case,
        "place": place,
        "event": name,
        "score": round(score, 4),
        "probability": float(f"{encoder.tail.probability(score):.3g}") if encoder.top is None else None,
        "alarm": bool(alarm),
        "reason": likely if alarm else "",
    }
