"""The LSTM with batch normalisation inside its recurrence. Rows depend on one another: a layer, not a cell."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import RECURRENT_INITS
from ostinato.engine import leaves, scan
from ostinato.nn.norms import StepStatistics, check_features

BatchNormState: TypeAlias = "tuple[Tensor, Tensor, Tensor]"


class BatchNormLSTM(nn.Module):
    """LSTM with batch-normalised input, recurrent and cell terms.

        i, f, g, o = chunk(BN_x(W x) + BN_h(U h) + b)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(BN_c(c') + b_c)

    In training each step is normalised by the rows that are still running there, and its running statistics move.
    In evaluation those are used, every row is on its own, and the engine runs the loop. Training cannot be compiled, as
    rows depend on one another: it walks in PyTorch.

    Shapes: `xs` is `(time, batch, input_size)`, outputs `(time, batch, hidden_size)`; the state is `(h, c, step)`, the
    step being how many have been taken, `(batch, 1)`.

    Args:
        input_size: features of a step.
        hidden_size: units.
        max_steps: steps with running statistics of their own; later ones share the last.
        gain: where the scales of the normalisations start.
        batch_first: whether the batch is the first dimension of sequences.

    Raises:
        ShapeError: `xs` has other features.

    Source: T. Cooijmans et al., "Recurrent batch normalization", ICLR 2017, equations 6 to 8.

    >>> import torch
    >>> layer = BatchNormLSTM(3, 5)
    >>> ys, (h, c, step) = layer(torch.randn(7, 4, 3), lengths=torch.tensor([7, 4, 2, 7]))
    >>> tuple(ys.shape), step[:, 0].tolist()
    ((7, 4, 5), [7.0, 4.0, 2.0, 7.0])
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, max_steps: int = 100, gain: float = 0.1, batch_first: bool = False
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.max_steps, self.gain, self.batch_first = max_steps, gain, batch_first
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.cell_bias = nn.Parameter(torch.zeros(hidden_size))
        self.input_norm = StepStatistics(4 * hidden_size, max_steps, gain)
        self.recurrent_norm = StepStatistics(4 * hidden_size, max_steps, gain)
        self.cell_norm = StepStatistics(hidden_size, max_steps, gain)
        nn.init.orthogonal_(self.input.weight)
        RECURRENT_INITS["orthogonal"](self.recurrent.weight)
        # no submodule: its weights are this layer's own; kept, because the engine keeps a plan with each cell
        self.__dict__["_evaluated"] = _Evaluated(self.recurrent)
        with torch.no_grad():
            self.bias[hidden_size : 2 * hidden_size] = 1.0

    def forward(
        self, xs: Tensor, state: BatchNormState | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, BatchNormState]:
        """Run over time; see `Recurrent.forward`."""
        check_features(xs, self.input_size)
        if self.batch_first:
            xs = xs.transpose(0, 1)
        start = self.initial_state(xs[0] if xs.shape[0] else xs.new_zeros(xs.shape[1:])) if state is None else state
        run = self._train_steps if self.training else self._evaluate
        ys, last = run(xs, start, lengths)
        return (ys.transpose(0, 1) if self.batch_first else ys), last

    def initial_state(self, x: Tensor) -> BatchNormState:
        """Return zeros for one step `x`, `(batch, input_size)`."""
        zeros = x.new_zeros(x.shape[0], self.hidden_size)
        return zeros, zeros, x.new_zeros(x.shape[0], 1)

    def _train_steps(self, xs: Tensor, state: BatchNormState, lengths: Tensor | None) -> tuple[Tensor, BatchNormState]:
        h, c, taken = state
        first = int(taken.max()) if taken.numel() else 0
        ends = torch.full((xs.shape[1],), xs.shape[0]) if lengths is None else lengths
        ys = []
        for t, x in enumerate(self.input(xs).unbind(0)):
            running = (ends > t).nonzero()[:, 0].to(xs.device)
            y = x.new_zeros(x.shape[0], self.hidden_size)
            if len(running):
                new_h, new_c = self._step(x[running], h[running], c[running], first + t)
                y, h, c = (part.index_copy(0, running, new) for part, new in ((y, new_h), (h, new_h), (c, new_c)))
            ys.append(y)
        outputs = torch.stack(ys) if ys else xs.new_zeros(0, xs.shape[1], self.hidden_size)
        return outputs, (h, c, taken + ends.to(taken)[:, None])

    def _step(self, x: Tensor, h: Tensor, c: Tensor, step: int) -> tuple[Tensor, Tensor]:
        gates = self.input_norm(x, step) + self.recurrent_norm(self.recurrent(h), step) + self.bias
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * torch.tanh(self.cell_norm(c, step) + self.cell_bias), c

    def _evaluate(self, xs: Tensor, state: BatchNormState, lengths: Tensor | None) -> tuple[Tensor, BatchNormState]:
        """Walk through the engine: by running statistics a step is a cell that also reads its scales and shifts."""
        h, c, taken = state
        steps = taken[None, :, 0].long() + torch.arange(xs.shape[0], device=xs.device)[:, None]
        scale, shift = self.input_norm.at(steps)
        gates = self.input(xs) * scale + shift + self.bias
        recurrent, cell = self.recurrent_norm.at(steps), self.cell_norm.at(steps)
        read = torch.cat([gates, *recurrent, cell[0], cell[1] + self.cell_bias], -1)
        ys, last = scan(self.__dict__["_evaluated"], read, (h, c), lengths=lengths)
        h, c = leaves(last)
        ends = torch.full_like(taken, xs.shape[0]) if lengths is None else lengths.to(taken)[:, None]
        return ys, (h, c, taken + ends)


class _Evaluated(nn.Module):
    """One step by running statistics; `x` holds the gates' input part, then scales and shifts."""

    def __init__(self, recurrent: nn.Linear) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Advance one step."""
        h, c = state
        size = h.shape[-1]
        gates, scale, shift, cell_scale, cell_shift = torch.split(x, [4 * size, 4 * size, 4 * size, size, size], -1)
        i, f, g, o = (gates + self.recurrent(h) * scale + shift).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * torch.tanh(c * cell_scale + cell_shift)
        return h, (h, c)
