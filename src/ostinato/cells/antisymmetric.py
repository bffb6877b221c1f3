"""The antisymmetric recurrent network (Chang et al., 2019): a step of a stable differential equation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_


class AntisymmetricRNNCell(nn.Module):
    """One step of an antisymmetric RNN: an Euler step of an equation that neither dies out nor blows up.

        h' = h + step * tanh((U - U^T - diffusion I) h + W x + b)

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        step: the length of the Euler step.
        diffusion: how much of each unit is taken off, against the Euler step's own growth.

    Use it where a plain network should remember for hundreds of steps, with no gates at all.

    Source: B. Chang, M. Chen, E. Haber and E. H. Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural
    networks", ICLR 2019.

    >>> import torch
    >>> cell = AntisymmetricRNNCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, step: float = 0.1, diffusion: float = 0.1) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.step, self.diffusion = step, diffusion
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, normal recurrent weights of variance one over the units, zero bias."""
        glorot_blocks_(self.input, 1)
        nn.init.normal_(self.recurrent, std=math.sqrt(1.0 / self.hidden_size))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        turned = state @ (self.recurrent.t() - self.recurrent) - self.diffusion * state
        h = state + self.step * (turned + self.input(x)).tanh()
        return h, h
