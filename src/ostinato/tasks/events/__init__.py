"""Event logs: what happens next in a case, and when."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.events.estimator import EventPredictor

__all__ = ["EventPredictor"]


def __getattr__(name: str) -> Any:
    if name == "EventPredictor":  # the command line reads the parameters beside it, without PyTorch
        from ostinato.tasks.events.estimator import EventPredictor

        return EventPredictor
    raise AttributeError(f"module 'ostinato.tasks.events' has no attribute '{name}'")
