"""What every backend does to the tensors of a call."""

from __future__ import annotations

from torch import Tensor


def dense(x: Tensor) -> Tensor:
    """Return `(time, batch, ...)` whose features lie one after the other; time and batch may lie anyhow."""
    step = 1
    for size, stride in zip(reversed(x.shape[2:]), reversed(x.stride()[2:]), strict=True):
        if size != 1 and stride != step:
            return x.contiguous()
        step *= size
    return x
