"""The network of a patient monitor: a recurrent reading of all measurements beside one of their summaries."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.cells import CATALOGUE
from ostinato.engine import State, leaves, map_state
from ostinato.nn.by_name import stack_of
from ostinato.nn.recurrent import Recurrent
from ostinato.tasks.monitor.parameters import MonitorParameters
from ostinato.tasks.monitor.stays import StayBatch
from ostinato.tasks.monitor.summaries import KEPT, READ, TIMES
from ostinato.training.objective import Carry, Step

MISSING_AWARE = "gru-d"
GAPS = ("cfc", "t-lstm")
_WIDE = 64  # units that read the summaries
_DRAWN = 16  # steps of a patient that a loss is taken of


class Reader(nn.Module):
    """What a cell reads of a step, `(..., numbers)` of `summaries.of_batch`.

    GRU-D reads values, masks and time gaps of each variable, and nothing else. Any other cell reads the last value of
    each variable, whether it was measured now, how long ago it was, and the time; the last feature is the time since
    the step before, as cells of uneven time (CfC, T-LSTM) want it.
    """

    def __init__(self, cell: object, variables: int) -> None:
        super().__init__()
        self.variables, self.by_mask = variables, cell == MISSING_AWARE
        self.width = READ * variables if self.by_mask else 3 * variables + TIMES

    def forward(self, x: Tensor) -> Tensor:
        """Return what is read, `(..., width)`."""
        return self.of(x)

    def of(self, x: Tensor) -> Tensor:
        """Return the numbers that are read of all, `(..., width)`."""
        size = self.variables
        if self.by_mask:
            return x[..., : READ * size]
        mask, last = x[..., size : 2 * size], x[..., READ * size : (READ + 1) * size]
        fresh = x[..., (READ + KEPT - 1) * size : (READ + KEPT) * size]
        return torch.cat([last, mask, fresh, x[..., -TIMES:]], -1)


class Member(nn.Module):
    """One network of those whose probabilities are averaged.

    The logit of the risk is a sum of three: of the recurrent state, of a layer on the summaries of each variable up to
    the step, and of what is linear in these, which learns first (wide and deep; Cheng et al., 2016).

    Args:
        parameters: of the monitor.
        variables: how many are read.
        prevalence: of the outcome, where the risk begins.
    """

    def __init__(self, parameters: MonitorParameters, variables: int, prevalence: float) -> None:
        super().__init__()
        self.variables = variables
        self.hidden = parameters.variable_dropout
        self.reader = Reader(parameters.cell, variables)
        size = parameters.hidden_size
        self.stack: Any = _stack(parameters, self.reader.width)
        width = KEPT * variables + TIMES
        self.dropout = nn.Dropout(parameters.dropout)
        self.deep = nn.Linear(width, _WIDE)
        self.from_deep = nn.Linear(_WIDE, 1)
        self.from_state = nn.Linear(size, 1)
        self.wide = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.wide.weight)
        share = min(max(prevalence, 1e-3), 1 - 1e-3)
        nn.init.constant_(self.from_deep.bias, 0.0)
        nn.init.constant_(self.from_state.bias, math.log(share / (1 - share)))

    def forward(self, x: Tensor, lengths: Tensor, steps: Tensor | None = None) -> Tensor:
        """Return the logit of the risk after some steps `(steps, batch)`, or after each, `(time, batch)`."""
        hidden = self._hidden(x)
        read = self.reader(x)
        ys, _ = self.stack(read if hidden is None else read * self.reader.of(hidden), lengths=lengths)
        if steps is not None:
            ys, x = (own.gather(0, steps[..., None].expand(-1, -1, own.shape[-1])) for own in (ys, x))
        if hidden is not None:
            x = x * hidden
        return self.head(ys, x)[..., 0]

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Advance one step, `x (batch, numbers)`; return the logit, `(batch, 1)`, and the new state."""
        y, new = self.stack.step(self.reader(x), state)
        return self.head(y, x), new

    def head(self, ys: Tensor, x: Tensor) -> Tensor:
        """Return logits `(..., 1)` from what the stack gives and what is known of each step."""
        known = x[..., READ * self.variables :]
        deep = self.dropout(functional.relu(self.deep(self.dropout(known))))
        found: Tensor = self.from_state(self.dropout(ys)) + self.from_deep(deep) + self.wide(known)
        return found

    def _hidden(self, x: Tensor) -> Tensor | None:
        """In training, what takes some variables of a patient as if they were never measured, `(batch, numbers)`."""
        if not (self.training and self.hidden):
            return None
        kept = (torch.rand(x.shape[1], self.variables, device=x.device) >= self.hidden).to(x.dtype)
        gap, times = torch.ones_like(kept), kept.new_ones(len(kept), TIMES)
        return torch.cat([kept, kept, gap, *[kept] * KEPT, times], -1)


