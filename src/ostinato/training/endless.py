"""Sequences that are longer than memory: read chunk by chunk, with gradients that are cut between chunks or are not.

`SeriesChunks` gives the training loop chunks of a long series; the state at the end of one is where the next starts,
and gradients stop there (truncated backpropagation through time). `backpropagate` does not stop them: it goes back over
all chunks, and reads and runs each again when it comes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine.front.state import State, built, leaves, structure
from ostinato.engine.run.schedule import Pieces, is_count
from ostinato.engine.run.shelf import Shelf, back_over, drawn_again
from ostinato.errors import ShapeError, UsageError
from ostinato.training.objective import Batch
from ostinato.words import counted

Series: TypeAlias = "NDArray[Any] | Tensor"
Network: TypeAlias = Callable[[Any, "State | None"], "tuple[Any, State]"]


class SeriesChunk(NamedTuple):
    """A stretch of a series: `inputs` and `targets`, both `(steps, batch, ...)`."""

    inputs: Tensor
    targets: Tensor


class SeriesChunks:
    """A long series cut for truncated backpropagation through time; only one chunk is in memory at a time.

    The series is separated into `batch_size` stretches of equal length, the columns of every chunk; chunk follows chunk
    along them. Fewer than `batch_size` steps at the end are left out.

    Args:
        inputs: `(time, ...)`, an array, such as one of `numpy.load(path, mmap_mode="r")`, or a tensor.
        targets: as long; `None` for the inputs one step later.
        batch_size: columns.
        steps: steps of a chunk; the last is shorter where it does not come out even.

    Raises:
        ShapeError: inputs and targets are not equally long.
        UsageError: the series is too short, or a number is out of range.

    >>> import numpy as np
    >>> chunks = SeriesChunks(np.arange(9.0), batch_size=2, steps=3)
    >>> [(batch.data.inputs[:, 1].tolist(), batch.continues) for batch in chunks.batches(0)]
    [([4.0, 5.0, 6.0], False), ([7.0], True)]
    """

    def __init__(self, inputs: Series, targets: Series | None = None, *, batch_size: int, steps: int) -> None:
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if not is_count(value):
                raise UsageError(f"{name} is {value!r}; expected a whole number above 0")
        if targets is not None and len(targets) != len(inputs):
            raise ShapeError(
                f"inputs have {counted(len(inputs), 'steps')} and targets {len(targets):,}; expected as many in both"
            )
        self.inputs, self.targets = (inputs, inputs[1:]) if targets is None else (inputs, targets)
        self.batch_size, self.steps = batch_size, steps
        self.stretch = min(len(self.inputs), len(self.targets)) // batch_size
        if not self.stretch:
            raise UsageError(
                f"the series has {counted(len(inputs), 'steps')}; expected more than {batch_size}, one for "
                "each column of a batch"
            )

    def __len__(self) -> int:
        return -(-self.stretch // self.steps)

    def __getitem__(self, number: int) -> SeriesChunk:
        """Return a chunk, counted from 0."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        first = number * self.steps
        stop = min(first + self.steps, self.stretch)
        return SeriesChunk(*(self._read(series, first, stop) for series in (self.inputs, self.targets)))

    def batches(self, epoch: int) -> Iterator[Batch]:  # noqa: ARG002 - the same each time
        """Return the chunks of an epoch, in order; all but the first continue the one before."""
        return (Batch(self[number], continues=number > 0) for number in range(len(self)))

    def _read(self, series: Series, first: int, stop: int) -> Tensor:
        starts = range(0, self.batch_size * self.stretch, self.stretch)
        if isinstance(series, Tensor):
            return torch.stack([series[start + first : start + stop] for start in starts], 1)
        return torch.from_numpy(np.stack([series[start + first : start + stop] for start in starts], 1))


