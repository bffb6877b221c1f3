"""One step of a compiled cell on fixed memory: what streams are made of. A call copies x in and the output out.

The memory is for so many rows at most; any number of them up to that advance in a call, by the same code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine.backends.cpu.launch import (
    SHARE,
    Arguments,
    argument_block,
    rows_of,
    run_threads,
    threads_for,
)
from ostinato.engine.backends.cpu.layout import HEADER

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.executable import CpuExecutable

_TICKET, _BATCH, _STRIDE, _SHARES = (HEADER.index(name) for name in ("ticket", "batch", "stride", "threads"))


class StepKernel:
    """A cell in evaluation mode that advances its rows, or the first few of them, one step a call.

    The weights are laid out once: the cell must not be changed afterwards, so a copy that nobody else has is given.
    """

    def __init__(
        self, executable: CpuExecutable, parameters: Sequence[Tensor], x: Tensor, state: Sequence[Tensor]
    ) -> None:
        self._executable = executable
        self._kernel = self._executable.infer
        dtype = x.dtype
        self._x = torch.zeros((1, *x.shape), dtype=dtype)
        self._y = torch.zeros((1, x.shape[0], *self._executable.plan.outputs[0]), dtype=dtype)
        # two copies of the state: a step reads one and writes the other
        self._states = [[leaf.detach().clone().contiguous() for leaf in state] for _ in range(2)]
        self.shapes = [leaf.shape for leaf in state]
        self._now = 0
        self.count = x.shape[0]
        """How many rows a call advances: the first ones."""
        # a share of the rows goes through the step together; its scratch memory should stay in the cache
        self._share = -(-self.count // -(-self.count // SHARE))
        self._threads = 1
        self.x: NDArray[Any] = self._x[0].numpy()
        self.numbers: NDArray[Any] = self.x.reshape(-1)
        """The same memory, flat."""
        self.y: NDArray[Any] = self._y[0].numpy()
        self._lay_out(parameters)

    def _lay_out(self, parameters: Sequence[Tensor]) -> None:
        """Lay out weights and arguments; both argument blocks keep what they point to alive."""
        rows = rows_of(1, self._x.shape[1], None)
        constants = self._executable.constants(parameters, [self._kernel])
        self._blocks, self._alive = [], []
        for now in range(2):
            carries = [(a, b, None) for a, b in zip(self._states[now], self._states[1 - now], strict=True)]
            views = {("x", 0): self._x, ("out", 0): self._y}
            for index, row in enumerate(self._executable.rows(parameters)):
                views["x", 1 + index] = row.contiguous()[None]
            arguments = Arguments(views, {}, carries, {}, constants)
            block, alive = argument_block(self._kernel, arguments, rows, shares=-(-self.count // self._share))
            self._blocks.append(block)
            self._alive.append((arguments, alive))
        self._addresses = [ctypes.addressof(block) for block in self._blocks]
        self._run = self._kernel.run
        self._threads = min(threads_for(self._kernel, rows), -(-self.count // self._share))

    def set_count(self, count: int) -> None:
        """Advance the first `count` rows from now on, of as many as there is memory for."""
        if count == self.count:
            return
        self.count, shares = count, -(-count // self._share)
        for block in self._blocks:
            block[_BATCH] = block[_STRIDE] = count
            block[_SHARES] = shares
        self._threads = min(threads_for(self._kernel, rows_of(1, count, None)), shares)

    def advance(self) -> None:
        """Read `x`, go one step, write `y`."""
        now = self._now
        self._blocks[now][_TICKET] = 0
        if self._threads == 1:
            self._run(self._addresses[now])
        else:
            run_threads(self._kernel.address, self._run, self._blocks[now], self._threads)
        self._now = 1 - now

    def go_back(self) -> None:
        """Undo the last step: what it started from is still there."""
        self._now = 1 - self._now

    def state(self) -> list[Tensor]:
        """Return the tensors of the state as they are now; they change with the next steps."""
        return self._states[self._now]

    def set_state(self, values: Sequence[Tensor]) -> None:
        """Go on from another state, of the same shapes."""
        for mine, value in zip(self._states[self._now], values, strict=True):
            mine.copy_(value)
