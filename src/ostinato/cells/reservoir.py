"""The echo-state reservoir (Jaeger, 2001): a random network that is never trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class EchoStateCell(nn.Module):
    """One step of a leaky echo-state network; W, U and b are drawn once and stay.

        h' = (1 - leak) * h + leak * tanh(W x + U h + b)

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        spectral_radius: largest absolute eigenvalue of U; near one for long memories, below it for the echo property.
        leak: share of each unit that is new at each step, above 0 and up to 1.
        input_scale: W and b are drawn evenly between minus and plus this.
        connections: how many units each unit reads (all, if there are fewer).

    Raises:
        ValueError: a setting is out of its range.

    Use it when only a linear layer after it is to be fitted, by least squares: seconds of training on a long series.
    There are no parameters; the matrices are buffers, saved with the model.

    Sources: H. Jaeger, "The echo state approach to analysing and training recurrent neural networks", GMD report 148,
    2001; leaky units: H. Jaeger, M. Lukosevicius, D. Popovici and U. Siewert, Neural Networks 20, 2007.

    >>> import torch
    >>> cell = EchoStateCell(3, 50)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 50))
    >>> tuple(y.shape), len(list(cell.parameters()))
    ((2, 50), 0)
    """

    input: Tensor
    recurrent: Tensor
    bias: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        spectral_radius: float = 0.9,
        leak: float = 0.3,
        input_scale: float = 0.5,
        connections: int = 10,
    ) -> None:
        super().__init__()
        if spectral_radius <= 0 or not 0 < leak <= 1 or connections < 1:
            raise ValueError(
                f"spectral_radius is {spectral_radius}, leak {leak}, connections {connections}; "
                "expected a positive radius, a leak above 0 and up to 1, and one connection or more"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.spectral_radius, self.leak, self.input_scale = spectral_radius, leak, input_scale
        self.connections = connections
        self.register_buffer("input", torch.empty(hidden_size, input_size))
        self.register_buffer("recurrent", torch.empty(hidden_size, hidden_size))
        self.register_buffer("bias", torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw another reservoir."""
        self.input.uniform_(-self.input_scale, self.input_scale)
        self.bias.uniform_(-self.input_scale, self.input_scale)
        self.recurrent.copy_(_sparse_normal(self.hidden_size, self.connections))
        if self.recurrent.is_meta:  # only its shape is wanted
            return
        radius = torch.linalg.eigvals(self.recurrent.double()).abs().max().item()
        # a matrix with no cycle has radius zero (possible with very few connections): it keeps its own scale
        self.recurrent.mul_(self.spectral_radius / radius if radius > 1e-6 else 1.0)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        driven = linear(x, self.input, self.bias) + linear(state, self.recurrent)
        h = (1 - self.leak) * state + self.leak * driven.tanh()
        return h, h


def _sparse_normal(size: int, connections: int) -> Tensor:
    """Return a square matrix with so many normal numbers in each row, at random places, and zeros."""
    count = min(connections, size)
    columns = torch.rand(size, size).argsort(1)[:, :count]
    values = torch.randn(size, count) / math.sqrt(count)
    return torch.zeros(size, size).scatter_(1, columns, values)
