"""The vanilla recurrent cell (Elman, 1990), with any activation."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.activations import Activation, resolve_activation
from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_


class RNNCell(nn.Module):
    """One step of a vanilla recurrent network.

        h' = f(W x + U h + b)

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        activation: `"tanh"`, `"relu"`, `"sigmoid"`, `"identity"`, or a function from tensor to tensor.

    Raises:
        ValueError: the activation's name is not known.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.

    >>> import torch
    >>> cell = RNNCell(3, 5, activation="relu")
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, activation: str | Activation = "tanh") -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.activation = activation
        self._f = resolve_activation(activation)
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start anew: Glorot input weights, orthogonal recurrent weights, zero bias."""
        glorot_blocks_(self.input, 1)
        orthogonal_blocks_(self.recurrent, 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        h = self._f(self.input(x) + self.recurrent(state))
        return h, h
