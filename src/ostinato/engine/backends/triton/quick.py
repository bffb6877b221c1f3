"""Calls of one shape with little around them: what is saved lies in one piece, gradients are ready for autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ostinato.engine.backends.sums import each_on_its_own
from ostinato.engine.backends.triton.loop import Given, spread
from ostinato.engine.plan.views import contiguous

if TYPE_CHECKING:
    from ostinato.engine.backends.triton.executable import TritonExecutable

_ALIGNED = 64
"""Numbers: where streams begin in what is kept, so that kernels find aligned addresses."""


class Kept:
    """Where the streams lie in what is kept for the backward pass.

    Args:
        executable: the plan.
        steps: of the sequences.
        batch: rows.
    """

    between: tuple[int, ...] = ()
    """Outputs of layers that others follow, of which there are none."""

    def __init__(self, executable: TritonExecutable, steps: int, batch: int) -> None:
        self.size = 0
        starts = []
        self._views = []
        for node in executable.plan.saved:
            shape = (steps, batch, *node.shape)
            starts.append(self.size)
            self._views.append((shape, contiguous(shape), self.size))
            self.size += -(-math.prod(shape) // _ALIGNED) * _ALIGNED
        self.streams = [starts]
        """Of each walk, of which there is one."""

    def of(self, chunk: Tensor) -> list[Tensor]:
        """Return what is kept, `(time, batch, ...)` each."""
        return [chunk.as_strided(*view) for view in self._views]


class _Pass:
    """One direction."""

    def __init__(self, executable: TritonExecutable, steps: int, batch: int, reverse: bool) -> None:
        self.executable, self.steps, self.batch, self.reverse = executable, steps, batch, reverse
        self.kept = Kept(executable, steps, batch)
        signature = executable.plan.signature
        self._rows = [signature.parameters.index(name) for name in signature.rows]

    def _sequences(self, parameters: Sequence[Tensor], x: Tensor) -> list[Tensor]:
        if not self._rows:
            return [x]
        return [x, *spread([parameters[place] for place in self._rows], x)]


class Forward(_Pass):
    """Calls forward of one shape: outputs, last states and, if they are to be kept, what the backward pass reads."""

    def __init__(
        self, executable: TritonExecutable, steps: int, batch: int, reverse: bool, save: bool, ragged: bool,
        resets: bool,
    ) -> None:  # fmt: skip
        super().__init__(executable, steps, batch, reverse)
        self.save, self.ragged, self.resets = save, ragged, resets
        self.calls: Any = None
        """For whoever calls: what it has looked up for this shape."""

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor, starts: Sequence[Tensor], seed: int,
        rows: Tensor | None = None, resets: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:  # fmt: skip
        """Run: outputs `(time, batch, ...)`, last states, and what is kept in one piece.

        Args:
            parameters: all tensors of the cell.
            x: `(time, batch, ...)`, features dense.
            starts: dense states; none for zeros.
            seed: of random numbers.
            rows: the lengths, if rows have any.
            resets: bytes `(time, batch)`, dense; not zero before which steps a row returns to its start.
        """
        executable = self.executable
        loop = executable.loop("forward" if self.save else "infer", x, self.ragged, self.resets, self.reverse)
        inputs = {("x", index): part for index, part in enumerate(self._sequences(parameters, x))}
        chunk, into = None, {}
        if self.save:
            make = torch.zeros if self.ragged else torch.empty
            chunk = make(self.kept.size, dtype=executable.dtype, device=x.device)
            into = {index + 1: stream for index, stream in enumerate(self.kept.of(chunk))}
        start = starts or (None,) * len(loop.core.carries)
        found = loop.run(Given(parameters, inputs, self.steps, start, rows, resets, seed), into)
        return found.streams[0], found.last, chunk


class Backward(_Pass):
    """Calls backward of one shape."""

    def __init__(
        self, executable: TritonExecutable, steps: int, batch: int, reverse: bool, ragged: bool, resets: bool
    ) -> None:
        super().__init__(executable, steps, batch, reverse)
        self.ragged, self.resets = ragged, resets
        plan = executable.plan
        wanted = plan.signature.gradients[: len(plan.signature.parameters)]
        self.gradients = [number for number, flag in enumerate(wanted) if flag]
        """Numbers of the parameters whose gradients are wanted."""
        self.dx = (steps, batch, *plan.signature.features) if plan.has_dx else None
        self.states = [(batch, *shape) for shape in plan.outputs[1:]]

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor, chunk: Tensor, dy: Tensor | None,
        dlast: Sequence[Tensor | None], seed: int, *, states: bool, rows: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor | None, list[Tensor]]:  # fmt: skip
        """Run: gradients of the parameters that have one (see `gradients`), of x, and of the first states if asked for.

        Args:
            parameters: all tensors of the cell.
            x: features dense, or of any layout where it is not read.
            chunk: what the forward call has kept.
            dy: the gradient of the outputs, features dense.
            dlast: those of the last states, dense.
            seed: as in the forward call.
            states: whether gradients of the first states are wanted.
            rows: as in the forward call.
            resets: as in the forward call.
        """
        executable = self.executable
        loop = executable.loop("backward", x, self.ragged, self.resets, not self.reverse)
        xs, saved = self._sequences(parameters, x), self.kept.of(chunk)
        inputs = {("x", index): part for index, part in enumerate(xs)}
        inputs |= {("saved", index): part for index, part in enumerate(saved)}
        inputs["dy", 0] = executable.cotangent(dy, x)
        start = dlast or (None,) * len(loop.core.carries)
        found = loop.run(Given(parameters, inputs, self.steps, start, rows, resets, seed), {})
        made = executable.weights(x.device).of(parameters, xs, saved, found.streams, rows)
        weights = each_on_its_own([_gradient(made[number], parameters[number]) for number in self.gradients])
        return weights, found.streams[0] if self.dx is not None else None, found.last if states else []


def _gradient(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient.to(parameter.dtype).contiguous()
