"""One call of `scan`, as it goes from PyTorch's operator to a backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class ScanCall(NamedTuple):
    """What a plan is run on, in the order of the operator's arguments: `ScanCall(*arguments)` and back."""

    parameters: Sequence[Tensor]
    """All tensors of the cell."""
    x: Tensor
    """`(time, batch, ...)`."""
    state: Sequence[Tensor]
    """`(batch, ...)` each."""
    lengths: Tensor | None = None
    resets: Tensor | None = None
    reverse: bool = False
    seed: int = 0
    """Of the random numbers that steps draw."""
    plan: int = -1
    """The number by which the operators know the plan; a backend has no use for it."""


def dense(x: Tensor) -> Tensor:
    """Return `(time, batch, ...)` whose features lie one after the other; time and batch may lie anyhow."""
    step = 1
    for size, stride in zip(reversed(x.shape[2:]), reversed(x.stride()[2:]), strict=True):
        if size != 1 and stride != step:
            return x.contiguous()
        step *= size
    return x
