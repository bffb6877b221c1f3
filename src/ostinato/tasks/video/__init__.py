"""Which action a clip shows: from pixels or from landmarks of bodies, whole clips or live."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.video.estimator import VideoClassifier
    from ostinato.tasks.video.stream import VideoStream

_HOMES = {"VideoClassifier": "estimator", "VideoStream": "stream"}

__all__ = ["VideoClassifier", "VideoStream"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.video.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.video' has no attribute '{name}'")
