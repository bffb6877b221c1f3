"""Hyper-parameters found by trials, on Optuna (the extra `tune`)."""

from ostinato.studies.tuning.result import Search, Trial
from ostinato.studies.tuning.space import Choice, Range
from ostinato.studies.tuning.tuning import tune

__all__ = ["Choice", "Range", "Search", "Trial", "tune"]
