"""What all tasks share: parameters written once, hold-out, fitting, judging beside baselines, saving, streams, panels.

A task is a dataclass of parameters, a `Task` that declares what is its own, and an `Estimator` of both; see
`docs/guide/16-a-new-task.md`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.options import Cell, check, data, model, option, training
    from ostinato.tasks.base.about import About, Extra, Parameters, Tables, TimedTables
    from ostinato.tasks.base.batches import RowBatches
    from ostinato.tasks.base.estimator import Estimator
    from ostinato.tasks.base.holding_out import Held, cut
    from ostinato.tasks.base.judging import Scores
    from ostinato.tasks.base.registry import load, register
    from ostinato.tasks.base.task import Baseline, Model, Task
    from ostinato.tasks.base.units import Units
    from ostinato.training.config import TrainingOptions

# a task's parameters are read by the command line, which loads no PyTorch for it
_HOMES = {
    "ostinato.options": ("Cell", "check", "data", "model", "option", "training"),
    "ostinato.tasks.base.about": ("About", "Extra", "Parameters", "Tables", "TimedTables"),
    "ostinato.tasks.base.batches": ("RowBatches",),
    "ostinato.tasks.base.estimator": ("Estimator",),
    "ostinato.tasks.base.holding_out": ("Held", "cut"),
    "ostinato.tasks.base.judging": ("Scores",),
    "ostinato.tasks.base.registry": ("load", "register"),
    "ostinato.tasks.base.task": ("Baseline", "Model", "Task"),
    "ostinato.tasks.base.units": ("Units",),
    "ostinato.training.config": ("TrainingOptions",),
}

__all__ = [
    "About",
    "Baseline",
    "Cell",
    "Estimator",
    "Extra",
    "Held",
    "Model",
    "Parameters",
    "RowBatches",
    "Scores",
    "Tables",
    "Task",
    "TimedTables",
    "TrainingOptions",
    "Units",
    "check",
    "cut",
    "data",
    "load",
    "model",
    "option",
    "register",
    "training",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'ostinato.tasks.base' has no attribute '{name}'")
