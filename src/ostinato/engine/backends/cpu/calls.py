"""One call of `scan`, in the layout that kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ostinato.engine.backends.calls import dense
from ostinato.engine.backends.cpu.launch import Rows, rows_of


@dataclass(frozen=True)
class Call:
    """One call of `scan`, as kernels see it."""

    xs: tuple[Tensor, ...]
    """`(time, batch, ...)`, the features dense: x, then the tensors of the cell that have one row for each sequence,
    spread over time."""
    state: tuple[Tensor, ...]
    rows: Rows
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool
    seed: int


def make_call(
    x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, reverse: bool, seed: int,
    rows: Sequence[Tensor] = (),
) -> Call:  # fmt: skip
    """Bring the tensors of a call into the layout that kernels read."""
    places = rows_of(x.shape[0], x.shape[1], lengths)
    marks = None if resets is None else resets.to(torch.uint8).contiguous()
    spread = (row.to(x.dtype).contiguous().expand(x.shape[0], *row.shape) for row in rows)
    start = tuple(leaf.contiguous() for leaf in state)
    return Call((dense(x), *spread), start, places, lengths, marks, reverse, seed)
