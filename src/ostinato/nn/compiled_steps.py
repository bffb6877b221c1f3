"""A stack's compiled step for as long as one decoding lasts, with as many rows as there happen to be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.engine import leaves, map_state
from ostinato.engine.run.stepping import StepKernel, step_kernel
from ostinato.nn.recurrent import LayerStates, Recurrent


class StackStep(nn.Module):
    """A stack as one cell; kept with it, because the engine keeps its plans with each cell."""

    def __init__(self, stack: Recurrent) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, x: Tensor, state: LayerStates) -> tuple[Tensor, LayerStates]:
        """Advance every layer one step."""
        return self.stack.step(x, state)


class CompiledSteps:
    """Steps of a stack in evaluation mode, whose weights must not change as long as it is in use.

    Args:
        cell: the stack's.
    """

    def __init__(self, cell: StackStep) -> None:
        self._cell = cell
        self._kernel: StepKernel | None = None
        self._none_for: set[int] = set()

    def step(self, x: Tensor, state: LayerStates) -> tuple[Tensor, LayerStates]:
        """Advance one step, `x` being `(batch, features)`; eagerly where the engine does not take it."""
        count = x.shape[0]
        kernel = self._kernel
        if kernel is None or count > len(kernel.x):
            kernel = self._kernel = self._made(x, state)
        if kernel is None:
            return self._cell.stack.step(x, state)
        kernel.set_count(count)
        for mine, each in zip(kernel.state(), leaves(state), strict=True):
            mine[:count].copy_(each)
        kernel.x[:count] = x.numpy()
        kernel.advance()
        after = iter([each[:count].clone() for each in kernel.state()])
        new: LayerStates = map_state(lambda _: next(after), state)  # type: ignore[assignment]
        return torch.from_numpy(kernel.y[:count].copy()), new

    def _made(self, x: Tensor, state: LayerStates) -> StepKernel | None:
        if x.shape[0] in self._none_for or x.device.type != "cpu":
            return None
        with torch.inference_mode(False), torch.no_grad():  # what is made here is written to in either mode
            kernel = step_kernel(self._cell, torch.zeros(x.shape, dtype=x.dtype), state)
        if kernel is None:
            self._none_for.add(x.shape[0])
        return kernel
