"""Batches made on demand, of examples of like length: for tasks whose steps are more than token numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from ostinato.data.text import BucketedBatches
from ostinato.training.objective import Batch

T = TypeVar("T")


class RowBatches(Generic[T]):
    """Examples by their places, in batches of like length.

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
