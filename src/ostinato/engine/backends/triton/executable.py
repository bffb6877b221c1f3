"""A plan on a GPU: what is outside the loop by PyTorch's products, the loop by one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ostinato.engine.backends import sums
from ostinato.engine.backends.calls import dense
from ostinato.engine.backends.executable import Executable
from ostinato.engine.backends.target import Target
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
from ostinato.engine.backends.triton.tiles import LEAST, Limits, tilings
from ostinato.engine.backends.triton.values import Form
from ostinato.engine.forks import lazy
from ostinato.engine.plan import graph as g
from ostinato.engine.plan import words
from ostinato.engine.plan.formulas import Formulas, run_graph
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Contraction, Factor, Plan, Program
from ostinato.engine.plan.split import Split, split

_GPU = Target("cuda")
"""What a kernel may use of the GPU that it runs on is asked when it is launched: see `tiles.Limits`."""


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

    streams_are_packed = False

    def __init__(self, plan: Plan, dtype: torch.dtype, target: Target = _GPU, *, parallel: bool = False) -> None:
        del parallel  # programs walk over rows
        super().__init__(plan, dtype, target)

    @lazy
    def _prepared(self) -> dict[str, Parts]:
        return {}

    @lazy
    def _chosen(self) -> dict[Any, list[Form]]:
        return {}

    @lazy
    def _kernels(self) -> dict[Any, list[Kernel]]:
        return {}

    def compile(self, *, training: bool) -> None:
        """Choose tilings, of 16 rows; Triton compiles at the first call, for its types.

        Raises:
            Unsupported: none fits.
        """
        names = ["forward", "backward"] if training and self.plan.backward is not None else ["infer"]
        for which in names:
            self._phases(which)

    def _phases(self, which: str) -> Phases:
        """Return a program's phases under the tiling for few rows, without a device at hand."""
        limits = Limits.of(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        core = self._parts_of(which).core
        best = tilings(order(core, 1), LEAST, self.dtype.itemsize, limits)[0]
        return order(core, best.columns)

    def steps(self, *, backward: bool) -> list[str]:
        """Return what is done at a step: outside of the loop, then in each phase."""
        which = "backward" if backward else "forward"
        parts, phases = self._parts_of(which), self._phases(which)
        lines = self._at_once_in_words(parts.split.before, "before the loop")
        shared = f", {phases.columns} programs share the columns" if phases.columns > 1 else ""
        for number, nodes in enumerate(phases.nodes):
            lines.append(f"phase {number + 1} of {phases.count}{shared}: {words.counted(nodes)}")
            lines += [f"  {words.product(node)}" for node in nodes if node.op == "matmul"]
        return lines + self._at_once_in_words(parts.split.after, "after the loop")

    def _at_once_in_words(self, program: Program | None, when: str) -> list[str]:
        nodes = [] if program is None else g.topological(sink.node for sink in program.sinks)
        return [f"{when}, all steps at once: {words.product(node)}" for node in nodes if node.op == "matmul"]

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
        """Run the forward program: outputs, last states, and what is saved; see `Executable.forward`."""
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
        dy, start = self._cotangents(x, call.state, dy, dlast)
        views = {("x", index): part for index, part in enumerate(call.xs)} | {("dy", 0): dense(dy)}
        views |= {("saved", index): stream.view(time, batch, *stream.shape[1:]) for index, stream in enumerate(saved)}
        streams, dstate, cut = self._run("backward", parameters, call, views, start, not call.reverse)
        summed = _contractions(self.plan.contractions, call, saved, streams, self.dtype)
        gradients = self._weight_gradients(parameters, summed, x.device)
        state_gradients: list[Tensor | None] = [
            end if part is None else end + part for end, part in zip(dstate, cut, strict=True)
        ]
        return gradients, streams[0] if self.plan.has_dx else None, state_gradients

    # --- one program --------------------------------------------------------------------------------------------

    def _program(self, which: str) -> Program:
        program = {"infer": self.plan.infer, "forward": self.plan.forward, "backward": self.plan.backward}[which]
        assert program is not None
        return program

    def _parts_of(self, which: str) -> Parts:
        if which not in self._prepared:
            program = self._program(which)
            found = split(program) or Split(None, program, None, (), ())
            self._prepared[which] = Parts(found, prepare(found.core))
        return self._prepared[which]

    def _run(
        self, which: str, parameters: Sequence[Tensor], call: Call, views: dict[tuple[str, int], Tensor],
        start: Sequence[Tensor], reverse: bool,
    ) -> tuple[dict[int, Tensor], list[Tensor], list[Tensor | None]]:  # fmt: skip
        """Return all streams of a program, totals among them as `-1 - index`, the last carries and what resets cut."""
        parts = self._parts_of(which)
        x = call.xs[0]
        constants = self._all_constants(parameters, x.device)
        time, batch = x.shape[:2]
        inputs = dict(views)
        if parts.split.before is not None:
            made = self._at_once(parts.split.before, inputs, constants, time, batch)
            inputs |= {("early", sink.index - 1): dense(value) for sink, value in made}
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
        return [
            (sink, value.reshape(time, batch, *value.shape[1:]))
            for sink, value in zip(program.sinks, found, strict=True)
        ]

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
                if form is self._chosen[key][-1]:
                    raise RuntimeError(_not_started(which, x, error)) from error
                self._chosen[key] = self._chosen[key][1:]
            except Exception as error:
                raise RuntimeError(_not_started(which, x, error)) from error

    def _forms(self, key: Any) -> list[Form]:
        """Return what a kernel may be written for, the best first."""
        if key not in self._chosen:
            which, batch, precision, lengths, resets, reverse, limits = key
            phases = order(self._parts_of(which).core, 1)
            common: Any = {"computed": _text(self.computed), "operand": _text(self.dtype), "precision": precision}
            common |= {"lengths": lengths, "resets": resets, "reverse": reverse}
            self._chosen[key] = [
                Form(tiling, widened=interpreted() and self.half, **common)
                for tiling in tilings(phases, batch, self.dtype.itemsize, limits)
            ]
        return self._chosen[key]

    def _compiled(self, which: str, form: Form) -> list[Kernel]:
        if (which, form) not in self._kernels:
            phases = order(self._parts_of(which).core, form.tiling.columns)
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

    def _graph(self, name: Literal["constants", "weights"], device: torch.device) -> Formulas:
        """Return formulas of the plan that make their tensors on a device."""
        formulas: Formulas = getattr(self.plan, name)
        return formulas.on(device)


def _not_started(which: str, x: Tensor, error: BaseException) -> str:
    reason = (str(error).splitlines() or [""])[0][:200]
    return (
        f"the kernel of the {which} program did not run on {x.device} ({type(error).__name__}: {reason}); set "
        "OSTINATO_ENGINE=off in the environment to run the eager loop"
    )


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
    of: Sequence[Contraction], call: Call, saved: Sequence[Tensor], streams: dict[int, Tensor], dtype: torch.dtype
) -> list[Tensor]:
    """Sum over all rows and steps: one large product for each weight."""

    def source(factor: Factor) -> Tensor:
        if factor.kind == "x":
            return _masked(call.xs[factor.index], call).flatten(0, 1).to(dtype)
        return (saved[factor.index] if factor.kind == "saved" else streams[factor.index].flatten(0, 1)).to(dtype)

    def total(index: int) -> Tensor:
        stream = streams[-1 - index]
        return stream.flatten(0, 1).sum(0, dtype=_sum_type(stream))

    return sums.contractions(of, source, total, _outer)


def _sum_type(stream: Tensor) -> torch.dtype:
    return torch.float32 if stream.dtype in (torch.bfloat16, torch.float16) else stream.dtype


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum over the first axis of outer products of the last, block by block of those between."""
    kind = _sum_type(a)
    if a.dim() == 2:
        return (a.t() @ b).to(kind)
    return torch.einsum("bhn,bhm->hnm", a.flatten(1, -2), b.flatten(1, -2)).to(kind)
