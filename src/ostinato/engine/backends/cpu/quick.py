"""Calls of one shape with little around them: programs of jobs, in which a call only sets addresses.

What an executable does for any call (arrange tensors, lay out weights, fill argument blocks, sum gradients) takes a
quarter of a millisecond of Python. For calls of one shape it is the same each time but for addresses. Several layers,
and both directions of each, are one program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.cpu import launch
from ostinato.engine.backends.cpu.assembled import Sum, gradients_of
from ostinato.engine.backends.cpu.drive import ADD, CLEAR, GATHER, SUM
from ostinato.engine.backends.cpu.entering import Entry, Places
from ostinato.engine.backends.cpu.jobs import NOTHING, Ref, Shape, Walk
from ostinato.engine.backends.cpu.kept import Layers, factor_of, reads_sequences, width_of
from ostinato.engine.backends.cpu.memory import empty
from ostinato.engine.backends.cpu.passes import Blank, Pass, View
from ostinato.engine.backends.cpu.tables import Table
from ostinato.engine.plan.graph import Unsupported

_place = Tensor.data_ptr


class Forward(Pass):
    """Calls forward of one shape: outputs, last states and, if they are to be kept, what the backward pass reads."""

    def __init__(self, layers: Layers, shape: Shape, *, save: bool, stacked: bool) -> None:
        super().__init__(layers, shape, stacked=stacked)
        self.save = save
        self.calls: Any = None
        """For whoever calls: what it has looked up for this shape."""
        program = self.program
        for name in ("x", "x time", "x batch", "y", "seed"):
            program.base(name)
        for leaf in range(len(self.states)):
            program.base(("start", leaf))
            program.base(("last", leaf))
        for number in range(self.walks[-1].parameters.stop):
            program.base(("parameter", number))
        if save:
            program.base("chunk")
        for name in self.tables:
            program.base(name)
        if shape.resets:
            program.base("resets")
        source: View = program.ref("x"), program.ref("x time"), program.ref("x batch")
        if shape.packed:
            source = self.spread(program.ref("x"), math.prod(self.features))
        numbers = iter(range(len(self.walks)))
        for place, layer in enumerate(layers):
            goal = self._goal() if place + 1 == len(layers) else self._between(place)
            for way, walk in enumerate(layer):
                self._walk(next(numbers), walk, source, self.rows_beside(goal, layer, way), len(layer))
            source = self.rows_beside(goal, layer, 0)
        if shape.packed:
            self.collect(source[0], program.ref("y"), width_of(layers[-1]))
        else:
            self.cut(source, width_of(layers[-1]))
        program.finish()
        self._y, self._chunk = Blank(self.output, self.dtype), Blank((self.kept.size,), self.dtype)

    def _goal(self) -> Ref:
        """Return where the outputs of the last layer go, with a place for each row at each step."""
        return self.room_of(width_of(self.layers[-1])) if self.shape.packed else self.program.ref("y")

    def _between(self, place: int) -> Ref:
        """Return where the outputs of a layer go that another one follows."""
        if self.save:
            return self.program.ref("chunk", self.size * self.kept.between[place])
        return self.room_of(width_of(self.layers[place]))

    def _walk(self, number: int, walk: Walk, source: View, goal: View, ways: int) -> None:
        program, executable = self.program, walk.executable
        kernel = executable.forward_kernel if self.save else executable.infer
        streams: dict[Any, Ref] = {}
        if self.save:
            starts = self.kept.streams[number]
            streams = {
                ("out", index + 1): program.ref("chunk", self.size * start) for index, start in enumerate(starts)
            }
        views = {**self.sequences(walk, source), ("out", 0): goal}
        places = Places(views, streams, self.carries(number, "start", "last"), {}, program.ref("seed"))
        Entry(program, walk, walk.reverse).whole(kernel, self.parts(walk, kernel, ways), places)

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor, starts: Sequence[Tensor], seed: int, rows: Table | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:  # fmt: skip
        """Run: outputs `(time, batch, ...)`, last states, and what is kept in one piece.

        Args:
            parameters: of all walks, dense.
            x: `(time, batch, ...)`, features dense; with more steps than are walked, outputs are zero there. Packed
                sequences are `(positions, ...)`, dense, and so are their outputs and gradients.
            starts: dense states; none for zeros.
            seed: of random numbers.
            rows: which steps are real, if rows have lengths.
            resets: bytes `(time, batch)`, dense; not zero before which steps a row returns to its start.
        """
        if self.dense:  # what is done outside the loop takes positions one after the other
            x = x.contiguous()
        dtype = self.dtype
        if self.shape.packed:
            y = empty((len(x), *self.output[2:]), dtype)
        else:
            y = self._y(dtype) if len(x) == self.shape.steps else self.longer(self.output, len(x))
        lasts = [new(dtype) for new in self.new_states]
        time, batch, *_ = x.stride()  # not read of packed sequences
        values = [_place(x), time, batch, _place(y), seed]
        if starts:
            for start, last in zip(starts, lasts, strict=True):
                values += (_place(start), _place(last))
        else:
            for last in lasts:
                values += (self.zero, _place(last))
        values += map(_place, parameters)
        chunk = None
        if self.save:
            chunk = self._chunk(dtype)
            values.append(_place(chunk))
        if rows is not None:
            values += rows.addresses
        if resets is not None:
            values.append(_place(resets))
        self.program.run(values)
        return y, lasts, chunk


class _Cotangents(NamedTuple):
    """Where the gradients of a walk's outputs and sequences lie."""

    dy: View
    dx: Ref


