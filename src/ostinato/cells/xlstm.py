"""The cells of xLSTM (Beck et al., 2024): exponential gates with a scalar memory (sLSTM) or a matrix memory (mLSTM)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLSTMState = tuple[Tensor, Tensor, Tensor, Tensor]
MLSTMState = tuple[Tensor, Tensor, Tensor]


class SLSTMCell(nn.Module):
    """One step of an sLSTM; `R` is block-diagonal, a block a head.

        i, f, z, o = W x + R h + b
        m' = max(log sigmoid(f) + m, i)
        i* = exp(i - m')
        f* = exp(log sigmoid(f) + m - m')
        c' = f* * c + i* * tanh(z)
        n' = f* * n + i*
        h' = sigmoid(o) * c' / n'

    `m` only keeps the exponentials in range: `c' / n'` does not depend on it.

    Shapes: `x` is `(batch, input_size)`; `state` is `(h, c, n, m)`, each `(batch, hidden_size)`; the output is `h'`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        heads: how many groups of units; a unit's recurrence reads its own group only.

    Raises:
        ValueError: the heads do not divide the units.

    Use it where what is stored must be revised later, and for tracking a state; it cannot run all steps at once.

    Source: M. Beck et al., "xLSTM: extended long short-term memory", NeurIPS 2024, section 2.2. The
    forget biases start evenly from 3 to 6.

    >>> import torch
    >>> cell = SLSTMCell(3, 4, heads=2)
    >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(torch.zeros(2, 3)))
    >>> tuple(y.shape), len(state)
    ((2, 4), 4)
    """

    def __init__(self, input_size: int, hidden_size: int, heads: int = 1) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.heads = input_size, hidden_size, heads
        self.head_size = _head_size(hidden_size, heads)
        # rows and columns of each are ordered by head, then gate, then unit
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Parameter(torch.empty(heads, self.head_size, 4 * self.head_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, an orthogonal block for each head and gate, forget biases 3 to 6."""
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        with torch.no_grad():
            for head in self.recurrent:
                for gate in head.chunk(4, -1):
                    gate.copy_(nn.init.orthogonal_(torch.empty_like(gate)))
            biases = self.input.bias.view(self.heads, 4, self.head_size)
            biases[:, 1] = _forget_biases(self.hidden_size).view(self.heads, self.head_size)

    def initial_state(self, x: Tensor) -> SLSTMState:
        """Return zeros, and for `m` a large negative number: the first step then stores its input with weight one."""
        zeros = x.new_zeros(x.shape[0], self.hidden_size)
        return zeros, zeros, zeros, torch.full_like(zeros, -1e4)

    def forward(self, x: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        """Advance one step; return the output and the new `(h, c, n, m)`."""
        h, c, n, m = state
        by_head = (-1, self.heads, self.head_size)
        recurrent = torch.einsum("bhd,hde->bhe", h.reshape(by_head), self.recurrent)
        gates = self.input(x).reshape(-1, self.heads, 4 * self.head_size) + recurrent
        i, f, z, o = (gate.reshape(-1, self.hidden_size) for gate in gates.chunk(4, -1))
        kept = m - F.softplus(-f)  # log sigmoid(f) + m
        m = torch.maximum(kept, i)
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c = f * c + i * z.tanh()
        n = f * n + i
        h = o.sigmoid() * c / n
        return h, (h, c, n, m)


class MLSTMCell(nn.Module):
    """One step of an mLSTM: each head stores values under keys in a matrix and reads them by a query.

        q, v = W_q x + b_q, W_v x + b_v
        k    = (W_k x + b_k) / sqrt(d)
        i, f = w_i x + b_i, w_f x + b_f          (one number a head)
        m'   = max(log sigmoid(f) + m, i)
        i*   = exp(i - m')
        f*   = exp(log sigmoid(f) + m - m')
        C'   = f* C + i* v k^T
        n'   = f* n + i* k
        h'   = sigmoid(W_o x + b_o) * C' q / max(|n' . q|, exp(-m'))

    `d` is the size of a head. No gate reads the state, and `C` and `n` enter linearly. The memory of a sequence is
    `d` times as large as in other cells.

    Shapes: `x` is `(batch, input_size)`; `state` is `(C, n, m)`, `(batch, heads, d, d)`, `(batch, heads, d)` and
    `(batch, heads)`; the output is `h'`, `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of units.
        heads: how many memories; each has `hidden_size / heads` rows and columns.

    Raises:
        ValueError: the heads do not divide the units.

    Use it where many facts must be recalled by content, in place of attention.

    Source: M. Beck et al., "xLSTM: extended long short-term memory", NeurIPS 2024, section 2.3; the
    bound `exp(-m')` is the source's bound one, in scaled numbers. The forget biases start evenly from 3 to 6.

    >>> import torch
    >>> cell = MLSTMCell(3, 4, heads=2)
    >>> y, (C, n, m) = cell(torch.zeros(2, 3), cell.initial_state(torch.zeros(2, 3)))
    >>> tuple(y.shape), tuple(C.shape)
    ((2, 4), (2, 2, 2, 2))
    """

    def __init__(self, input_size: int, hidden_size: int, heads: int = 1) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.heads = input_size, hidden_size, heads
        self.head_size = _head_size(hidden_size, heads)
        self.input = nn.Linear(input_size, 4 * hidden_size)  # q, k, v, o
        self.gates = nn.Linear(input_size, 2 * heads)  # i, f
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot weights, gates that do not read x yet, forget biases 3 to 6, input biases near zero."""
        for block in self.input.weight.detach().chunk(4):
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.input.bias)
        nn.init.zeros_(self.gates.weight)
        i, f = self.gates.bias.detach().chunk(2)
        nn.init.normal_(i, std=0.1)
        f.copy_(_forget_biases(self.heads))

    def initial_state(self, x: Tensor) -> MLSTMState:
        """Return zeros for `(C, n, m)`."""
        rows, d = x.shape[0], self.head_size
        return (
            x.new_zeros(rows, self.heads, d, d),
            x.new_zeros(rows, self.heads, d),
            x.new_zeros(rows, self.heads),
        )

    def forward(self, x: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        """Advance one step; return the output and the new `(C, n, m)`."""
        memory, n, m = state
        q, k, v, o = (part.reshape(-1, self.heads, self.head_size) for part in self.input(x).chunk(4, -1))
        k = k / math.sqrt(self.head_size)
        i, f = self.gates(x).chunk(2, -1)
        kept = m - F.softplus(-f)  # log sigmoid(f) + m
        m = torch.maximum(kept, i)
        i, f = torch.exp(i - m)[..., None], torch.exp(kept - m)[..., None]
        memory = f[..., None] * memory + v[..., :, None] * (i * k)[..., None, :]
        n = f * n + i * k
        read = (memory * q[..., None, :]).sum(-1)
        weight = torch.maximum((n * q).sum(-1, keepdim=True).abs(), torch.exp(-m)[..., None])
        h = (o.sigmoid() * read / weight).reshape(-1, self.hidden_size)
        return h, (memory, n, m)


def _head_size(hidden_size: int, heads: int) -> int:
    if heads < 1 or hidden_size % heads:
        raise ValueError(f"{heads} heads do not divide {hidden_size} units; choose a divisor")
    return hidden_size // heads


def _forget_biases(count: int) -> Tensor:
    return torch.linspace(3.0, 6.0, count)
