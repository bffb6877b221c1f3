"""Our layers beside Keras's: the names under which they are written, and how one is put in the place of the other.

In a file a layer of ours has the name of Keras's, so that plain Keras reads what we write. What is read, by whomever,
is Keras's class first: importing us changes nothing for those who use Keras beside us. `swap` then makes it ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ostinato.keras.selection import keras_on_torch

Kind = TypeVar("Kind", bound=type)
Result = TypeVar("Result")

keras = keras_on_torch()

SWAPS: dict[type, type] = {}
"""Classes of Keras's, each with ours that stands in for it."""


def stands_in_for(name: str) -> Callable[[Kind], Kind]:
    """Return a decorator for a layer of ours that stands in for the one of `keras.layers` with this name."""
    from keras.src import api_export

    def named(kind: Kind) -> Kind:
        api_export.REGISTERED_OBJS_TO_NAMES[kind] = f"keras.layers.{name}"
        SWAPS[getattr(keras.layers, name)] = kind
        return kind

    return named


def layers_in(value: Any) -> Iterator[Any]:
    """Yield the layers of Keras's in a value: a layer or a model with all inside it, or a list of such."""
    if isinstance(value, keras.layers.Layer):
        yield from value._flatten_layers()
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from layers_in(each)


def swap(value: Result) -> Result:
    """Put ours in the place of Keras's layers inside a value, in place; return the value.

    A layer changes its class and nothing else: weights, settings, names and everyone who holds it stay.
    """
    for layer in layers_in(value):
        if type(layer) in SWAPS and not replaced(layer):
            layer.__class__ = SWAPS[type(layer)]
    return value


def replaced(layer: Any) -> bool:
    """Tell whether somebody has put a function of their own in the place of what a layer computes."""
    return any(name in layer.__dict__ for name in ("call", "inner_loop", "forward", "__call__"))
