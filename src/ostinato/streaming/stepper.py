"""A recurrent layer one step at a time, with constant memory, on NumPy arrays."""

from __future__ import annotations

import math
import operator
import os
import threading
import weakref
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.engine import State, call_cell, initial_state, leaves, map_state
from ostinato.engine.run.arrays import (
    ArrayState,
    check_caches,
    check_finite,
    check_state,
    describe,
    read_step,
    to_arrays,
    to_tensors,
)
from ostinato.engine.run.snapshot import snapshot
from ostinato.engine.run.stepping import StepKernel, step_kernel
from ostinato.errors import OstinatoError, ShapeError, UsageError
from ostinato.streaming.cells import cell_of, check_module, grows, inner, is_layer, width_of

Weights = Literal["float32", "int8"]
_OF_CELLS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)
"""What a cell raises where sizes do not fit."""


class Stepper:
    """A copy of a cell or a stack of layers that advances one step a call; see `stepper`."""

    def __init__(self, module: nn.Module, batch_size: int, weights: Weights = "float32") -> None:
        self.module = module
        """The one that was copied, and that `refresh` copies again."""
        self.batch_size = _checked_batch(batch_size)
        if weights not in get_args(Weights):
            raise UsageError(f"weights is {weights!r}; expected one of {', '.join(map(repr, get_args(Weights)))}")
        self.weights = weights
        """What products take the weights as."""
        check_module(module)
        self._start(snapshot(module), None)

    def _start(self, copied: nn.Module, state: State | None) -> None:
        """Run on a copy from here on, from a state."""
        if self.weights == "int8":
            _check_weights(copied)
        self._copy = copied
        self._runner = cell_of(copied)
        self._reference = next(
            (parameter for parameter in copied.parameters() if parameter.is_floating_point()), torch.zeros(())
        )
        # where the state is: in the compiled kernel's memory while `_running`, else here
        self._state = state
        self._running = False
        self._kernel: StepKernel | None = None
        # a Transformer's state grows from step to step: no compiled step has its shape
        self._grows = grows(copied)
        self._compiling = not self._grows
        self._like: State | None = None
        """A state that is known to fit, once there is one."""
        self._width: int | None = None
        """Features of a step, once one was taken."""
        self._lock = threading.Lock()
        _alive.add(self)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Advance one step.

        Args:
            x: `(batch, features)`, or `(features,)` when the batch size is one; the output has as many dimensions.

        Returns:
            The layer's output, `(batch, output features)`.

        Raises:
            ShapeError: `x` has another shape; the state is as it was.
            UsageError: `x` holds no numbers, or infinite ones, or NaN that the cell does not take for missing, so that
                the state would become NaN; the state is as it was.
        """
        with self._lock:
            if self._running and type(x) is np.ndarray:
                kernel = self._kernel
                assert kernel is not None
                if x.shape == kernel.x.shape and x.dtype.kind == "f":
                    kernel.x[...] = x
                    return self._run(kernel)
            return self._general(x)

    def _run(self, kernel: StepKernel) -> NDArray[Any]:
        """Advance from what is in the kernel's memory."""
        kernel.advance()
        # one number tells that all are finite, in a tenth of the time that asking each takes; it may itself overflow
        if not kernel.numbers.dot(kernel.numbers) < math.inf:
            try:
                check_finite(kernel.x, [kernel.y, *(leaf.numpy() for leaf in kernel.state())])
            except UsageError:
                kernel.go_back()
                raise
        return kernel.y.copy()

    def _general(self, x: Any) -> NDArray[Any]:
        """Check what comes, begin or continue from a state, and advance by whichever way there is."""
        rows = read_step(x, self.batch_size, self._width)
        like = self._reference
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            numbers = np.array(rows, np.float64 if like.dtype is torch.float64 else np.float32, order="C")
        step = torch.from_numpy(numbers).to(like.device, like.dtype)
        with torch.inference_mode():
            output = self._advance(step)
        self._width = rows.shape[1]
        return output[0] if np.ndim(x) == 1 else output

    def state(self) -> ArrayState | None:
        """Return a copy of the state as NumPy arrays, `(batch, ...)` each; `None` before the first step."""
        with self._lock:
            state = self._current()
            return None if state is None else to_arrays(state)

    def restore(self, state: ArrayState | None) -> None:
        """Resume from a state that `state()` gave, on this machine or another; `None` is the beginning.

        Raises:
            ShapeError: it is the state of another cell, or of another number of rows; its state stays as it was.
            UsageError: it holds no numbers, numbers of another type, or some that are not finite; likewise.
        """
        with self._lock:
            tensors = None if state is None else to_tensors(state, self._reference.device)
            if tensors is not None:
                tensors = self._fitting(tensors, self._copy, self._width)
            self._running, self._state = False, tensors

    def reset(self) -> None:
        """Start again from the initial state."""
        with self._lock:
            self._running, self._state = False, None

    def refresh(self) -> None:
        """Copy the module again, as it is now, and continue from the same state.

        Raises:
            UsageError: the state does not fit the module any more; `reset()` first. All is as it was.
        """
        with self._lock:
            copied = snapshot(self.module)
            state = self._current()
            if state is not None:
                state = map_state(lambda leaf: leaf.detach().clone(), state)
                try:
                    state = self._fitting(state, copied, self._width)
                except UsageError as error:
                    raise UsageError(f"the module has changed ({error}); call reset() before refresh()") from error
            self._start(copied, state)

    def _current(self) -> State | None:
        if not self._running or self._kernel is None or self._state is None:
            return self._state
        rest = iter(self._kernel.state())
        return map_state(lambda _: next(rest), self._state)

    def _fitting(self, state: State, module: nn.Module, width: int | None) -> State:
        """Return a state from outside, checked as far as it can be without knowing how wide a step is.

        Raises:
            ShapeError: it does not fit.
            UsageError: its numbers are of another type, or not finite.
        """
        like = self._like if module is self._copy else None
        if like is None:
            like = _first_state(module, self._zeros(module, width))
        strict = is_layer(module) or callable(getattr(module, "initial_state", None))
        try:
            check_state(state, like, self.batch_size, self._reference.dtype, grows=self._grows)
        except ShapeError:
            # of a cell without a word on its state only one that it takes is known; whether it takes this too is tried
            if strict or like is self._like or not self._takes(module, state, width):
                raise
            check_state(state, None, self.batch_size, self._reference.dtype)
        if self._grows:
            check_caches(state, getattr(inner(module).layers[0].attention, "context", None))  # type: ignore[index, union-attr]
        # halves come as float32, of which NumPy has a type
        half = self._reference.dtype is torch.bfloat16
        return map_state(lambda leaf: leaf.to(torch.bfloat16) if half and leaf.is_floating_point() else leaf, state)

    def _takes(self, module: nn.Module, state: State, width: int | None) -> bool:
        zeros = self._zeros(module, width)
        if zeros is None or any(leaf.dim() != 2 for leaf in leaves(state)):
            return False
        try:
            with torch.inference_mode():
                _, new = call_cell(cell_of(module), zeros, state)
        except _OF_CELLS:
            return False
        return [leaf.shape for leaf in leaves(new)] == [leaf.shape for leaf in leaves(state)]

    def _zeros(self, module: nn.Module, width: int | None) -> Tensor | None:
        """Return a step of zeros, if it can be told how wide one is."""
        size = width_of(module) if width is None else width
        return None if size is None else self._reference.new_zeros((self.batch_size, size))

    def _advance(self, x: Tensor) -> NDArray[Any]:
        """Advance one step from a step of the right number of rows, or raise what is wrong and leave all as it was."""
        if self._width is not None:
            return self._advanced(x)
        if self._state is not None:
            restored, self._state = self._state, None  # restored before it could be told whether it fits
            self._state = self._fitting(restored, self._copy, x.shape[1])
        given, compiling, like = self._state, self._compiling, self._like
        try:
            return self._advanced(x)
        except (*_OF_CELLS, OstinatoError) as error:
            self._state, self._running, self._compiling, self._like = given, False, compiling, like
            if isinstance(error, OstinatoError):
                raise
            start = "" if given is None else f" with a state of {describe(given)}"
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ShapeError(
                f"{type(self._copy).__name__} takes no step of shape {tuple(x.shape)}{start} ({reason}); expected "
                "(batch, features) as it was made for"
            ) from error

    def _advanced(self, x: Tensor) -> NDArray[Any]:
        state = self._current()
        if state is None:
            state = self._initial(x)
        if self._kernel is not None and [leaf.shape for leaf in leaves(state)] != self._kernel.shapes:
            self._kernel, self._compiling = None, True
        if self._compiling:
            self._kernel = step_kernel(self._runner, x, state, weights=self.weights)
            self._compiling = False
        if self._kernel is None and self.weights != "float32":
            raise UsageError(
                f'weights is "{self.weights}", which needs a compiled step, and the engine has none for '
                f"{type(self._copy).__name__} here; leave it out"
            )
        if self._kernel is None:
            return self._stepped_eagerly(x, state)
        if not self._running:
            self._kernel.set_state(leaves(state))
            # from here on only its structure is used
            self._like = self._state = state
            self._running = True
        self._kernel.x[...] = x.numpy()
        return self._run(self._kernel)

    def _initial(self, x: Tensor) -> State:
        try:
            return initial_state(self._runner, x)
        except UsageError as error:  # found by trying steps such as this one, which may be at fault
            zeros = self._zeros(self._copy, None)
            known = "(batch, features) as it was made for" if zeros is None else str(tuple(zeros.shape))
            raise ShapeError(
                f"{type(self._copy).__name__} takes no step of shape {tuple(x.shape)}; expected {known} ({error})"
            ) from error

    def _stepped_eagerly(self, x: Tensor, state: State) -> NDArray[Any]:
        output, new = call_cell(self._runner, x, state)
        if not x.isfinite().all():
            check_finite(x.float().cpu().numpy(), [each.float().cpu().numpy() for each in (output, *leaves(new))])
        self._like = self._state = new
        array = to_arrays(output)
        assert isinstance(array, np.ndarray)
        return array

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled: not the compiled step, which the copy makes for itself."""
        with self._lock:
            state = self._current()
            kept = None if state is None else map_state(lambda leaf: leaf.detach().clone(), state)
            return {
                "module": self.module, "batch_size": self.batch_size, "weights": self.weights, "copy": self._copy,
                "state": kept,
            }  # fmt: skip

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Go on where the other was."""
        self.module, self.batch_size = kept["module"], kept["batch_size"]
        self.weights = kept.get("weights", "float32")
        self._start(kept["copy"], kept["state"])


