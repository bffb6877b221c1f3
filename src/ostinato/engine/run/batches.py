"""Operators over a batch of calls, for the two `vmap`s of PyTorch: each call runs as it would alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

is_batched: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor
"""Whether a gradient is a batch of them that `is_grads_batched` or `vectorize` has made: the older `vmap`'s."""


def over_batch(run: Callable[[Sequence[Tensor | None]], list[Tensor]], grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Run a backward program for each gradient of such a batch; what is not batched is the same for all."""
    torch._C._vmapmode_increment_nesting()
    level = torch._C._vmapmode_decrement_nesting()
    rows: list[Any] = [
        repeat(grad) if grad is None or not is_batched(grad) else torch._remove_batch_dim(grad, level, 1, 0).unbind(0)
        for grad in grads
    ]
    found = [run(row) for row in zip(*rows, strict=False)]
    return [torch._add_batch_dim(torch.stack(parts), 0, level) for parts in zip(*found, strict=True)]


def one_by_one(operator: Any) -> Callable[..., tuple[list[Tensor], list[int]]]:
    """Return the rule by which `torch.func.vmap` runs an operator: once for each row."""

    def run(info: Any, in_dims: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
        found = [operator(*_row(arguments, in_dims, index)) for index in range(info.batch_size)]
        stacked = [torch.stack(parts) for parts in zip(*found, strict=True)]
        return stacked, [0] * len(stacked)

    return run


def _row(value: Any, axis: Any, index: int) -> Any:
    """Return one row of the tensors among arguments that have rows; lists of tensors have a list of axes."""
    if isinstance(value, (tuple, list)):
        axes = axis if isinstance(axis, (tuple, list)) else [axis] * len(value)
        return [_row(part, place, index) for part, place in zip(value, axes, strict=True)]
    return value if axis is None else value.select(axis, index)
