"""Patients over visits: the risk of events by any time ahead, and what is measured next."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.progression.estimator import ProgressionModel

__all__ = ["ProgressionModel"]


def __getattr__(name: str) -> Any:
    if name == "ProgressionModel":  # the command line reads the parameters beside it, without PyTorch
        from ostinato.tasks.progression.estimator import ProgressionModel

        return ProgressionModel
    raise AttributeError(f"module 'ostinato.tasks.progression' has no attribute '{name}'")
