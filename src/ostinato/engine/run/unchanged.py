"""Whether tensors are as they were in all but their numbers: asked of many at once, before every quick call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

try:
    from torch._C._dynamo.guards import TensorGuards as _Guards
except ImportError:  # pragma: no cover - a PyTorch that has moved it
    _Guards: Any = None  # type: ignore[no-redef]


def checker(
    tensors: Sequence[Tensor], before: Sequence[Tensor], after: Sequence[Tensor], *, free: bool = False
) -> Callable[..., bool]:
    """Return a function of as many tensors, true only if all are as these: a guard of `torch.compile`, in C++.

    It compares classes, types, devices, shapes, whether gradients are wanted, and what PyTorch's dispatcher would do
    with them. Where it says no, a call is looked at more closely.

    Args:
        tensors: whose strides are compared too.
        before: others, which come before them in a call.
        after: others, which come after them.
        free: whether those before may have another first size.
    """
    if _Guards is None:
        return lambda *_: False
    every = [*before, *tensors, *after]
    sizes: list[Any] = [list(tensor.shape) for tensor in every]
    if free:
        sizes[: len(before)] = [[None, *tensor.shape[1:]] for tensor in before]
    strides: list[Any] = [
        *([None] * tensor.dim() for tensor in before),
        *(list(tensor.stride()) for tensor in tensors),
        *([None] * tensor.dim() for tensor in after),
    ]
    check: Callable[..., bool] = _Guards(*every, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
    return check