def backpropagate(
    network: Network,
    chunks: Sequence[tuple[Any, Any]],
    loss: Callable[[Any, Any], Tensor],
    state: State | None = None,
    *,
    kept: int | None = None,
    folder: str | Path | None = None,
) -> tuple[float, State]:
    """Add the exact gradients of a loss over a sequence that is never whole in memory.

    In memory are one chunk with its inner values, and the states that are kept: one for each chunk, or as many as
    `kept` says; then states between them are computed again as often as that needs (A. Griewank and A. Walther,
    "Algorithm 799: revolve", 2000). `loss` is called once for each chunk, while going back.

    Args:
        network: from the inputs of a chunk and a state, `None` at the start, to outputs and the next state, such as
            `ostinato.nn.Recurrent(...)` or `lambda xs, state: ostinato.scan(cell, xs, state)`.
        chunks: inputs and targets by number, such as `SeriesChunks`; the same ones each time.
        loss: of the outputs and targets of a chunk, a number; their sum is what is differentiated.
        state: where to start.
        kept: states that are kept at a time; `None` for all.
        folder: where they lie in a memory-mapped file; `None` for memory.

    Returns:
        The sum of the losses, and the last state. Gradients are added to `.grad` of all that the network was made of.

    Raises:
        UsageError: there are no chunks, or `kept` is out of range.

    >>> import torch, ostinato
    >>> cell, series = torch.nn.GRUCell(1, 4), torch.sin(torch.arange(1001.0))[:, None]
    >>> network = lambda xs, state: ostinato.scan(cell, xs, state)
    >>> chunks = SeriesChunks(series, batch_size=1, steps=100)
    >>> total, last = backpropagate(network, chunks, lambda ys, targets: (ys[..., :1] - targets).square().sum(), kept=3)
    >>> tuple(cell.weight_hh.grad.shape)
    (12, 4)
    """
    count = len(chunks)
    if not count:
        raise UsageError("there are no chunks; give a longer series or fewer steps a chunk")
    if kept is not None and not is_count(kept):
        raise UsageError(f"kept is {kept!r}; expected a whole number above 0, or None")
    pieces = Pieces(1, count, count - 1 if kept is None else min(count - 1, kept))
    return _Backpropagation(network, chunks, loss, pieces, None if folder is None else Path(folder)).run(state)


class _Backpropagation:
    """One call of `backpropagate`."""

    def __init__(
        self, network: Network, chunks: Sequence[tuple[Any, Any]], loss: Callable[[Any, Any], Tensor], pieces: Pieces,
        folder: Path | None,
    ) -> None:  # fmt: skip
        self.network, self.chunks, self.loss, self.pieces = network, chunks, loss, pieces
        self.shelf = Shelf(sorted(pieces.first_kept()), folder)
        self.shape: Any = None
        self.random: list[Tensor] = []

    def run(self, state: State | None) -> tuple[float, State]:
        """Go over all chunks, and back."""
        last = self._forward(state)
        total = 0.0
        grads: list[Any] = [None] * len(leaves(last))
        start = [] if state is None else [leaf.detach() for leaf in leaves(state)]
        for number, before in back_over(self.pieces, self.shelf, start, self._advanced):
            with drawn_again(self.random[number] if self.random else None):
                loss, grads = self._chunk(number, before, grads)
            total += loss
        for leaf, grad in zip([] if state is None else leaves(state), grads, strict=False):
            if leaf.requires_grad and grad is not None:
                torch.autograd.backward([leaf], [grad])
        return total, last

    def _forward(self, state: State | None) -> State:
        marks = self.pieces.first_kept()
        for number in range(self.pieces.count):
            if number in marks:
                assert state is not None
                self.shelf.put(number, leaves(state))
            before = torch.get_rng_state()
            if self.random or number == 0:
                self.random.append(before)
            state = self._step(number, state)
            if number == 0 and torch.equal(before, torch.get_rng_state()):
                self.random.clear()
        assert state is not None
        self.shape = structure(state)
        return state

    def _step(self, number: int, state: State | None) -> State:
        with torch.no_grad():
            return self.network(self.chunks[number][0], state)[1]

    def _advanced(self, first: int, last: int, before: list[Tensor]) -> list[Tensor]:
        state = self._as_state(before)
        for number in range(first, last):
            with drawn_again(self.random[number] if self.random else None):
                state = self._step(number, state)
        assert state is not None
        return leaves(state)

    def _as_state(self, flat: Sequence[Tensor]) -> State | None:
        return built(self.shape, iter(flat)) if flat else None

    def _chunk(self, number: int, before: list[Tensor], grads: list[Any]) -> tuple[float, list[Any]]:
        """Run a chunk again, and go back over it."""
        inputs, targets = self.chunks[number]
        starts = [leaf.detach().requires_grad_(leaf.is_floating_point()) for leaf in before]
        with torch.enable_grad():
            ys, last = self.network(inputs, self._as_state(starts))
            loss = self.loss(ys, targets)
        pairs = [(out, grad) for out, grad in zip(leaves(last), grads, strict=True) if grad is not None]
        pairs = [(out, grad) for out, grad in [(loss, None), *pairs] if out.requires_grad]
        if pairs:
            torch.autograd.backward([out for out, _ in pairs], [grad for _, grad in pairs])
        return float(loss.detach()), [leaf.grad for leaf in starts] or [None] * len(grads)
