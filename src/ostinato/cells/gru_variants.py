"""Variants of the GRU: the reset gate before the product, a single gate, layer norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_


class GRUResetBeforeCell(nn.Module):
    """One step of a GRU with the reset gate before the recurrent product (the published form).

        r  = sigmoid(W_r x + U_r h + b_r)
        z  = sigmoid(W_z x + U_z h + b_z)
        n  = tanh(W_n x + U_n (r * h) + b_n)
        h' = (1 - z) * n + z * h

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it to read weights of models that keep the published form; `GRUCell` needs one product where this needs two.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, section 2.3.

    >>> import torch
    >>> cell = GRUResetBeforeCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 3 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, zero biases."""
        glorot_blocks_(self.input, 3)
        orthogonal_blocks_(self.recurrent, 2)
        orthogonal_blocks_(self.candidate, 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        x_r, x_z, x_n = self.input(x).chunk(3, -1)
        h_r, h_z = self.recurrent(state).chunk(2, -1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + self.candidate(r * state)).tanh()
        h = (1 - z) * n + z * state
        return h, h


class MGUCell(nn.Module):
    """One step of a minimal gated unit: one gate both forgets and resets.

        f  = sigmoid(W_f x + U_f h + b_f)
        n  = tanh(W_n x + U_n (f * h) + b_n)
        h' = (1 - f) * h + f * n

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it on small devices: two thirds of a GRU's weights.

    Source: G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, "Minimal gated unit for recurrent neural networks",
    International Journal of Automation and Computing 13, 2016.

    >>> import torch
    >>> cell = MGUCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, zero biases."""
        glorot_blocks_(self.input, 2)
        orthogonal_blocks_(self.recurrent, 1)
        orthogonal_blocks_(self.candidate, 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        x_f, x_n = self.input(x).chunk(2, -1)
        f = (x_f + self.recurrent(state)).sigmoid()
        n = (x_n + self.candidate(f * state)).tanh()
        h = (1 - f) * state + f * n
        return h, h


class LayerNormGRUCell(nn.Module):
    """One step of a GRU with layer norm inside the recurrence.

        z, r = sigmoid(LN(W_zr x) + LN(U_zr h) + b_zr)
        n    = tanh(LN(W_n x) + r * LN(U_n h) + b_n)
        h'   = (1 - z) * h + z * n

    Each LN has its own gain; here `z` is the share that is new, as in the source.

    Shapes: `x` is `(batch, input_size)`; `state` and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.

    Use it where a GRU's training is unstable or inputs vary in scale.

    Source: J. L. Ba, J. R. Kiros and G. Hinton, "Layer normalization", arXiv 1607.06450, 2016, appendix, equations of
    the GRU.

    >>> import torch
    >>> cell = LayerNormGRUCell(3, 5)
    >>> y, h = cell(torch.zeros(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.input_gate_norm = nn.LayerNorm(2 * hidden_size, bias=False)
        self.recurrent_gate_norm = nn.LayerNorm(2 * hidden_size, bias=False)
        self.input_norm = nn.LayerNorm(hidden_size, bias=False)
        self.recurrent_norm = nn.LayerNorm(hidden_size, bias=False)
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, zero biases, norms with gain one."""
        glorot_blocks_(self.input, 3)
        orthogonal_blocks_(self.recurrent, 3)
        for norm in (self.input_gate_norm, self.recurrent_gate_norm, self.input_norm, self.recurrent_norm):
            norm.reset_parameters()
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        x, h = self.input(x), self.recurrent(state)
        gates = 2 * self.hidden_size  # z and r come first and share their norms
        b_gates, b_n = self.bias[:gates], self.bias[gates:]
        z_r = self.input_gate_norm(x[:, :gates]) + self.recurrent_gate_norm(h[:, :gates]) + b_gates
        z, r = z_r.sigmoid().chunk(2, -1)
        n = (self.input_norm(x[:, gates:]) + r * self.recurrent_norm(h[:, gates:]) + b_n).tanh()
        h = (1 - z) * state + z * n
        return h, h
