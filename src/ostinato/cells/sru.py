"""The simple recurrent unit (Lei et al., 2018): light recurrence, and a highway around it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SRUCell(nn.Module):
    """One step of an SRU; `x*` is x, or `W_x x` where the sizes differ.

        f  = sigmoid(W_f x + v_f * c + b_f)
        r  = sigmoid(W_r x + v_r * c + b_r)
        c' = f * c + (1 - f) * (W x)
        h' = r * c' + (1 - r) * x* * sqrt(3)

    No matrix is multiplied by the state. With `v_f = 0`, as it starts, the step is linear in `c`.

    Shapes: `x` is `(batch, input_size)`; `state` is `c`, `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it in deep stacks (the highway carries the gradient past each layer) where an LSTM is too slow.

    Source: T. Lei, Y. Zhang, S. Wang, H. Dai and Y. Artzi, "Simple recurrent units for highly parallelizable
    recurrence", EMNLP 2018; the square root of three keeps the variance of x at the start, when the biases are zero.

    >>> import torch
    >>> cell = SRUCell(3, 5)
    >>> y, c = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.recurrent = nn.Parameter(torch.empty(2 * hidden_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))
        same = input_size == hidden_size
        self.highway = nn.Identity() if same else nn.Linear(input_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: weights even with variance one over `input_size`; recurrent vectors and biases zero."""
        bound = math.sqrt(3.0 / self.input_size)
        for layer in (self.input, self.highway):
            if isinstance(layer, nn.Linear):
                nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.zeros_(self.recurrent)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new memory."""
        candidate, x_f, x_r = self.input(x).chunk(3, -1)
        v_f, v_r = self.recurrent.chunk(2)
        b_f, b_r = self.bias.chunk(2)
        f = (x_f + v_f * state + b_f).sigmoid()
        r = (x_r + v_r * state + b_r).sigmoid()
        c = f * state + (1 - f) * candidate
        h = r * c + (1 - r) * self.highway(x) * math.sqrt(3.0)
        return h, c
