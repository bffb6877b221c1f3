"""Cells for irregular time and missing values: GRU-D (Che et al., 2018), T-LSTM (Baytas et al., 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_

PairState = tuple[Tensor, Tensor]


class GRUDCell(nn.Module):
    """One step of a GRU-D; `x` holds three numbers a variable: values `v`, mask `m`, time gap `t`.

        d  = exp(-max(0, w_d * t + b_d))
        v* = m * v + (1 - m) * (d * last + (1 - d) * mean)
        e  = exp(-max(0, W_e t + b_e))
        h* = e * h
        r  = sigmoid(W_r v* + M_r m + U_r h* + b_r)
        z  = sigmoid(W_z v* + M_z m + U_z h* + b_z)
        n  = tanh(W_n v* + M_n m + U_n (r * h*) + b_n)
        h' = (1 - z) * h* + z * n

    A missing value fades from the last one seen to the variable's mean, and the state fades with it.

    Shapes: `x` is `(batch, input_size)`: first all values, then all masks (1 measured, 0 missing), then all gaps (time
    since the variable was last measured, not negative). A value whose mask is 0 is not read and may be anything, NaN
    too. `state` is `(h, last)`, `(batch, hidden_size)` and `(batch, input_size / 3)`; the output is `h'`.

    Args:
        input_size: number of features of a step, three times the number of variables.
        hidden_size: number of units.

    Raises:
        ValueError: `input_size` is not a multiple of three.

    Use it for tables with many gaps, as in intensive care. The buffer `mean` holds each variable's mean: zero, which
    is right for standardised values; set it otherwise.

    Source: Z. Che, S. Purushotham, K. Cho, D. Sontag and Y. Liu, "Recurrent neural networks for multivariate time
    series with missing values", Scientific Reports 8, 2018.

    >>> import torch
    >>> cell = GRUDCell(6, 5)
    >>> values, mask, gap = torch.randn(4, 2), torch.ones(4, 2), torch.ones(4, 2)
    >>> x = torch.cat([values, mask, gap], -1)
    >>> y, (h, last) = cell(x, cell.initial_state(x))
    >>> tuple(y.shape), torch.equal(last, values)
    ((4, 5), True)
    """

    mean: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        if input_size < 3 or input_size % 3:
            raise ValueError(
                f"input_size is {input_size}; expected a multiple of three: value, mask and time gap of each variable"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        variables = input_size // 3
        self.register_buffer("mean", torch.zeros(variables))
        self.input_decay = nn.Parameter(torch.empty(2, variables))  # w_d, b_d
        self.state_decay = nn.Linear(variables, hidden_size)
        self.input = nn.Linear(2 * variables, 3 * hidden_size)  # of [v*, m]
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, small decays."""
        glorot_blocks_(self.input, 3)
        orthogonal_blocks_(self.recurrent, 2)
        orthogonal_blocks_(self.candidate, 1)
        # a decay at or below zero is dead to the gradient: all start alive
        nn.init.uniform_(self.input_decay, 0.01, 0.1)
        nn.init.uniform_(self.state_decay.weight, 0.01, 0.1)
        nn.init.uniform_(self.state_decay.bias, 0.01, 0.1)

    def initial_state(self, x: Tensor) -> PairState:
        """Return zeros for h, and the means as the values last seen."""
        last = self.mean.to(x.dtype).expand(x.shape[0], -1).clone()
        return x.new_zeros(x.shape[0], self.hidden_size), last

    def forward(self, x: Tensor, state: PairState) -> tuple[Tensor, PairState]:
        """Advance one step; return the output and the new `(h, last)`."""
        h, last = state
        values, mask, gap = x.chunk(3, -1)
        d = torch.exp(-(self.input_decay[0] * gap + self.input_decay[1]).relu())
        last = torch.where(mask > 0.5, values, last)
        seen = torch.where(mask > 0.5, values, d * last + (1 - d) * self.mean)
        h = torch.exp(-self.state_decay(gap).relu()) * h
        x_r, x_z, x_n = self.input(torch.cat([seen, mask], -1)).chunk(3, -1)
        h_r, h_z = self.recurrent(h).chunk(2, -1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + self.candidate(r * h)).tanh()
        h = (1 - z) * h + z * n
        return h, (h, last)


class TLSTMCell(nn.Module):
    """One step of a time-aware LSTM; the last feature of `x` is `t`, the time since the step before.

        s  = tanh(W_s c + b_s)
        c* = c - s + s / log(e + t)
        i  = sigmoid(W_i x + U_i h + b_i)              (x without its last feature)
        f  = sigmoid(W_f x + U_f h + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        o  = sigmoid(W_o x + U_o h + b_o)
        c' = f * c* + i * g
        h' = o * tanh(c')

    `s` is the short-term part of the memory; the longer ago the step before, the less of it is left.

    Shapes: `x` is `(batch, input_size)`, its last feature the time gap, not negative; `state` is `(h, c)`, each
    `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step, the time gap included; two or more.
        hidden_size: number of units.

    Raises:
        ValueError: there is no feature beside the time gap.

    Use it for visits and other events at uneven times, with all variables known at each.

    Source: I. M. Baytas, C. Xiao, X. Zhang, F. Wang, A. K. Jain and J. Zhou, "Patient subtyping via time-aware LSTM
    networks", KDD 2017, with the decay it advises for long gaps. The forget bias starts at one.

    >>> import torch
    >>> cell = TLSTMCell(3, 5)
    >>> y, (h, c) = cell(torch.ones(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        if input_size < 2:
            raise ValueError(f"input_size is {input_size}; expected two or more, the last feature being the time gap")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size - 1, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.short_term = nn.Linear(hidden_size, hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, forget bias one."""
        glorot_blocks_(self.input, 4)
        glorot_blocks_(self.short_term, 1)
        orthogonal_blocks_(self.recurrent, 4)
        self.input.bias.detach().chunk(4)[1].fill_(1.0)

    def forward(self, x: Tensor, state: PairState) -> tuple[Tensor, PairState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        features, t = x[:, :-1], x[:, -1:]
        short = self.short_term(c).tanh()
        c = c - short + short / torch.log(math.e + t)
        i, f, g, o = (self.input(features) + self.recurrent(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)
