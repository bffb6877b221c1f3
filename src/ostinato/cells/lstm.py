"""Long short-term memory (Hochreiter and Schmidhuber, 1997), with the forget gate of Gers et al. (2000)."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.initialisation import chrono_, glorot_blocks_, recurrent_blocks_


class LSTMCell(nn.Module):
    """One step of an LSTM.

        i  = sigmoid(W_i x + U_i h + b_i)
        f  = sigmoid(W_f x + U_f h + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        o  = sigmoid(W_o x + U_o h + b_o)
        c' = f * c + i * g
        h' = o * tanh(c')

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c)`, each `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        recurrent_init: how each gate's U starts: `"orthogonal"`, `"identity"`, `"glorot"` or `"uniform"`.
        longest_memory: if given, the forget biases start spread over memories of up to so many steps (Tallec and
            Ollivier, 2018) and the input biases at their negatives; otherwise the forget biases start at one.

    Raises:
        ValueError: the initialisation is not known, or the longest memory is below three steps.

    Use it as the first choice for anything; it is the most tried of all recurrent cells.

    Sources: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; F. Gers,
    J. Schmidhuber and F. Cummins, "Learning to forget", Neural Computation 12, 2000. The forget gate's bias starts
    at one (R. Jozefowicz, W. Zaremba and I. Sutskever, ICML 2015).

    >>> import torch
    >>> cell = LSTMCell(3, 5)
    >>> y, (h, c) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_init: str = "orthogonal",
        longest_memory: int | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.recurrent_init, self.longest_memory = recurrent_init, longest_memory
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, recurrent weights by name, forget bias one or chrono."""
        glorot_blocks_(self.input, 4)
        recurrent_blocks_(self.recurrent, 4, self.recurrent_init)
        i, f, _, _ = self.input.bias.detach().chunk(4)
        if self.longest_memory is None:
            f.fill_(1.0)
        else:
            chrono_(f, self.longest_memory)
            i.copy_(-f)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        i, f, g, o = (self.input(x) + self.recurrent(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)
