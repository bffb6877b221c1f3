"""A plan on a GPU: what is outside the loop by PyTorch's products, the loop by one kernel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.calls import dense
from ostinato.engine.backends.executable import Executable
from ostinato.engine.backends.target import Target
from ostinato.engine.backends.triton.loop import Found, Given, Kind, Loop, spread
from ostinato.engine.backends.triton.phases import Phases, order
from ostinato.engine.backends.triton.prepare import Prepared, prepare
from ostinato.engine.backends.triton.quick import Backward, Forward, Lengths, longer
from ostinato.engine.backends.triton.tiles import LEAST, Limits, tilings
from ostinato.engine.backends.triton.weights import Weights
from ostinato.engine.forks import lazy
from ostinato.engine.plan import graph as g
from ostinato.engine.plan import words
from ostinato.engine.plan.plan import Plan, Program
from ostinato.engine.plan.split import Split, split

_MOST_LOOPS, _MOST_QUICK = 256, 64
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
    def _loops(self) -> OrderedDict[Kind, Loop]:
        return OrderedDict()

    @lazy
    def _quick(self) -> OrderedDict[Any, Any]:
        return OrderedDict()

    @lazy
    def _sums(self) -> dict[torch.device, Weights]:
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
        core = self.parts_of(which).core
        best = tilings(order(core, 1), LEAST, self.dtype.itemsize, limits)[0]
        return order(core, best.columns)

    def steps(self, *, backward: bool) -> list[str]:
        """Return what is done at a step: outside of the loop, then in each phase."""
        which = "backward" if backward else "forward"
        parts, phases = self.parts_of(which), self._phases(which)
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
        ends = None if lengths is None else lengths.to(torch.int32)
        return Call((dense(x), *spread(rows, x)), tuple(state), ends, marks, reverse, seed)

    def forward(
        self, parameters: Sequence[Tensor], call: Any, *, save: bool, apart: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run the forward program: outputs, last states, and what is saved; see `Executable.forward`."""
        del apart  # nothing shares memory here
        views = {("x", index): x for index, x in enumerate(call.xs)}
        start = [leaf.contiguous() for leaf in call.state]
        found = self._run("forward" if save else "infer", parameters, call, views, start)
        saved = [found.streams[index + 1].flatten(0, 1) for index in range(len(self.plan.saved))] if save else []
        return found.streams[0], found.last, saved

    def backward(
        self, parameters: Sequence[Tensor], call: Any, saved: Sequence[Tensor], dy: Tensor | None,
        dlast: Sequence[Tensor | None],
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor | None]]:  # fmt: skip
        """Run the backward program: gradients of the parameters, of x and of the first state."""
        x = call.xs[0]
        views = {("x", index): part for index, part in enumerate(call.xs)} | {("dy", 0): self.cotangent(dy, x)}
        # of a row that is alone only the steps that were walked were kept
        whole = [longer(stream, x.shape[0] * x.shape[1]) for stream in saved]
        kept = [stream.view(*x.shape[:2], *stream.shape[1:]) for stream in whole]
        views |= {("saved", index): stream for index, stream in enumerate(kept)}
        start = [None if given is None else given.resolve_neg().contiguous() for given in dlast]
        found = self._run("backward", parameters, call, views, start)
        gradients = self.weights(x.device).of(parameters, call.xs, kept, found.streams, call.lengths)
        return gradients, found.streams[0] if self.plan.has_dx else None, list(found.last)

    def cotangent(self, dy: Tensor | None, x: Tensor) -> Tensor:
        """Return the gradient of the outputs as kernels read it, zeros where there is none."""
        if dy is None:
            output = self.plan.outputs[0]
            return torch.zeros(output, dtype=self.dtype, device=x.device).expand((*x.shape[:2], *output))
        # of complex numbers' imaginary parts, some gradients are kept with their sign turned
        return dense(dy.resolve_neg().to(self.dtype))

    def _run(
        self, which: str, parameters: Sequence[Tensor], call: Call, views: dict[tuple[str, int], Tensor],
        start: Sequence[Tensor | None],
    ) -> Found:  # fmt: skip
        x = call.xs[0]
        reverse = call.reverse != (which == "backward")
        loop = self.loop(which, x, call.lengths is not None, call.resets is not None, reverse)
        return loop.run(Given(parameters, views, x.shape[0], start, call.lengths, call.resets, call.seed), {})

    # --- calls of one shape -------------------------------------------------------------------------------------

    def quick_forward(
        self, steps: int, batch: int, reverse: bool, *, save: bool, ragged: bool = False, resets: bool = False
    ) -> Forward:
        """Return what runs calls of one shape forward with little around it."""
        key = steps, batch, reverse, save, ragged, resets
        found: Forward = _kept(self._quick, key, lambda: Forward(self, *key), _MOST_QUICK)
        return found

    def quick_backward(
        self, steps: int, batch: int, reverse: bool, *, ragged: bool = False, resets: bool = False
    ) -> Backward:
        """Return the same for the backward pass."""
        key = steps, batch, reverse, ragged, resets
        found: Backward = _kept(self._quick, key, lambda: Backward(self, *key), _MOST_QUICK)
        return found

    def quick_rows(self, lengths: Tensor, steps: int) -> Lengths | None:
        """Return lengths as the quick way reads them."""
        return Lengths.of(lengths, steps)

    # --- one program --------------------------------------------------------------------------------------------

    def _program(self, which: str) -> Program:
        program = {"infer": self.plan.infer, "forward": self.plan.forward, "backward": self.plan.backward}[which]
        assert program is not None
        return program

    def parts_of(self, which: str) -> Parts:
        """Return a program in parts."""
        if which not in self._prepared:
            program = self._program(which)
            found = split(program) or Split(None, program, None, (), ())
            self._prepared[which] = Parts(found, prepare(found.core))
        return self._prepared[which]

    def loop(self, which: str, x: Tensor, lengths: bool, resets: bool, reverse: bool) -> Loop:
        """Return what runs a program over calls of the kind of this one."""
        kind = Kind(which, x.shape[1], lengths, resets, reverse, _precision(x), x.device)
        found: Loop = _kept(self._loops, kind, lambda: Loop(self, kind), _MOST_LOOPS)
        return found

    def weights(self, device: torch.device) -> Weights:
        """Return what makes the gradients of parameters on a device."""
        if device not in self._sums:
            self._sums[device] = Weights(self.plan, device, self.dtype, self.computed)
        return self._sums[device]


def _kept(known: OrderedDict[Any, Any], key: Any, make: Callable[[], Any], most: int) -> Any:
    """Return what is known under a key, made now if it is not; the oldest are forgotten."""
    found = known.get(key)
    if found is None:
        found = known[key] = make()
        if len(known) > most:
            with suppress(KeyError):  # another thread may have been quicker
                known.popitem(last=False)
    return found


_fp32_precision: Any = getattr(torch._C, "_get_fp32_precision_getter", None)


def _precision(x: Tensor) -> str:
    """Return how products of float32 are made, by PyTorch's own switches, the old one and the new."""
    if x.dtype is not torch.float32:
        return "ieee"
    if _fp32_precision is not None:
        return "tf32" if _fp32_precision("cuda", "matmul") == "tf32" else "ieee"
    return "tf32" if torch._C._get_cublas_allow_tf32() else "ieee"
