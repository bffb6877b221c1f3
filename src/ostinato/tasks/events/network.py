"""The network of an event predictor: what was, read one way, and at each event what comes next, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.tasks.base.members import mean_probability
from ostinato.tasks.events.cases import NOTHING, TIMES, EventBatch, EventEncoder
from ostinato.tasks.events.features import Pieces
from ostinato.tasks.events.parameters import EventParameters
from ostinato.tasks.events.times import TimeScale
from ostinato.training.objective import Carry, Step

_WIDEST = 16


class PieceLayer(nn.Module):
    """Numbers `(..., columns)`, NaN where missing, as their pieces, `(..., features)`; see `Pieces`."""

    columns: Tensor
    lows: Tensor
    widths: Tensor
    fill: Tensor
    missing: Tensor

    def __init__(self, pieces: Pieces) -> None:
        super().__init__()
        for name, value in vars(pieces).items():
            self.register_buffer(name, torch.as_tensor(value))

    def forward(self, numbers: Tensor) -> Tensor:
        """Return how far each number has come through each piece, from 0 to 1, and which are missing."""
        absent = torch.isnan(numbers)
        known = torch.where(absent, self.fill, numbers)
        passed = ((known[..., self.columns] - self.lows) / self.widths).clamp(0, 1)
        return torch.cat([passed, absent[..., self.missing].to(passed.dtype)], -1)


class Member(nn.Module):
    """One network of those whose probabilities are averaged.

    A recurrent stack reads all that is known of each event. What comes next is told from its output and from what was
    read at the event itself: by two layers, and beside them by one that is linear in it, which learns first (wide and
    deep; Cheng et al., 2016).

    Args:
        parameters: of the predictor.
        encoder: what makes numbers of events.
    """

    def __init__(self, parameters: EventParameters, encoder: EventEncoder) -> None:
        super().__init__()
        size, activities = parameters.hidden_size, len(encoder.known)
        sizes = [7, *map(len, encoder.covariates.categories.values())]
        self.left_out = parameters.activity_dropout
        self.embedding = nn.Embedding(activities + 1, parameters.embedding_size)
        widths = [min(_WIDEST, 2 + each // 2) for each in sizes]
        self.categories = nn.ModuleList(map(nn.Embedding, [each + 1 for each in sizes], widths))
        self.pieces = PieceLayer(encoder.pieces)
        width = parameters.embedding_size + encoder.pieces.features + len(encoder.counted)
        width += sum(widths)
        options: dict[str, Any] = {"context": parameters.context} if parameters.cell == TRANSFORMER else {}
        self.stack: Any = stack_of(
            parameters.cell, width, size, parameters.num_layers, dropout=parameters.dropout, **options
        )
        self.dropout = nn.Dropout(parameters.dropout)
        self.deep = nn.Sequential(nn.Linear(size + width, size), nn.GELU(), nn.Dropout(parameters.dropout))
        self.activity = nn.Linear(size, activities + 1)
        self.wide = nn.Linear(width, activities + 1, bias=False)
        self.times = nn.Linear(size, TIMES * 2)
        # a sharp guess at a time before anything is learned costs more than a broad one
        nn.init.zeros_(self.times.bias)
        nn.init.zeros_(self.wide.weight)

    def forward(self, batch: EventBatch) -> tuple[Tensor, Tensor]:
        """Return scores `(time, batch, activities + 1)`, the end last, and times `(time, batch, TIMES, 2)`."""
        kinds, codes = self._unknown(batch.kinds), self._unknown(batch.codes)
        read = self.read(kinds, batch.numbers, codes, batch.counts)
        ys, _ = self.stack(read, lengths=batch.lengths)
        return self.predicted(ys, read)

    def _unknown(self, numbers: Tensor) -> Tensor:
        """In training, take some values for unknown ones, so that it is known what to make of these."""
        if not (self.training and self.left_out):
            return numbers
        return numbers.masked_fill(torch.rand(numbers.shape, device=numbers.device) < self.left_out, 0)

    def read(self, kinds: Tensor, numbers: Tensor, codes: Tensor, counts: Tensor) -> Tensor:
        """Return what the stack reads, `(..., features)`; for the shapes see `EventBatch`."""
        categories = [category(codes[..., place]) for place, category in enumerate(self.categories)]
        return torch.cat([self.embedding(kinds), self.pieces(numbers), *categories, counts.log1p()], -1)

    def predicted(self, ys: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and times from what the stack gives and what it read."""
        deep = self.deep(torch.cat([self.dropout(ys), read], -1))
        return self.activity(deep) + self.wide(read), self.times(deep).unflatten(-1, (TIMES, 2))


class EventNetwork(nn.Module):
    """Members beside each other; see `Member` for the arguments."""

    def __init__(self, parameters: EventParameters, encoder: EventEncoder) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member(parameters, encoder) for _ in range(parameters.members))

    def forward(self, batch: EventBatch) -> list[tuple[Tensor, Tensor]]:
        """Return the scores and times of each member."""
        return [member(batch) for member in self.members]


def together(answers: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the members' mean probabilities, and the mean of their times."""
    scores = mean_probability(torch.stack([value.log_softmax(-1) for value, _ in answers]))
    return scores, torch.stack([times for _, times in answers]).mean(0)


class EventObjective:
    """Cross-entropy of the next activity, and the losses of the times.

    In training each member has a loss of its own, as if it were alone; what is held out is judged by all together.

    Args:
        scales: of the times.
        weight: how much the times count.
    """

    def __init__(self, scales: Sequence[TimeScale], weight: float) -> None:
        self.scales, self.weight = scales, weight

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of cases."""
        events = EventBatch(*batch)
        answers = module(events)
        judged = answers if module.training else [together(answers)]
        loss = torch.stack([self._loss(events, scores, times) for scores, times in judged]).mean()
        return Step(loss, int((events.following != NOTHING).sum()))

    def _loss(self, batch: EventBatch, scores: Tensor, times: Tensor) -> Tensor:
        real = int((batch.following != NOTHING).sum())
        loss = functional.cross_entropy(
            scores.flatten(0, 1), batch.following.flatten(), ignore_index=NOTHING, reduction="sum"
        ) / max(real, 1)
        for place, scale in enumerate(self.scales):
            known = torch.isfinite(batch.waits[..., place])
            if self.weight and bool(known.any()):
                raw, wanted = times[..., place, :][known], batch.waits[..., place][known]
                loss = loss + self.weight * scale.losses(raw, wanted).mean()
        return loss
