"""Batches of token numbers: stretches of one corpus for truncated BPTT, and sequences bucketed by length.

Both are batch sources as `ostinato.training` asks for them: a fixed number of batches an epoch, the same ones each
time for the same seed and epoch, each with `data` and `continues`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data.text.ragged import Ragged
from ostinato.errors import ShapeError, UsageError

_ATTEMPTS = 20


class Chunk(NamedTuple):
    """A stretch of a corpus: `inputs` and `targets`, the tokens one step later, both `(steps, batch)`."""

    inputs: Tensor
    targets: Tensor


class SequenceBatch(NamedTuple):
    """Padded sequences: `tokens (time, batch)`, `lengths (batch,)`, and their places in the data, `rows (batch,)`."""

    tokens: Tensor
    lengths: Tensor
    rows: Tensor


class PairBatch(NamedTuple):
    """Padded pairs.

    Shapes: `source (source time, batch)`, `source_lengths (batch,)`, `target (target time, batch)`, `target_lengths
    (batch,)`; `rows (batch,)` are the pairs' places in the data.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor
    rows: Tensor


class TextBatch(NamedTuple):
    """What the training loop takes: the data, and whether its columns continue from those of the batch before."""

    data: Any
    continues: bool = False


class ChunkedCorpus:
    """A corpus cut for truncated backpropagation through time.

    The corpus is parted into `batch_size` stretches, the columns of every chunk; chunk follows chunk along them, so
    that the state at the end of one is the state at the start of the next. No token is left out: each but the first is
    a target once an epoch. Where the columns do not come out equally long, the last step of the shorter ones has
    `ignore` as its target.

    Args:
        ids: `(tokens,)`, integers; may be memory-mapped.
        batch_size: columns.
        steps: steps of a chunk; the last is shorter where it does not come out even.
        varied: whether the steps of each chunk are drawn again each epoch, as AWD-LSTM does: around `steps`, seldom
            around half of it, so that other tokens come to stand at the cuts. The number of chunks stays the same;
            therefore the drawn lengths are stretched or shrunk alike to fill the corpus.
        seed: of the varied lengths.
        ignore: the target where there is none; the loss must leave it out (as PyTorch's does -100).

    Raises:
        ShapeError: `ids` is not of one dimension.
        UsageError: the ids are not integers, too few, or an option is out of range.

    >>> import numpy as np
    >>> corpus = ChunkedCorpus(np.arange(8), batch_size=2, steps=3)
    >>> [(batch.data.inputs.tolist(), batch.continues) for batch in corpus.batches(0)]
    [([[0, 4], [1, 5], [2, 6]], False), ([[3, 7]], True)]
    >>> [batch.data.targets.tolist() for batch in corpus.batches(0)][1]
    [[4, -100]]

    Source: S. Merity, N. S. Keskar and R. Socher, Regularizing and Optimizing LSTM Language Models, 2018, section 5.
    """

    def __init__(
        self,
        ids: NDArray[Any] | Tensor,
        *,
        batch_size: int,
        steps: int,
        varied: bool = False,
        seed: int = 0,
        ignore: int = -100,
    ) -> None:
        self.ids = _flat_integers(ids)
        _at_least_one(batch_size=batch_size, steps=steps)
        self.tokens = len(self.ids) - 1
        if self.tokens < batch_size:
            raise UsageError(
                f"the corpus has {len(self.ids)} tokens; expected at least {batch_size + 1} for a batch size of "
                f"{batch_size}: give more text or a smaller batch"
            )
        self.batch_size, self.steps, self.varied, self.seed, self.ignore = batch_size, steps, varied, seed, ignore
        self._longest = -(-self.tokens // batch_size)
        self._full = self.tokens - (self._longest - 1) * batch_size  # columns that are as long as the longest
        columns = np.arange(batch_size)
        self._starts = columns * self._longest - np.maximum(columns - self._full, 0)

    def __len__(self) -> int:
        # a chunk drawn with the weights below has 0.975 * steps in the mean
        return max(1, round(self._longest / (0.975 * self.steps))) if self.varied else -(-self._longest // self.steps)

    def batches(self, epoch: int) -> Iterator[TextBatch]:
        """Return the chunks of an epoch, in order; all but the first continue the one before."""
        last = 0
        for stop in self._stops(epoch):
            yield TextBatch(self._chunk(last, stop), continues=last > 0)
            last = stop

    def _stops(self, epoch: int) -> list[int]:
        if not self.varied:
            return [min(stop, self._longest) for stop in range(self.steps, self._longest + self.steps, self.steps)]
        rng = np.random.default_rng([self.seed, epoch])
        count = len(self)
        base = np.where(rng.random(count) < 0.95, self.steps, self.steps / 2)
        # never longer than steps + 10: memory; each has one step for certain, and its share of the others
        drawn = np.clip(rng.normal(base, 5.0), min(5, self.steps), self.steps + 10)
        shares = np.rint(np.cumsum(drawn) / drawn.sum() * (self._longest - count)).astype(int)
        return [int(stop) for stop in shares + np.arange(1, count + 1)]

    def _chunk(self, first: int, stop: int) -> Chunk:
        places = np.minimum(self._starts + np.arange(first, stop + 1)[:, None], self.tokens)
        block = torch.from_numpy(np.asarray(self.ids[places], np.int64))
        targets = block[1:].clone()
        if stop == self._longest:
            targets[-1, self._full :] = self.ignore
        return Chunk(block[:-1].clone(), targets)


class BucketedBatches:
    """Sequences, or pairs of them, in batches of like length.

    Each epoch the examples are shuffled, parted into windows, and sorted by length within each; a batch is filled from
    a window until it has `batch_tokens`, padding counted, on its longer side. Each example comes once an epoch.

    Every epoch has the same number of batches, which the training loop asks for. A draw that needs more is drawn
    again; in one that needs fewer, the largest batches are halved.

    Args:
        sequences: token numbers of each example, read once.
        targets: the other side of each pair, as many; `None`: there is none.
        batch_tokens: tokens a side, padding counted. An example that is longer is a batch by itself.
        max_batch: examples a batch, at most; `None`: as many as fit.
        window: examples sorted together; `None`: about twenty batches. More: less padding, less chance.
        shuffle: whether to shuffle; without, all are sorted and every epoch is the same: for evaluation.
        seed: of the shuffling.
        pad: the number that pads sequences.
        target_pad: the number that pads targets; -100 for tags that the loss is to leave out.

    Raises:
        DataError: an example has no tokens.
        UsageError: there are no examples, not as many targets, or an option is out of range.

    >>> batches = BucketedBatches([[5, 6, 7], [5], [8, 9]], batch_tokens=4, shuffle=False)
    >>> for batch in batches.batches(0):
    ...     print(batch.data.tokens.tolist(), batch.data.lengths.tolist(), batch.data.rows.tolist())
    [[5, 8], [0, 9]] [1, 2] [1, 2]
    [[5], [6], [7]] [3] [0]
    """

    def __init__(
        self,
        sequences: Iterable[Sequence[int]],
        targets: Iterable[Sequence[int]] | None = None,
        *,
        batch_tokens: int = 4096,
        max_batch: int | None = None,
        window: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        pad: int = 0,
        target_pad: int = 0,
    ) -> None:
        sides = [Ragged.build(sequences, "sequence", pad)]
        if targets is not None:
            sides.append(Ragged.build(targets, "target", target_pad))
        if len({len(side.lengths) for side in sides}) > 1:
            counts = " sequences but ".join(str(len(side.lengths)) for side in sides)
            raise UsageError(f"there are {counts} targets; expected the same number")
        self.batch_tokens, self.max_batch = batch_tokens, max_batch or len(sides[0].lengths)
        self.shuffle, self.seed = shuffle, seed
        self._sides = sides
        self._sizes = np.stack([side.lengths for side in sides]).max(0)
        self.window = window or max(1, round(20 * batch_tokens / self._sizes.mean()))
        _at_least_one(batch_tokens=batch_tokens, max_batch=self.max_batch, window=self.window)
        self._sorted = self._cut(np.arange(len(self._sizes)))
        tried = [self._draw(np.random.default_rng([seed, 0, attempt])) for attempt in range(3 if shuffle else 0)]
        self._count = max(len(plan) for plan in [self._sorted, *tried])

    def __len__(self) -> int:
        return self._count

    def batches(self, epoch: int) -> Iterator[TextBatch]:
        """Return the batches of an epoch, their data a `SequenceBatch` or a `PairBatch`."""
        for rows in self._plan(epoch):
            parts = [part for side in self._sides for part in side.padded(rows)]
            parts.append(torch.from_numpy(rows))
            yield TextBatch(SequenceBatch(*parts) if len(self._sides) == 1 else PairBatch(*parts))

    def padding_share(self, epoch: int = 0) -> float:
        """Return the share of an epoch's positions, of both sides, that are padding; 0.1: a tenth."""
        plan = self._plan(epoch)
        padded = sum(int(side.lengths[rows].max()) * len(rows) for rows in plan for side in self._sides)
        return 1.0 - sum(int(side.lengths.sum()) for side in self._sides) / padded

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the examples of each batch of an epoch."""
        if not self.shuffle:
            return self._sorted
        rng = np.random.default_rng([self.seed, epoch])
        draws = (self._draw(rng) for _ in range(_ATTEMPTS))
        plan = next((draw for draw in draws if len(draw) <= self._count), self._sorted)
        plan = _halved(plan, self._count)
        return [plan[number] for number in rng.permutation(len(plan))]

    def _draw(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        order = rng.permutation(len(self._sizes))
        windows = (order[first : first + self.window] for first in range(0, len(order), self.window))
        return [rows for window in windows for rows in self._cut(window)]

    def _cut(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Sort examples by length and cut them into batches."""
        rows = rows[np.lexsort((*(side.lengths[rows] for side in reversed(self._sides)), self._sizes[rows]))]
        cuts, first = [0], 0
        for place, size in enumerate(self._sizes[rows].tolist()):  # ascending: the newest is the longest
            count = place - first + 1
            if count > 1 and (count * size > self.batch_tokens or count > self.max_batch):
                cuts.append(first := place)
        return [rows[start:stop] for start, stop in zip(cuts, [*cuts[1:], len(rows)], strict=True)]


def _halved(plan: list[NDArray[np.int64]], count: int) -> list[NDArray[np.int64]]:
    plan = list(plan)
    while len(plan) < count:
        largest = max(range(len(plan)), key=lambda number: len(plan[number]))
        rows = plan[largest]
        plan[largest] = rows[: len(rows) // 2]
        plan.append(rows[len(rows) // 2 :])
    return plan


def _flat_integers(ids: NDArray[Any] | Tensor) -> NDArray[Any]:
    array_ = ids.numpy(force=True) if isinstance(ids, Tensor) else ids
    if not isinstance(array_, np.ndarray) or array_.dtype.kind not in "iu":
        kind = array_.dtype if isinstance(array_, np.ndarray) else type(array_).__name__
        raise UsageError(f"ids is {kind}; expected an array of integers, as encode_corpus gives it")
    if array_.ndim != 1:
        raise ShapeError(f"ids has the shape {array_.shape}; expected (tokens,)")
    return array_


def _at_least_one(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise UsageError(f"{name} is {value}; expected at least 1")
