"""Calls of a drop-in under autocast to bfloat16, as the engine takes them: float32 in, bfloat16 out."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ostinato.engine.run.compiled import mixed_now
from ostinato.nn.dropin.sequences import values_of

T = TypeVar("T")


def wanted(layer: nn.RNNBase, given: Any) -> bool:
    """Tell whether a call is one under autocast to bfloat16 that the engine can run by products of it."""
    if not torch.is_autocast_enabled("cpu"):
        return False
    xs, weight = values_of(given), layer._parameters.get("weight_hh_l0")
    return (
        xs is not None
        and isinstance(weight, Tensor)
        and mixed_now(weight)
        and xs.device.type == "cpu"
        and xs.dtype in (torch.bfloat16, torch.float32)
    )


def widened(value: T) -> T:
    """Return tensors in float32."""
    return _as(value, torch.float32)


def narrowed(value: T) -> T:
    """Return tensors in bfloat16."""
    return _as(value, torch.bfloat16)


def _as(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.to(dtype))
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return tuple(_as(part, dtype) for part in value) if type(value) in (tuple, list) else value
