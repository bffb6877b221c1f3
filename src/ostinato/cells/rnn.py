"""The vanilla recurrent cell (Elman, 1990) with any activation, and its start from the identity (Le et al., 2015)."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.activations import Activation, resolve_activation
from ostinato.cells.initialisation import glorot_blocks_, recurrent_blocks_


class RNNCell(nn.Module):
    """One step of a vanilla recurrent network.

        h' = f(W x + U h + b)

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        activation: a name of `ostinato.cells.ACTIVATIONS`, or a function from tensor to tensor.
        recurrent_init: how U starts: `"orthogonal"`, `"identity"`, `"glorot"` or `"uniform"`.

    Raises:
        ValueError: the name of the activation or of the initialisation is not known.

    Use it as the baseline, and where memories of a few dozen steps are enough.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.

    >>> import torch
    >>> cell = RNNCell(3, 5, activation="relu")
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str | Activation = "tanh",
        recurrent_init: str = "orthogonal",
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.activation, self.recurrent_init = activation, recurrent_init
        self._f = resolve_activation(activation)
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, recurrent weights as `recurrent_init` says, zero bias."""
        glorot_blocks_(self.input, 1)
        recurrent_blocks_(self.recurrent, 1, self.recurrent_init)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        h = self._f(self.input(x) + self.recurrent(state))
        return h, h


class IRNNCell(RNNCell):
    """One step of an IRNN: rectified units whose recurrent matrix starts as the identity.

        h' = relu(W x + U h + b),  U = I and b = 0 at the start

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it for long sums and counts with a plain network; the learning rate must be small, as nothing bounds the state.

    Source: Q. V. Le, N. Jaitly and G. Hinton, "A simple way to initialize recurrent networks of rectified linear
    units", arXiv 1504.00941, 2015.

    >>> import torch
    >>> cell = IRNNCell(3, 5)
    >>> bool((cell.recurrent.weight == torch.eye(5)).all())
    True
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, "relu", "identity")

    def reset_parameters(self) -> None:
        """Initialise: input weights normal with deviation 0.001, the identity as recurrent matrix, zero bias."""
        super().reset_parameters()
        nn.init.normal_(self.input.weight, std=0.001)
