"""`keras.models`; what is read from a file or a description has our layers in it."""

from __future__ import annotations

from functools import wraps
from typing import Any

from ostinato.keras.naming import keras, swap


@wraps(keras.models.load_model)
def load_model(*args: Any, **kwargs: Any) -> Any:
    """Return the model in a file, whoever wrote it, with our layers in the place of Keras's."""
    return swap(keras.models.load_model(*args, **kwargs))


@wraps(keras.models.model_from_json)
def model_from_json(*args: Any, **kwargs: Any) -> Any:
    """Return the model that a JSON text describes, with our layers in the place of Keras's."""
    return swap(keras.models.model_from_json(*args, **kwargs))


@wraps(keras.models.clone_model)
def clone_model(*args: Any, **kwargs: Any) -> Any:
    """Return a copy of a model with weights of its own, with our layers in the place of Keras's."""
    return swap(keras.models.clone_model(*args, **kwargs))


__all__ = sorted(name for name in dir(keras.models) if not name.startswith("_"))


def __getattr__(name: str) -> Any:
    return getattr(keras.models, name)


def __dir__() -> list[str]:
    return __all__
