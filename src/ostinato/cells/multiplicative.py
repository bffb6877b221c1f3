"""The multiplicative LSTM (Krause et al., 2016): its recurrent matrix depends on the input."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_

LSTMState = tuple[Tensor, Tensor]


class MultiplicativeLSTMCell(nn.Module):
    """One step of a multiplicative LSTM: the gates read, in place of h, its product with the input.

        m  = (W_m x) * (U_m h)
        i  = sigmoid(W_i x + V_i m + b_i)
        f  = sigmoid(W_f x + V_f m + b_f)
        g  = tanh(W_g x + V_g m + b_g)
        o  = sigmoid(W_o x + V_o m + b_o)
        c' = f * c + i * g
        h' = o * tanh(c')

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c)`, each `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it for text by character or byte, where each symbol should have a transition of its own.

    Source: B. Krause, L. Lu, I. Murray and S. Renals, "Multiplicative LSTM for sequence modelling", arXiv 1609.07959,
    2016. The forget bias starts at one.

    >>> import torch
    >>> cell = MultiplicativeLSTMCell(3, 5)
    >>> y, (h, c) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.factor = nn.Linear(input_size, hidden_size, bias=False)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.mixed = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal matrices on h and m, forget bias one."""
        glorot_blocks_(self.input, 4)
        glorot_blocks_(self.factor, 1)
        orthogonal_blocks_(self.recurrent, 1)
        orthogonal_blocks_(self.mixed, 4)
        self.input.bias.detach().chunk(4)[1].fill_(1.0)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        m = self.factor(x) * self.recurrent(h)
        i, f, g, o = (self.input(x) + self.mixed(m)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)
