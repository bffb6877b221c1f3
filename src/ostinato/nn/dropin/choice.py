"""Whether a call is faster through the engine than through PyTorch: a count of what each has to do.

The engine lays the weights out once a call; PyTorch starts several operations a step, and oneDNN, which runs padded
LSTMs in float32 for it, sets itself up and lays the weights out at every call too. So what is left to PyTorch are a few
steps of few rows by large weights, which are laid out for nothing. The constants are microseconds on one thread of an
AVX-512 core, from `benchmarks/sizes.py`, with the engine said; what they decide is only who computes the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Costs:
    """What a call costs more, and a step less, through the engine than through PyTorch's loop over operations."""

    call: float
    call_weight: float
    """For each weight: it is copied into the order that the loop reads."""
    far_weight: float
    """The same where there are more of them than the second-level cache holds."""
    step: dict[str, float]
    step_weight: float
    """For each weight and step: products with few rows wait for memory."""
    sum_weight: float
    """For each weight and step but the first: PyTorch adds its gradient to that of the steps before."""
    step_multiply: float
    """For each weight, step and row."""


INFERENCE = Costs(
    0, 0.2e-3, 0.73e-3, {"LSTM": 32, "GRU": 32, "RNN_TANH": 16, "RNN_RELU": 16}, 130e-6, 0.0, 14e-6
)  # fmt: skip
TRAINING = Costs(
    0, 0.58e-3, 1e-3, {"LSTM": 150, "GRU": 150, "RNN_TANH": 55, "RNN_RELU": 55}, 350e-6, 0.37e-3, 17e-6
)  # fmt: skip
FAR = 500_000
"""Weights."""
PACKED = 15.0
"""Packed sequences are given a place for each row at each step first, and packed again."""


def pays(layer: nn.RNNBase, dtype: torch.dtype, steps: int, rows: float, ragged: bool) -> bool:
    """Tell whether the engine is expected to be faster for one layer.

    Args:
        layer: for its sizes.
        dtype: of the sequences.
        steps: of the longest sequence.
        rows: of the batch, on the average over steps.
        ragged: whether the sequences differ in length.
    """
    training = torch.is_grad_enabled()
    output = layer.proj_size or layer.hidden_size
    gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
    weights = gates * layer.hidden_size * (layer.input_size + output)
    if _onednn_runs(layer, dtype, ragged):
        return True
    costs = TRAINING if training else INFERENCE
    gain = steps * (costs.step[layer.mode] + weights * (costs.step_weight + rows * costs.step_multiply))
    gain += (steps - 1) * weights * costs.sum_weight
    packing = weights * (costs.call_weight if weights < FAR else costs.far_weight)
    return gain > costs.call + packing + (PACKED if ragged else 0)


def _onednn_runs(layer: nn.RNNBase, dtype: torch.dtype, ragged: bool) -> bool:
    if layer.mode != "LSTM" or layer.proj_size or ragged or dtype is not torch.float32:
        return False
    enabled: bool = torch._C._get_mkldnn_enabled()
    return enabled and bool(torch._C._has_mkldnn)
