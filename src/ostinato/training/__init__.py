"""Training: the fit loop, truncated backpropagation through time, optimisers and schedules, checkpoints."""

from ostinato.training.checkpoint import checkpoint_path, remove_checkpoint
from ostinato.training.config import AVERAGINGS, OPTIMIZERS, SCHEDULES, TrainingConfig
from ostinato.training.history import EpochRow, History
from ostinato.training.listening import Listener, listening
from ostinato.training.loop import train
from ostinato.training.memory import enough_memory, is_memory_error
from ostinato.training.objective import Batch, BatchSource, Objective, Step
from ostinato.training.validating import mean_loss

__all__ = [
    "AVERAGINGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Batch",
    "BatchSource",
    "EpochRow",
    "History",
    "Listener",
    "Objective",
    "Step",
    "TrainingConfig",
    "checkpoint_path",
    "enough_memory",
    "is_memory_error",
    "listening",
    "mean_loss",
    "remove_checkpoint",
    "train",
]
