"""Hyper-parameters found by trials, on Optuna (the extra `tune`)."""

from ostinato.tasks.tuning.result import Search, Trial
from ostinato.tasks.tuning.space import Choice, Range
from ostinato.tasks.tuning.tuning import tune

__all__ = ["Choice", "Range", "Search", "Trial", "tune"]
