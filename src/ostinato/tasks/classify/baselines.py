"""The least that every classifier has to beat: the most frequent class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.classify.encoding import Floats, Part


@dataclass(frozen=True)
class MostFrequent:
    """The shares of the classes in training, each example counted once more."""

    shares: Floats

    @classmethod
    def fit(cls, part: Part, classes: int) -> MostFrequent:
        """Count the classes of a part."""
        counts = np.bincount(part.targets, minlength=classes) + 1.0
        return cls(counts / counts.sum())

    def predict(self, part: Part) -> Prediction:
        """Return the same of every example."""
        return Prediction.of(np.tile(self.shares, (len(part), 1)))


def joined(parts: Sequence[Part | None]) -> Part:
    """Return the examples of several parts as one."""
    there = [part for part in parts if part is not None]
    first = there[0].examples
    items = tuple(item for part in there for item in part.examples.items)
    arrays = [array for part in there for array in part.arrays]
    examples = type(first)(first.origin, items, None, first.channels, first.reading)
    return Part(examples, arrays, np.concatenate([part.targets for part in there]))
