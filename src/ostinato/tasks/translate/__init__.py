"""Translation: from one sequence of text to another, by an encoder, attention and a decoder."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.base.searching.search import Search
    from ostinato.tasks.translate.estimator import Translator
    from ostinato.tasks.translate.translating import Translation

_HOMES = {
    "Search": "base.searching.search",
    "Translation": "translate.translating",
    "Translator": "translate.estimator",
}

__all__ = ["Search", "Translation", "Translator"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.translate' has no attribute '{name}'")