class MonitorNetwork(nn.Module):
    """Members beside each other; see `Member` for the arguments."""

    def __init__(self, parameters: MonitorParameters, variables: int, prevalence: float) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member(parameters, variables, prevalence) for _ in range(parameters.members))

    def forward(self, x: Tensor, lengths: Tensor, steps: Tensor | None = None) -> Tensor:
        """Return the logits of each member, `(members, time, batch)`; of some steps only, if these are given."""
        return torch.stack([member(x, lengths, steps) for member in self.members])


class StepCell(nn.Module):
    """All members as one cell with one flat state, so that a step of all of them is one compiled call.

    Args:
        network: in evaluation mode.
        width: numbers of a step.
    """

    def __init__(self, network: MonitorNetwork, width: int) -> None:
        super().__init__()
        self.members = network.members
        self.input_size = width
        with torch.no_grad():
            start = self._starts(torch.zeros(1, width))
        self.shapes = [leaf.shape[1:] for leaf in leaves(start)]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.like = map_state(lambda leaf: leaf.detach(), start)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance a step; return the members' logits, `(batch, members)`."""
        parts = iter(torch.split(state, self.sizes, -1))
        shapes = iter(self.shapes)
        states = map_state(lambda _: next(parts).unflatten(-1, next(shapes)), self.like)  # type: ignore[no-untyped-call]
        found = [member.step(x, own) for member, own in zip(self.members, states, strict=True)]  # type: ignore[operator]
        flat = [leaf.flatten(1) for leaf in leaves(tuple(new for _, new in found))]
        return torch.cat([y for y, _ in found], -1), torch.cat(flat, -1)

    def initial_state(self, x: Tensor) -> Tensor:
        """Return where all members start, flat."""
        return torch.cat([leaf.flatten(1) for leaf in leaves(self._starts(x))], -1)

    def _starts(self, x: Tensor) -> State:
        return tuple(own.stack.initial_state(own.reader(x)) for own in self.members)  # type: ignore[operator, union-attr]


class MonitorObjective:
    """Cross-entropy of the outcome over the steps of a patient, each patient weighed alike.

    In training each member has a loss of its own, as if alone, and a few steps of each patient are drawn, beside
    the last one where the outcome at any time is told; what is held out is judged at all steps by all together.

    Args:
        last: whether the last step counts as much as all others.
    """

    def __init__(self, *, last: bool) -> None:
        self.last = last

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of stays."""
        own = StayBatch(*batch)
        known = own.weights.sum(0) > 0
        count = max(float(known.sum()), 1e-6)
        if not module.training:
            given = module(own.x, own.lengths).sigmoid().mean(0).clamp(1e-6, 1 - 1e-6)
            each = functional.binary_cross_entropy(given, own.labels, reduction="none")
            return Step((each * own.weights).sum() / count, count)
        steps = (torch.rand(_DRAWN, len(own.lengths), device=own.x.device) * own.lengths).long()
        if self.last:
            steps = torch.cat([steps, (own.lengths - 1)[None]])
        logits = module(own.x, own.lengths, steps)
        labels, there = own.labels.gather(0, steps), (own.weights.gather(0, steps) > 0).to(logits.dtype)
        weights = there / there.sum(0).clamp(min=1)
        if self.last:
            drawn = there[:-1] / there[:-1].sum(0).clamp(min=1)
            weights = torch.cat([drawn, there[-1:]]) / 2
        each = functional.binary_cross_entropy_with_logits(logits, labels.expand_as(logits), reduction="none")
        return Step((each * weights).sum((1, 2)).mean() / count, count)


def _stack(parameters: MonitorParameters, width: int) -> Any:
    cell, size, layers = parameters.cell, parameters.hidden_size, parameters.num_layers
    if isinstance(cell, str) and (cell == MISSING_AWARE or cell in GAPS):
        kinds = [CATALOGUE[cell](width, size)]
        if layers > 1:  # what layers above read has no gaps
            kinds += [CATALOGUE["gru"](size, size) for _ in range(layers - 1)]
        return Recurrent(kinds, layers, dropout=parameters.dropout)
    return stack_of(cell, width, size, layers, dropout=parameters.dropout)
