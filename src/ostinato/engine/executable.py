"""A plan made runnable: which tensors its programs take and give, forward and backward. The backend is the CPU's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ostinato.engine import graph as g
from ostinato.engine.calls import Call, dense, make_call
from ostinato.engine.cpu.kernels import Kernel, compile_program
from ostinato.engine.cpu.launch import Arguments, Rows, launch
from ostinato.engine.forks import lazy
from ostinato.engine.linear import Pieces, count_of, ends_of, factors_of, is_linear, run_in_pieces
from ostinato.engine.memory import empty
from ostinato.engine.plan import Plan, Program, run_graph
from ostinato.engine.reads import read_backward
from ostinato.engine.split import Split, split
from ostinato.engine.sums import contractions

_FEW_ROWS, _WORTH = 1, 4_000_000
"""Up to so many rows, and from so many multiply-adds, what does not pass through the state is done outside the loop.

A minGRU of 256 units over 10,000 steps of one row takes 26 ms rather than 49 so (one thread); an LSTM of 32 units over
100 steps would take .22 rather than .16. From two rows on there is nothing to gain on one thread.
"""
_BLOCK = 256
"""Rows of such work that go through the products together."""


@dataclass(frozen=True)
class Parts:
    """A split program, compiled."""

    split: Split
    kernels: list[Kernel | None]
    """Before the loop, in it, after it."""
    pieces: Pieces | None
    """For a linear core, if it may be cut."""


class Executable:
    """The compiled programs of one plan; each is compiled when it is first needed.

    Args:
        plan: what is done.
        dtype: of the sequences.
        parallel: whether one row's steps may be shared among threads, see `linear`.
    """

    def __init__(self, plan: Plan, dtype: torch.dtype, *, parallel: bool = False) -> None:
        self.plan = plan
        self.parallel = parallel
        self.dtype = dtype
        """Of sequences, outputs and what is kept."""
        self.half = dtype is torch.bfloat16
        self.computed = torch.float32 if self.half else dtype
        """Of the state and of all sums."""
        self._name: Any = "float64" if dtype is torch.float64 else "float32"

    streams_are_packed = True
    """Whether, with lengths, the steps of a row follow one another in what is saved, with no place for what is past."""

    def call(
        self, x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, reverse: bool,
        seed: int, rows: Sequence[Tensor],
    ) -> Any:  # fmt: skip
        """Bring the tensors of a call into the layout that kernels read."""
        return make_call(x, state, lengths, resets, reverse, seed, rows)

    @lazy
    def _parts(self) -> dict[int, Parts | None]:
        return {}

    def _split(self, kernel: Kernel, program: Program) -> Parts | None:
        """Return a program with what need not be in the loop taken out of it, compiled."""
        if id(kernel) not in self._parts:
            resets: Literal["before", "after"] = "after" if program is self.plan.backward else "before"

            def compiled(part: Program) -> Kernel:
                return compile_program(part, self._name, resets)

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
        few = (
            rows.lengths is None
            and rows.batch <= _FEW_ROWS
            and (kernel.work * rows.total >= _WORTH or self.parallel)
            and not self.half  # what passes between the parts would be rounded
        )
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
            streams["early", index] = empty((rows.total, *node.shape), self.dtype)
        for index, node in parts.split.late:
            streams["out", index] = empty((rows.total, *node.shape), self.dtype)
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

    @lazy
    def infer(self) -> Kernel:
        """The forward program that saves nothing."""
        return compile_program(self.plan.infer, self._name, "before", half=self.half)

    @lazy
    def forward_kernel(self) -> Kernel:
        """The forward program that saves what the backward program needs."""
        return compile_program(self.plan.forward, self._name, "before", half=self.half)

    @lazy
    def backward_kernel(self) -> Kernel:
        """The backward program."""
        assert self.plan.backward is not None
        return compile_program(self.plan.backward, self._name, "after", half=self.half)

    def rows(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors of the cell that have one row for each sequence."""
        signature = self.plan.captured.signature
        return [parameters[signature.parameters.index(name)] for name in signature.rows]

    @lazy
    def read_backward(self) -> tuple[bool, ...]:
        """For each of parameters, x and states: whether the backward pass reads its numbers."""
        return read_backward(self.plan)

    @lazy
    def reads_x(self) -> bool:
        """Whether the backward pass reads the sequences."""
        return self.read_backward[len(self.plan.captured.signature.parameters)]

    @lazy
    def is_random(self) -> bool:
        """Whether a step draws random numbers."""
        order = g.topological(sink.node for sink in self.plan.infer.sinks)
        return any(node.op == "random" for node in order)

    @lazy
    def _simple_constants(self) -> list[tuple[int, bool]] | None:
        """Constants that are parameters, some transposed: the usual case, for which PyTorch's graph is a detour."""
        nodes = list(self.plan.constants.graph.nodes)
        places = {node: index for index, node in enumerate(nodes) if node.op == "placeholder"}
        found = []
        for node in nodes[-1].args[0]:
            turned = node.target is torch.ops.aten.permute.default and list(node.args[1]) == [1, 0]
            source = node.args[0] if turned else node
            if source not in places:
                return None
            found.append((places[source], turned))
        return found

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

    def _widened(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return values in the precision that is computed in."""
        return [value.float() if value.dtype is torch.bfloat16 else value for value in values]

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
            both = empty(((time + 1) * batch, *self.plan.saved[start].shape), self.dtype)
            early, late = both[: time * batch], both[batch:]
            starts, ends = (late, early) if call.reverse else (early, late)
            kept[start] = starts
            if end is not None:
                kept[end] = ends
            if is_output:
                y = ends.view(time, batch, *self.plan.outputs[0])
        saved = [
            empty((time * batch, *node.shape), self.dtype) if found is None else found
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
        cotangent = (
            dense(dy)
            if dy is not None
            else torch.zeros(self.plan.outputs[0], dtype=self.dtype).expand((time, batch, *self.plan.outputs[0]))
        )
        starts = [
            torch.zeros(leaf.shape, dtype=self.computed) if given is None else given.to(self.computed).contiguous()
            for leaf, given in zip(call.state, dlast, strict=True)
        ]
        dstate = [torch.empty_like(start) for start in starts]
        cut = [None if call.resets is None else torch.zeros_like(start) for start in starts]
        dx = _output(call.xs[0].shape, self.dtype, call) if self.plan.has_dx else None
        streams = {
            sink.index: empty((time * batch, *sink.node.shape), self.dtype)
            for sink in program.of("stream")
            if not (self.plan.has_dx and sink.index == 0)
        }
        totals = {
            sink.index: torch.zeros((batch, *sink.node.shape), dtype=self.computed) for sink in program.of("total")
        }
        views = _views(call) | {("dy", 0): cotangent}
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
        sums = contractions(self.plan.contractions, call, saved, streams, totals)
        assert self.plan.weights is not None
        gradients = run_graph(self.plan.weights, [*self._widened(parameters), *sums])
        state_gradients: list[Tensor | None] = [
            end if part is None else end + part for end, part in zip(dstate, cut, strict=True)
        ]
        return gradients, dx, state_gradients


def _all_steps_at_once(kernel: Kernel, arguments: Arguments, rows: Rows) -> None:
    """Run a program that no state passes through over all rows and steps, in blocks that fill the product's tiles."""
    whole = rows.total // _BLOCK * _BLOCK
    for start, stop in ((0, whole), (whole, rows.total)):
        if start == stop:
            continue
        batch = min(_BLOCK, stop - start)
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
