"""What a step takes and gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """What a captured step takes and gives; the placeholders of its graph stand in this order."""

    parameters: tuple[str, ...]
    """All tensors of the cell, by name."""
    rows: tuple[str, ...]
    """Those of them that have one row for each sequence of the batch, such as a dropout mask that lasts."""
    states: int
    gradients: tuple[bool, ...]
    """For each of parameters, x, states: whether a gradient is wanted."""
    outputs: tuple[tuple[int, ...], ...]
    """Feature shapes of the output and the new states."""
    backward: bool
    features: tuple[int, ...]
    """Of x."""
    sizes: tuple[tuple[int, ...], ...]
    """Of the parameters; of `rows`, without the batch."""
    types: tuple[str, ...]
    """Of the parameters as they are computed with: `float32` for halves."""
