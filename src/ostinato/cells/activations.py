"""Activation functions by name, for the cells that let one be chosen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": torch.nn.Identity(),
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "softplus": torch.nn.functional.softplus,
    "sin": torch.sin,
}


def resolve_activation(name_or_function: str | Activation) -> Activation:
    """Return the function that a name stands for, or the function itself.

    Raises:
        ValueError: the name is not one of `ACTIVATIONS`.
    """
    if callable(name_or_function):
        return name_or_function
    if name_or_function not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f'"{name_or_function}" is not a known activation; choose one of {known}, or pass a function')
    return ACTIVATIONS[name_or_function]