_alive: weakref.WeakSet[Stepper] = weakref.WeakSet()


def _after_fork() -> None:
    # another thread may have been in a step: its lock would stay held for ever, and its state is that before the step
    for each in _alive:
        each._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _checked_batch(batch_size: Any) -> int:
    try:
        count = operator.index(batch_size)
    except TypeError as error:
        raise UsageError(f"batch_size is {batch_size!r}; expected a whole number, one or more") from error
    if count < 1:
        raise UsageError(f"batch_size is {count}; expected one or more")
    return count


def _check_weights(module: nn.Module) -> None:
    """Refuse weights that have no scale of 8 bits."""
    for name, parameter in module.named_parameters():
        if parameter.dtype is not torch.float32 or parameter.device.type != "cpu":
            raise UsageError(
                f'weights is "int8", and {name} is {parameter.dtype} on {parameter.device}; expected float32 on the CPU'
            )
        if not parameter.isfinite().all():
            raise UsageError(f'weights is "int8", and {name} holds NaN or an infinite number; expected finite ones')


def _first_state(module: nn.Module, x: Tensor | None) -> State | None:
    """Return the state that a module starts from, or none where that cannot be told yet."""
    if x is None:
        return None
    try:
        with torch.inference_mode():
            return initial_state(cell_of(module), x)
    except (*_OF_CELLS, OstinatoError):
        return None


