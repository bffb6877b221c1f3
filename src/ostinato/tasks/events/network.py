"""The network of an event predictor: what was, read one way, and at each event what comes next, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.tasks.events.cases import NOTHING, TIMES, EventBatch
from ostinato.tasks.events.features import FEATURES
from ostinato.tasks.events.parameters import EventParameters
from ostinato.tasks.events.times import TimeScale
from ostinato.training.objective import Carry, Step


class EventNetwork(nn.Module):
    """Scores for the activity after each event, and numbers that tell the times.

    Args:
        parameters: of the predictor.
        activities: how many are known.
    """

    def __init__(self, parameters: EventParameters, activities: int) -> None:
        super().__init__()
        size = parameters.hidden_size
        self.activity_dropout = parameters.activity_dropout
        self.embedding = nn.Embedding(activities + 1, parameters.embedding_size)
        options: dict[str, Any] = {"context": parameters.context} if parameters.cell == TRANSFORMER else {}
        self.stack: Any = stack_of(
            parameters.cell, parameters.embedding_size + FEATURES, size, parameters.num_layers,
            dropout=parameters.dropout, **options,
        )  # fmt: skip
        self.dropout = nn.Dropout(parameters.dropout)
        self.activity = nn.Linear(size, activities + 1)
        self.times = nn.Linear(size, TIMES * 2)
        # a sharp guess at a time before anything is learned costs more than a broad one
        nn.init.zeros_(self.times.bias)

    def forward(self, kinds: Tensor, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read cases.

        Args:
            kinds: `(time, batch)`, activities from 1, 0 for an unknown one.
            features: `(time, batch, FEATURES)`.
            lengths: `(batch,)`.

        Returns:
            Scores `(time, batch, activities + 1)`, the end of the case last, and times `(time, batch, TIMES, 2)`.
        """
        if self.training and self.activity_dropout:
            missing = torch.rand(kinds.shape, device=kinds.device) < self.activity_dropout
            kinds = kinds.masked_fill(missing, 0)
        ys, _ = self.stack(self.read(kinds, features), lengths=lengths)
        return self.predicted(self.dropout(ys))

    def read(self, kinds: Tensor, features: Tensor) -> Tensor:
        """Return what the stack reads, `(..., features)`."""
        return torch.cat([self.embedding(kinds), features], -1)

    def predicted(self, ys: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and times from what the stack gives."""
        return self.activity(ys), self.times(ys).unflatten(-1, (TIMES, 2))


class EventObjective:
    """Cross-entropy of the next activity, and the losses of the times.

    Args:
        scales: of the times.
        weight: how much the times count.
    """

    def __init__(self, scales: Sequence[TimeScale], weight: float) -> None:
        self.scales, self.weight = scales, weight

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of cases."""
        own = EventBatch(*batch)
        scores, times = module(own.kinds, own.features, own.lengths)
        real = int((own.following != NOTHING).sum())
        loss = functional.cross_entropy(
            scores.flatten(0, 1), own.following.flatten(), ignore_index=NOTHING, reduction="sum"
        )
        loss = loss / max(real, 1)
        for place, scale in enumerate(self.scales):
            known = torch.isfinite(own.waits[..., place])
            if self.weight and bool(known.any()):
                raw, wanted = times[..., place, :][known], own.waits[..., place][known]
                loss = loss + self.weight * scale.losses(raw, wanted).mean()
        return Step(loss, real)
