"""Music: the next notes of pieces, and new pieces."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.music.composition import Composition
    from ostinato.tasks.music.estimator import Composer

_HOMES = {"Composer": "estimator", "Composition": "composition"}

__all__ = ["Composer", "Composition"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.music.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.music' has no attribute '{name}'")
