"""The forms in which PyTorch's layers take sequences, brought to the one that `scan` takes, and back again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

Given: TypeAlias = Tensor | PackedSequence


@dataclass(frozen=True)
class Extent:
    """How much there is to do."""

    steps: int
    batch: tuple[int, ...]
    """The size of the batch; empty for a sequence without one."""
    rows: float
    """Of the batch, on the average over steps."""
    ragged: bool


@dataclass(frozen=True)
class Batch:
    """Sequences as a padded batch, and what is needed to give outputs back in the form that the inputs came in.

    Rows of a packed batch stay in its own order, longest first; states are brought to that order and back.
    """

    xs: Tensor
    """`(time, batch, features)`."""
    lengths: Tensor | None
    """`(batch,)`; `None` where all rows are equally long."""
    packed: PackedSequence | None
    batch_dim: int
    unbatched: bool

    def start(self, state: Tensor) -> Tensor:
        """Bring one tensor of a user's state to `(layers, batch, features)`, rows in the order of `xs`."""
        if self.unbatched:
            return state.unsqueeze(1)
        if self.packed is None or self.packed.sorted_indices is None:
            return state
        return state.index_select(1, self.packed.sorted_indices)

    def last(self, state: Tensor) -> Tensor:
        """Bring one tensor of a last state, `(layers, batch, features)`, to the user's form."""
        if self.unbatched:
            return state.squeeze(1)
        if self.packed is None or self.packed.unsorted_indices is None:
            return state
        return state.index_select(1, self.packed.unsorted_indices)

    def outputs(self, ys: Tensor) -> Given:
        """Bring outputs, `(time, batch, features)`, to the user's form."""
        if self.packed is not None:
            _, sizes, order, back = self.packed
            return PackedSequence(self._real_rows(ys), sizes, order, back)
        if self.unbatched:
            return ys.squeeze(1)
        return ys.transpose(0, 1) if self.batch_dim == 0 else ys

    def dropout(self, ys: Tensor, share: float) -> Tensor:
        """Drop outputs between layers, drawing a random number for each real step only, as PyTorch does."""
        if self.packed is None:
            return functional.dropout(ys, share)
        return _padded(self.packed._replace(data=functional.dropout(self._real_rows(ys), share)))[0]

    def _real_rows(self, ys: Tensor) -> Tensor:
        if self.lengths is None:
            return ys.flatten(0, 1)
        return pack_padded_sequence(ys, self.lengths).data


def values_of(given: Any) -> Tensor | None:
    """Return the tensor of what a user gave, or `None` if it is neither a tensor nor packed sequences."""
    if isinstance(given, PackedSequence):
        return given.data
    return given if isinstance(given, Tensor) else None


def extent_of(given: Given, batch_first: bool) -> Extent | None:
    """Return how much there is to do, or `None` if the number of dimensions is wrong."""
    if isinstance(given, PackedSequence):
        if given.data.dim() != 2:
            return None
        steps, batch, real = len(given.batch_sizes), int(given.batch_sizes[0]), given.data.shape[0]
        return Extent(steps, (batch,), real / steps, real < steps * batch)
    if given.dim() == 2:
        return Extent(given.shape[0], (), 1, False)
    if given.dim() != 3:
        return None
    batch, steps = given.shape[:2] if batch_first else given.shape[1::-1]
    return Extent(steps, (batch,), batch, False)


def open_batch(given: Given, batch_first: bool) -> Batch:
    """Bring sequences to the form that `scan` takes.

    Args:
        given: packed sequences, or a tensor `(time, batch, features)`, `(batch, time, features)` with `batch_first`, or
            `(time, features)`.
        batch_first: see above; packed sequences have no such order.
    """
    if isinstance(given, PackedSequence):
        xs, lengths = _padded(given)
        return Batch(xs, None if given.batch_sizes[-1] == given.batch_sizes[0] else lengths, given, 1, False)
    if given.dim() == 2:
        return Batch(given.unsqueeze(1), None, None, 1, True)
    return Batch(given.transpose(0, 1) if batch_first else given, None, None, 0 if batch_first else 1, False)


def _padded(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    return pad_packed_sequence(PackedSequence(packed.data, packed.batch_sizes))
