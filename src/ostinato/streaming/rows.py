"""Many streams of one layer: each is a row of one batch; rows join and leave, and any of them advance in one call.

The state of all rows lies in one memory. A call gathers those of its rows, runs the compiled step once, and puts them
back: the plan does not depend on how many there are, and a row has the same bits alone, among others, or after joining.
Where the engine does not take a layer, its rows are walked one after the other, to keep that true.
"""

from __future__ import annotations

import math
import operator
import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.engine import State, leaves, map_state
from ostinato.engine.run.arrays import ArrayState, check_finite, read_step, to_arrays, to_tensors
from ostinato.engine.run.stepping import StepKernel, step_kernel
from ostinato.errors import UsageError
from ostinato.streaming.stepper import Stepper

_FEWEST = 8
"""Rows that there is memory for from the beginning."""


class RowStepper:
    """A copy of a layer, stack or cell of which any rows advance together; see `row_stepper`."""

    def __init__(self, module: nn.Module) -> None:
        self._one = Stepper(module, 1)
        self._lock = threading.RLock()
        self._free: list[int] = []
        self._count = 0
        self._known: set[int] = set()
        self._begun = np.zeros(0, bool)
        # of a layer that the engine takes: the states of all rows, and the step
        self._memory: list[Tensor] | None = None
        self._arrays: list[NDArray[Any]] = []  # the same memory: a row of it is copied in a tenth of a tensor's time
        self._start: State | None = None
        self._kernel: StepKernel | None = None
        # of any other
        self._states: dict[int, ArrayState | None] = {}
        self._compiled: bool | None = None
        _alive.add(self)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._known)

    def join(self, count: int = 1, states: Sequence[ArrayState | None] | None = None) -> list[int]:
        """Add rows, which begin at the initial state or continue from states; return their numbers, which stay theirs.

        Raises:
            ShapeError, UsageError: a state is not one that `state` gives; no row is added.
        """
        with self._lock:
            rows = [self._new() for _ in range(_checked_count(count if states is None else len(states)))]
            try:
                for row, state in zip(rows, states or (), strict=False):
                    self.restore(row, state)
            except BaseException:
                self.leave(rows)
                raise
            return rows

    def leave(self, rows: Iterable[int]) -> None:
        """Forget rows; their numbers are given again to others.

        Raises:
            UsageError: there is no such row; none is forgotten.
        """
        with self._lock:
            gone = self._checked(list(rows))
            for row in gone.tolist():
                self._known.remove(row)
                self._states.pop(row, None)
                self._free.append(row)

    def __call__(self, rows: Sequence[int], x: Any) -> NDArray[Any]:
        """Advance rows by a step each, in one call.

        Args:
            rows: their numbers, each once.
            x: `(rows, features)`.

        Returns:
            The layer's outputs, `(rows, output features)`.

        Raises:
            ShapeError: `x` has another shape; all rows are as they were.
            UsageError: there is no such row, or a step holds no finite numbers; likewise.
        """
        with self._lock:
            if self._compiled and len(rows) == 1 and type(x) is np.ndarray:
                kernel, row = self._kernel, rows[0]
                assert kernel is not None
                if (
                    type(row) is int
                    and row in self._known
                    and x.dtype == kernel.x.dtype
                    and x.shape == (1, kernel.x.shape[1])
                ):
                    return self._run_alone(row, kernel, x)
            places = self._checked(rows)
            values = read_step(x, len(places), self._one._width)
            if not len(places):
                return np.zeros((0, 0), np.float32)
            like = self._one._reference
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
                numbers = np.array(values, np.float64 if like.dtype is torch.float64 else np.float32, order="C")
            if self._compiled is None:
                self._open(numbers)
            if self._compiled:
                return self._run(places, numbers)
            return self._walk(places, numbers)

    def state(self, row: int) -> ArrayState | None:
        """Return a copy of the state of a row, as that of `stepper` for one row; `None` before its first step."""
        with self._lock:
            self._checked([row])
            if not self._begun[row]:
                return None
            if self._memory is None:
                return self._states[row]
            return to_arrays(self._built([each[row : row + 1] for each in self._memory]))

    def restore(self, row: int, state: ArrayState | None) -> None:
        """Let a row continue from a state; `None` is the beginning.

        Raises:
            ShapeError, UsageError: it is not one that `state`, or a `stepper`, gives; the row is as it was.
        """
        with self._lock:
            self._checked([row])
            if state is None:
                self._begin(row)
                return
            one = self._one
            tensors = one._fitting(to_tensors(state, one._reference.device), one._copy, one._width)
            self._begun[row] = True
            if self._memory is None:
                self._states[row] = to_arrays(tensors)
                return
            for value, leaf in zip(self._memory, leaves(tensors), strict=True):
                value[row] = leaf[0]

    def assign(self, row: int, other: int) -> None:
        """Let a row continue from where another one is; that one stays.

        Raises:
            UsageError: there is no such row.
        """
        with self._lock:
            if row not in self._known or other not in self._known:
                self._checked([row, other])
            self._begun[row] = self._begun[other]
            if self._memory is None:
                self._states[row] = self._states[other]
                return
            for array in self._arrays:
                array[row] = array[other]

    def reset(self, row: int) -> None:
        """Let a row begin again."""
        self.restore(row, None)

    @property
    def copy(self) -> nn.Module:
        """The copy of the module that runs, in evaluation mode; it must not be changed."""
        return self._one._copy

    def is_up_to_date(self) -> bool:
        """Tell whether the module has the weights that were copied."""
        mine, current = self._one._copy.state_dict(), self._one.module.state_dict()
        return mine.keys() == current.keys() and all(torch.equal(mine[name], current[name]) for name in mine)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _new(self) -> int:
        row = self._free.pop() if self._free else self._count
        self._count = max(self._count, row + 1)
        if self._count > len(self._begun):
            self._grow(max(_FEWEST, 2 * len(self._begun)))
        self._known.add(row)
        self._begin(row)
        return row

    def _grow(self, size: int) -> None:
        self._begun = np.concatenate([self._begun, np.zeros(size - len(self._begun), bool)])
        if self._memory is not None:
            old = self._memory
            self._hold(self._blank(size))
            for mine, value in zip(self._memory, old, strict=True):
                mine[: len(value)] = value

    def _hold(self, memory: list[Tensor]) -> None:
        self._memory, self._arrays = memory, [each.numpy() for each in memory]

    def _begin(self, row: int) -> None:
        self._begun[row] = False
        if self._memory is None:
            self._states[row] = None
            return
        assert self._start is not None
        for value, leaf in zip(self._memory, leaves(self._start), strict=True):
            value[row] = leaf[0]

    def _checked(self, rows: Sequence[int]) -> NDArray[np.int64]:
        try:
            found = [operator.index(row) for row in rows]
        except TypeError as error:
            raise UsageError("rows are numbers that join() gave; expected whole numbers") from error
        unknown = next((row for row in found if row not in self._known), None)
        if unknown is not None:
            raise UsageError(f"there is no row {unknown}; expected numbers that join() gave and that have not left")
        if len(set(found)) < len(found):
            raise UsageError("a row is given twice; a call advances each row by one step")
        return np.array(found, np.int64)

    # --- the compiled step -----------------------------------------------------------------------------------------

    def _open(self, numbers: NDArray[Any]) -> None:
        """Find out at the first step how wide it is, where rows start, and whether the engine takes the layer."""
        one = self._one
        with torch.inference_mode(False), torch.no_grad():  # what is made here is written to in either mode
            step = torch.from_numpy(numbers[:1]).to(one._reference.device, one._reference.dtype)
            one(numbers[:1])  # says in a sentence what does not fit
            one.reset()
            start = map_state(lambda leaf: leaf.detach().clone(), one._initial(step))
        kernel = None if one._grows or one._kernel is None else self._made(start, numbers.shape[1], _FEWEST)
        self._start, self._compiled, self._kernel = start, kernel is not None, kernel
        if kernel is None:
            return
        restored = {row: state for row, state in self._states.items() if state is not None and self._begun[row]}
        self._states = {}
        self._hold(self._blank(len(self._begun)))
        for row, state in restored.items():
            self.restore(row, state)

    def _made(self, start: State, width: int, rows: int) -> StepKernel | None:
        """Return a step with memory for so many rows; none of the layer's tensors may be one with a row for each."""
        one = self._one
        sizes = {buffer.shape[0] for buffer in one._runner.buffers() if buffer.dim()}
        while rows in sizes:
            rows += 1
        x = one._reference.new_zeros((rows, width))
        state = map_state(lambda leaf: leaf.expand(rows, *leaf.shape[1:]).contiguous(), start)
        with torch.inference_mode(False), torch.no_grad():
            return step_kernel(one._runner, x, state)

    def _blank(self, size: int) -> list[Tensor]:
        assert self._start is not None
        with torch.inference_mode(False):
            return [leaf.detach().repeat(size, *[1] * (leaf.dim() - 1)) for leaf in leaves(self._start)]

    def _run(self, places: NDArray[np.int64], numbers: NDArray[Any]) -> NDArray[Any]:
        """Gather, run, check, and put back."""
        count = len(places)
        kernel = self._kernel
        assert kernel is not None
        assert self._memory is not None
        assert self._start is not None
        if count > len(kernel.x):
            size = 1 << (count - 1).bit_length()
            kernel = self._kernel = self._made(self._start, numbers.shape[1], size)
            assert kernel is not None
        where = torch.from_numpy(places)
        kernel.set_count(count)
        for value, memory in zip(kernel.state(), self._memory, strict=True):
            torch.index_select(memory, 0, where, out=value[:count])
        kernel.x[:count] = numbers
        kernel.advance()
        after = [each[:count] for each in kernel.state()]
        y = kernel.y[:count].copy()
        flat = kernel.numbers[: count * numbers.shape[1]]
        if not flat.dot(flat) < math.inf:
            for row in range(count):  # one after the other: what one row holds is no matter of another
                check_finite(kernel.x[row : row + 1], [y[row], *(each[row].numpy() for each in after)])
        for memory, value in zip(self._memory, after, strict=True):
            memory[where] = value
        self._begun[places] = True
        return y

    def _run_alone(self, row: int, kernel: StepKernel, x: NDArray[Any]) -> NDArray[Any]:
        """Do the same for one row, as most streams ask for."""
        kernel.set_count(1)
        for value, memory in zip(kernel.state(), self._arrays, strict=True):
            value.numpy()[0] = memory[row]
        kernel.x[0] = x[0]
        kernel.advance()
        after = [value.numpy() for value in kernel.state()]
        y = kernel.y[:1].copy()
        flat = kernel.numbers[: x.shape[1]]
        if not flat.dot(flat) < math.inf:
            check_finite(kernel.x[:1], [y[0], *(each[0] for each in after)])
        for memory, array in zip(self._arrays, after, strict=True):
            memory[row] = array[0]
        self._begun[row] = True
        return y

    def _walk(self, places: NDArray[np.int64], numbers: NDArray[Any]) -> NDArray[Any]:
        """Advance row by row."""
        found: dict[int, ArrayState | None] = {}
        outputs = []
        for row, x in zip(places.tolist(), numbers, strict=True):
            self._one.restore(self._states[row])
            outputs.append(self._one(x[None]))
            found[row] = self._one.state()
        self._states |= found
        self._begun[places] = True
        return np.concatenate(outputs)

    def _built(self, parts: list[Tensor]) -> State:
        assert self._start is not None
        rest = iter(parts)
        return map_state(lambda _: next(rest), self._start)


