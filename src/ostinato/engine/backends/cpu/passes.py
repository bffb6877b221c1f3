"""What programs of calls have in common, forward and backward: where states, sequences and memory lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.cpu.drive import COLLECT, CUT, SPREAD
from ostinato.engine.backends.cpu.jobs import Program, Ref, Shape, Walk
from ostinato.engine.backends.cpu.kept import Layers, check, kept_of, rows_of_sequences, width_of
from ostinato.engine.backends.cpu.kernels import Kernel, size_of
from ostinato.engine.backends.cpu.memory import SMALLEST, empty
from ostinato.engine.plan.graph import Unsupported

View = tuple[Ref, int | Ref, int | Ref]
"""Address, time stride and batch stride; strides in numbers."""


class Blank:
    """Tensors of one shape whose numbers are not set, made with little around it where they are small."""

    __slots__ = ("like", "shape")

    def __init__(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.shape = tuple(shape)
        small = math.prod(shape) * dtype.itemsize < SMALLEST
        like = torch.empty(1, dtype=dtype).expand(self.shape) if small and 0 not in self.shape else None
        self.like = like if like is not None and torch.empty_like(like).is_contiguous() else None

    def __call__(self, dtype: torch.dtype) -> Tensor:
        """Return one; small ones where PyTorch keeps them, others on memory that was used before."""
        return empty(self.shape, dtype) if self.like is None else torch.empty_like(self.like)


class Pass:
    """What calls forward and backward have in common.

    Args:
        layers: that are walked.
        shape: of the calls.
        stacked: whether states are `(walks, batch, ...)` rather than `(batch, ...)`, which only one walk can have.

    Raises:
        Unsupported: a plan does what only the longer way knows.
    """

    def __init__(self, layers: Layers, shape: Shape, *, stacked: bool) -> None:
        walks = [walk for layer in layers for walk in layer]
        for walk in walks:
            check(walk.executable, shape)
        self.layers, self.shape, self.walks = layers, shape, walks
        first = walks[0].executable
        self.dtype, self.size = first.dtype, size_of(first._name)
        self.features = first.plan.signature.features
        leaves = first.plan.outputs[1:]
        self.states = [((len(walks),) if stacked else ()) + (shape.batch, *leaf) for leaf in leaves]
        """The shapes of states."""
        self.leaf_bytes = [shape.batch * math.prod(leaf) * self.size for leaf in leaves]
        last = layers[-1]
        outputs = last[0].executable.plan.outputs[0] if len(last) == 1 else (width_of(last),)
        self.output = (shape.steps, shape.batch, *outputs)
        self.kept = kept_of(layers, shape)
        self.program = Program(first._products.drive, shape)
        numbers = max(width_of(last), *(math.prod(state) for state in self.states), 1)
        self.zeros = torch.zeros(numbers, dtype=self.dtype)
        self.zero = self.zeros.data_ptr()
        self.new_states = [Blank(shape, self.dtype) for shape in self.states]
        self.dense = False
        """Whether sequences must lie one position after the other."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the tables that calls of rows with lengths come with."""
        if not self.shape.ragged:
            return ()
        return ("order", "lengths", "starts", *(["sizes"] if self.shape.packed else []))

    def longer(self, shape: Sequence[int], steps: int) -> Tensor:
        """Return zeros for more steps than are walked."""
        return torch.zeros((steps, *shape[1:]), dtype=self.dtype)

    def parts(self, walk: Walk, kernel: Kernel, ways: int) -> Any:
        """Return the parts in which a kernel is run, if it is not run in one loop."""
        shape = self.shape
        alone = ways == 1 and not walk.executable.plan.signature.rows
        parts = None if shape.ragged else walk.executable.parts_of(kernel, shape.steps, shape.batch, alone=alone)
        if parts is not None:
            if not alone:
                raise Unsupported("outputs beside others, or rows for sequences, that are read one after the other")
            self.dense = True
        return parts

    def sequences(self, walk: Walk, x: View) -> dict[Any, View]:
        """Return the views of what is read at each step: x, and tensors with one row for each sequence."""
        rows = enumerate(rows_of_sequences(walk), 1)
        spread = {("x", place): (self.program.ref(("parameter", index)), 0, width) for place, (index, width) in rows}
        return {("x", 0): x, **spread}

    def carries(self, number: int, start: str, end: str) -> list[tuple[int | Ref, int | Ref, int | Ref]]:
        """Return where the states of a walk start, and where their ends go."""
        return [
            (self.program.ref((start, leaf), number * size), self.program.ref((end, leaf), number * size), 0)
            for leaf, size in enumerate(self.leaf_bytes)
        ]

    def rows_beside(self, place: Ref, layer: Sequence[Walk], way: int) -> View:
        """Return the view of one direction's numbers in rows that hold those of all directions."""
        width = width_of(layer)
        return place.plus(width_of(layer[:way]) * self.size), self.shape.batch * width, width

    def room_of(self, width: int) -> Ref:
        """Return scratch memory for rows of so many numbers at all steps."""
        return self.program.room(self.shape.steps * self.shape.batch * width * self.size)

    def table(self) -> int:
        """Return the block that says which steps are real, see `drive.ROWS`."""
        program = self.program
        tables = [program.ref(name) for name in ("order", "lengths", "starts")]
        return program.block([self.shape.batch, self.shape.steps, *tables])

    def spread(self, packed: Ref, width: int) -> View:
        """Give every row of packed sequences a place at every step; return where."""
        room = self.room_of(width)
        self.program.job(SPREAD, self._sizes(), packed, room, width)
        return room, self.shape.batch * width, width

    def collect(self, rows: Ref, packed: Ref, width: int) -> None:
        """Pack what every row has a place for at every step."""
        self.program.job(COLLECT, self._sizes(), packed, rows, width)

    def _sizes(self) -> int:
        return self.program.block([self.shape.batch, self.shape.steps, self.program.ref("sizes")])

    def cut(self, view: View, width: int) -> None:
        """Clear what is past the lengths."""
        if self.shape.ragged:
            self.program.job(CUT, self.table(), *view, width)
