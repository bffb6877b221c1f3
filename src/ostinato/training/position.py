"""Where a run stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ostinato.training.history import EpochRow


@dataclass
class Position:
    """Where a run stands; all of it goes into a checkpoint."""

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0  # sums over the epoch so far
    weight: float = 0.0
    norm: float = 0.0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = 0
    start: float | None = None  # the loss of the untrained model
    rows: list[EpochRow] = field(default_factory=list)
