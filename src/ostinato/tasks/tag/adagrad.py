"""Steps of AdaGrad over some rows of many: a step touches no others.

Source: J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods", JMLR 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 0.15
_LEAST = 1e-8


class AdaGrad:
    """Weights, zeros at first, that move the less the larger their gradients have been.

    Args:
        shape: of the weights, `values`.
        rate: of the first step.
    """

    def __init__(self, *shape: int, rate: float = RATE) -> None:
        self.values: NDArray[np.float32] = np.zeros(shape, np.float32)
        self._squares, self._rate = np.zeros_like(self.values), rate

    def move(self, gradient: Any, at: Any = slice(None)) -> None:
        """Take a step of some rows, each of which is named once."""
        self._squares[at] += gradient**2
        self.values[at] -= self._rate * gradient / np.sqrt(self._squares[at] + _LEAST)
