"""The real-gated linear recurrent unit of Griffin (De et al., 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_

SHARPNESS = 8.0
"""The constant c of the source: how far the recurrence gate can shorten a unit's memory."""


class RGLRUCell(nn.Module):
    """One step of an RG-LRU, after the linear layer that precedes it in Griffin's block.

        u  = W x + b
        r  = sigmoid(W_r u + b_r)
        i  = sigmoid(W_i u + b_i)
        a  = exp(-8 softplus(-L) * r)
        h' = a * h + sqrt(1 - a^2) * (i * u)

    `sigmoid(L)^8` is a unit's slowest decay. Linear in `h`, and stable whatever is learned: `0 < a < 1`.

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it for long text and other long sequences, in place of attention; put a nonlinear layer after it.

    Source: S. De et al., "Griffin: mixing gated linear recurrences with local attention for efficient language models",
    arXiv 2402.19427, 2024, section 2.4; the slowest decays start evenly between 0.9 and 0.999. The gates' matrices are
    dense here.

    >>> import torch
    >>> cell = RGLRUCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, hidden_size)
        self.gates = nn.Linear(hidden_size, 2 * hidden_size)
        self.decay = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot weights, zero biases, slowest decays evenly between 0.9 and 0.999."""
        glorot_blocks_(self.input, 1)
        glorot_blocks_(self.gates, 2)
        with torch.no_grad():
            base = torch.empty_like(self.decay).uniform_(0.9, 0.999) ** (1.0 / SHARPNESS)
            self.decay.copy_(torch.logit(base))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        u = self.input(x)
        r, i = self.gates(u).chunk(2, -1)
        a = torch.exp(-SHARPNESS * F.softplus(-self.decay) * r.sigmoid())
        # where a rounds to one the root's slope would be infinite; the floor is one rounding of float32
        h = a * state + (1 - a * a).clamp(min=1e-7).sqrt() * (i.sigmoid() * u)
        return h, h
