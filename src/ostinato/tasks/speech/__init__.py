"""Speech to text: a recurrent acoustic model with CTC or a transducer, whole recordings or live."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.speech.estimator import Transcriber
    from ostinato.tasks.speech.heard import Heard
    from ostinato.tasks.speech.stream import SpeechStream

_HOMES = {"Heard": "heard", "SpeechStream": "stream", "Transcriber": "estimator"}

__all__ = ["Heard", "SpeechStream", "Transcriber"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.speech.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.speech' has no attribute '{name}'")
