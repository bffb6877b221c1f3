"""Captions: what a clip shows, in a sentence, by an encoder of frames, attention over time and a recurrent decoder."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.captions.estimator import Captioner
    from ostinato.tasks.captions.writing import Caption

_HOMES = {"Caption": "writing", "Captioner": "estimator"}

__all__ = ["Caption", "Captioner"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.captions.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.captions' has no attribute '{name}'")
