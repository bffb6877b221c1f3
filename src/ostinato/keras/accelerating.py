"""What `ostinato.accelerate` does with the layers of a Keras model."""

from __future__ import annotations

from typing import Any

from torch import nn

from ostinato.keras import layers  # noqa: F401 - fills the table of what stands in for what
from ostinato.keras.naming import SWAPS, keras, layers_in, replaced
from ostinato.nn.dropin.accelerate import Left, Report, Swapped

_STACKS = (keras.layers.StackedRNNCells,)
_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.TimeDistributed)


def accelerate(model: nn.Module) -> Report:
    """Turn the recurrent layers of Keras inside a model into those of `ostinato.keras`, in place."""
    swapped: list[Swapped] = []
    left: list[Left] = []
    seen: set[int] = set()
    for layer in _layers_in(model):
        if id(layer) in seen or not isinstance(layer, (*_RECURRENT, *_STACKS)):
            continue
        seen.add(id(layer))
        name, kind, reason = str(getattr(layer, "path", None) or layer.name), type(layer).__name__, _reason(layer)
        if reason is not None:
            left.append(Left(name, kind, reason))
            continue
        layer.__class__ = SWAPS[type(layer)]
        if not isinstance(layer, _STACKS):
            swapped.append(Swapped(name, kind, ""))
    return Report(tuple(swapped), tuple(left))


def _layers_in(model: nn.Module) -> Any:
    for module in model.modules():
        yield from layers_in(module)


def _reason(layer: Any) -> str | None:
    """Return why a layer is left as it is, or `None` if it is not."""
    if type(layer) in SWAPS.values():
        return "already a drop-in"
    if type(layer) not in SWAPS:
        return "a class of its own, which may compute something else"
    return "what it computes has been replaced" if replaced(layer) else None
