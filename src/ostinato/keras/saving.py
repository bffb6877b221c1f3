"""`keras.saving`; what is read has our layers in it."""

from __future__ import annotations

from functools import wraps
from typing import Any

from ostinato.keras.models import load_model as load_model
from ostinato.keras.naming import keras, swap

__all__ = sorted(name for name in dir(keras.saving) if not name.startswith("_"))


@wraps(keras.saving.deserialize_keras_object)
def deserialize_keras_object(*args: Any, **kwargs: Any) -> Any:
    """Return the object that a configuration describes, with our layers in the place of Keras's."""
    return swap(keras.saving.deserialize_keras_object(*args, **kwargs))


def __getattr__(name: str) -> Any:
    return getattr(keras.saving, name)


def __dir__() -> list[str]:
    return __all__
