"""Event logs: what happens next in a case, and when."""

from ostinato.tasks.events.estimator import EventPredictor

__all__ = ["EventPredictor"]
