"""Batches of examples of like length: to train on, and to read many in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ostinato.data.text import BucketedBatches
from ostinato.training.objective import Batch

T = TypeVar("T")


class RowBatches(Generic[T]):
    """Examples by their places, in batches of like length, made on demand.

    Args:
        lengths: of each example, one or more.
        collate: makes the batch of some places.
        batch_size: examples of a batch, at most.
        shuffle: whether each epoch has its own order; without, all are sorted by length.
        seed: of the order.

    >>> batches = RowBatches([3, 1, 2], lambda rows: rows, batch_size=2, shuffle=False)
    >>> [batch.data for batch in batches.batches(0)]
    [[1, 2], [0]]
    """

    def __init__(
        self,
        lengths: Sequence[int],
        collate: Callable[[list[int]], T],
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        longest = max(lengths, default=1)
        self._collate = collate
        self._plan = BucketedBatches(
            ([0] * length for length in lengths), batch_tokens=batch_size * longest, max_batch=batch_size,
            window=20 * batch_size, shuffle=shuffle, seed=seed,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._plan)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch, the same ones each time."""
        for batch in self._plan.batches(epoch):
            yield Batch(self._collate(batch.data.rows.tolist()))


def like_lengths(lengths: Sequence[int], *, rows: int | None = None, steps: int | None = None) -> Iterator[list[int]]:
    """Yield the places of examples, the shortest first, so many together as fit.

    Args:
        lengths: of the examples.
        rows: examples together, at most; `None`: no such limit.
        steps: steps together, padding counted; likewise.

    >>> list(like_lengths([3, 1, 2], rows=2))
    [[1, 2], [0]]
    """
    found: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = (rows is not None and len(found) == rows) or (
            steps is not None and (len(found) + 1) * lengths[row] > steps
        )
        if found and full:
            yield found
            found = []
        found.append(row)
    if found:
        yield found


def read_in_batches(
    lengths: Sequence[int],
    read: Callable[[list[int]], Iterable[T]],
    *,
    rows: int | None = None,
    steps: int | None = None,
) -> list[T]:
    """Return what is read of each example, in their order; those of like length are read together.

    Args:
        lengths: of the examples.
        read: returns what there is of each of some places.
        rows: see `like_lengths`.
        steps: likewise.
    """
    found: dict[int, T] = {}
    with torch.no_grad():  # not inference mode: marginals of a CRF are gradients
        for places in like_lengths(lengths, rows=rows, steps=steps):
            found.update(zip(places, read(places), strict=True))
    return [found[row] for row in range(len(lengths))]


def padded(arrays: Sequence[Any], value: float = 0.0) -> Tensor:
    """Return arrays `(time, ...)` as one tensor `(time, batch, ...)`, a value behind each end."""
    return pad_sequence([torch.from_numpy(np.ascontiguousarray(array)) for array in arrays], padding_value=value)
