"""Matrix products of layers, by the quicker of PyTorch's two libraries.

On AMD's processors MKL, which PyTorch asks for float32, keeps to half of what the processor can do, and oneDNN, which
PyTorch ships as well, does not: 91 and 204 GFLOP/s for 400 x 200 times 200 x 10,000 on one core of Zen 5.
"""

from __future__ import annotations

import functools
import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

_LEAST = 2**21
"""Multiplications from which on it pays: a call of oneDNN costs 16 microseconds more."""
_ALIGNED = 64
"""Rows come in multiples of this, or go to MKL: oneDNN makes a kernel for each shape, in 5 ms, and keeps up to 9 MB
with it, so that batches of any length would fill the memory."""


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `rows @ weight.T + bias`, of `(rows, features)` and `(outputs, features)`; it is not differentiable.

    A caller with rows in any number brings them to a multiple of something first; see `_ALIGNED`.
    """
    if _suits(rows, weight):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        return found
    return functional.linear(rows, weight, bias)


class QuickLinear(nn.Linear):
    """`torch.nn.Linear`, its products by `product`; gradients of gradients go through PyTorch's own."""

    def forward(self, xs: Tensor) -> Tensor:
        """Return `xs @ weight.T + bias`, `(..., outputs)`."""
        if xs.dim() < 2 or xs.shape[:-1].numel() % _ALIGNED or not _suits(xs, self.weight):
            return functional.linear(xs, self.weight, self.bias)
        if not torch.is_grad_enabled():
            return product(xs.flatten(0, -2), self.weight, self.bias).reshape(*xs.shape[:-1], -1)
        found: Tensor = _Linear.apply(xs.flatten(0, -2), self.weight, self.bias)  # type: ignore[no-untyped-call]
        return found.reshape(*xs.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        # where these gradients are to be differentiated again, autograd must see how they were made
        times = functional.linear if torch.is_grad_enabled() else product
        by_rows = times(given, weight.t()) if ctx.needs_input_grad[0] else None
        by_weight = times(given.t(), rows.t()) if ctx.needs_input_grad[1] else None
        by_bias = given.sum(0) if ctx.needs_input_grad[2] else None
        return by_rows, by_weight, by_bias


def _suits(rows: Tensor, weight: Tensor) -> bool:
    if rows.numel() * len(weight) < _LEAST or not _available():
        return False
    plain = rows.dtype is weight.dtype is torch.float32 and rows.device.type == weight.device.type == "cpu"
    # what does not fit is left to PyTorch, which says so
    return plain and rows.shape[-1] == weight.shape[1] and not torch.compiler.is_compiling() and not _watched()


def _watched() -> bool:
    """Tell whether something looks at each operation, or changes what it computes in."""
    return bool(
        torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack()
        or torch.is_autocast_enabled("cpu")
    )


@functools.cache
def _available() -> bool:
    """Tell whether oneDNN is there and is the quicker one: on AMD's processors."""
    if platform.machine().lower() not in ("x86_64", "amd64") or _vendor() != "AuthenticAMD":
        return False
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(known) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _vendor() -> str:
    """Return who made the processor, as Linux tells it; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            lines = (line.split(":")[1].strip() for line in file if line.startswith("vendor_id"))
            return next(lines, "")
    except OSError:
        return ""
