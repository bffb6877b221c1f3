"""The cells that the engine's benchmark compares, as a user would write them, and their twins in `torch.nn`.

Nothing here knows the engine: a cell is its equations, `walk` is the Python loop that it is measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.cells import GRUCell, LSTMCell, RNNCell

Pair = tuple[Tensor, Tensor]
Quadruple = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Size:
    """The size of a problem; printed as `batch x steps x input x hidden`."""

    batch: int
    steps: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.steps} x {self.inputs} x {self.hidden}"


class ProjectedLSTM(nn.Module):
    """An LSTM whose hidden state is a projection of the gated cell, as `torch.nn.LSTM(proj_size=...)`.

    Source: H. Sak, A. Senior and F. Beaufays, "Long short-term memory based recurrent neural network architectures for
    large vocabulary speech recognition", 2014, section 2.2, without peepholes.
    """

    def __init__(self, input_size: int, hidden_size: int, proj_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.proj_size = input_size, hidden_size, proj_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(proj_size, 4 * hidden_size, bias=False)
        self.projection = nn.Linear(hidden_size, proj_size, bias=False)

    def initial_state(self, x: Tensor) -> Pair:
        """Return zeros: the projected state and the wider cell."""
        return x.new_zeros((x.shape[0], self.proj_size)), x.new_zeros((x.shape[0], self.hidden_size))

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        """Advance one step."""
        h, c = state
        i, f, g, o = (self.input(x) + self.recurrent(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = self.projection(o.sigmoid() * c.tanh())
        return h, (h, c)


class LayerNormLSTM(nn.Module):
    """An LSTM with its gates and its cell normalised (J. Ba, J. Kiros and G. Hinton, "Layer normalization", 2016)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm = nn.LayerNorm(4 * hidden_size)
        self.cell_norm = nn.LayerNorm(hidden_size)

    def initial_state(self, x: Tensor) -> Pair:
        """Return zeros."""
        zeros = x.new_zeros((x.shape[0], self.hidden_size))
        return zeros, zeros

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        """Advance one step."""
        h, c = state
        i, f, g, o = self.norm(self.input(x) + self.recurrent(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * self.cell_norm(c).tanh()
        return h, (h, c)


class SLSTM(nn.Module):
    """An sLSTM of one head: exponential gates, a normaliser `n` and a stabiliser `m`.

    Source: M. Beck et al., "xLSTM: Extended long short-term memory", 2024, section 2.2, equations 8 to 17, with the
    forget gate a sigmoid, which the paper allows.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def initial_state(self, x: Tensor) -> Quadruple:
        """Return zeros."""
        zeros = x.new_zeros((x.shape[0], self.hidden_size))
        return zeros, zeros, zeros, zeros

    def forward(self, x: Tensor, state: Quadruple) -> tuple[Tensor, Quadruple]:
        """Advance one step."""
        h, c, n, m = state
        i, f, z, o = (self.input(x) + self.recurrent(h)).chunk(4, -1)
        kept = functional.logsigmoid(f) + m
        m = torch.maximum(kept, i)
        i, f = (i - m).exp(), (kept - m).exp()
        c = f * c + i * z.tanh()
        n = f * n + i
        h = o.sigmoid() * c / n
        return h, (h, c, n, m)


def walk(cell: nn.Module, xs: Tensor, state: Any = None) -> Tensor:
    """Run a cell over `(time, batch, features)` in a Python loop, from its initial state; return all outputs."""
    if state is None:
        own = getattr(cell, "initial_state", None)
        zeros = xs.new_zeros((xs.shape[1], cell.hidden_size))
        state = own(xs[0]) if own else (zeros, zeros) if isinstance(cell, LSTMCell) else zeros
    ys = []
    for x in xs.unbind(0):
        y, state = cell(x, state)
        ys.append(y)
    return torch.stack(ys)


def walk_torch(cell: nn.Module, xs: Tensor) -> Tensor:
    """Run a cell of `torch.nn` over `(time, batch, features)` in a Python loop; return all hidden states."""
    zeros = xs.new_zeros((xs.shape[1], cell.hidden_size))
    state: Tensor | Pair = (zeros, zeros) if isinstance(cell, nn.LSTMCell) else zeros
    hs = []
    for x in xs.unbind(0):
        state = cell(x, state)
        hs.append(state if isinstance(state, Tensor) else state[0])
    return torch.stack(hs)


def weights(cell: nn.Module) -> list[Tensor]:
    """Return a cell's parameters in the order of `torch.nn`: input, recurrent, biases, projection."""
    linears = [cell.input, cell.recurrent]
    biases = [linear.bias for linear in linears if linear.bias is not None]
    projection = [cell.projection.weight] if isinstance(cell, ProjectedLSTM) else []
    return [*(linear.weight for linear in linears), *biases, *projection]


def torch_twin(cells: Sequence[nn.Module], bidirectional: bool = False) -> nn.RNNBase:
    """Return the layer of `torch.nn` with the weights of `cells`: a stack, each layer's directions side by side."""
    first = cells[0]
    kinds = {RNNCell: nn.RNN, LSTMCell: nn.LSTM, GRUCell: nn.GRU, ProjectedLSTM: nn.LSTM}
    twin: nn.RNNBase = kinds[type(first)](
        first.input_size,
        first.hidden_size,
        num_layers=len(cells) // (2 if bidirectional else 1),
        bidirectional=bidirectional,
        **({"proj_size": first.proj_size} if isinstance(first, ProjectedLSTM) else {}),
    )
    with torch.no_grad():
        for names, cell in zip(twin._all_weights, cells, strict=True):
            _copy(cell, {name.split("_l")[0]: getattr(twin, name) for name in names})
    return twin


def _copy(cell: nn.Module, into: dict[str, Tensor]) -> None:
    into["weight_ih"].copy_(cell.input.weight)
    into["weight_hh"].copy_(cell.recurrent.weight)
    into["bias_ih"].copy_(cell.input.bias)
    into["bias_hh"].copy_(0 * into["bias_hh"] if cell.recurrent.bias is None else cell.recurrent.bias)
    if "weight_hr" in into:
        into["weight_hr"].copy_(cell.projection.weight)
