"""minGRU and minLSTM (Feng et al., 2024): gates that do not read the state, so that all steps can run at once."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_


class MinGRUCell(nn.Module):
    """One step of a minGRU.

        z  = sigmoid(W_z x + b_z)
        n  = W_n x + b_n
        h' = (1 - z) * h + z * n

    Linear in `h`: all steps are one product and one weighted sum along time.

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it for long sequences where training time matters; stack two or three, as one layer's gates see no history.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we needed?",
    arXiv 2410.01201, 2024, section 3.1.

    >>> import torch
    >>> cell = MinGRUCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, zero biases."""
        glorot_blocks_(self.input, 2)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        z, n = self.input(x).chunk(2, -1)
        z = z.sigmoid()
        h = (1 - z) * state + z * n
        return h, h


class MinLSTMCell(nn.Module):
    """One step of a minLSTM; the two gates are scaled to sum to one.

        f  = sigmoid(W_f x + b_f)
        i  = sigmoid(W_i x + b_i)
        n  = W_n x + b_n
        h' = f / (f + i) * h + i / (f + i) * n

    Linear in `h`: all steps are one product and one weighted sum along time.

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it as a minGRU with a forget gate of its own; the forget bias starts at one.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we needed?",
    arXiv 2410.01201, 2024, section 3.2.

    >>> import torch
    >>> cell = MinLSTMCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 3 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, forget bias one, other biases zero."""
        glorot_blocks_(self.input, 3)
        self.input.bias.detach().chunk(3)[0].fill_(1.0)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        f, i, n = self.input(x).chunk(3, -1)
        # f / (f + i) as one sigmoid of the difference of logarithms: no 0 / 0 when both gates shut
        kept = (F.softplus(-i) - F.softplus(-f)).sigmoid()
        h = kept * state + (1 - kept) * n
        return h, h
