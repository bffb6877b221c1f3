"""What is said of a training that failed."""

from __future__ import annotations

import math

from ostinato.errors import Diverged, NonFiniteLoss
from ostinato.training.config import TrainingConfig
from ostinato.training.position import Position
from ostinato.words import counted, number


def non_finite(what: str, value: float, at: Position, config: TrainingConfig, *, kept: bool) -> NonFiniteLoss:
    """Return the error of a loss or a gradient that is no number; `kept`: there are weights of an epoch before."""
    weights = f"the weights of epoch {at.best_epoch:g} are kept" if kept else "no weights were good yet"
    return NonFiniteLoss(
        f"the {what} became {value} in epoch {at.epoch + 1}, batch {at.batch + 1}; {weights}; {_advice(config)}"
    )


def diverged(at: Position, config: TrainingConfig) -> Diverged:
    """Return the error of a run that ended far above where it began."""
    start = math.nan if at.start is None else at.start
    return Diverged(
        f"training diverged: the best loss of {counted(len(at.rows), 'epochs')}, {number(at.best_loss)}, is far above "
        f"that of the untrained model, {number(start)}; no weights are kept; {_advice(config)}"
    )


def _advice(config: TrainingConfig) -> str:
    return (
        f"try a smaller learning_rate (now {config.learning_rate:g}), a smaller gradient_clip (now "
        f"{config.gradient_clip}), or look for outliers in the data"
    )
