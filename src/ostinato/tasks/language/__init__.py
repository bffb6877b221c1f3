"""Language modelling: the next character, word or subword of a text."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.language.adapting import DynamicEvaluation
    from ostinato.tasks.language.cache import NeuralCache
    from ostinato.tasks.language.estimator import LanguageModel

_HOMES = {"DynamicEvaluation": "adapting", "LanguageModel": "estimator", "NeuralCache": "cache"}

__all__ = ["DynamicEvaluation", "LanguageModel", "NeuralCache"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.language.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.language' has no attribute '{name}'")
