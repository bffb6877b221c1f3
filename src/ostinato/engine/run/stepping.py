"""One compiled step of a cell, where the backend of its device has such: what streams are made of."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ostinato.engine.backends import executable_for
from ostinato.engine.backends.backend import StepKernel
from ostinato.engine.front.state import State, leaves
from ostinato.engine.front.watch import tensors_of
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.run.compiled import Ready, find, suits

__all__ = ["StepKernel", "step_kernel"]


def step_kernel(cell: nn.Module, x: Tensor, state: State, *, weights: str = "float32") -> StepKernel | None:
    """Return a compiled step of a cell, or none where the engine does not take it.

    Args:
        cell: in evaluation mode; it must not be changed as long as the kernel is in use.
        x: one step `(batch, features)`; only its shape and dtype matter.
        state: to begin with, `(batch, ...)` each.
        weights: those of products as they are, or `"int8"`: whole numbers of 8 bits with a scale for each output.
    """
    # steps go in and out as NumPy arrays, which lie on the CPU and have no bfloat16
    if x.device.type != "cpu" or x.dtype is torch.bfloat16 or not suits(x[None], state):
        return None
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        ready = find(cell, cell, x[None], state)
    if not isinstance(ready, Ready) or ready.executable.is_random:
        return None
    executable = ready.executable
    if weights == "int8":
        target = replace(executable.target, products="int8 weights")
        executable = executable_for(x.device, target)(executable.plan, executable.dtype)
    try:
        return executable.step([tensor.detach() for tensor in tensors_of(cell).values()], x, leaves(state))
    except Unsupported:
        return None
