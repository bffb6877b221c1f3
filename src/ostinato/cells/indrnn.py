"""The independently recurrent network (Li et al., 2018): each unit remembers only itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells.activations import Activation, resolve_activation
from ostinato.cells.initialisation import glorot_blocks_


class IndRNNCell(nn.Module):
    """One step of an IndRNN: the recurrent weight is a vector, one number a unit.

        h' = f(W x + u * h + b)

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        activation: a name of `ostinato.cells.ACTIVATIONS`, or a function from tensor to tensor.
        bound: the most that a recurrent weight counts for, in absolute value; what is learned beyond it waits there.
            With rectified units over many steps the state explodes without one: the paper takes 2 ** (1 / steps).

    Raises:
        ValueError: the activation's name is not known, or the bound is not positive.

    Use it in deep stacks over thousands of steps: its units mix only between layers, and a step costs next to nothing.

    Source: S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, "Independently recurrent neural network (IndRNN)", CVPR 2018;
    u starts evenly between 0 and 1, so that units begin with memories of all lengths.

    >>> import torch
    >>> cell = IndRNNCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(
        self, input_size: int, hidden_size: int, activation: str | Activation = "relu", bound: float | None = None
    ) -> None:
        super().__init__()
        if bound is not None and not bound > 0:
            raise ValueError(f"bound must be positive, but it is {bound}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.activation, self.bound = activation, bound
        self._f = resolve_activation(activation)
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, recurrent weights evenly between 0 and 1, zero bias."""
        glorot_blocks_(self.input, 1)
        nn.init.uniform_(self.recurrent, 0.0, 1.0)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        u: Tensor = self.recurrent
        if self.bound is not None:
            # the gradient passes the bound, so that a weight can come back
            u = u + (u.clamp(-self.bound, self.bound) - u).detach()
        h = self._f(self.input(x) + u * state)
        return h, h
