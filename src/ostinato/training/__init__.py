"""Training: the fit loop, truncated backpropagation through time, optimisers and schedules, checkpoints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.files import checkpoint_path
    from ostinato.training.budget import Expected
    from ostinato.training.checkpoint import remove_checkpoint
    from ostinato.training.config import AVERAGINGS, OPTIMIZERS, SCHEDULES, TrainingConfig, TrainingOptions
    from ostinato.training.endless import SeriesChunk, SeriesChunks, backpropagate
    from ostinato.training.history import EpochRow, History
    from ostinato.training.listeners import Listener, listening
    from ostinato.training.loop import train
    from ostinato.training.memory import enough_memory, is_memory_error
    from ostinato.training.objective import Batch, BatchSource, Objective, Step
    from ostinato.training.validating import mean_loss

# the settings are read by the command line, which loads no PyTorch before it trains
_HOMES = {
    "budget": ("Expected",),
    "checkpoint": ("checkpoint_path", "remove_checkpoint"),
    "config": ("AVERAGINGS", "OPTIMIZERS", "SCHEDULES", "TrainingConfig", "TrainingOptions"),
    "endless": ("SeriesChunk", "SeriesChunks", "backpropagate"),
    "history": ("EpochRow", "History"),
    "listeners": ("Listener", "listening"),
    "loop": ("train",),
    "memory": ("enough_memory", "is_memory_error"),
    "objective": ("Batch", "BatchSource", "Objective", "Step"),
    "validating": ("mean_loss",),
}

__all__ = [
    "AVERAGINGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Batch",
    "BatchSource",
    "EpochRow",
    "Expected",
    "History",
    "Listener",
    "Objective",
    "SeriesChunk",
    "SeriesChunks",
    "Step",
    "TrainingConfig",
    "TrainingOptions",
    "backpropagate",
    "checkpoint_path",
    "enough_memory",
    "is_memory_error",
    "listening",
    "mean_loss",
    "remove_checkpoint",
    "train",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"ostinato.training.{home}"), name)
    raise AttributeError(f"module 'ostinato.training' has no attribute '{name}'")
