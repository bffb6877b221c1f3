"""Calls of one shape with little around them: what is saved lies in one piece, gradients are ready for autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.sums import each_on_its_own
from ostinato.engine.backends.triton.loop import Given, spread
from ostinato.engine.plan.views import contiguous

if TYPE_CHECKING:
    from ostinato.engine.backends.triton.executable import TritonExecutable

_ALIGNED = 64
"""Numbers: where streams begin in what is kept, so that kernels find aligned addresses."""


class Shape(NamedTuple):
    """Of the calls that are run."""

    steps: int
    batch: int


class Lengths(NamedTuple):
    """Lengths of rows."""

    lengths: Tensor
    """A copy of what was given."""
    ends: Tensor
    """As kernels read them."""

    @staticmethod
    def of(lengths: Tensor, steps: int) -> Lengths | None:
        """Return lengths, or none if one is not between 0 and `steps`: the device is waited for to know."""
        if lengths.is_cuda and torch.cuda.is_current_stream_capturing():
            own = lengths.clamp(0, steps)  # a graph will have other numbers, at which nobody looks
            return Lengths(own, own.to(torch.int32))
        low, high = torch.stack(torch.aminmax(lengths)).tolist()
        return Lengths(lengths.clone(), lengths.to(torch.int32)) if low >= 0 and high <= steps else None


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
        self.executable, self.shape, self.reverse = executable, Shape(steps, batch), reverse
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
        rows: Lengths | None = None, resets: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:  # fmt: skip
        """Run: outputs `(time, batch, ...)`, last states, and what is kept in one piece.

        Args:
            parameters: all tensors of the cell.
            x: `(time, batch, ...)`, features dense; with more steps than are walked, outputs are zero there.
            starts: dense states; none for zeros.
            seed: of random numbers.
            rows: the lengths, if rows have any.
            resets: bytes `(time, batch)`, dense; not zero before which steps a row returns to its start.
        """
        executable, given = self.executable, len(x)
        x, ends = x[: self.shape.steps], None if rows is None else rows.ends
        loop = executable.loop("forward" if self.save else "infer", x, self.ragged, self.resets, self.reverse)
        inputs = {("x", index): part for index, part in enumerate(self._sequences(parameters, x))}
        chunk, into = None, {}
        if self.save:
            make = torch.zeros if self.ragged else torch.empty
            chunk = make(self.kept.size, dtype=executable.dtype, device=x.device)
            into = {index + 1: stream for index, stream in enumerate(self.kept.of(chunk))}
        start = starts or (None,) * len(loop.core.carries)
        found = loop.run(Given(parameters, inputs, self.shape.steps, start, ends, resets, seed), into)
        return longer(found.streams[0], given), found.last, chunk


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
        dlast: Sequence[Tensor | None], seed: int, *, states: bool, rows: Lengths | None = None,
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
        executable, given = self.executable, len(x)
        x, ends = x[: self.shape.steps], None if rows is None else rows.ends
        loop = executable.loop("backward", x, self.ragged, self.resets, not self.reverse)
        xs, saved = self._sequences(parameters, x), self.kept.of(chunk)
        inputs = {("x", index): part for index, part in enumerate(xs)}
        inputs |= {("saved", index): part for index, part in enumerate(saved)}
        inputs["dy", 0] = executable.cotangent(None if dy is None else dy[: self.shape.steps], x)
        start = dlast or (None,) * len(loop.core.carries)
        found = loop.run(Given(parameters, inputs, self.shape.steps, start, ends, resets, seed), {})
        made = executable.weights(x.device).of(parameters, xs, saved, found.streams, ends)
        weights = each_on_its_own([_gradient(made[number], parameters[number]) for number in self.gradients])
        dx = None if self.dx is None else longer(found.streams[0], given)
        return weights, dx, found.last if states else []


def longer(stream: Tensor, steps: int) -> Tensor:
    """Return a stream of as many steps as the sequences have, zeros where they are not walked."""
    if len(stream) == steps:
        return stream
    return torch.cat([stream, stream.new_zeros((steps - len(stream), *stream.shape[1:]))])


def _gradient(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient.to(parameter.dtype).contiguous()
