"""Patients: the risk of an outcome after every measurement and at every hour."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.monitor.estimator import PatientMonitor

__all__ = ["PatientMonitor"]


def __getattr__(name: str) -> Any:
    if name == "PatientMonitor":  # the command line reads the parameters beside it, without PyTorch
        from ostinato.tasks.monitor.estimator import PatientMonitor

        return PatientMonitor
    raise AttributeError(f"module 'ostinato.tasks.monitor' has no attribute '{name}'")
