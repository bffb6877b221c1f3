"""`scan`: any recurrent cell over a batch of sequences, and the one place that chooses how it runs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.engine.reference import scan_eagerly
from ostinato.engine.state import State, initial_state, leaves
from ostinato.errors import ShapeError


def scan(
    cell: nn.Module,
    xs: Tensor,
    state: State | None = None,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
    batch_first: bool = False,
) -> tuple[Tensor, State]:
    """Run a cell over time.

    Args:
        cell: a module whose `forward(x, state)` returns `(output, new_state)`, the state being a tensor or a tuple of
            tensors whose first dimension is the batch; or one like `torch.nn.LSTMCell` that returns only the state.
        xs: the sequences, `(time, batch, features)`, or `(batch, time, features)` with `batch_first`.
        state: where to start, each tensor `(batch, ...)`; `None` for the cell's own `initial_state(x)` or zeros.
        lengths: whole numbers `(batch,)` between 0 and `time`: the steps that each row really has. A row's outputs
            after its length are zero and its last state is the one at its last real step.
        reverse: walk each row from its own last step to its first; outputs stay in the order of `xs`.
        batch_first: whether the first dimension of `xs` and of the outputs is the batch.

    Returns:
        The outputs, `(time, batch, output features)`, and the last state. Both are differentiable.

    Raises:
        ShapeError: `xs`, `state` or `lengths` have shapes that do not fit.
        UsageError: the cell breaks the contract, or its initial state cannot be found.

    >>> import torch, ostinato
    >>> cell = torch.nn.GRUCell(3, 5)
    >>> ys, last = scan(cell, torch.randn(7, 2, 3), lengths=torch.tensor([7, 4]))
    >>> tuple(ys.shape), bool((ys[4:, 1] == 0).all()), bool((ys[3, 1] == last[1]).all())
    ((7, 2, 5), True, True)
    """
    if xs.dim() < 3:
        raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected three dimensions, (time, batch, features)")
    if batch_first:
        xs = xs.transpose(0, 1)
    if lengths is not None:
        lengths = _checked_lengths(lengths, xs)
    if state is None:
        state = initial_state(cell, xs[0] if xs.shape[0] else xs.new_zeros(xs.shape[1:]))
    _check_state(state, xs)
    ys, last = _dispatch(cell, xs, state, lengths, reverse)
    return (ys.transpose(0, 1) if batch_first else ys), last


def _dispatch(cell: nn.Module, xs: Tensor, state: State, lengths: Tensor | None, reverse: bool) -> tuple[Tensor, State]:
    """Choose who runs the loop. A compiled engine takes its place here; the reference runs what nothing else takes."""
    return scan_eagerly(cell, xs, state, lengths, reverse)


def _checked_lengths(lengths: Tensor, xs: Tensor) -> Tensor:
    time, batch = xs.shape[:2]
    if lengths.dim() != 1 or lengths.shape[0] != batch or lengths.is_floating_point() or lengths.dtype is torch.bool:
        raise ShapeError(
            f"lengths has shape {tuple(lengths.shape)} and type {lengths.dtype}; expected whole numbers, ({batch},), "
            f"one for each row of xs {tuple(xs.shape)}"
        )
    if batch and (int(lengths.min()) < 0 or int(lengths.max()) > time):
        raise ShapeError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; expected 0 to {time}, the steps of xs"
        )
    return lengths.to(xs.device)


def _check_state(state: State, xs: Tensor) -> None:
    for leaf in leaves(state):
        if leaf.dim() == 0 or leaf.shape[0] != xs.shape[1]:
            raise ShapeError(
                f"a tensor of the state has shape {tuple(leaf.shape)}; its first dimension must be the batch, "
                f"{xs.shape[1]} rows as in xs {tuple(xs.shape)}"
            )
