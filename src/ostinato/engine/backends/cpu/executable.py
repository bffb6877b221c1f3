"""A plan made runnable on the CPU: which tensors its programs take and give, forward and backward."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ostinato.engine.backends.calls import dense
from ostinato.engine.backends.cpu import launch as launching
from ostinato.engine.backends.cpu.calls import Call, make_call
from ostinato.engine.backends.cpu.entering import BLOCK
from ostinato.engine.backends.cpu.jobs import Shape, Walk
from ostinato.engine.backends.cpu.kept import Constant, constants_of
from ostinato.engine.backends.cpu.kernels import Kernel, Products, compile_program, products
from ostinato.engine.backends.cpu.launch import Arguments, Rows, launch, teams
from ostinato.engine.backends.cpu.memory import empty
from ostinato.engine.backends.cpu.pieces import Pieces, count_of, run_in_pieces
from ostinato.engine.backends.cpu.quick import Backward, Forward, layers_of
from ostinato.engine.backends.cpu.stepping import StepKernel
from ostinato.engine.backends.cpu.sums import contractions
from ostinato.engine.backends.cpu.tables import Table, table_of, table_of_packed
from ostinato.engine.backends.executable import Executable
from ostinato.engine.backends.target import Target
from ostinato.engine.forks import lazy
from ostinato.engine.plan import words
from ostinato.engine.plan.formulas import run_graph
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.linear import ends_of, factors_of, is_linear
from ostinato.engine.plan.plan import Plan, Program
from ostinato.engine.plan.split import Split, split

_FEW_ROWS, _WORTH = 1, 300_000
"""Up to so many rows, and from so many multiply-adds, what does not pass through the state is done outside the loop.

