"""Rows of a table by number, such as the vectors of tokens; their gradients summed by one compiled loop.

PyTorch adds the gradient of each row by itself, a microsecond or two for each: of 2,048 tokens that is a quarter of a
step of a character model. The sums here are in the same order, so that their bits are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.engine.backends import add_rows
from ostinato.engine.run.plain import plain_now

_TYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Rows:
    """A sequence whose steps are rows of a table, which whoever reads it may multiply once for all that are alike.

    Args:
        table: `(rows, features)`.
        places: whole numbers `(time, batch)`, the row of each step.
    """

    table: Tensor
    places: Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of the sequences, `(time, batch, features)`."""
        return torch.Size((*self.places.shape, self.table.shape[1]))

    def dense(self) -> Tensor:
        """Return the sequences, `(time, batch, features)`."""
        return rows_of(self.table, self.places)

    def transpose(self) -> Rows:
        """Return the same with time and batch exchanged."""
        return Rows(self.table, self.places.transpose(0, 1).contiguous())

    def are_few(self) -> bool:
        """Tell whether the table has so few rows that work on all of them is little beside work on all steps."""
        return 2 * len(self.table) <= self.places.numel()


def rows_of(table: Tensor, places: Tensor) -> Tensor:
    """Return rows of a table, `(..., features)`; differentiable.

    Args:
        table: `(rows, features)`.
        places: whole numbers `(...)` between 0 and `rows`, which is not checked.

    >>> import torch
    >>> rows_of(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 1, 0])).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    quick = (
        table.dtype in _TYPES
        and table.is_cpu
        and type(table) in (Tensor, nn.Parameter)
        and table.requires_grad
        and torch.is_grad_enabled()
        and places.dtype is torch.int64
        and plain_now()
    )
    if not quick:
        return functional.embedding(places, table)
    found: Tensor = _RowsOf.apply(table, places)  # type: ignore[no-untyped-call]
    return found


class _RowsOf(torch.autograd.Function):
    """Rows of a table with their gradient."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, places: Tensor) -> Tensor:
        """Return the rows."""
        ctx.rows = len(table)
        ctx.save_for_backward(places)
        return functional.embedding(places, table)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        """Sum the gradients of equal rows."""
        (places,) = ctx.saved_tensors
        flat, grads = places.flatten(), grad.reshape(places.numel(), -1)
        if torch.is_grad_enabled() or not plain_now() or type(grad) is not Tensor or grad.dtype not in _TYPES:
            return grad.new_zeros((ctx.rows, grads.shape[1])).index_add(0, flat, grads), None
        grads = grads.contiguous().resolve_neg()
        total = grads.new_zeros((ctx.rows, grads.shape[1]))
        add_rows(grads, flat.contiguous(), total)
        return total, None
