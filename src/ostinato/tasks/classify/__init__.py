"""Classification of whole sequences: texts, and numeric sequences of one or more channels."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.classify.estimators import SequenceClassifier, TextClassifier

__all__ = ["SequenceClassifier", "TextClassifier"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # the command line reads the parameters beside them, without PyTorch
        from ostinato.tasks.classify import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'ostinato.tasks.classify' has no attribute '{name}'")
