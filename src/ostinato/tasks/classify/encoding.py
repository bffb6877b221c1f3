"""What classifiers share between records and network: encoders with classes, examples as arrays, their batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.nn.losses import cross_entropy
from ostinato.tasks.base.batches import read_in_batches
from ostinato.tasks.classify.examples import Classes, Examples, Integers
from ostinato.training import Batch, Step
from ostinato.training.objective import Carry

Floats = NDArray[np.float64]
_WINDOW = 20  # batches that are sorted together: more gives less padding and less chance
_STEPS = 1 << 16  # of a batch that is only read, padding counted


@dataclass(frozen=True, kw_only=True)
class ClassEncoder:
    """What makes arrays of examples, the classes that are told apart, and the temperature of their probabilities."""

    classes: Classes
    temperature: float = 1.0

    def encode(self, examples: Examples) -> Sequence[NDArray[Any]]:
        """Return tokens `(time,)` or features `(time, features)` of each example."""
        raise NotImplementedError


@dataclass(frozen=True)
class Part:
    """Examples with what the network reads of them, and their classes `(examples,)`, none if they have no labels."""

    examples: Examples
    arrays: Sequence[NDArray[Any]]
    targets: Integers

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells it from another in a checkpoint."""
        return list(self.arrays), self.targets


class ClassBatch(NamedTuple):
    """Padded examples: `inputs (time, batch, ...)`, `lengths (batch,)`, `targets (batch,)`."""

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


class ExampleBatches:
    """Examples in batches of like length, drawn again each epoch; each example comes once.

    Args:
        part: the examples.
        batch_size: examples of a batch; the last of a window may have fewer.
        shuffle: without, the examples come sorted by length, the same ones each epoch.
        seed: of the shuffling.
    """

    def __init__(self, part: Part, *, batch_size: int, shuffle: bool = True, seed: int = 0) -> None:
        self.part, self.batch_size, self.shuffle, self.seed = part, batch_size, shuffle, seed
        self._lengths = np.array([len(array) for array in part.arrays], np.int64)

    def __len__(self) -> int:
        return -(-len(self.part) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch."""
        for rows in self._plan(epoch):
            inputs, lengths = padded([self.part.arrays[row] for row in rows])
            yield Batch(ClassBatch(inputs, lengths, torch.from_numpy(self.part.targets[rows])))

    def _plan(self, epoch: int) -> list[Integers]:
        if not self.shuffle:
            return self._cut(np.argsort(self._lengths, kind="stable"))
        rng = np.random.default_rng([self.seed, epoch])
        order, window = rng.permutation(len(self.part)), _WINDOW * self.batch_size
        parts = [order[first : first + window] for first in range(0, len(order), window)]
        plan = [rows for part in parts for rows in self._cut(part[np.argsort(self._lengths[part], kind="stable")])]
        return [plan[number] for number in rng.permutation(len(plan))]

    def _cut(self, rows: Integers) -> list[Integers]:
        return [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]


def padded(arrays: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Return `(time, batch, ...)`, zero behind each end, and lengths `(batch,)`."""
    lengths = np.array([len(array) for array in arrays], np.int64)
    block = np.zeros((int(lengths.max()), len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for column, array in enumerate(arrays):
        block[: len(array), column] = array
    return torch.from_numpy(block), torch.from_numpy(lengths)


class ClassObjective:
    """Cross-entropy of the class; in training with weights and smoothing, in validation without.

    Args:
        weights: `(classes,)`, or `None`: all count alike.
        smoothing: share of the target given to all classes alike.
    """

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        self.weights, self.smoothing = weights, smoothing

    def __call__(self, module: nn.Module, batch: ClassBatch, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch."""
        scores = module(batch.inputs, batch.lengths)
        if not module.training:
            return Step(cross_entropy(scores, batch.targets), len(batch.targets))
        weight = None if self.weights is None else self.weights.to(scores.device)
        loss = cross_entropy(scores, batch.targets, weight=weight, label_smoothing=self.smoothing)
        return Step(loss, len(batch.targets))


def scores_of(network: nn.Module, arrays: Sequence[NDArray[Any]]) -> Floats:
    """Return the scores of examples before the softmax, `(examples, classes)`, in their order."""

    def read(rows: list[int]) -> Floats:
        found: Floats = network(*padded([arrays[row] for row in rows])).double().numpy()
        return found

    return np.stack(read_in_batches([len(array) for array in arrays], read, steps=_STEPS))


def embedded(network: Any, arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return what a network knows of whole sequences, before the scores of classes, `(examples, features)`."""

    def read(rows: list[int]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = network.pooled(*network.front(*padded([arrays[row] for row in rows]))).numpy()
        return found

    return np.stack(read_in_batches([len(array) for array in arrays], read, steps=_STEPS))
