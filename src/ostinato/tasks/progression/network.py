"""The network of progression: hazards of events by intervals ahead, and how measurements go on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ostinato.data.health.summaries import KEPT, READ, TIMES
from ostinato.nn.losses import hazard_loss, quantile_loss
from ostinato.tasks.base.irregular import Reader, stack_of_measurements
from ostinato.tasks.progression.courses import (
    LEVELS,
    CourseBatch,
    Floats,
    ProgressionEncoder,
    elapsed,
    last_parts,
    linear_parts,
)
from ostinato.tasks.progression.parameters import ProgressionParameters
from ostinato.tasks.progression.starts import Start
from ostinato.training.objective import Carry, Step

_WIDE = 32  # units that read the summaries
_COURSE = 6  # numbers of each target: level, slope, and two of each side of the interval


class Member(nn.Module):
    """One network of those whose probabilities are averaged.

    Hazards and next values are what a penalised linear model on the values now, their means and changes says of them,
    which was fitted before and stays as it is, and what the recurrent state and a layer on summaries add to it, which
    begins at nothing. So the network starts as good as that model of proportional hazards.

    Args:
        parameters: of the model.
        encoder: what was fitted.
    """

    level: Tensor
    slope: Tensor
    share: Tensor
    beside: Tensor
    beside_base: Tensor

    def __init__(self, parameters: ProgressionParameters, encoder: ProgressionEncoder) -> None:
        super().__init__()
        self.variables, self.targets = len(encoder.variables), list(encoder.targets)
        self.causes, self.intervals = len(encoder.causes), len(encoder.ends)
        self.hidden = parameters.variable_dropout
        self.reader = Reader(parameters.cell, self.variables)
        self.stack: Any = stack_of_measurements(parameters, self.reader.width)
        self.dropout = nn.Dropout(parameters.dropout)
        out, flat = 2 * self.causes + _COURSE * len(self.targets), len(_parts(self.variables))
        self.deep = nn.Linear(KEPT * self.variables + TIMES, _WIDE)
        self.from_deep = nn.Linear(_WIDE, out, bias=False)
        self.from_state = nn.Linear(parameters.hidden_size, out)
        for layer in (self.from_deep, self.from_state):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.from_state.bias)
        self.base = nn.Parameter(torch.zeros(self.causes * self.intervals))
        self.hazards = nn.Linear(flat, self.causes, bias=False).requires_grad_(False)
        self.courses = nn.Linear(flat, 2 * len(self.targets)).requires_grad_(False)
        self.spreads = nn.Parameter(torch.zeros(4 * len(self.targets)))
        # what spreads the score of each cause, and how it tilts, over the intervals: `(causes * intervals, causes)`
        every = torch.eye(self.causes).repeat_interleave(self.intervals, 0)
        position = torch.linspace(-1, 1, self.intervals).repeat(self.causes)
        self.register_buffer("level", every)
        self.register_buffer("slope", every * position[:, None])
        # of a linear model on the last values and times, which counts beside; see `beside.set_beside`
        self.register_buffer("share", torch.zeros(()))
        self.register_buffer("beside", torch.zeros(self.causes, 2 * self.variables + TIMES))
        self.register_buffer("beside_base", torch.zeros(self.causes * self.intervals))

    def begin(self, start: Start) -> None:
        """Take over the linear model that was fitted."""
        with torch.no_grad():
            self.base.copy_(torch.from_numpy(start.base.T.ravel()))
            self.hazards.weight.copy_(torch.from_numpy(start.hazards))
            self.courses.weight.copy_(torch.from_numpy(start.courses))
            self.courses.bias.copy_(torch.from_numpy(start.shifts))
            self.spreads.copy_(torch.from_numpy(start.spreads))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return what is said after each step, `(time, batch, numbers)`."""
        hidden = self._hidden(x)
        read = self.reader(x)
        ys, _ = self.stack(read if hidden is None else read * self.reader.of(hidden), lengths=lengths)
        return self.head(ys, x, x if hidden is None else x * hidden)

    def encoded(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the state of the stack after the last step of each patient, `(batch, features)`."""
        ys, _ = self.stack(self.reader(x), lengths=lengths)
        last: Tensor = ys[lengths - 1, torch.arange(len(lengths), device=x.device)]
        return last

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Advance one step, `x (batch, numbers)`; return `(batch, numbers)` and the new state."""
        y, new = self.stack.step(self.reader(x), state)
        return self.head(y, x, x), new

    def head(self, ys: Tensor, x: Tensor, seen: Tensor) -> Tensor:
        """Return the numbers of hazards and courses from what the stack gives and what is known of each step."""
        causes, targets = self.causes, len(self.targets)
        deep = self.dropout(functional.relu(self.deep(self.dropout(seen[..., READ * self.variables :]))))
        more = self.from_state(self.dropout(ys)) + self.from_deep(deep)
        flat = linear_parts(x, self.variables)
        score = self.hazards(flat) + more[..., :causes]
        tilt = more[..., causes : 2 * causes]
        hazards = self.base + functional.linear(score, self.level) + functional.linear(tilt, self.slope)
        if not self.training:
            scored = functional.linear(last_parts(flat, self.variables), self.beside)
            linear = self.beside_base + functional.linear(scored, self.level)
            hazards = hazards + self.share * (linear - hazards)
        parts = [hazards]
        if targets:
            rest = more[..., 2 * causes :]
            parts.append(self.courses(flat) + rest[..., : 2 * targets])
            parts.append(self.spreads + rest[..., 2 * targets :])
        return torch.cat(parts, -1)

    def _hidden(self, x: Tensor) -> Tensor | None:
        """In training, what takes some variables of a patient as if they were never measured, `(batch, numbers)`."""
        if not (self.training and self.hidden):
            return None
        kept = (torch.rand(x.shape[1], self.variables, device=x.device) >= self.hidden).to(x.dtype)
        return torch.cat([kept, kept, torch.ones_like(kept), *[kept] * KEPT, kept.new_ones(len(kept), TIMES)], -1)


def _parts(variables: int) -> range:
    return range(3 * variables + TIMES)


class ProgressionNetwork(nn.Module):
    """Members beside each other; see `Member` for the arguments."""

    def __init__(self, parameters: ProgressionParameters, encoder: ProgressionEncoder) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member(parameters, encoder) for _ in range(parameters.members))
        self.causes, self.intervals, self.targets = len(encoder.causes), len(encoder.ends), list(encoder.targets)
        self.variables, self.scale = len(encoder.variables), encoder.scale

    def begin(self, start: Start) -> None:
        """Let all members begin at a linear model."""
        for member in self.members:
            member.begin(start)  # type: ignore[operator]

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return what each member says after each step, `(members, time, batch, numbers)`."""
        return torch.stack([member(x, lengths) for member in self.members])

    def encoded(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return what the members know of each patient at the end, `(batch, members * features)`."""
        return torch.cat([member.encoded(x, lengths) for member in self.members], -1)  # type: ignore[operator]

    def beside(self, base: Tensor, weights: Tensor, share: float) -> None:
        """Let a linear model count beside the members.

        Args:
            base: `(intervals, causes)`.
            weights: `(causes, 2 * variables + 3)`.
            share: of what is said of hazards, from 0 to 1.
        """
        with torch.no_grad():
            for member in self.members:
                held: Any = member
                held.beside_base.copy_(base.T.flatten())
                held.beside.copy_(weights)
                held.share.fill_(share)

    def hazards(self, said: Tensor) -> Tensor:
        """Return the logits of hazards, against no event, `(..., causes, intervals)`."""
        found = said[..., : self.causes * self.intervals]
        return found.reshape(*found.shape[:-1], self.causes, self.intervals)

    def quantiles(self, said: Tensor, newest: Tensor, ahead: Tensor) -> Tensor:
        """Return the quantiles of next values on their scales, `(..., targets, 3)`.

        Args:
            said: `(..., numbers)`.
            newest: `(..., targets)`, the last values.
            ahead: `(...)` hours.
        """
        rest = said[..., self.causes * self.intervals :]
        found = rest.reshape(*rest.shape[:-1], _COURSE, len(self.targets))
        by = elapsed(ahead, self.scale)[..., None]
        middle = newest + found[..., 0, :] + by * found[..., 1, :]
        low = functional.softplus(found[..., 2, :] + by * found[..., 3, :])
        high = functional.softplus(found[..., 4, :] + by * found[..., 5, :])
        return torch.stack([middle - low, middle, middle + high], -1)


