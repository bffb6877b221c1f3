"""Calls of a drop-in under autocast to bfloat16, as the engine takes them: float32 in, the types of torch.nn out."""

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


def in_types_of_torch(results: Any, layer: nn.RNNBase, given: Any, hx: Any) -> Any:
    """Return outputs and states in the types that those of torch.nn have under autocast to bfloat16.

    Those of an RNN, and of an LSTM whose rows are equally long, which oneDNN runs, are bfloat16, and so are projected
    outputs. Others are made with the state, and so have its type, which is that of the sequences where none is given.
    """
    dtype = _type_made_with_state(layer, given, hx)
    if not layer.proj_size:
        return as_type(results, dtype)
    outputs, (h, c) = results
    return as_type(outputs, torch.bfloat16), (h.to(torch.bfloat16), c.to(dtype))


def _type_made_with_state(layer: nn.RNNBase, given: Any, hx: Any) -> torch.dtype:
    by_onednn = layer.mode == "LSTM" and not layer.proj_size and _is_level(given)
    if layer.mode.startswith("RNN") or (by_onednn and torch._C._get_mkldnn_enabled() and torch._C._has_mkldnn):
        return torch.bfloat16
    start = hx[0] if isinstance(hx, (tuple, list)) else hx
    found = start if isinstance(start, Tensor) else values_of(given)
    assert found is not None
    return found.dtype


def _is_level(given: Any) -> bool:
    """Tell whether all rows are equally long."""
    return isinstance(given, Tensor) or bool(given.batch_sizes[-1] == given.batch_sizes[0])


def widened(value: T) -> T:
    """Return tensors in float32."""
    found: T = as_type(value, torch.float32)
    return found


def as_type(value: Any, dtype: torch.dtype) -> Any:
    """Return tensors, packed sequences, or tuples of such in a type."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.to(dtype))
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return tuple(as_type(part, dtype) for part in value) if type(value) in (tuple, list) else value
