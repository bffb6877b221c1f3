"""Networks of oscillators (Rusch and Mishra, 2021): coRNN, coupled, and UnICORNN, independent within a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_

OscillatorState = tuple[Tensor, Tensor]


class CoRNNCell(nn.Module):
    """One step of a coRNN: damped oscillators at `y` with speed `z`, driven by the input and by each other.

        z' = z + step * (tanh(U y + V z + W x + b) - stiffness * y - damping * z)
        y' = y + step * z'

    Shapes: `x` is `(batch, input_size)`; `state` is `(y, z)`, each `(batch, hidden_size)`; the output is `y'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        step: the time step.
        stiffness: the pull back to zero (gamma in the source).
        damping: the friction (epsilon in the source).

    Use it where memories of hundreds of steps must be learned; tune the three constants to the task.

    Source: T. K. Rusch and S. Mishra, "Coupled oscillatory recurrent neural network (coRNN)", ICLR 2021,
    with the explicit damping; the constants are those of its sequential MNIST.

    >>> import torch
    >>> cell = CoRNNCell(3, 5)
    >>> out, (y, z) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(out.shape)
    (2, 5)
    """

    def __init__(
        self, input_size: int, hidden_size: int, step: float = 0.042, stiffness: float = 2.7, damping: float = 4.7
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.step, self.stiffness, self.damping = step, stiffness, damping
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.speed = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, zero bias."""
        glorot_blocks_(self.input, 1)
        orthogonal_blocks_(self.recurrent, 1)
        orthogonal_blocks_(self.speed, 1)

    def forward(self, x: Tensor, state: OscillatorState) -> tuple[Tensor, OscillatorState]:
        """Advance one step; return the output and the new `(y, z)`."""
        y, z = state
        force = (self.recurrent(y) + self.speed(z) + self.input(x)).tanh()
        z = z + self.step * (force - self.stiffness * y - self.damping * z)
        y = y + self.step * z
        return y, (y, z)


class UnICORNNCell(nn.Module):
    """One step of a UnICORNN layer: undamped oscillators, each with its own learned time step.

        z' = z - step * sigmoid(s) * (tanh(w * y + W x + b) + stiffness * y)
        y' = y + step * sigmoid(s) * z'

    Shapes: `x` is `(batch, input_size)`; `state` is `(y, z)`, each `(batch, hidden_size)`; the output is `y'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        step: the largest time step.
        stiffness: the pull back to zero (alpha in the source).

    Use it in stacks of two or more over thousands of steps: gradients are bounded by construction and no matrix is
    multiplied by the state. With random inputs `y` grows slowly, as nothing damps it.

    Source: T. K. Rusch and S. Mishra, "UnICORNN: a recurrent model for learning very long time dependencies",
    ICML 2021; w starts evenly between 0 and 1, s between -0.1 and 0.1.

    >>> import torch
    >>> cell = UnICORNNCell(3, 5)
    >>> out, (y, z) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(out.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, step: float = 0.1, stiffness: float = 1.0) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.step, self.stiffness = step, stiffness
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Parameter(torch.empty(hidden_size))
        self.pace = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: input weights after He et al. (2015), w in 0 to 1, s in -0.1 to 0.1, zero bias."""
        nn.init.kaiming_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        nn.init.uniform_(self.recurrent, 0.0, 1.0)
        nn.init.uniform_(self.pace, -0.1, 0.1)

    def forward(self, x: Tensor, state: OscillatorState) -> tuple[Tensor, OscillatorState]:
        """Advance one step; return the output and the new `(y, z)`."""
        y, z = state
        step = self.step * self.pace.sigmoid()
        z = z - step * ((self.recurrent * y + self.input(x)).tanh() + self.stiffness * y)
        y = y + step * z
        return y, (y, z)