def stepper(layer_or_cell: nn.Module, batch_size: int = 1, *, weights: Weights = "float32") -> Stepper:
    """Return a function of NumPy arrays that advances a recurrent layer or cell one step a call.

    It gives the numbers that the layer gives on the whole sequence, in evaluation mode, and keeps only the state. It
    runs on a copy, made here: what is done to the layer afterwards (training, other weights, another mode) it does not
    see until `refresh()` is called, and the layer itself is never touched. It can be copied and pickled, and works in
    a forked process as if alone. Threads that share one take turns, each call a step; for streams of their own they
    need steppers of their own.

    Args:
        layer_or_cell: an `ostinato.nn.Recurrent`, `LSTM`, `GRU` or `RNN`, or one of `torch.nn` (not bidirectional), a
            causal `ostinato.nn.TransformerStack`, or any cell that `ostinato.scan` takes.
        batch_size: how many independent streams advance together.
        weights: `"int8"` for weights of products as whole numbers of 8 bits, each output with its own scale, its
            largest weight over 127: a quarter of the memory, which is what a step of one row of many units waits for.
            Sums, state and all else stay in float32; outputs of an LSTM differ by six thousandths of their norm.

    Raises:
        UsageError: the layer is bidirectional, the batch size is not positive, or there are no such weights; with 8
            bits also, at the first step, the engine does not take the layer.

    >>> import numpy as np, ostinato
    >>> step = stepper(ostinato.cells.GRUCell(3, 5))
    >>> y = step(np.zeros((1, 3)))
    >>> saved = step.state()
    >>> y.shape
    (1, 5)
    """
    return Stepper(layer_or_cell, batch_size, weights)


__all__ = ["ArrayState", "Stepper", "stepper"]
