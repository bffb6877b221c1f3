"""Long expressive memory (Rusch et al., 2022): two memories with learned time steps."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_

LEMState = tuple[Tensor, Tensor]


class LEMCell(nn.Module):
    """One step of LEM: `y` and `z` each move by a share that is computed at each step.

        d  = step * sigmoid(W_d x + U_d y + b_d)
        e  = step * sigmoid(W_e x + U_e y + b_e)
        z' = (1 - d) * z + d * tanh(W_z x + U_z y + b_z)
        y' = (1 - e) * y + e * tanh(W_y x + U_y z' + b_y)

    Shapes: `x` is `(batch, input_size)`; `state` is `(y, z)`, each `(batch, hidden_size)`; the output is `y'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        step: the largest time step, up to one.

    Use it where a sequence moves at several speeds at once; as many weights as an LSTM.

    Source: T. K. Rusch, S. Mishra, N. B. Erichson and M. W. Mahoney, "Long expressive memory for sequence modeling",
    ICLR 2022.

    >>> import torch
    >>> cell = LEMCell(3, 5)
    >>> out, (y, z) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(out.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, step: float = 1.0) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.step = input_size, hidden_size, step
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.mixed = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, zero biases."""
        glorot_blocks_(self.input, 4)
        orthogonal_blocks_(self.recurrent, 3)
        orthogonal_blocks_(self.mixed, 1)

    def forward(self, x: Tensor, state: LEMState) -> tuple[Tensor, LEMState]:
        """Advance one step; return the output and the new `(y, z)`."""
        y, z = state
        x_d, x_e, x_z, x_y = self.input(x).chunk(4, -1)
        y_d, y_e, y_z = self.recurrent(y).chunk(3, -1)
        d = self.step * (x_d + y_d).sigmoid()
        e = self.step * (x_e + y_e).sigmoid()
        z = (1 - d) * z + d * (x_z + y_z).tanh()
        y = (1 - e) * y + e * (x_y + self.mixed(z)).tanh()
        return y, (y, z)
