"""The gated recurrent unit (Cho et al., 2014)."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, recurrent_blocks_


class GRUCell(nn.Module):
    """One step of a GRU, with the reset gate after the recurrent product (the form that cuDNN and PyTorch use).

        r  = sigmoid(W_r x + U_r h + b_r)
        z  = sigmoid(W_z x + U_z h + b_z)
        n  = tanh(W_n x + b_n + r * (U_n h + b_u))
        h' = (1 - z) * n + z * h

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        recurrent_init: how each gate's U starts: `"orthogonal"`, `"identity"`, `"glorot"` or `"uniform"`.

    Raises:
        ValueError: the initialisation is not known.

    Use it where an LSTM is a little too slow or too large: three quarters of its weights, about as good.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; the reset after
    the product is version 1 of arXiv 1406.1078.

    >>> import torch
    >>> cell = GRUCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, recurrent_init: str = "orthogonal") -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.recurrent_init = recurrent_init
        self.input = nn.Linear(input_size, 3 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, recurrent weights as `recurrent_init` says, zero biases."""
        glorot_blocks_(self.input, 3)
        recurrent_blocks_(self.recurrent, 3, self.recurrent_init)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        x_r, x_z, x_n = self.input(x).chunk(3, -1)
        h_r, h_z, h_n = self.recurrent(state).chunk(3, -1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = n + z * (state - n)
        return h, h