class ProgressionObjective:
    """The likelihood of events by softmax over the causes and none of each interval, and the pinball loss of values.

    Each step is an example of time to an event from there on (landmarking at all visits: van Houwelingen, 2007); each
    member has a loss of its own. Of next values those of the following visit are held out for judging; in training they
    are of any later one as often.

    Args:
        network: that is trained.
    """

    def __init__(self, network: ProgressionNetwork) -> None:
        self.network = network

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of courses."""
        found, net = CourseBatch(*batch), self.network
        said = module(found.x, found.lengths)
        real = torch.arange(len(found.x), device=found.x.device)[:, None] < found.lengths
        known = real & (found.events >= 0)
        loss = said.new_zeros(())
        if bool(known.any()):
            logits = net.hazards(said[:, known]).flatten(0, 1)  # (members * steps, causes, intervals)
            watched, events = (part[known].repeat(len(said)) for part in (found.watched, found.events))
            loss = event_loss(logits.permute(2, 0, 1), events, watched).mean()
        if net.targets:
            loss = loss + self._values(found, said, real, training=module.training)
        return Step(loss, float(real.sum()))

    def _values(self, batch: CourseBatch, said: Tensor, real: Tensor, *, training: bool) -> Tensor:
        net = self.network
        steps = torch.arange(len(batch.x), device=real.device)[:, None].expand(real.shape)
        later = steps + 1
        if training:
            left = (batch.lengths - 1 - steps).clamp(min=1)
            drawn = steps + 1 + (torch.rand(real.shape, device=real.device) * left).long()
            later = torch.where(torch.rand(real.shape, device=real.device) < 0.5, later, drawn)
        there = later < batch.lengths
        later = torch.minimum(later, batch.lengths - 1)
        ahead = batch.hours.gather(0, later) - batch.hours
        wide = later[..., None].expand(batch.values.shape)
        values, seen = batch.values.gather(0, wide), batch.there.gather(0, wide) & there[..., None]
        first = READ * net.variables
        newest = batch.x[..., [first + target for target in net.targets]]
        given = net.quantiles(said, newest, ahead.clamp(min=0))
        each = quantile_loss(given.flatten(0, 1), values.repeat(len(said), 1, 1), LEVELS, reduction="none")
        weights = seen.repeat(len(said), 1, 1)
        total: Tensor = (each * weights).sum() / weights.sum().clamp(min=1)
        return total


def event_loss(logits: Tensor, events: Tensor, watched: Tensor) -> Tensor:
    """Return the negative log-likelihood of each row by cause-specific hazards, `(rows,)`.

    Args:
        logits: `(intervals, rows, causes)`; no event has the logit 0.
        events: `(rows,)`, the cause from 1 on, 0 where censored.
        watched: `(rows,)` intervals.

    Source: G. Tutz and M. Schmid, "Modeling discrete time-to-event data", 2016, chapter 8.
    """
    any_cause = hazard_loss(logits.logsumexp(-1), events > 0, watched, reduction="none")
    last = (watched - 1).clamp(min=0)
    at = logits[last, torch.arange(len(events), device=logits.device)]
    which = functional.cross_entropy(at, (events - 1).clamp(min=0), reduction="none")
    return any_cause + torch.where(events > 0, which, torch.zeros_like(which))


def incidence(logits: NDArray[np.floating[Any]]) -> Floats:
    """Return the probability of each event by the end of each interval from hazards, `(..., causes, intervals)`.

    Args:
        logits: `(..., causes, intervals)`.
    """
    given = np.asarray(logits, np.float64)
    top = np.maximum(given.max(-2, keepdims=True), 0.0)
    parts = np.exp(given - top)
    hazards = parts / (parts.sum(-2, keepdims=True) + np.exp(-top))
    lasting = np.cumprod(1 - hazards.sum(-2, keepdims=True), -1)
    before = np.concatenate([np.ones_like(lasting[..., :1]), lasting[..., :-1]], -1)
    return np.asarray(np.cumsum(hazards * before, -1))
