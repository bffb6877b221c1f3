"""The quasi-recurrent network (Bradbury et al., 2017): a convolution over time, then a gated sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_

QRNNState = tuple[Tensor, Tensor]


class QRNNCell(nn.Module):
    """One step of a QRNN with a window of two steps and fo-pooling; `x_` is the step before.

        z  = tanh(W_z [x_, x] + b_z)
        f  = sigmoid(W_f [x_, x] + b_f)
        o  = sigmoid(W_o [x_, x] + b_o)
        c' = f * c + (1 - f) * z
        h' = o * c'

    Linear in `c`: all steps are one product and one weighted sum along time.

    Shapes: `x` is `(batch, input_size)`; `state` is `(c, x_)`, `(batch, hidden_size)` and `(batch, input_size)`; the
    output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it for long texts and audio where neighbouring steps belong together and training time matters.

    Source: J. Bradbury, S. Merity, C. Xiong and R. Socher, "Quasi-recurrent neural networks", ICLR 2017, section 2.
    The forget bias starts at one.

    >>> import torch
    >>> cell = QRNNCell(3, 5)
    >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(torch.zeros(2, 3)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(2 * input_size, 3 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot weights, forget bias one, other biases zero."""
        glorot_blocks_(self.input, 3)
        self.input.bias.detach().chunk(3)[1].fill_(1.0)

    def initial_state(self, x: Tensor) -> QRNNState:
        """Return zeros for `(c, x_)`: they differ in width."""
        return x.new_zeros(x.shape[0], self.hidden_size), torch.zeros_like(x)

    def forward(self, x: Tensor, state: QRNNState) -> tuple[Tensor, QRNNState]:
        """Advance one step; return the output and the new `(c, x_)`."""
        c, before = state
        z, f, o = self.input(torch.cat([before, x], -1)).chunk(3, -1)
        f = f.sigmoid()
        c = f * c + (1 - f) * z.tanh()
        return o.sigmoid() * c, (c, x)