_alive: weakref.WeakSet[RowStepper] = weakref.WeakSet()


def _after_fork() -> None:
    # another thread may have been in a step, whose lock would stay held for ever
    for each in _alive:
        each._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _checked_count(count: Any) -> int:
    try:
        number = operator.index(count)
    except TypeError as error:
        raise UsageError(f"count is {count!r}; expected how many rows join, a whole number") from error
    if number < 0:
        raise UsageError(f"count is {number}; expected how many rows join, none or more")
    return number


def row_stepper(layer_or_cell: nn.Module) -> RowStepper:
    """Return what advances any rows of a layer together, for streams that come and go.

    Args:
        layer_or_cell: as `ostinato.stepper` takes it; a copy is made, likewise.

    >>> import numpy as np, ostinato
    >>> step = ostinato.row_stepper(ostinato.nn.LSTM(3, 5, num_layers=2))
    >>> first, second = step.join(2)
    >>> step([first, second], np.zeros((2, 3))).shape
    (2, 5)
    >>> (third,) = step.join()
    >>> step([third, first], np.zeros((2, 3))).shape
    (2, 5)
    >>> step.leave([second])

    Raises:
        UsageError: the layer is bidirectional.
    """
    return RowStepper(layer_or_cell)


__all__ = ["RowStepper", "row_stepper"]
