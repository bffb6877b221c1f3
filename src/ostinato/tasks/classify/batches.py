"""Batches of examples of like length, the loss of one, and the scores of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn.losses import cross_entropy
from ostinato.tasks.classify.examples import Integers
from ostinato.training import Batch, Step
from ostinato.training.objective import Carry

_WINDOW = 20  # batches that are sorted together: more gives less padding and less chance
_STEPS = 1 << 16  # of a batch that is only read, padding counted


class ClassBatch(NamedTuple):
    """Padded examples: `inputs (time, batch, ...)`, `lengths (batch,)`, `targets (batch,)`."""

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


class ExampleBatches:
    """Examples in batches of like length, drawn anew each epoch; each example comes once.

    Args:
        arrays: tokens `(time,)` or features `(time, features)` of each example.
        targets: their classes, `(examples,)`.
        batch_size: examples of a batch; the last of a window may have fewer.
        shuffle: without, the examples come sorted by length, the same ones each epoch.
        seed: of the shuffling.

    Raises:
        UsageError: the batch size is less than one.
    """

    def __init__(
        self, arrays: Sequence[NDArray[Any]], targets: Integers, *, batch_size: int, shuffle: bool = True, seed: int = 0
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; expected one or more")
        self.arrays, self.targets, self.batch_size = arrays, targets, batch_size
        self.shuffle, self.seed = shuffle, seed
        self._lengths = np.array([len(array) for array in arrays], np.int64)

    def __len__(self) -> int:
        return -(-len(self.arrays) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch."""
        for rows in self._plan(epoch):
            inputs, lengths = padded([self.arrays[row] for row in rows])
            yield Batch(ClassBatch(inputs, lengths, torch.from_numpy(self.targets[rows])))

    def _plan(self, epoch: int) -> list[Integers]:
        if not self.shuffle:
            return self._cut(np.argsort(self._lengths, kind="stable"))
        rng = np.random.default_rng([self.seed, epoch])
        order, window = rng.permutation(len(self.arrays)), _WINDOW * self.batch_size
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


def scores_of(network: nn.Module, arrays: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the scores of examples before the softmax, `(examples, classes)`, in their order."""
    found: dict[int, NDArray[np.float64]] = {}
    with torch.inference_mode():
        for rows in reading_order([len(array) for array in arrays]):
            scores = network(*padded([arrays[row] for row in rows])).double().numpy()
            found |= dict(zip(rows, scores, strict=True))
    return np.stack([found[row] for row in range(len(arrays))])


def reading_order(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield examples of like length together, so many that they fit in memory."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > _STEPS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows
