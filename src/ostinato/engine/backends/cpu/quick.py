"""Regular calls, written down once for their shapes: programs of `drive`, in which a call only sets addresses.

What an executable does for any call (arrange tensors, lay out weights, fill argument blocks, sum gradients) takes a
quarter of a millisecond of Python. For calls without lengths and resets it is the same each time but for addresses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.cpu import launch
from ostinato.engine.backends.cpu.drive import CALL, COPY, JOB, PACK, SUM, TEAM
from ostinato.engine.backends.cpu.kernels import Kernel, size_of
from ostinato.engine.backends.cpu.layout import HEADER, round_up
from ostinato.engine.backends.cpu.memory import Space, empty
from ostinato.engine.plan.graph import Node, Unsupported
from ostinato.engine.plan.plan import Factor
from ostinato.engine.plan.views import contiguous, locate

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.executable import CpuExecutable, Parts

BLOCK = 256
"""Rows that go through products together where no state passes through."""
_LINE = 64
_NOTHING, _SELF, _SPACE, _FIRST = 0, 1, 2, 3
"""Bases that every program has: zero, its own address, its scratch memory; then those of its tensors."""


class Ref(NamedTuple):
    """A word that differs from call to call: the value of a base, and so many bytes more."""

    base: int
    offset: int = 0


class Shape(NamedTuple):
    """What a program depends on."""

    steps: int
    batch: int
    reverse: bool
    threads: int


class Program:
    """Jobs as they are collected, and then as words.

    Args:
        executable: whose kernels run.
        shape: of the calls.
    """

    def __init__(self, executable: CpuExecutable, shape: Shape) -> None:
        self.executable, self.shape = executable, shape
        self.drive = executable._products.drive
        self.names: list[Any] = []
        self._jobs: list[list[int | Ref]] = []
        self._blocks: list[list[int | Ref]] = []
        self._kept: list[Any] = []
        self._space = 0
        self._teams: list[int] = []
        self.packed: dict[int, dict[int, Ref]] = {}
        """For each kernel, by its `id`, where the weights of its products lie."""
        self._copies: list[tuple[Any, int]] = []

    def base(self, name: Any) -> int:
        """Return the number of a base, one more if it is new; calls give their values in the order of `names`."""
        if name not in self.names:
            self.names.append(name)
        return _FIRST + self.names.index(name)

    def room(self, size: int) -> Ref:
        """Return so many bytes of scratch memory."""
        place = self._space
        self._space += round_up(size, _LINE)
        return Ref(_SPACE, place)

    def job(self, *words: int | Ref) -> None:
        """Add a job."""
        self._jobs.append([*words, *[0] * (JOB - len(words))])

    def enter(self, function: Any, address: int, block: list[int | Ref], threads: int) -> None:
        """Add a call of a compiled function with a block of arguments."""
        self._kept.append(function)
        self._blocks.append(block)
        number = -len(self._blocks)  # known when all blocks are
        if threads == 1:
            self.job(CALL, address, number)
            return
        team = launch.openmp_team()
        assert team is not None
        self._teams.append(len(self._jobs))
        self.job(TEAM, address, number, threads, ctypes.cast(team, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Write everything down."""
        first_block = len(self._jobs) * JOB
        starts, place = [], first_block
        for block in self._blocks:
            starts.append(place)
            place += len(block)
        body = [word for job in self._jobs for word in job] + [word for block in self._blocks for word in block]
        lead = 3 + 3 * sum(isinstance(word, Ref) or word < 0 for word in body)
        relocations: list[int] = []
        for index, word in enumerate(body):
            if isinstance(word, Ref):
                relocations += [lead + index, *word]
            elif word < 0:
                relocations += [lead + index, _SELF, 8 * (lead + starts[-word - 1])]
        self._teams = [lead + JOB * job for job in self._teams]
        words = [len(relocations) // 3, len(self._jobs), lead, *relocations]
        words += [0 if isinstance(word, Ref) or word < 0 else word for word in body]
        self._words = (ctypes.c_int64 * len(words))(*words)
        self._bases = ctypes.c_int64 * (_FIRST + len(self.names))
        self._jobs, self._blocks = [], []

    def run(self, *values: int) -> None:
        """Run with these bases, in the order of `names`."""
        try:
            words, address = self._copies.pop()
        except IndexError:
            words = type(self._words).from_buffer_copy(self._words)
            address = ctypes.addressof(words)
        if self._teams and not launch.teams():
            # a graph made before a fork is walked back in the child, which has one thread: it takes on all shares
            for place in self._teams:
                words[place] = CALL
        with Space(self._space) as space:
            self.drive(address, self._bases(0, address, space, *values))
        self._copies.append((words, address))


class Places(NamedTuple):
    """Where everything lies that a kernel reads and writes."""

    views: Mapping[Any, Any]
    """Address, time stride and batch stride of each."""
    streams: Mapping[Any, Ref]
    carries: Sequence[tuple[int | Ref, int | Ref]]
    """Where each starts, and where its end goes."""
    totals: Mapping[int, Ref]
    seed: Ref
    """Of random numbers."""

    def part(self, kernel: Kernel, start: int, batch: int) -> Places:
        """Return the same from a position on, for rows of which there are so many at a time and no state."""
        program, size = kernel.schedule.program, kernel.layout.element_bytes

        def width(kind: str, index: int) -> int:
            if kind == "out":
                return next(sink.node.size for sink in program.of("stream") if sink.index == index)
            return program.inputs(kind)[index].size

        def moved(place: Ref, width: int) -> Ref:
            return Ref(place.base, place.offset + start * width * size)

        views = {
            key: (moved(self.views[key][0], width(*key)), batch * width(*key), width(*key))
            for key in kernel.layout.views
        }
        streams = {key: moved(self.streams[key], width(*key)) for key in kernel.layout.streams}
        return Places(views, streams, (), self.totals, self.seed)


def enter_program(program: Program, kernel: Kernel, parts: Parts | None, places: Places) -> None:
    """Add a kernel over all rows and steps, or the parts of one: before the loop, in it and after it."""
    steps, batch = program.shape.steps, program.shape.batch
    if parts is None:
        enter_kernel(program, kernel, places, steps, batch)
        return
    before, core, after = parts.kernels
    assert core is not None
    size, total, split = kernel.layout.element_bytes, steps * batch, parts.split
    early = [program.room(total * node.size * size) for node in split.early]
    streams = dict(places.streams)
    streams |= {("early", index): place for index, place in enumerate(early)}
    streams |= {("out", index): program.room(total * node.size * size) for index, node in split.late}
    if before is not None:
        made = {("out", index + 1): place for index, place in enumerate(early)}
        _enter_at_once(program, before, places._replace(streams=streams | made), total)
    enter_kernel(program, core, places._replace(streams=streams), steps, batch)
    if after is not None:
        read = {("late", index): stream for (kind, index), stream in streams.items() if kind == "out"}
        _enter_at_once(program, after, places._replace(streams=streams | read), total)


def _enter_at_once(program: Program, kernel: Kernel, places: Places, total: int) -> None:
    """Add a kernel that no state passes through, over all rows and steps, in blocks that fill the product's tiles."""
    whole = total // BLOCK * BLOCK
    for start, stop in ((0, whole), (whole, total)):
        if start < stop:
            batch = min(BLOCK, stop - start)
            enter_kernel(program, kernel, places.part(kernel, start, batch), (stop - start) // batch, batch)


def enter_kernel(program: Program, kernel: Kernel, places: Places, steps: int, batch: int) -> None:
    """Add what lays out a kernel's weights, and the call of the kernel over so many steps of so many rows."""
    layout, reverse, threads = kernel.layout, program.shape.reverse, program.shape.threads
    threads = min(threads, batch) if kernel.work * steps * batch > launch.SMALL else 1
    shares = max(threads, -(-batch // launch.SHARE))
    per_share = round_up(layout.scratch_bytes(-(-batch // shares)), _LINE)
    block: list[int | Ref] = [0] * layout.words
    block[: len(HEADER)] = [
        steps, batch, int(reverse), 0, 0, 0, batch, program.room(shares * per_share), per_share, places.seed, 0,
        -(-batch // shares), shares, Ref(_NOTHING),
    ]  # fmt: skip
    for key, word in layout.views.items():
        block[word : word + 3] = places.views[key]
    for key, word in layout.streams.items():
        block[word] = places.streams[key]
    for word, (start, end) in zip(layout.carries, places.carries, strict=True):
        block[word : word + 3] = [start, end, 0]
    for index, word in layout.totals.items():
        block[word] = places.totals[index]
    for index, word in layout.constants.items():
        block[word] = _constant(program, index, in_order=True)[0]
    for word, panel in _packed(program, kernel).items():
        block[word] = panel
    program.enter(kernel, kernel.address, block, threads)


def _packed(program: Program, kernel: Kernel) -> dict[int, Ref]:
    """Return where the weights of a kernel's products lie, packed; the first time, add what packs them."""
    if id(kernel) in program.packed:
        return program.packed[id(kernel)]
    found = program.packed[id(kernel)] = {}
    layout, size = kernel.layout, kernel.layout.element_bytes
    panels = program.room(kernel.packed_elements * size)
    for job in kernel.packing:
        weights, strides = _weights(program, job.weights)
        target = found[job.word] = Ref(panels.base, panels.offset + job.offset * size)
        step = job.depth * round_up(job.cols, layout.width) * size
        for head in range(job.heads):
            source = Ref(weights.base, weights.offset + (head * strides[0] * size if job.heads > 1 else 0))
            goal = Ref(target.base, target.offset + head * step)
            program.job(PACK, job.depth, job.cols, source, strides[-2], strides[-1], goal)
    return found


def _weights(program: Program, weights: Node) -> tuple[Ref, Sequence[int]]:
    if weights.op == "const":
        return _constant(program, weights.attr[0], in_order=False)
    view = locate(weights)
    found, _ = _constant(program, view.base.attr[0], in_order=True)
    size = size_of(program.executable._name)
    return Ref(found.base, found.offset + view.offset * size), view.strides


def _constant(program: Program, index: int, *, in_order: bool) -> tuple[Ref, Sequence[int]]:
    """Return where a constant lies, in the memory of a parameter, and its strides."""
    simple = program.executable._simple_constants
    assert simple is not None
    source, turned = simple[index]
    if turned and in_order:
        raise Unsupported("a transposed matrix that is read in order")
    strides = contiguous(program.executable.plan.signature.sizes[source])
    return Ref(program.base(("parameter", source))), tuple(reversed(strides)) if turned else strides


class Forward:
    """Calls forward of one shape: outputs, last states and, if they are to be kept, what the backward pass reads.

    Raises:
        Unsupported: the plan does what only the longer way knows.
    """

    def __init__(self, executable: CpuExecutable, shape: Shape, *, save: bool, stacked: bool) -> None:
        check(executable, shape)
        plan = executable.plan
        self.save, self.dtype = save, executable.dtype
        steps, batch, *_ = shape
        kernel = executable.forward_kernel if save else executable.infer
        parts = executable.parts_of(kernel, steps, batch)
        self.dense = parts is not None
        size = size_of(executable._name)
        self._output = (steps, batch, *plan.outputs[0])
        self._lasts = [((1,) if stacked else ()) + (batch, *leaf) for leaf in plan.outputs[1:]]
        self.zeros = torch.zeros(max((batch * _count(leaf) for leaf in plan.outputs[1:]), default=0), dtype=self.dtype)
        self._zero = self.zeros.data_ptr()
        self.program = program = Program(executable, shape)
        x, x_time, x_batch, y, seed = (program.base(name) for name in ("x", "x time", "x batch", "y", "seed"))
        states = range(len(self._lasts))
        carries = [(Ref(program.base(("start", index))), Ref(program.base(("last", index)))) for index in states]
        for index in range(len(plan.signature.parameters)):
            program.base(("parameter", index))
        width = _count(plan.outputs[0])
        views = {("x", 0): (Ref(x), Ref(x_time), Ref(x_batch)), ("out", 0): (Ref(y), batch * width, width)}
        streams: dict[Any, Ref] = {}
        self.saved = 0
        self.places: list[int] = []
        if save:
            chunk = program.base("chunk")
            self.saved, self.places = _places(executable, shape)
            streams = {("out", index + 1): Ref(chunk, size * place) for index, place in enumerate(self.places)}
        enter_program(program, kernel, parts, Places(views, streams, carries, {}, Ref(seed)))
        program.finish()

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor, starts: Sequence[Tensor], seed: int
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Run: outputs `(time, batch, ...)`, last states, and what is kept in one piece.

        Args:
            parameters: of the cell, dense.
            x: `(time, batch, ...)`, features dense.
            starts: dense states; none for zeros.
            seed: of random numbers.
        """
        if self.dense:  # what is done outside the loop takes positions one after the other
            x = x.contiguous()
        y = empty(self._output, self.dtype)
        lasts = [torch.empty(shape, dtype=self.dtype) for shape in self._lasts]
        stride = x.stride()
        values = [x.data_ptr(), stride[0], stride[1], y.data_ptr(), seed]
        if starts:
            for start, last in zip(starts, lasts, strict=True):
                values += (start.data_ptr(), last.data_ptr())
        else:
            for last in lasts:
                values += (self._zero, last.data_ptr())
        values += [parameter.data_ptr() for parameter in parameters]
        chunk = None
        if self.save:
            chunk = empty((self.saved,), self.dtype)
            values.append(chunk.data_ptr())
        self.program.run(*values)
        return y, lasts, chunk


class Backward:
    """Calls backward of one shape.

    Raises:
        Unsupported: the plan does what only the longer way knows.
    """

    def __init__(self, executable: CpuExecutable, shape: Shape, *, stacked: bool) -> None:
        check(executable, shape)
        plan, kernel = executable.plan, executable.backward_kernel
        program_of = plan.backward
        assert program_of is not None
        steps, batch, reverse, threads = shape
        parts = executable.parts_of(kernel, steps, batch)
        self.dense = parts is not None
        size, total = size_of(executable._name), steps * batch
        self.dtype = executable.dtype
        self.states = [((1,) if stacked else ()) + (batch, *leaf) for leaf in plan.outputs[1:]]
        self.zeros = torch.zeros(
            max([_count(plan.outputs[0]), *(batch * _count(leaf) for leaf in plan.outputs[1:])]), dtype=self.dtype
        )
        self._zero = self.zeros.data_ptr()
        # nobody reads what is written there
        self._waste = torch.empty_like(self.zeros)
        self._unwanted = self._waste.data_ptr()
        self.dx = (steps, batch, *plan.signature.features) if plan.has_dx else None
        self._output = (steps, batch, *plan.outputs[0])
        self.program = program = Program(executable, Shape(steps, batch, not reverse, threads))
        x, x_time, x_batch, chunk, dy, dy_time, dy_batch, dx, seed = (
            program.base(name)
            for name in ("x", "x time", "x batch", "chunk", "dy", "dy time", "dy batch", "dx", "seed")
        )
        carries = [
            (Ref(program.base(("dlast", index))), Ref(program.base(("dstate", index))))
            for index in range(len(self.states))
        ]
        for index in range(len(plan.signature.parameters)):
            program.base(("parameter", index))
        self.gradients = _gradients(executable)
        for index, _ in self.gradients:
            program.base(("gradient", index))
        features = _count(plan.signature.features)
        views = {
            ("x", 0): (Ref(x), Ref(x_time), Ref(x_batch)),
            ("dy", 0): (Ref(dy), Ref(dy_time), Ref(dy_batch)),
            ("out", 0): (Ref(dx), batch * features, features),
        }
        _, places = _places(executable, Shape(steps, batch, reverse, threads))
        saved = {index: Ref(chunk, size * place) for index, place in enumerate(places)}
        made = {
            sink.index: program.room(total * sink.node.size * size)
            for sink in program_of.of("stream")
            if not (plan.has_dx and sink.index == 0)
        }
        streams = {("saved", index): place for index, place in saved.items()}
        streams |= {("out", index): place for index, place in made.items()}
        totals = {sink.index: program.room(batch * sink.node.size * size) for sink in program_of.of("total")}
        widths = {sink.index: sink.node.size for sink in program_of.of("total")}
        for index, place in totals.items():  # from zero
            bytes_wanted = batch * widths[index]
            zeros = program.base("zeros")
            program.job(COPY, Ref(zeros), place, bytes_wanted)
        self._cleared = max((batch * width for width in widths.values()), default=0)
        enter_program(program, kernel, parts, Places(views, streams, carries, totals, Ref(seed)))
        self._sums(executable, total, {"x": {0: Ref(x)}, "saved": saved, "stream": made}, totals, widths)
        program.finish()
        self._blank = torch.zeros(self._cleared, dtype=self.dtype)
        self._extra = [self._blank.data_ptr()] if "zeros" in program.names else []

    def _sums(self, executable: CpuExecutable, total: int, sources: Any, totals: Any, widths: Any) -> None:
        """Add the sums over rows and steps, each straight into a gradient."""
        program, plan, size = self.program, executable.plan, size_of(executable._name)
        threads = self.program.shape.threads
        for index, number in self.gradients:
            contraction, goal = plan.contractions[number], Ref(program.base(("gradient", index)))
            if contraction.factors is None:
                place, width = totals[contraction.total], widths[contraction.total]
                program.job(SUM, place, program.shape.batch, width, goal)
                continue
            (a, n, a_stride), (b, m, b_stride) = (
                _factor(executable, factor, sources[factor.kind][factor.index], size) for factor in contraction.factors
            )
            count = min(threads, n) if total * n * m > launch.SMALL else 1
            share = -(-n // count)
            block: list[int | Ref] = [Ref(_NOTHING), count, total, n, m, a, a_stride, b, b_stride, goal, m, share]
            known = executable._products
            program.enter(known.contract, known.contract_address, block, count)

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor | None, chunk: Tensor, dy: Tensor | None,
        dlast: Sequence[Tensor | None], seed: int, *, states: bool,
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor]]:  # fmt: skip
        """Run: gradients of the parameters, of x, and of the first states if they are asked for.

        Args:
            parameters: of the cell, dense.
            x: dense, or any where it is not read.
            chunk: what the forward call has kept.
            dy: the gradient of the outputs, features dense.
            dlast: those of the last states, dense.
            seed: as in the forward call.
            states: whether gradients of the first states are wanted.
        """
        dtype = self.dtype
        if self.dense and dy is not None:
            dy = dy.contiguous()
        elif self.dense:
            dy = torch.zeros(self._output, dtype=dtype)
        dx = None if self.dx is None else empty(self.dx, dtype)
        dstates = [torch.empty(shape, dtype=dtype) for shape in self.states] if states else []
        if dy is None:
            cotangent = [self._zero, 0, 0]
        else:
            stride = dy.stride()
            cotangent = [dy.data_ptr(), stride[0], stride[1]]
        stride = x.stride() if x is not None else (0, 0)
        values = [0 if x is None else x.data_ptr(), stride[0], stride[1], chunk.data_ptr(), *cotangent]
        values += (0 if dx is None else dx.data_ptr(), seed)
        for index, given in enumerate(dlast):
            goal = dstates[index].data_ptr() if states else self._unwanted
            values += (self._zero if given is None else given.data_ptr(), goal)
        values += [parameter.data_ptr() for parameter in parameters]
        gradients: list[Tensor | None] = [None] * len(parameters)
        for index, _ in self.gradients:
            gradient = gradients[index] = torch.empty_like(parameters[index])
            values.append(gradient.data_ptr())
        values += self._extra
        self.program.run(*values)
        return gradients, dx, dstates


def check(executable: CpuExecutable, shape: Shape) -> None:
    """Refuse a plan that only the longer way knows.

    Raises:
        Unsupported: that is so.
    """
    plan = executable.plan
    if executable.half or executable.parallel or plan.signature.rows or executable._simple_constants is None:
        raise Unsupported("a plan whose constants are computed, or that has rows, halves or pieces")
    if any(kind != executable._name for kind in plan.signature.types):
        raise Unsupported("parameters of another type")
    if shape.threads > 1 and not launch.teams():
        raise Unsupported("threads that are Python's")


def _count(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _places(executable: CpuExecutable, shape: Shape) -> tuple[int, list[int]]:
    """Return how many numbers all that is saved takes, and where each stream of it starts.

    Where a state is kept at both ends of every step, one stream holds both: a step's start is the end of another.
    """
    steps, batch, reverse, _ = shape
    line, total = _LINE // size_of(executable._name), 0
    saved = executable.plan.saved
    pairs = [(start, end) for start, (end, _) in executable._followed.items() if end is not None]
    ends = [end for _, end in pairs]
    # states that are handed from one to the next have streams of their own
    followed = {
        start: end for start, end in pairs if start not in ends and end not in dict(pairs) and ends.count(end) == 1
    }
    places: list[int | None] = [None] * len(saved)
    for index, node in enumerate(saved):
        if places[index] is not None or index in followed.values():
            continue
        ahead = batch * node.size if index in followed else 0
        places[index] = total + (ahead if reverse else 0)
        if index in followed:
            places[followed[index]] = total + (0 if reverse else ahead)
        total += round_up(steps * batch * node.size + ahead, line)
    return total, [place if place is not None else 0 for place in places]


def _gradients(executable: CpuExecutable) -> list[tuple[int, int]]:
    """Return for each parameter whose gradient is wanted the number of the sum that it is."""
    plan, formulas = executable.plan, executable.plan.weights
    assert formulas is not None
    count = len(plan.signature.parameters)
    first = formulas.given + len(formulas.tensors)
    found = []
    for index, (number, wanted) in enumerate(zip(formulas.wanted, plan.signature.gradients, strict=False)):
        if not wanted:
            continue
        while number is not None and number >= first:
            operation = formulas.operations[number - first]
            if operation.target not in (torch.ops.aten.view.default, torch.ops.aten.reshape.default):
                raise Unsupported("a gradient that is computed")
            number = operation.arguments[0].index
        if number is None or not count <= number < formulas.given:
            raise Unsupported("a gradient that is no sum")
        if _count(plan.contractions[number - count].shape) != _count(plan.signature.sizes[index]):
            raise Unsupported("a gradient that is spread")
        found.append((index, number - count))
    return found


def _factor(executable: CpuExecutable, factor: Factor, source: Ref, size: int) -> tuple[Ref, int, int]:
    """Return where a factor's numbers are, how many a row has, and how far rows lie apart."""
    plan = executable.plan
    if factor.kind == "x":
        shape: Sequence[int] = plan.signature.features
        if factor.index:
            raise Unsupported("a factor with a row for each sequence")
    elif factor.kind == "saved":
        shape = plan.saved[factor.index].shape
    else:
        assert plan.backward is not None
        shape = next(sink.node.shape for sink in plan.backward.of("stream") if sink.index == factor.index)
    stride, offset = _count(shape), 0
    for view in factor.views:
        if view.op == "slice" and len(shape) == 1:
            offset += view.attr[1]
        elif view.op != "reshape":
            raise Unsupported("a factor that is a view with several axes")
        shape = view.shape
    if len(shape) != 1:
        raise Unsupported("a factor with several axes")
    return Ref(source.base, source.offset + offset * size), shape[0], stride
