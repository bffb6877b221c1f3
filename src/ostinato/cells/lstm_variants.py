"""Variants of the LSTM that change one thing each: peepholes, coupled gates, a projection, layer norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_

LSTMState = tuple[Tensor, Tensor]


class PeepholeLSTMCell(nn.Module):
    """One step of an LSTM whose gates also see the memory.

        i  = sigmoid(W_i x + U_i h + p_i * c + b_i)
        f  = sigmoid(W_f x + U_f h + p_f * c + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        c' = f * c + i * g
        o  = sigmoid(W_o x + U_o h + p_o * c' + b_o)
        h' = o * tanh(c')

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c)`, each `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it where exact durations matter: counting, rhythms, precise timing.

    Source: F. Gers and J. Schmidhuber, "Recurrent nets that time and count", IJCNN 2000. The peepholes start at zero,
    as a plain LSTM; the forget bias at one.

    >>> import torch
    >>> cell = PeepholeLSTMCell(3, 5)
    >>> y, (h, c) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.peepholes = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, forget bias one, zero peepholes."""
        glorot_blocks_(self.input, 4)
        orthogonal_blocks_(self.recurrent, 4)
        nn.init.zeros_(self.peepholes)
        self.input.bias.detach().chunk(4)[1].fill_(1.0)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        i, f, g, o = (self.input(x) + self.recurrent(h)).chunk(4, -1)
        p_i, p_f, p_o = self.peepholes.chunk(3)
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        h = (o + p_o * c).sigmoid() * c.tanh()
        return h, (h, c)


class CoupledLSTMCell(nn.Module):
    """One step of an LSTM that writes exactly as much as it forgets (CIFG: coupled input and forget gates).

        f  = sigmoid(W_f x + U_f h + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        o  = sigmoid(W_o x + U_o h + b_o)
        c' = f * c + (1 - f) * g
        h' = o * tanh(c')

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c)`, each `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it for an LSTM a quarter smaller, with a memory that stays within -1 and 1; about as accurate in the source.

    Source: K. Greff, R. Srivastava, J. Koutnik, B. Steunebrink and J. Schmidhuber, "LSTM: a search space odyssey",
    IEEE Transactions on Neural Networks and Learning Systems 28, 2017. The forget bias starts at one.

    >>> import torch
    >>> cell = CoupledLSTMCell(3, 5)
    >>> y, (h, c) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 3 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, forget bias one."""
        glorot_blocks_(self.input, 3)
        orthogonal_blocks_(self.recurrent, 3)
        self.input.bias.detach().chunk(3)[0].fill_(1.0)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        f, g, o = (self.input(x) + self.recurrent(h)).chunk(3, -1)
        f = f.sigmoid()
        c = f * c + (1 - f) * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class ProjectedLSTMCell(nn.Module):
    """One step of an LSTM whose output and recurrence are a projection of its units.

        i  = sigmoid(W_i x + U_i h + b_i)
        f  = sigmoid(W_f x + U_f h + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        o  = sigmoid(W_o x + U_o h + b_o)
        c' = f * c + i * g
        h' = P (o * tanh(c'))

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c)`, `(batch, proj_size)` and `(batch, hidden_size)`; the
    output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units, the size of the memory.
        proj_size: size of the output; half of `hidden_size` if not given.

    Use it for a large memory at less cost: speech and language models with thousands of units.

    Source: H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network architectures for large
    scale acoustic modeling", Interspeech 2014. The forget bias starts at one.

    >>> import torch
    >>> cell = ProjectedLSTMCell(3, 6, proj_size=2)
    >>> y, (h, c) = cell(torch.zeros(2, 3), cell.initial_state(torch.zeros(2, 3)))
    >>> tuple(y.shape), tuple(c.shape)
    ((2, 2), (2, 6))
    """

    def __init__(self, input_size: int, hidden_size: int, proj_size: int | None = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.proj_size = max(1, hidden_size // 2) if proj_size is None else proj_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(self.proj_size, 4 * hidden_size, bias=False)
        self.projection = nn.Linear(hidden_size, self.proj_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights and projection, forget bias one."""
        glorot_blocks_(self.input, 4)
        orthogonal_blocks_(self.recurrent, 4)
        orthogonal_blocks_(self.projection, 1)
        self.input.bias.detach().chunk(4)[1].fill_(1.0)

    def initial_state(self, x: Tensor) -> LSTMState:
        """Return zeros for `(h, c)`: they differ in width."""
        return x.new_zeros(x.shape[0], self.proj_size), x.new_zeros(x.shape[0], self.hidden_size)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        i, f, g, o = (self.input(x) + self.recurrent(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = self.projection(o.sigmoid() * c.tanh())
        return h, (h, c)


class LayerNormLSTMCell(nn.Module):
    """One step of an LSTM with layer norm inside the recurrence.

        i, f, g, o = LN(W x) + LN(U h) + b
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(LN(c'))

    Each LN has its own gain and runs over all features that it is given; the last has a bias too.

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c)`, each `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it where training is unstable or inputs vary in scale: it bears larger steps than a plain LSTM.

    Source: J. L. Ba, J. R. Kiros and G. Hinton, "Layer normalization", arXiv 1607.06450, 2016, equations 20 to 22. The
    forget bias starts at one.

    >>> import torch
    >>> cell = LayerNormLSTMCell(3, 5)
    >>> y, (h, c) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.input_norm = nn.LayerNorm(4 * hidden_size, bias=False)
        self.recurrent_norm = nn.LayerNorm(4 * hidden_size, bias=False)
        self.memory_norm = nn.LayerNorm(hidden_size)
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, forget bias one, norms with gain one."""
        glorot_blocks_(self.input, 4)
        orthogonal_blocks_(self.recurrent, 4)
        for norm in (self.input_norm, self.recurrent_norm, self.memory_norm):
            norm.reset_parameters()
        nn.init.zeros_(self.bias)
        self.bias.detach().chunk(4)[1].fill_(1.0)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        gates = self.input_norm(self.input(x)) + self.recurrent_norm(self.recurrent(h)) + self.bias
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * self.memory_norm(c).tanh()
        return h, (h, c)
