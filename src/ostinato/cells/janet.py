"""JANET (van der Westhuizen and Lasenby, 2018): an LSTM with just the forget gate."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.initialisation import chrono_, glorot_blocks_, orthogonal_blocks_


class JANETCell(nn.Module):
    """One step of JANET ("just another network"): one gate, whose input side is a little shut.

        s  = W_f x + U_f h + b_f
        g  = tanh(W_g x + U_g h + b_g)
        h' = sigmoid(s) * h + (1 - sigmoid(s - beta)) * g

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        longest_memory: the longest memory, in steps, that the forget biases start with; the source takes the length of
            the sequences.
        beta: how much less is written than forgotten.

    Raises:
        ValueError: the longest memory is below three steps.

    Use it for long memories with half of an LSTM's weights; set `longest_memory` to the length of your sequences.

    Source: J. van der Westhuizen and J. Lasenby, "The unreasonable effectiveness of the forget gate",
    arXiv 1804.04849, 2018; chrono initialisation of the forget bias as there.

    >>> import torch
    >>> cell = JANETCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, longest_memory: int = 100, beta: float = 1.0) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.longest_memory, self.beta = longest_memory, beta
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, chrono forget bias."""
        glorot_blocks_(self.input, 2)
        orthogonal_blocks_(self.recurrent, 2)
        chrono_(self.input.bias.detach().chunk(2)[0], self.longest_memory)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        s, g = (self.input(x) + self.recurrent(state)).chunk(2, -1)
        h = s.sigmoid() * state + (1 - (s - self.beta).sigmoid()) * g.tanh()
        return h, h