A minGRU of 256 units over 10,000 steps of one row takes 26 ms rather than 49 so (one thread), forward and backward of
an LSTM of 128 over 16 steps .28 rather than .35, of one of 32 over 16 as long as in the loop. From two rows on there is
nothing to gain on one thread.
"""
_WORTH_MORE = 4_000_000
"""The same where that costs more: calls that are not arranged ahead, and walks that go together with others else."""
_MOST_QUICK = 128
"""Programs of shapes that are kept for one plan."""


@dataclass(frozen=True)
class Parts:
    """A split program, compiled."""

    split: Split
    kernels: list[Kernel | None]
    """Before the loop, in it, after it."""
    pieces: Pieces | None
    """For a linear core, if it may be cut."""


class CpuExecutable(Executable):
    """The compiled programs of one plan; each is compiled when it is first needed.

    Args:
        plan: what is done.
        dtype: of the sequences.
        target: the machine that runs it.
        parallel: whether one row's steps may be shared among threads, see `linear`.
    """

    streams_are_packed = True

    def __init__(self, plan: Plan, dtype: torch.dtype, target: Target, *, parallel: bool = False) -> None:
        super().__init__(plan, dtype, target)
        self.parallel = parallel
        self._name: Any = "float64" if dtype is torch.float64 else "float32"

    def call(
        self, x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, reverse: bool,
        seed: int, rows: Sequence[Tensor],
    ) -> Any:  # fmt: skip
        """Bring the tensors of a call into the layout that kernels read."""
        return make_call(x, state, lengths, resets, reverse, seed, rows)

    allocate = staticmethod(empty)
    """Return memory, used before if there is any; see `memory`."""

    def step(self, parameters: Sequence[Tensor], x: Tensor, state: Sequence[Tensor]) -> StepKernel:
        """Return one step of the program that saves nothing, on memory of its own."""
        return StepKernel(self, parameters, x, state)

    @lazy
    def _parts(self) -> dict[int, Parts | None]:
        return {}

    def _split(self, kernel: Kernel, program: Program) -> Parts | None:
        """Return a program with what need not be in the loop taken out of it, compiled."""
        if id(kernel) not in self._parts:
            resets: Literal["before", "after"] = "after" if program is self.plan.backward else "before"

            def compiled(part: Program) -> Kernel:
                return compile_program(part, self._name, resets, self.target)

            self._parts[id(kernel)] = None
            found = split(program)
            cut = self.parallel and not self.is_random and is_linear(program if found is None else found.core)
            if found is None and cut:
                found = Split(None, program, None, (), ())
            if found is not None:
                kernels = [None if part is None else compiled(part) for part in (found.before, found.core, found.after)]
                pieces = Pieces(compiled(ends_of(found.core)), compiled(factors_of(found.core))) if cut else None
                self._parts[id(kernel)] = Parts(found, kernels, pieces)
        return self._parts[id(kernel)]

    def _run(
        self, kernel: Kernel, program: Program, parameters: Sequence[Tensor], call: Call, arguments: Arguments,
        reverse: bool,
    ) -> None:  # fmt: skip
        """Run a program over a batch, in one loop or, with few rows, with less in the loop."""
        rows = call.rows
        options: Any = {"reverse": reverse, "seed": call.seed, "resets": call.resets}
        few = rows.lengths is None and self._is_few(kernel, rows.steps, rows.batch, _WORTH_MORE)
        parts = self._split(kernel, program) if few else None
        if parts is None:
            launch(kernel, replace(arguments, constants=self.constants(parameters, [kernel])), rows, **options)
            return
        before, core, after = parts.kernels
        assert core is not None
        # a single row with a length ends before the tensors do
        arguments = replace(arguments, views={key: view[: rows.steps] for key, view in arguments.views.items()})
        streams = dict(arguments.streams)
        for index, node in enumerate(parts.split.early):
            streams["early", index] = self.allocate((rows.total, *node.shape), self.dtype)
        for index, node in parts.split.late:
            streams["out", index] = self.allocate((rows.total, *node.shape), self.dtype)
        pieces = parts.pieces if call.resets is None and count_of(rows.steps) > 1 else None
        known = [part for part in parts.kernels if part is not None]
        known += [pieces.ends, pieces.factors] if pieces else []
        everything = replace(arguments, streams=streams, constants=self.constants(parameters, known))
        if before is not None:
            made = {("out", index + 1): streams["early", index] for index in range(len(parts.split.early))}
            _all_steps_at_once(before, replace(everything, streams=streams | made), rows)
        if pieces is not None:
            run_in_pieces(core, pieces, everything, rows.steps, count_of(rows.steps), reverse=reverse)
        else:
            launch(core, everything, rows, **options)
        if after is not None:
            read = {("late", index): stream for (kind, index), stream in streams.items() if kind == "out"}
            _all_steps_at_once(after, replace(everything, streams=streams | read), rows)

    def _is_few(self, kernel: Kernel, steps: int, batch: int, least: int) -> bool:
        """Tell whether a call has so few rows that work, from so much on, is better done outside the loop."""
        # of halves, what passes between the parts would be rounded
        worth = kernel.work * steps * batch >= least or self.parallel
        return batch <= _FEW_ROWS and worth and not self.half

    def parts_of(self, kernel: Kernel, steps: int, batch: int, *, alone: bool) -> Parts | None:
        """Return the parts in which a program is run for so many steps and rows, if it is not run in one loop.

        A walk is `alone` where no other one goes together with it.
        """
        programs = (
            ("infer", self.plan.infer),
            ("forward_kernel", self.plan.forward),
            ("backward_kernel", self.plan.backward),
        )
        program = next(program for name, program in programs if self.__dict__.get(name) is kernel)
        assert program is not None
        few = self._is_few(kernel, steps, batch, _WORTH if alone else _WORTH_MORE)
        return self._split(kernel, program) if few else None

    @lazy
    def _quick(self) -> OrderedDict[Any, Any]:
        return OrderedDict()

    def quick_forward(
        self, steps: int, batch: int, reverse: bool, *, save: bool, ragged: bool = False, resets: bool = False
    ) -> Forward | None:
        """Return what runs calls of one shape forward with little around it, or none."""
        shape = Shape(steps, batch, torch.get_num_threads(), ragged, resets)
        layers = [[Walk(self, reverse, 0)]]
        found: Forward | None = self._quickly(
            (shape, reverse, save), lambda: Forward(layers, shape, save=save, stacked=False)
        )
        return found

    def quick_backward(
        self, steps: int, batch: int, reverse: bool, *, ragged: bool = False, resets: bool = False
    ) -> Backward | None:
        """Return the same for the backward pass."""
        shape = Shape(steps, batch, torch.get_num_threads(), ragged, resets)
        layers = [[Walk(self, reverse, 0)]]
        found: Backward | None = self._quickly((shape, reverse), lambda: Backward(layers, shape, stacked=False))
        return found

    def _quickly(self, key: Any, make: Callable[[], Any]) -> Any:
        if key[0].threads > 1 and not teams():
            return None  # in a forked process OpenMP has no threads
        known = self._quick
        key = key, _FEW_ROWS, _WORTH, _WORTH_MORE, launching.SMALL
        try:
            return known[key]
        except KeyError:
            pass
        try:
            found = make()
        except Unsupported:
            found = None
        known[key] = found
        if len(known) > _MOST_QUICK:
            with suppress(KeyError):  # another thread may have been quicker
                known.popitem(last=False)
        return found

    def quick_rows(self, lengths: Tensor, steps: int) -> Table | None:
        """Return lengths as the quick way reads them."""
        return table_of(lengths, steps)

    def quick_packed(self, sizes: Sequence[int], positions: int) -> Table | None:
        """Return the sizes of packed batches as the quick way reads them."""
        return table_of_packed(sizes, positions)

    def quick_layers(
        self, layers: Sequence[Sequence[tuple[CpuExecutable, bool]]], steps: int, batch: int, *, save: bool,
        ragged: bool = False, packed: bool = False,
    ) -> tuple[Forward, Backward | None] | None:  # fmt: skip
        """Return what runs several layers, this one's the first, in one program; see `Executable`."""
        shape = Shape(steps, batch, torch.get_num_threads(), ragged, packed=packed)
        walks = layers_of(layers)
        # what is made holds the executables, so that no other one has their numbers meanwhile
        key = shape, save, tuple(tuple((id(one), reverse) for one, reverse in layer) for layer in layers)

        def make() -> tuple[Forward, Backward | None]:
            forward = Forward(walks, shape, save=save, stacked=True)
            return forward, Backward(walks, shape, stacked=True) if save else None

        found: tuple[Forward, Backward | None] | None = self._quickly(key, make)
        return found

    def compile(self, *, training: bool) -> None:
        """Compile what a call needs."""
        if training and self.plan.backward is not None:
            assert self.forward_kernel
            assert self.backward_kernel
        else:
            assert self.infer

    def steps(self, *, backward: bool) -> list[str]:
        """Return what is done at a step: products, and loops over what is done row by row."""
        lines = []
        schedule = (self.backward_kernel if backward else self.forward_kernel).schedule
        for before, region in zip(schedule.products, schedule.regions, strict=True):
            lines += [words.product(product.node) for product in before]
            for nest in region.nests:
                work = words.counted([*nest.nodes, *nest.reductions])
                lines.append(f"fused loop over {'x'.join(map(str, nest.shape)) or 1}: {work}")
        return lines

    @lazy
    def _products(self) -> Products:
        return products(self._name, self.target)

    @lazy
    def constant_places(self) -> list[Constant]:
        """Where the constants of the plan lie in the memory of parameters, see `constants_of`."""
        return constants_of(self)

    @lazy
    def infer(self) -> Kernel:
        """The forward program that saves nothing."""
        return compile_program(self.plan.infer, self._name, "before", self.target, half=self.half)

    @lazy
    def forward_kernel(self) -> Kernel:
        """The forward program that saves what the backward program needs."""
        return compile_program(self.plan.forward, self._name, "before", self.target, half=self.half)

    @lazy
    def backward_kernel(self) -> Kernel:
        """The backward program."""
        assert self.plan.backward is not None
        return compile_program(self.plan.backward, self._name, "after", self.target, half=self.half)

    @lazy
    def _simple_constants(self) -> list[tuple[int, bool]] | None:
        """Constants that are parameters, some transposed: the usual case, for which PyTorch's graph is a detour."""
        formulas = self.plan.constants
        turned = {}
        for number, operation in enumerate(formulas.operations, formulas.given + len(formulas.tensors)):
            if operation.target is torch.ops.aten.permute.default and list(operation.arguments[1]) == [1, 0]:
                turned[number] = operation.arguments[0].index
        found = [(turned.get(number, number), number in turned) for number in formulas.wanted if number is not None]
        return found if all(source < formulas.given for source, _ in found) else None

    def constants(self, parameters: Sequence[Tensor], kernels: Sequence[Kernel]) -> list[Tensor]:
        """Compute the constants of kernels from the parameters, dense where they are read in order."""
        simple = self._simple_constants
        if simple is not None:
            values = [
                parameters[index].detach().t() if turned else parameters[index].detach() for index, turned in simple
            ]
        else:
            values = run_graph(self.plan.constants, self._widened(parameters))
        in_order = {index for kernel in kernels for index in kernel.dense_constants}
        return [
            value.to(self.computed).contiguous() if index in in_order else value.to(self.computed)
            for index, value in enumerate(values)
        ]

    @lazy
    def _followed(self) -> dict[int, tuple[int | None, bool]]:
        """Saved states at the start of a step, each with what else holds the state at its end: saved, output."""
        ends = {sink.index: sink.node for sink in self.plan.forward.of("carry")}
        output = self.plan.forward.of("stream")[0].node
        saved = {node: index for index, node in enumerate(self.plan.saved)}
        found = {}
        for index, node in enumerate(self.plan.saved):
            end = ends[node.attr[1]] if node.op == "input" and node.attr[0] == "state" else None
            if end is not None and (end in saved or end is output):
                found[index] = (saved.get(end), end is output)
        return found

    def _memory(self, call: Call, *, apart: bool) -> tuple[Tensor, list[Tensor]]:
        """Return memory for the outputs and for what is saved.

        Where a state is kept at both ends of every step, one array holds both: a step's start is the end of another.
        """
        time, batch = call.xs[0].shape[:2]
        y: Tensor | None = None
        kept: list[Tensor | None] = [None] * len(self.plan.saved)
        regular = not apart and call.lengths is None and call.resets is None
        for start, (end, is_output) in self._followed.items() if regular else ():
            both = self.allocate(((time + 1) * batch, *self.plan.saved[start].shape), self.dtype)
            early, late = both[: time * batch], both[batch:]
            starts, ends = (late, early) if call.reverse else (early, late)
            kept[start] = starts
            if end is not None:
                kept[end] = ends
            if is_output:
                y = ends.view(time, batch, *self.plan.outputs[0])
        saved = [
            self.allocate((time * batch, *node.shape), self.dtype) if found is None else found
            for node, found in zip(self.plan.saved, kept, strict=True)
        ]
        return _output((time, batch, *self.plan.outputs[0]), self.dtype, call) if y is None else y, saved

    def forward(
        self, parameters: Sequence[Tensor], call: Call, *, save: bool, apart: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run the forward program: outputs `(time, batch, ...)`, last states, and what is saved.

        Saved streams are `(time * batch, ...)`; with lengths the rows' steps follow one another from the front. Some
        may lie in the memory of others or of the outputs, unless all have to be `apart`.
        """
        kernel = self.forward_kernel if save else self.infer
        if save:
            y, saved = self._memory(call, apart=apart)
        else:
            y, saved = _output((*call.xs[0].shape[:2], *self.plan.outputs[0]), self.dtype, call), []
        last = [torch.empty(leaf.shape, dtype=self.computed) for leaf in call.state]
        arguments = Arguments(
            _views(call) | {("out", 0): y},
            {("out", index + 1): stream for index, stream in enumerate(saved)},
            [(start, end, None) for start, end in zip(self._widened(call.state), last, strict=True)],
            {},
        )
        program = self.plan.forward if save else self.plan.infer
        self._run(kernel, program, parameters, call, arguments, call.reverse)
        return y, [end.to(leaf.dtype) for end, leaf in zip(last, call.state, strict=True)], saved

    def backward(
        self,
        parameters: Sequence[Tensor],
        call: Call,
        saved: Sequence[Tensor],
        dy: Tensor | None,
        dlast: Sequence[Tensor | None],
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor | None]]:
        """Run the backward program: gradients of the parameters, of x and of the first state."""
        kernel, program = self.backward_kernel, self.plan.backward
        assert program is not None
        time, batch = call.xs[0].shape[:2]
        cotangent, starts = self._cotangents(call.xs[0], call.state, dy, dlast)
        dstate = [torch.empty_like(start) for start in starts]
        cut = [None if call.resets is None else torch.zeros_like(start) for start in starts]
        dx = _output(call.xs[0].shape, self.dtype, call) if self.plan.has_dx else None
        streams = {
            sink.index: self.allocate((time * batch, *sink.node.shape), self.dtype)
            for sink in program.of("stream")
            if not (self.plan.has_dx and sink.index == 0)
        }
        totals = {
            sink.index: torch.zeros((batch, *sink.node.shape), dtype=self.computed) for sink in program.of("total")
        }
        views = _views(call) | {("dy", 0): dense(cotangent)}
        if dx is not None:
            views["out", 0] = dx
        arguments = Arguments(
            views,
            {("saved", index): stream for index, stream in enumerate(saved)}
            | {("out", index): stream for index, stream in streams.items()},
            list(zip(starts, dstate, cut, strict=True)),
            totals,
        )
        self._run(kernel, program, parameters, call, arguments, not call.reverse)
        sums = contractions(self.plan.contractions, call, saved, streams, totals, self._products)
        assert self.plan.weights is not None
        gradients = run_graph(self.plan.weights, [*self._widened(parameters), *sums])
        state_gradients: list[Tensor | None] = [
            end if part is None else end + part for end, part in zip(dstate, cut, strict=True)
        ]
        return gradients, dx, state_gradients


def _all_steps_at_once(kernel: Kernel, arguments: Arguments, rows: Rows) -> None:
    """Run a program that no state passes through over all rows and steps, in blocks that fill the product's tiles."""
    whole = rows.total // BLOCK * BLOCK
    for start, stop in ((0, whole), (whole, rows.total)):
        if start == stop:
            continue
        batch = min(BLOCK, stop - start)
        shape = ((stop - start) // batch, batch)
        views = {
            key: view.reshape(rows.total, *view.shape[2:])[start:stop].reshape(*shape, *view.shape[2:])
            for key, view in arguments.views.items()
        }
        streams = {key: stream[start:stop] for key, stream in arguments.streams.items()}
        block = Rows(*shape, total=stop - start)
        launch(kernel, replace(arguments, views=views, streams=streams, carries=()), block)


def _output(shape: Sequence[int], dtype: torch.dtype, call: Call) -> Tensor:
    """Return memory for results; what is past a row's length is zero."""
    return empty(shape, dtype) if call.lengths is None else empty(shape, dtype).zero_()


def _views(call: Call) -> dict[tuple[str, int], Tensor]:
    return {("x", index): x for index, x in enumerate(call.xs)}
