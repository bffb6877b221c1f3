"""What stands between convolutions and recurrent layers, on NumPy arrays: one step is too little for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class Reading:
    """A linear layer and what normalises its outputs, one step at a time.

    Args:
        read: `nn.Linear` and `nn.LayerNorm` or `nn.Identity`, in evaluation mode; their weights are copied.
    """

    def __init__(self, read: Any) -> None:
        linear, norm = read
        self._weight, self._bias = _array(linear.weight), _array(linear.bias)
        self._norm: tuple[NDArray[np.float32], NDArray[np.float32], float] | None = None
        if isinstance(norm, nn.LayerNorm):
            self._norm = _array(norm.weight), _array(norm.bias), norm.eps

    def __call__(self, step: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `(size,)` for `(features,)`."""
        found: NDArray[np.float32] = self._weight @ step + self._bias
        if self._norm is None:
            return found
        weight, bias, eps = self._norm
        found -= found.mean()
        found *= 1 / np.sqrt(found.dot(found) / np.float32(len(found)) + np.float32(eps))
        normal: NDArray[np.float32] = found * weight + bias
        return normal


def _array(tensor: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = tensor.detach().cpu().float().numpy().copy()
    return found