class Backward(Pass):
    """Calls backward of one shape."""

    def __init__(self, layers: Layers, shape: Shape, *, stacked: bool) -> None:
        super().__init__(layers, shape, stacked=stacked)
        program = self.program
        for walk in self.walks:
            if walk.executable.plan.backward is None:
                raise Unsupported("a layer of which no gradient is wanted below another")
        wants = [{walk.executable.plan.has_dx for walk in layer} for layer in layers]
        if any(len(found) > 1 for found in wants) or any(found != {True} for found in wants[1:]):
            raise Unsupported("directions of a layer that want different gradients")
        self.dx = (shape.steps, shape.batch, *self.features) if True in wants[0] else None
        # nobody reads what is written there
        self._waste = torch.empty_like(self.zeros)
        self._unwanted = self._waste.data_ptr()
        for name in ("x", "x time", "x batch", "chunk", "dy", "dy time", "dy batch", "dx", "seed", "ends"):
            program.base(name)
        for leaf in range(len(self.states)):
            program.base(("dlast", leaf))
            program.base(("dstate", leaf))
        for number in range(self.walks[-1].parameters.stop):
            program.base(("parameter", number))
        sums = [gradients_of(walk.executable) for walk in self.walks]
        self.gradients = [
            walk.first + parts[0].parameter for walk, of in zip(self.walks, sums, strict=True) for parts in of
        ]
        """Numbers of the parameters whose gradients are wanted."""
        for number in self.gradients:
            program.base(("gradient", number))
        for name in (*self.tables, "total") if shape.ragged else ():
            program.base(name)
        if shape.resets:
            program.base("resets")
        self._enter_layers(sums)
        program.finish()
        self._dx = None if self.dx is None else Blank(self.dx, self.dtype)
        self._no_ends = (self.zero, self._unwanted) * len(self.states)

    def _enter_layers(self, sums: Sequence[Sequence[Sequence[Sum]]]) -> None:
        """Enter the layers, the last one first."""
        program, number = self.program, len(self.walks)
        dy: View = program.ref("dy"), program.ref("dy time"), program.ref("dy batch")
        self._x: View = program.ref("x"), program.ref("x time"), program.ref("x batch")
        if self.shape.packed:
            dy = self.spread(program.ref("dy"), width_of(self.layers[-1]))
            self._x = self.spread(program.ref("x"), math.prod(self.features))
        cotangents: list[View] = [
            (dy[0].plus(width_of(self.layers[-1][:way]) * self.size), *dy[1:]) for way in range(len(self.layers[-1]))
        ]
        for place in reversed(range(len(self.layers))):
            layer = self.layers[place]
            below = self.layers[place - 1] if place else []
            width = width_of(below) if place else math.prod(self.features)
            goal = self.room_of(width) if place or self.shape.packed else program.ref("dx")
            number -= len(layer)
            for way, walk in enumerate(layer):
                into = goal if not way else self.room_of(width)
                self._walk(number + way, walk, place, _Cotangents(cotangents[way], into), sums[number + way])
                if way and walk.executable.plan.has_dx:
                    program.job(ADD, into, goal, self.shape.steps * self.shape.batch * width)
            cotangents = [self.rows_beside(goal, below, way) for way in range(len(below))]
        if self.dx is not None and self.shape.packed:
            self.collect(goal, program.ref("dx"), math.prod(self.features))
        elif self.dx is not None:
            width = math.prod(self.features)
            self.cut((program.ref("dx"), self.shape.batch * width, width), width)

    def _walk(self, number: int, walk: Walk, place: int, given: _Cotangents, sums: Sequence[Sequence[Sum]]) -> None:
        program, executable = self.program, walk.executable
        plan, kernel, program_of = executable.plan, executable.backward_kernel, executable.plan.backward
        assert program_of is not None
        parts = self.parts(walk, kernel, len(self.layers[place]))
        below = self.layers[place - 1] if place else []
        features = width_of(below) if place else math.prod(self.features)
        x = self._x
        if place:
            x = self.rows_beside(program.ref("chunk", self.size * self.kept.between[place - 1]), below, 0)
        saved = {
            index: program.ref("chunk", self.size * start) for index, start in enumerate(self.kept.streams[number])
        }
        made = {
            sink.index: self.room_of(sink.node.size)
            for sink in program_of.of("stream")
            if not (plan.has_dx and sink.index == 0)
        }
        streams = {("saved", index): at for index, at in saved.items()}
        streams |= {("out", index): at for index, at in made.items()}
        batch = self.shape.batch
        totals = {
            sink.index: (program.room(batch * sink.node.size * self.size), sink.node.size)
            for sink in program_of.of("total")
        }
        for at, width in totals.values():  # from zero
            program.job(CLEAR, at, batch * width)
        views = {**self.sequences(walk, x), ("dy", 0): given.dy, ("out", 0): (given.dx, batch * features, features)}
        carries = self.carries(number, "dlast", "dstate")
        cut = [program.room(size) for size in self.leaf_bytes] if self.shape.resets else []
        for at, size in zip(cut, self.leaf_bytes, strict=False):
            program.job(CLEAR, at, size // self.size)
        if cut:
            carries = [(start, end, at) for (start, end, _), at in zip(carries, cut, strict=True)]
        goals = {index: at for index, (at, _) in totals.items()}
        places = Places(views, streams, carries, goals, program.ref("seed"), program.ref("ends"))
        Entry(program, walk, not walk.reverse).whole(kernel, parts, places)
        for at, (_, end, _), size in zip(cut, carries, self.leaf_bytes, strict=False):
            program.job(ADD, at, end, size // self.size)
        sources = {"x": {0: self._in_order(x, features, executable, sums)}, "saved": saved, "stream": made}
        self._sums(walk, sums, sources, totals)

    def _in_order(self, x: View, width: int, executable: Any, sums: Sequence[Sequence[Sum]]) -> Ref:
        """Return where the sequences lie in the order of streams: all real steps of a row, then those of the next."""
        if not self.shape.ragged or not reads_sequences(executable, sums):
            return x[0]
        room = self.room_of(width)
        self.program.job(GATHER, self.table(), *x, width, room)
        return room

    def _sums(self, walk: Walk, sums: Sequence[Sequence[Sum]], sources: Any, totals: Any) -> None:
        """Add the sums over rows and steps, each straight into a gradient."""
        program, executable, size = self.program, walk.executable, self.size
        most = self.shape.steps * self.shape.batch
        total: int | Ref = program.ref("total") if self.shape.ragged else most
        for part in (part for parts in sums for part in parts):
            contraction = executable.plan.contractions[part.number]
            goal = program.ref(("gradient", walk.first + part.parameter), part.offset * size)
            if contraction.factors is None:
                place, width = totals[contraction.total]
                program.job(SUM, place, self.shape.batch, width, goal)
                continue
            (a, n, a_stride), (b, m, b_stride) = (
                factor_of(executable, factor, sources[factor.kind][factor.index], size)
                for factor in contraction.factors
            )
            count = min(self.shape.threads, n) if most * n * m > launch.SMALL else 1
            share = -(-n // count)
            block: list[int | Ref] = [
                Ref(NOTHING), count, total, n, m, a, a_stride, b, b_stride, goal, part.stride, share,
            ]  # fmt: skip
            known = executable._products
            program.enter(known.contract, known.contract_address, block, count)

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor, chunk: Tensor, dy: Tensor | None,
        dlast: Sequence[Tensor | None], seed: int, *, states: bool, rows: Table | None = None,
        resets: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor | None, list[Tensor]]:  # fmt: skip
        """Run: gradients of the parameters that have one (see `gradients`), of x, and of the first states if asked for.

        Args:
            parameters: of all walks, dense.
            x: dense, or of any layout where it is not read.
            chunk: what the forward call has kept.
            dy: the gradient of the outputs, features dense.
            dlast: those of the last states, dense.
            seed: as in the forward call.
            states: whether gradients of the first states are wanted.
            rows: as in the forward call.
            resets: as in the forward call.
        """
        dtype = self.dtype
        if self.dense:
            dy = torch.zeros(self.output, dtype=dtype) if dy is None else dy.contiguous()
        dx = None
        if self.shape.packed:
            dy = torch.zeros((len(x), *self.output[2:]), dtype=dtype) if dy is None else dy.contiguous()
        if self._dx is not None and self.shape.packed:
            dx = empty(x.shape, dtype)
        elif self._dx is not None:
            dx = self._dx(dtype) if len(x) == self.shape.steps else self.longer(self._dx.shape, len(x))
        dstates = [new(dtype) for new in self.new_states] if states else []
        values = [_place(x), *x.stride()[:2], _place(chunk)]
        values += (self.zero, 0, 0) if dy is None else (_place(dy), *dy.stride()[:2])
        values += (0 if dx is None else _place(dx), seed, int(states))
        if states or any(given is not None for given in dlast):
            for index, given in enumerate(dlast):
                goal = _place(dstates[index]) if states else self._unwanted
                values += (self.zero if given is None else _place(given), goal)
        else:
            values += self._no_ends
        values += map(_place, parameters)
        # a sum over no steps at all writes nothing
        new = torch.zeros_like if rows is not None and not rows.total else torch.empty_like
        gradients = [new(parameters[index]) for index in self.gradients]
        values += map(_place, gradients)
        if rows is not None:
            values += (*rows.addresses, rows.total)
        if resets is not None:
            values.append(_place(resets))
        self.program.run(values)
        return gradients, dx, dstates


def layers_of(executables: Sequence[Sequence[tuple[Any, bool]]]) -> list[list[Walk]]:
    """Return layers as walks, given for each direction of each layer who runs it and whether it is walked backwards."""
    layers: list[list[Walk]] = []
    first = 0
    for directions in executables:
        layers.append([])
        for executable, reverse in directions:
            walk = Walk(executable, reverse, first)
            layers[-1].append(walk)
            first = walk.parameters.stop
    return layers
