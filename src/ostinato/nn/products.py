"""Matrix products at the speed of the machine, for code that makes its own gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `rows @ weight.T + bias`, as `torch.nn.functional.linear`, without autograd.

    On x86 PyTorch's own products go to MKL, which leaves half of an AMD machine idle: 95 against 200 billion operations
    a second and thread were measured for oneDNN, which PyTorch carries too.

    Args:
        rows: `(rows, depth)`.
        weight: `(columns, depth)`, which may be a transposed view.
        bias: `(columns,)`.

    Returns:
        `(rows, columns)`.
    """
    with torch.no_grad():
        if _ONEDNN is not None and rows.device.type == "cpu" and rows.dtype is weight.dtype is torch.float32:
            return _ONEDNN(rows, weight, bias, "none", [], "")
        return torch.nn.functional.linear(rows, weight, bias)


def _onednn() -> Callable[..., Tensor] | None:
    enabled: bool = torch._C._get_mkldnn_enabled()
    if not (enabled and torch._C._has_mkldnn and torch._C.has_mkl):
        return None
    found: Callable[..., Tensor] | None = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return found


_ONEDNN = _onednn()
