"""Sequence tagging: a tag for each token of a sentence."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.tag.estimator import SequenceTagger

__all__ = ["SequenceTagger"]


def __getattr__(name: str) -> Any:
    if name == "SequenceTagger":  # the command line reads the parameters beside it, without PyTorch
        from ostinato.tasks.tag.estimator import SequenceTagger

        return SequenceTagger
    raise AttributeError(f"module 'ostinato.tasks.tag' has no attribute '{name}'")
