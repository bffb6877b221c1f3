"""Ways around a layer: what the layer reads joins what it gives."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualSkip(nn.Module):
    """`x + y`: the layer learns what to change.

    Source: Y. Wu et al., "Google's neural machine translation system", arXiv 1609.08144, 2016, section 3.1.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Join the input and the output of a layer, `(..., features)` both."""
        return x + y


class HighwaySkip(nn.Module):
    """`g y + (1 - g) x` with a gate `g = sigmoid(W x + b)` that starts almost shut, at `b = -1`.

    Source: R. Srivastava, K. Greff and J. Schmidhuber, "Highway networks", arXiv 1505.00387, 2015, section 2.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gate = nn.Linear(features, features)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Join the input and the output of a layer, `(..., features)` both."""
        return x + torch.sigmoid(self.gate(x)) * (y - x)
