"""A plan on a GPU: what is outside the loop by PyTorch's products, the loop by one kernel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from ostinato.engine import graph as g
from ostinato.engine.backends.triton import batched
from ostinato.engine.backends.triton.kernels import (
    Kernel,
    Launch,
    interpreted,
    launch,
    make_kernel,
    out_of_resources,
    split_by_phase,
)
from ostinato.engine.backends.triton.phases import Phases, order
from ostinato.engine.backends.triton.prepare import Prepared, prepare
from ostinato.engine.backends.triton.source import Form
from ostinato.engine.backends.triton.tiles import Limits, tilings
from ostinato.engine.calls import dense
from ostinato.engine.executable import Executable
from ostinato.engine.forks import lazy
from ostinato.engine.graph import Node
from ostinato.engine.plan import Contraction, Factor, Plan, Program, run_graph
from ostinato.engine.split import Split, split

_HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Call:
    """One call of `scan`."""

    xs: tuple[Tensor, ...]
    """`(time, batch, ...)`: x, then the tensors of the cell that have one row for each sequence, spread over time."""
    state: tuple[Tensor, ...]
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool
    seed: int


@dataclass(frozen=True)
class Parts:
    """A program in parts, the loop prepared for tiles."""

    split: Split
    core: Prepared


class TritonExecutable(Executable):
    """The programs of one plan; each is compiled when it is first needed."""

    def __init__(self, plan: Plan, dtype: torch.dtype, *, parallel: bool = False) -> None:
        super().__init__(plan, dtype, parallel=parallel)
        self.half = dtype in _HALVES
        self.computed = torch.float32 if self.half else dtype
        self._placed: dict[tuple[str, torch.device], fx.GraphModule] = {}

    streams_are_packed = False

    @lazy
    def _prepared(self) -> dict[str, Parts]:
        return {}

    @lazy
    def _chosen(self) -> dict[Any, list[Form]]:
        return {}

    @lazy
    def _kernels(self) -> dict[Any, list[Kernel]]:
        return {}

    # --- what the operator calls --------------------------------------------------------------------------------

    def call(
        self, x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, reverse: bool,
        seed: int, rows: Sequence[Tensor],
    ) -> Any:  # fmt: skip
        """Bring the tensors of a call into the layout that kernels read."""
        marks = None if resets is None else resets.to(torch.uint8).contiguous()
        spread = (row.to(x.dtype).contiguous().expand(x.shape[0], *row.shape) for row in rows)
        ends = None if lengths is None else lengths.to(torch.int32)
        return Call((dense(x), *spread), tuple(state), ends, marks, reverse, seed)

    def forward(
        self, parameters: Sequence[Tensor], call: Any, *, save: bool, apart: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run the forward program: outputs `(time, batch, ...)`, last states, and what is saved, `(time * batch, ...)`."""
        del apart  # nothing shares memory here
        which: Literal["forward", "infer"] = "forward" if save else "infer"
        start = [leaf.to(self.computed).contiguous() for leaf in call.state]
        views = {("x", index): x for index, x in enumerate(call.xs)}
        streams, last, _ = self._run(which, parameters, call, views, start, call.reverse)
        saved = [streams[index + 1].flatten(0, 1) for index in range(len(self.plan.saved))] if save else []
        return streams[0], [end.to(leaf.dtype) for end, leaf in zip(last, call.state, strict=True)], saved

    def backward(
        self, parameters: Sequence[Tensor], call: Any, saved: Sequence[Tensor], dy: Tensor | None,
        dlast: Sequence[Tensor | None],
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor | None]]:  # fmt: skip
        """Run the backward program: gradients of the parameters, of x and of the first state."""
        x = call.xs[0]
        time, batch = x.shape[:2]
        if dy is None:
            dy = torch.zeros(self.plan.outputs[0], dtype=self.dtype, device=x.device)
            dy = dy.expand(time, batch, *self.plan.outputs[0])
        start = [
            torch.zeros(leaf.shape, dtype=self.computed, device=x.device)
            if given is None
            else given.to(self.computed).contiguous()
            for leaf, given in zip(call.state, dlast, strict=True)
        ]
        views = {("x", index): part for index, part in enumerate(call.xs)} | {("dy", 0): dense(dy)}
        views |= {("saved", index): stream.unflatten(0, (time, batch)) for index, stream in enumerate(saved)}
        streams, dstate, cut = self._run("backward", parameters, call, views, start, not call.reverse)
        sums = _contractions(self.plan.contractions, call, saved, streams, self.dtype)
        gradients = self._weight_gradients(parameters, sums, x.device)
        state_gradients: list[Tensor | None] = [
            end if part is None else end + part for end, part in zip(dstate, cut, strict=True)
        ]
        return gradients, streams[0] if self.plan.has_dx else None, state_gradients

    # --- one program --------------------------------------------------------------------------------------------

    def _program(self, which: str) -> Program:
        program = {"infer": self.plan.infer, "forward": self.plan.forward, "backward": self.plan.backward}[which]
        assert program is not None
        return program

    def _parts(self, which: str) -> Parts:
        if which not in self._prepared:
            program = self._program(which)
            found = split(program) or Split(None, program, None, (), ())
            self._prepared[which] = Parts(found, prepare(found.core))
        return self._prepared[which]

    def _run(
        self, which: str, parameters: Sequence[Tensor], call: Call, views: dict[tuple[str, int], Tensor],
        start: Sequence[Tensor], reverse: bool,
    ) -> tuple[dict[int, Tensor], list[Tensor], list[Tensor | None]]:  # fmt: skip
        """Return all streams of a program, totals among them (as `-1 - index`), the last carries and what resets cut."""
        parts = self._parts(which)
        x = call.xs[0]
        constants = self._all_constants(parameters, x.device)
        time, batch = x.shape[:2]
        inputs = dict(views)
        if parts.split.before is not None:
            made = self._at_once(parts.split.before, inputs, constants, time, batch)
            inputs |= {("early", sink.index - 1): value for sink, value in made}
        outputs = {
            sink.index: self._stream(sink.node, sink.index, parts.core, call, x)
            for sink in parts.core.sinks
            if sink.kind == "stream"
        }
        last = [torch.empty_like(leaf) for leaf in start]
        cut = [torch.zeros_like(leaf) if call.resets is not None and which == "backward" else None for leaf in start]
        resets = "" if call.resets is None else ("after" if which == "backward" else "before")
        if time and batch:
            on = Launch(inputs, constants, outputs, start, last, cut, call.lengths, call.resets, call.seed, time, batch)
            self._launch(which, on, resets, reverse, x)
        streams = dict(outputs)
        if parts.split.after is not None:
            late = {("late", index): stream for index, stream in outputs.items()}
            for sink, value in self._at_once(parts.split.after, inputs | late, constants, time, batch):
                streams[sink.index] = _masked(value.to(self.dtype), call)
        for index, stream in parts.core.totals.items():
            streams[-1 - index] = outputs[stream]
        return streams, last, cut

    def _at_once(
        self,
        program: Program,
        inputs: dict[tuple[str, int], Tensor],
        constants: Sequence[Tensor],
        time: int,
        batch: int,
    ) -> list[tuple[Any, Tensor]]:
        given = {
            name: inputs[name].reshape(time * batch, *inputs[name].shape[2:]).to(self.computed)
            for name in batched.read_by(program)
        }
        found = batched.run(program, given, constants, self.dtype)
        return [(sink, value.unflatten(0, (time, batch))) for sink, value in zip(program.sinks, found, strict=True)]

    def _stream(self, node: Node, index: int, core: Prepared, call: Call, x: Tensor) -> Tensor:
        dtype = self.computed if index in core.totals.values() else self.dtype
        make = torch.empty if call.lengths is None else torch.zeros
        if node.op == "cat" and sum(part.size for part in node.inputs) < node.size:
            make = torch.zeros
        return make((*x.shape[:2], *node.shape), dtype=dtype, device=x.device)

    def _launch(self, which: str, on: Launch, resets: str, reverse: bool, x: Tensor) -> None:
        """Run the loop with the first tiling that the device takes."""
        limits = Limits.of(x.device)
        key = (which, on.batch, _precision(x), on.lengths is not None, resets, reverse, limits)
        for form in self._forms(key):
            try:
                launch(self._compiled(which, form), on, limits.programs)
                return
            except out_of_resources() as error:
                refused = error
                self._chosen[key] = self._chosen[key][1:]
        raise RuntimeError(f"no tiling of this cell fits {x.device}: {refused}")

    def _forms(self, key: Any) -> list[Form]:
        """Return what a kernel may be written for, the best first."""
        if key not in self._chosen:
            which, batch, precision, lengths, resets, reverse, limits = key
            phases = order(self._parts(which).core, 1)
            common: Any = {"computed": _text(self.computed), "operand": _text(self.dtype), "precision": precision}
            common |= {"lengths": lengths, "resets": resets, "reverse": reverse}
            self._chosen[key] = [
                Form(tiling, widened=interpreted() and self.half, **common)
                for tiling in tilings(phases, batch, self.dtype.itemsize, limits)
            ]
        return self._chosen[key]

    def _compiled(self, which: str, form: Form) -> list[Kernel]:
        if (which, form) not in self._kernels:
            phases = order(self._parts(which).core, form.tiling.columns)
            apart = interpreted() and form.tiling.columns > 1
            self._kernels[which, form] = split_by_phase(phases, form) if apart else [make_kernel(phases, form)]
        return self._kernels[which, form]

    def _all_constants(self, parameters: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        made = run_graph(self._graph("constants", device), self._widened(parameters))
        return [value.to(self.computed).contiguous() for value in made]

    def _weight_gradients(
        self, parameters: Sequence[Tensor], sums: Sequence[Tensor], device: torch.device
    ) -> list[Tensor | None]:
        return run_graph(self._graph("weights", device), [*self._widened(parameters), *sums])

    def _graph(self, name: Literal["constants", "weights"], device: torch.device) -> fx.GraphModule:
        """Return a part of PyTorch's graph that makes its tensors on a device; it was traced on the CPU."""
        if (name, device) not in self._placed:
            graph = getattr(self.plan, name)
            assert graph is not None
            self._placed[name, device] = _on_device(graph, device)
        return self._placed[name, device]

    def _widened(self, values: Sequence[Tensor]) -> list[Tensor]:
        return [value.float() if value.dtype in _HALVES else value for value in values]


def _on_device(graph: fx.GraphModule, device: torch.device) -> fx.GraphModule:
    if device.type == "cpu":
        return graph
    placed = copy.deepcopy(graph).to(device)
    for name, value in list(vars(placed).items()):
        if isinstance(value, Tensor):
            setattr(placed, name, value.to(device))
    for node in placed.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": device}
    placed.recompile()
    return placed


def _text(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _precision(x: Tensor) -> str:
    """Return how products of float32 are made, by PyTorch's own switch."""
    tf32 = x.dtype is torch.float32 and torch.backends.cuda.matmul.allow_tf32
    return "tf32" if tf32 else "ieee"


def _masked(stream: Tensor, call: Call) -> Tensor:
    """Return a stream with zeros past each row's length."""
    if call.lengths is None:
        return stream
    real = torch.arange(stream.shape[0], device=stream.device)[:, None] < call.lengths
    return torch.where(real.reshape(*real.shape, *[1] * (stream.dim() - 2)), stream, 0)


def _contractions(
    contractions: Sequence[Contraction], call: Call, saved: Sequence[Tensor], streams: dict[int, Tensor], dtype: Any
) -> list[Tensor]:
    """Sum over all rows and steps: one large product for each weight."""
    known: dict[Factor, Tensor] = {}

    def factor(of: Factor) -> Tensor:
        if of not in known:
            if of.kind == "x":
                source = _masked(call.xs[of.index], call).flatten(0, 1)
            else:
                source = saved[of.index] if of.kind == "saved" else streams[of.index].flatten(0, 1)
            known[of] = _viewed(source, of.views).to(dtype)
        return known[of]

    totals: dict[int, Tensor] = {}
    sums = []
    for contraction in contractions:
        if contraction.factors is None:
            if contraction.total not in totals:
                stream = streams[-1 - contraction.total]
                totals[contraction.total] = stream.flatten(0, 1).sum(0, dtype=_sum_type(stream))
            sums.append(totals[contraction.total].reshape(contraction.shape))
        else:
            a, b = (factor(part) for part in contraction.factors)
            sums.append(_outer(a, b).reshape(contraction.shape))
    return sums


def _sum_type(stream: Tensor) -> torch.dtype:
    return torch.float32 if stream.dtype in _HALVES else stream.dtype


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum over the first axis of outer products of the last, block by block of those between."""
    kind = _sum_type(a)
    if a.dim() == 2:
        return (a.t() @ b).to(kind)
    return torch.einsum("bhn,bhm->hnm", a.flatten(1, -2), b.flatten(1, -2)).to(kind)


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
