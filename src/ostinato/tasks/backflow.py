"""How a gradient flows back through the steps of a stack: what vanishes and what explodes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine import leaves, map_state
from ostinato.nn import LayerStates, Recurrent


def watched_steps(
    stack: Recurrent, xs: Iterable[Tensor], state: LayerStates
) -> tuple[Tensor | None, LayerStates, list[list[Tensor]]]:
    """Run a stack step by step, watching the gradient by its top layer's state after each.

    Args:
        stack: its layers.
        xs: one step after the other, `(batch, features)` each.
        state: what to start from.

    Returns:
        The last output, or `None` where there was no step; the last state, and the tensors of the top layer's state
        after each step. What is computed from the first two and differentiated leaves its gradients in the third.
    """
    y: Tensor | None = None
    seen = []
    for x in xs:
        y, state = stack.step(x, state)
        # copies: within a step one part of the state may be made of another, and is not to be counted twice
        state = tuple(map_state(Tensor.clone, own) for own in state)
        seen.append(leaves(state[-1]))
        watch(seen[-1])
    return y, state, seen


def watch(parts: Iterable[Tensor]) -> None:
    """Have the gradient kept by every part that has one."""
    for leaf in parts:
        if leaf.requires_grad:  # not what a cell only keeps of its inputs (QRNN), nor an untrained reservoir
            leaf.retain_grad()


def gradient_norms(seen: Iterable[list[Tensor]]) -> NDArray[np.float64]:
    """Return the norm of the gradient by each step's parts together, the mean of the batch, in the order given."""
    return np.array([float(torch.cat([_gradient(leaf) for leaf in parts], 1).norm(dim=1).mean()) for parts in seen])


def _gradient(leaf: Tensor) -> Tensor:
    """Return the gradient of a part of the state, `(batch, numbers)`: a matrix memory is laid out flat."""
    return (torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).flatten(1)
