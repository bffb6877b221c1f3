"""The network of a patient monitor: a recurrent reading of all measurements beside one of their summaries."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.data.health.summaries import KEPT, READ, TIMES
from ostinato.tasks.base.irregular import Reader, stack_of_measurements
from ostinato.tasks.monitor.parameters import MonitorParameters
from ostinato.tasks.monitor.stays import StayBatch
from ostinato.training.objective import Carry, Step

_WIDE = 64  # units that read the summaries
_DRAWN = 16  # steps of a patient that a loss is taken of


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
        self.stack: Any = stack_of_measurements(parameters, self.reader.width)
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
            ys, x = (each.gather(0, steps[..., None].expand(-1, -1, each.shape[-1])) for each in (ys, x))
        if hidden is not None:
            x = x * hidden
        return self.head(ys, x)[..., 0]

    def encoded(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the state of the stack after the last step of each patient, `(batch, features)`."""
        ys, _ = self.stack(self.reader(x), lengths=lengths)
        last: Tensor = ys[lengths - 1, torch.arange(len(lengths), device=x.device)]
        return last

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

    def encoded(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return what the members know of each patient at the end, `(batch, members * features)`."""
        return torch.cat([member.encoded(x, lengths) for member in self.members], -1)  # type: ignore[operator]


class MonitorObjective:
    """Cross-entropy of the outcome over the steps of a patient, each patient weighed alike.

    In training each member has a loss of its own, as if alone, and a few steps of each patient are drawn, beside
    the last one where the outcome at any time is predicted; what is held out is judged at all steps by all together.

    Args:
        last: whether the last step counts as much as all others.
    """

    def __init__(self, *, last: bool) -> None:
        self.last = last

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of stays."""
        found = StayBatch(*batch)
        known = found.weights.sum(0) > 0
        count = max(float(known.sum()), 1e-6)
        if not module.training:
            given = module(found.x, found.lengths).sigmoid().mean(0).clamp(1e-6, 1 - 1e-6)
            each = functional.binary_cross_entropy(given, found.labels, reduction="none")
            return Step((each * found.weights).sum() / count, count)
        steps = (torch.rand(_DRAWN, len(found.lengths), device=found.x.device) * found.lengths).long()
        if self.last:
            steps = torch.cat([steps, (found.lengths - 1)[None]])
        logits = module(found.x, found.lengths, steps)
        labels, there = found.labels.gather(0, steps), (found.weights.gather(0, steps) > 0).to(logits.dtype)
        weights = there / there.sum(0).clamp(min=1)
        if self.last:
            drawn = there[:-1] / there[:-1].sum(0).clamp(min=1)
            weights = torch.cat([drawn, there[-1:]]) / 2
        each = functional.binary_cross_entropy_with_logits(logits, labels.expand_as(logits), reduction="none")
        return Step((each * weights).sum((1, 2)).mean() / count, count)
