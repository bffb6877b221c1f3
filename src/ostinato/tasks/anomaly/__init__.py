"""Anomaly detection: what is strange in series and in sequences of events, with alarms at a stated rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.anomaly.estimator import AnomalyDetector

__all__ = ["AnomalyDetector"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ostinato.tasks.anomaly.estimator import AnomalyDetector

        return AnomalyDetector
    raise AttributeError(f"module 'ostinato.tasks.anomaly' has no attribute '{name}'")
