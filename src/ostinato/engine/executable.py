"""A plan made runnable: which tensors its programs take and give, forward and backward. The backend is the CPU's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ostinato.engine import graph as g
from ostinato.engine.cpu.kernels import Kernel, compile_program
from ostinato.engine.cpu.launch import Arguments, Rows, contract, launch, rows_of
from ostinato.engine.graph import Node
from ostinato.engine.memory import empty
from ostinato.engine.plan import Contraction, Factor, Plan, run_graph


@dataclass(frozen=True)
class Call:
    """One call of `scan`, as kernels see it."""

    xs: tuple[Tensor, ...]
    """`(time, batch, ...)`, the features dense: x, then the tensors of the cell that have one row for each sequence,
    spread over time."""
    state: tuple[Tensor, ...]
    rows: Rows
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool
    seed: int


def make_call(
    x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, reverse: bool, seed: int,
    rows: Sequence[Tensor] = (),
) -> Call:  # fmt: skip
    """Bring the tensors of a call into the layout that kernels read."""
    places = rows_of(x.shape[0], x.shape[1], lengths)
    marks = None if resets is None else resets.to(torch.uint8).contiguous()
    spread = (row.to(x.dtype).contiguous().expand(x.shape[0], *row.shape) for row in rows)
    start = tuple(leaf.contiguous() for leaf in state)
    return Call((dense(x), *spread), start, places, lengths, marks, reverse, seed)


def dense(x: Tensor) -> Tensor:
    """Return `(time, batch, ...)` whose features lie one after the other; time and batch may lie anyhow."""
    step = 1
    for size, stride in zip(reversed(x.shape[2:]), reversed(x.stride()[2:]), strict=True):
        if size != 1 and stride != step:
            return x.contiguous()
        step *= size
    return x


class Executable:
    """The compiled programs of one plan; each is compiled when it is first needed."""

    def __init__(self, plan: Plan, dtype: torch.dtype) -> None:
        self.plan = plan
        self.dtype = dtype
        self._name: Any = "float32" if dtype is torch.float32 else "float64"

    @cached_property
    def infer(self) -> Kernel:
        """The forward program that saves nothing."""
        return compile_program(self.plan.infer, self._name, "before")

    @cached_property
    def forward_kernel(self) -> Kernel:
        """The forward program that saves what the backward program needs."""
        return compile_program(self.plan.forward, self._name, "before")

    @cached_property
    def backward_kernel(self) -> Kernel:
        """The backward program."""
        assert self.plan.backward is not None
        return compile_program(self.plan.backward, self._name, "after")

    def rows(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors of the cell that have one row for each sequence."""
        signature = self.plan.captured.signature
        return [parameters[signature.parameters.index(name)] for name in signature.rows]

    @cached_property
    def is_random(self) -> bool:
        """Whether a step draws random numbers."""
        order = g.topological(sink.node for sink in self.plan.infer.sinks)
        return any(node.op == "random" for node in order)

    @cached_property
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

    def constants(self, parameters: Sequence[Tensor], kernel: Kernel) -> list[Tensor]:
        """Compute the constants of a kernel from the parameters, dense where it reads them itself."""
        simple = self._simple_constants
        if simple is not None:
            values = [
                parameters[index].detach().t() if turned else parameters[index].detach() for index, turned in simple
            ]
        else:
            values = run_graph(self.plan.constants, parameters)
        in_order = kernel.dense_constants
        return [
            value.to(self.dtype).contiguous() if index in in_order else value.to(self.dtype)
            for index, value in enumerate(values)
        ]

    def forward(
        self, parameters: Sequence[Tensor], call: Call, *, save: bool
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run the forward program: outputs `(time, batch, ...)`, last states, and what is saved.

        Saved streams are `(time * batch, ...)`; with lengths the rows' steps follow one another from the front.
        """
        kernel = self.forward_kernel if save else self.infer
        constants = self.constants(parameters, kernel)
        time, batch = call.xs[0].shape[:2]
        shape = (time, batch, *self.plan.outputs[0])
        y = _output(shape, self.dtype, call)
        last = [torch.empty_like(leaf) for leaf in call.state]
        kept = self.plan.saved if save else ()
        saved = [empty((time * batch, *node.shape), self.dtype) for node in kept]
        arguments = Arguments(
            _views(call) | {("out", 0): y},
            {("out", index + 1): stream for index, stream in enumerate(saved)},
            [(start, end, None) for start, end in zip(call.state, last, strict=True)],
            {},
            constants,
        )
        launch(kernel, arguments, call.rows, reverse=call.reverse, seed=call.seed, resets=call.resets)
        return y, last, saved

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
        constants = self.constants(parameters, kernel)
        time, batch = call.xs[0].shape[:2]
        cotangent = (
            dense(dy)
            if dy is not None
            else torch.zeros(self.plan.outputs[0], dtype=self.dtype).expand((time, batch, *self.plan.outputs[0]))
        )
        starts = [
            torch.zeros_like(leaf) if given is None else given.contiguous()
            for leaf, given in zip(call.state, dlast, strict=True)
        ]
        dstate = [torch.empty_like(leaf) for leaf in call.state]
        cut = [None if call.resets is None else torch.zeros_like(leaf) for leaf in call.state]
        dx = _output(call.xs[0].shape, self.dtype, call) if self.plan.has_dx else None
        streams = {
            sink.index: empty((time * batch, *sink.node.shape), self.dtype)
            for sink in program.of("stream")
            if not (self.plan.has_dx and sink.index == 0)
        }
        totals = {sink.index: torch.zeros((batch, *sink.node.shape), dtype=self.dtype) for sink in program.of("total")}
        views = _views(call) | {("dy", 0): cotangent}
        if dx is not None:
            views["out", 0] = dx
        arguments = Arguments(
            views,
            {("saved", index): stream for index, stream in enumerate(saved)}
            | {("out", index): stream for index, stream in streams.items()},
            list(zip(starts, dstate, cut, strict=True)),
            totals,
            constants,
        )
        launch(kernel, arguments, call.rows, reverse=not call.reverse, seed=call.seed, resets=call.resets)
        sums = _contractions(self.plan.contractions, call, saved, streams, totals)
        assert self.plan.weights is not None
        gradients = run_graph(self.plan.weights, [*parameters, *sums])
        state_gradients: list[Tensor | None] = [
            end if part is None else end + part for end, part in zip(dstate, cut, strict=True)
        ]
        return gradients, dx, state_gradients


def _contractions(
    contractions: Sequence[Contraction],
    call: Call,
    saved: Sequence[Tensor],
    streams: dict[int, Tensor],
    totals: dict[int, Tensor],
) -> list[Tensor]:
    """Sum over all rows and steps: one large product for each weight."""
    known: dict[Factor, Tensor] = {}

    def factor(of: Factor) -> Tensor:
        if of not in known:
            if of.kind == "x":
                source = _flat(call, call.xs[of.index])
            else:
                source = saved[of.index] if of.kind == "saved" else streams[of.index]
            known[of] = _viewed(source[: call.rows.total], of.views)
        return known[of]

    column_sums: dict[int, Tensor] = {}
    sums = []
    for contraction in contractions:
        if contraction.factors is None:
            if contraction.total not in column_sums:
                column_sums[contraction.total] = totals[contraction.total].sum(0)
            sums.append(column_sums[contraction.total].reshape(contraction.shape))
        else:
            a, b = (factor(part) for part in contraction.factors)
            sums.append(_outer(a, b).reshape(contraction.shape))
    return sums


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum over the first axis of outer products of the last, block by block of those between."""
    if a.dim() == 2:
        return contract(_dense_rows(a), _dense_rows(b))
    a, b = a.flatten(1, -2), b.flatten(1, -2)
    heads = [contract(_dense_rows(a[:, head]), _dense_rows(b[:, head])) for head in range(a.shape[1])]
    return torch.stack(heads)


def _dense_rows(factor: Tensor) -> Tensor:
    return factor if factor.stride(1) == 1 or factor.shape[1] == 1 else factor.contiguous()


def _output(shape: Sequence[int], dtype: torch.dtype, call: Call) -> Tensor:
    """Return memory for results; what is past a row's length is zero."""
    return empty(shape, dtype) if call.lengths is None else empty(shape, dtype).zero_()


def _views(call: Call) -> dict[tuple[str, int], Tensor]:
    return {("x", index): x for index, x in enumerate(call.xs)}


def _flat(call: Call, x: Tensor) -> Tensor:
    """Return the steps of x in the order of the streams, `(total, ...)`, without what is past a row's length."""
    if call.lengths is None:
        return x.reshape(-1, *x.shape[2:])
    real = torch.arange(x.shape[0]) < call.lengths[:, None]
    return x.transpose(0, 1)[real]


def _viewed(stream: Tensor, views: Sequence[Node]) -> Tensor:
    for view in views:
        if view.op == "slice":
            axis, start = view.attr
            stream = stream.narrow(axis + 1, start, view.shape[axis])
        elif view.op == "permute":
            stream = stream.permute(0, *(axis + 1 for axis in view.attr))
        else:
            stream = stream.reshape(-1, *view.shape)
    return stream
