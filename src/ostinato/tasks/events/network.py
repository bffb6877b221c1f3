"""The network of an event predictor: what was, read one way, and at each event what comes next, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.tasks.events.features import FEATURES

TIMES = 2
"""Times that are foretold: until the next event, and until the last one."""


@dataclass(frozen=True)
class NetworkSettings:
    """What the network is built from; see `EventPredictor`."""

    activities: int
    cell: str
    embedding_size: int
    hidden_size: int
    num_layers: int
    context: int
    dropout: float
    activity_dropout: float


class EventNetwork(nn.Module):
    """Scores for the activity after each event, and numbers that tell the times.

    Raises:
        UsageError: the settings do not go together.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = nn.Embedding(settings.activities + 1, settings.embedding_size)
        width = settings.embedding_size + FEATURES
        options: dict[str, Any] = {"context": settings.context} if settings.cell == TRANSFORMER else {}
        self.stack: Any = stack_of(
            settings.cell, width, settings.hidden_size, settings.num_layers, dropout=settings.dropout, **options
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.activity = nn.Linear(settings.hidden_size, settings.activities + 1)
        self.times = nn.Linear(settings.hidden_size, TIMES * 2)
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
        if self.training and self.settings.activity_dropout:
            missing = torch.rand(kinds.shape, device=kinds.device) < self.settings.activity_dropout
            kinds = kinds.masked_fill(missing, 0)
        ys, _ = self.stack(self.read(kinds, features), lengths=lengths)
        return self.said(self.dropout(ys))

    def read(self, kinds: Tensor, features: Tensor) -> Tensor:
        """Return what the stack reads, `(..., features)`."""
        return torch.cat([self.embedding(kinds), features], -1)

    def said(self, ys: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and times from what the stack gives."""
        return self.activity(ys), self.times(ys).unflatten(-1, (TIMES, 2))


def check_settings(settings: NetworkSettings) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a number is out of range.
    """
    for name in ("embedding_size", "hidden_size", "num_layers", "context"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected one or more")
    for name in ("dropout", "activity_dropout"):
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected a probability from 0 to 1, 1 excluded")
