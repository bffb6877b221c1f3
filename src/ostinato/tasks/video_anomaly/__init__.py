"""Anomalies in video: what is strange in a scene that a camera watches, frame by frame and patch by patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.video_anomaly.estimator import VideoAnomalyDetector

__all__ = ["VideoAnomalyDetector"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ostinato.tasks.video_anomaly.estimator import VideoAnomalyDetector

        return VideoAnomalyDetector
    raise AttributeError(f"module 'ostinato.tasks.video_anomaly' has no attribute '{name}'")
