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
    loss: float = 0.0  # sums since the last row
    weight: float = 0.0
    norm: float = 0.0
    steps: int = 0  # since the last row
    seconds: float = 0.0
    setup: float = 0.0  # of them, until the first steps had compiled
    validation: float = 0.0  # that the last validation took
    progress: float = 0.0  # through the budget, as far as it ever was
    timed_steps: int = 0  # and how long they took
    timed_seconds: float = 0.0
    every: int | None = None  # steps from one validation within an epoch to the next, once decided; 0: none
    best_loss: float = math.inf
    best_epoch: float = 0  # counted from 1, with its share where it was validated within
    best_row: int = 0  # of the rows below, counted from 1
    start: float | None = None  # the loss of the untrained model
    rows: list[EpochRow] = field(default_factory=list)
