"""Simple detectors of strange sequences: what follows the last key, and which sequences were seen before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.key_scoring import Found, KeyEncoder, KeyExamples
from ostinato.tasks.base.tail import Tail

Floats = NDArray[np.float64]
_BELIEF = 0.1  # of a count, for what did not come


@dataclass(frozen=True)
class LastKey:
    """What follows each key, by how often it did; a sequence is as strange as its strangest step.

    Args:
        nats: `(keys + 2, keys + 2)`, -log of how often a column follows a row; the last ones begin and end.
        threshold: from which on a sequence is an alarm.
    """

    nats: Floats
    threshold: float

    @classmethod
    def fit(cls, encoder: KeyEncoder, train: KeyExamples, held: KeyExamples, rate: float) -> LastKey:
        """Count what follows what in normal sequences; the threshold is of others."""
        size = len(encoder.keys) + 2
        counts = np.full((size, size), _BELIEF)
        for key, bad in zip(train.keys, _bad(train), strict=True):
            if not bad:
                np.add.at(counts, (np.append(size - 1, key), np.append(key, size - 1)), 1)
        first = cls(-np.log(counts / counts.sum(1, keepdims=True)), np.inf)
        scores = first.predict(held).scores[~_bad(held)]
        tail = Tail.fit(scores, share=max(0.05, min(0.5, 20 / max(len(scores), 1))))
        return cls(first.nats, float(max(tail.threshold(rate), np.log(2))))

    def predict(self, examples: KeyExamples) -> Found:
        """Score sequences."""
        end = len(self.nats) - 1
        nats = tuple(self.nats[np.append(end, key), np.append(key, end)] for key in examples.keys)
        scores = np.array([nat.max() for nat in nats])
        return Found(scores, scores >= self.threshold, nats)


@dataclass(frozen=True)
class KnownSequences:
    """A sequence is strange if it was not seen in training, whole.

    Args:
        seen: the numbers of each, joined by spaces.
    """

    seen: tuple[str, ...]

    @classmethod
    def fit(cls, train: KeyExamples) -> KnownSequences:
        """Take the normal sequences in."""
        return cls(tuple(sorted({_text(key) for key, bad in zip(train.keys, _bad(train), strict=True) if not bad})))

    def predict(self, examples: KeyExamples) -> Found:
        """Say which are new."""
        known = set(self.seen)
        new = np.array([_text(key) not in known for key in examples.keys])
        return Found(new.astype(np.float64), new)


def _text(keys: NDArray[np.int64]) -> str:
    return " ".join(map(str, keys.tolist()))


def _bad(examples: KeyExamples) -> NDArray[np.bool_]:
    return np.zeros(len(examples), np.bool_) if examples.labels is None else examples.labels
