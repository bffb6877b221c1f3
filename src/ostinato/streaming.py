"""A recurrent layer one step at a time, with constant memory.

`stepper` is the small one, on NumPy arrays; streams of fitted models and servers are made of it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.engine import State, call_cell, initial_state, leaves, map_state
from ostinato.engine.stepping import StepKernel, step_kernel
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import Recurrent, TransformerStack

_STACKS = (Recurrent, TransformerStack)
ArrayState: TypeAlias = "NDArray[Any] | tuple[ArrayState, ...]"


class _StackStep(nn.Module):
    """A stack of layers as one cell, so that one compiled step runs all of it."""

    def __init__(self, stack: Recurrent | TransformerStack) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, tuple[State, ...]]:
        """Advance every layer one step."""
        return self.stack.step(x, state)


class Stepper:
    """A cell or a stack of layers that advances one step a call; see `stepper`."""

    def __init__(self, module: nn.Module, batch_size: int) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; expected one or more")
        if isinstance(module, _STACKS) and module.bidirectional:
            what = "bidirectional layer" if isinstance(module, Recurrent) else "Transformer that is not causal"
            raise UsageError(f"a {what} cannot run step by step: its outputs need the end of the sequence")
        self.module = module
        self.batch_size = batch_size
        self._reference = next(module.parameters(), torch.zeros(()))
        # where the state is: in the compiled kernel's memory while `_running`, else here
        self._state: State | None = None
        self._runner: nn.Module = _StackStep(module) if isinstance(module, _STACKS) else module
        self._kernel: StepKernel | None = None
        # a Transformer's state grows from step to step: no compiled step has its shape
        self._compiling = not isinstance(module, TransformerStack)
        self._running = False

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Advance one step.

        Args:
            x: `(batch, features)`, or `(features,)` when the batch size is one; the output has as many dimensions.

        Returns:
            The layer's output, `(batch, output features)`.

        Raises:
            ShapeError: `x` has another shape.
        """
        if self._running and type(x) is np.ndarray:
            kernel = self._kernel
            assert kernel is not None
            if x.shape == kernel.x.shape:
                kernel.x[...] = x
                kernel.advance()
                return kernel.y.copy()
        return self._general(np.asarray(x))

    def _general(self, array: NDArray[Any]) -> NDArray[Any]:
        """Check the shape, begin or go on from a state, and advance by whichever way there is."""
        rows = array[None] if array.ndim == 1 and self.batch_size == 1 else array
        if rows.ndim != 2 or rows.shape[0] != self.batch_size:
            raise ShapeError(f"x has shape {array.shape}; expected (batch, features) with a batch of {self.batch_size}")
        step = torch.as_tensor(rows, dtype=self._reference.dtype, device=self._reference.device)
        # the caller's training mode is left as it was: the same layer may be in training elsewhere
        training = self.module.training
        if training:
            self.module.eval()
        try:
            with torch.inference_mode():
                output = self._advance(step)
        finally:
            if training:
                self.module.train()
        return output[0] if array.ndim == 1 else output

    def state(self) -> ArrayState | None:
        """Return a copy of the state as NumPy arrays, `(batch, ...)` each; `None` before the first step."""
        state = self._current()
        return None if state is None else _to_arrays(state)

    def restore(self, state: ArrayState | None) -> None:
        """Go on from a state that `state()` gave, on this machine or another."""
        self._running = False
        self._state = None if state is None else self._to_tensors(state)

    def reset(self) -> None:
        """Start again from the initial state."""
        self._running, self._state = False, None

    def _current(self) -> State | None:
        if not self._running or self._kernel is None or self._state is None:
            return self._state
        rest = iter(self._kernel.state())
        return map_state(lambda _: next(rest), self._state)

    def _advance(self, x: Tensor) -> NDArray[Any]:
        state = self._current()
        if state is None:
            state = self.module.initial_state(x) if isinstance(self.module, _STACKS) else initial_state(self.module, x)
        if self._compiling:
            self._compiling = False
            self._kernel = step_kernel(self._runner, x, state)
        if self._kernel is None:
            output, self._state = call_cell(self._runner, x, state)
            array: NDArray[Any] = output.cpu().numpy()
            return array
        if not self._running:
            self._kernel.set_state(leaves(state))
            # from here on only its structure is used
            self._state, self._running = state, True
        self._kernel.x[...] = x.numpy()
        self._kernel.advance()
        return self._kernel.y.copy()

    def _to_tensors(self, state: ArrayState) -> State:
        if isinstance(state, (tuple, list)):
            return tuple(self._to_tensors(part) for part in state)
        array = np.array(state)
        if array.ndim == 0 or array.shape[0] != self.batch_size:
            raise ShapeError(
                f"an array of the state has shape {array.shape}; its first dimension must be {self.batch_size}"
            )
        return torch.as_tensor(array, device=self._reference.device)


def stepper(layer_or_cell: nn.Module, batch_size: int = 1) -> Stepper:
    """Return a function of NumPy arrays that advances a recurrent layer or cell one step a call.

    It gives the numbers that the layer gives on the whole sequence, in evaluation mode, and keeps only the state.

    Args:
        layer_or_cell: an `ostinato.nn.Recurrent` (not bidirectional), a causal `ostinato.nn.TransformerStack`, or any
            cell that `ostinato.scan` takes.
        batch_size: how many independent streams advance together.

    Raises:
        UsageError: the layer is bidirectional, or the batch size is not positive.

    >>> import numpy as np, ostinato
    >>> step = stepper(ostinato.cells.GRUCell(3, 5))
    >>> y = step(np.zeros((1, 3)))
    >>> saved = step.state()
    >>> y.shape
    (1, 5)
    """
    return Stepper(layer_or_cell, batch_size)


def _to_arrays(state: State) -> ArrayState:
    if isinstance(state, Tensor):
        array: NDArray[Any] = state.cpu().numpy().copy()
        return array
    return tuple(_to_arrays(part) for part in state)


__all__ = ["ArrayState", "Stepper", "stepper"]
