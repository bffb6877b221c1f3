"""A plan made runnable: what all backends share, and what each has to give; `backend` has the verbs for users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ostinato.engine.backends.backend import Backend, StepKernel
from ostinato.engine.backends.calls import ScanCall
from ostinato.engine.backends.target import Target
from ostinato.engine.forks import lazy
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.plan import Plan
from ostinato.engine.plan.reads import read_backward

_HALVES = (torch.bfloat16, torch.float16)


class Executable(Backend, ABC):
    """The programs of one plan on one kind of device; each is compiled when it is first needed.

    Args:
        plan: what is done.
        dtype: of the sequences.
        target: the machine that runs it.
    """

    streams_are_packed: ClassVar[bool]
    """Whether, with lengths, the steps of a row follow one another in what is saved, with no place for what is past."""

    def __init__(self, plan: Plan, dtype: torch.dtype, target: Target) -> None:
        self.plan = plan
        self.target = target
        self.dtype = dtype
        """Of sequences, outputs and what is kept."""
        self.half = dtype in _HALVES
        self.computed = torch.float32 if self.half else dtype
        """Of the state and of all sums."""

    def launch(self, call: ScanCall, *, save: bool, apart: bool = False) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run a call forward; see `forward`."""
        return self.forward(call.parameters, self._laid_out(call), save=save, apart=apart)

    def launch_backward(
        self, call: ScanCall, saved: Sequence[Tensor], dy: Tensor | None, dlast: Sequence[Tensor | None]
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor | None]]:
        """Run a call backward; see `backward`."""
        return self.backward(call.parameters, self._laid_out(call), saved, dy, dlast)

    def _laid_out(self, call: ScanCall) -> Any:
        parameters, x, state, lengths, resets, reverse, seed, _ = call
        return self.call(x, state, lengths, resets, reverse, seed, self.rows(parameters))

    def step(self, parameters: Sequence[Tensor], x: Tensor, state: Sequence[Tensor]) -> StepKernel:
        """Return one step on memory of its own.

        Raises:
            Unsupported: this backend has no single steps.
        """
        del parameters, x, state
        raise Unsupported(f"single steps on a device of the kind {self.target.kind}")

    def quick_forward(
        self, steps: int, batch: int, reverse: bool, *, save: bool, ragged: bool = False, resets: bool = False
    ) -> Any:
        """Return what runs calls of one shape with little around it; none if it has none.

        Args:
            steps: of the sequences.
            batch: rows.
            reverse: whether they are walked backwards.
            save: whether what the backward pass reads is kept.
            ragged: whether rows have lengths.
            resets: whether rows return to their start before marked steps.
        """
        del steps, batch, reverse, save, ragged, resets

    def quick_backward(
        self, steps: int, batch: int, reverse: bool, *, ragged: bool = False, resets: bool = False
    ) -> Any:
        """Return the same for the backward pass."""
        del steps, batch, reverse, ragged, resets

    def quick_rows(self, lengths: Tensor, steps: int) -> Any:
        """Return lengths as the quick way reads them: `lengths`, a copy, and what is the backend's own.

        None if it cannot, or if a length is not between 0 and `steps`.
        """
        del lengths, steps

    def quick_packed(self, sizes: Sequence[int], positions: int) -> Any:
        """Return how many rows each step of packed sequences has as the quick way reads it.

        None if it cannot, or if these are no sizes of so many positions.
        """
        del sizes, positions

    def quick_layers(
        self, layers: Any, steps: int, batch: int, *, save: bool, ragged: bool = False, packed: bool = False
    ) -> Any:
        """Return what runs several layers in one program, forward and, with `save`, backward; none if it has none.

        Args:
            layers: for each, the first one first, its directions: an executable, and whether it is walked backwards.
            steps: of the sequences.
            batch: rows.
            save: whether gradients may be asked for.
            ragged: whether rows have lengths.
            packed: whether these come as packed sequences.
        """
        del layers, steps, batch, save, ragged, packed

    def allocate(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return memory of the machine, whose numbers are not set."""
        return torch.empty(tuple(shape), dtype=dtype, device=self.target.kind)

    @abstractmethod
    def call(
        self, x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, reverse: bool,
        seed: int, rows: Sequence[Tensor],
    ) -> Any:  # fmt: skip
        """Bring the tensors of a call into the layout that kernels read."""

    @abstractmethod
    def forward(
        self, parameters: Sequence[Tensor], call: Any, *, save: bool, apart: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run the forward program: outputs `(time, batch, ...)`, last states, and what is saved.

        Saved streams are `(time * batch, ...)`. Some may lie in the memory of others or of the outputs, unless all have
        to be `apart`.
        """

    @abstractmethod
    def backward(
        self, parameters: Sequence[Tensor], call: Any, saved: Sequence[Tensor], dy: Tensor | None,
        dlast: Sequence[Tensor | None],
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor | None]]:  # fmt: skip
        """Run the backward program: gradients of the parameters, of x and of the first state."""

    @abstractmethod
    def compile(self, *, training: bool) -> None:
        """Compile what a call needs, now, as far as that is possible without one."""

    @abstractmethod
    def steps(self, *, backward: bool) -> list[str]:
        """Return what is done at a step, in order, in words."""

    def flops(self, *, backward: bool) -> int:
        """Return the floating-point operations of the products of one row at one step."""
        program = self.plan.backward if backward else self.plan.forward
        assert program is not None
        total = 0
        for node in g.topological(sink.node for sink in program.sinks):
            if node.op in g.PRODUCTS:
                pairs = len(node.inputs) - node.attr[0]
                total += sum(2 * node.size * matrix.shape[-2] for matrix in node.inputs[1:pairs:2])
        return total

    def rows(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors of the cell that have one row for each sequence."""
        signature = self.plan.signature
        return [parameters[signature.parameters.index(name)] for name in signature.rows]

    @property
    def products(self) -> str:
        """What products of matrices multiply and what they sum, in words."""
        if self.target.products == "full" or self.computed is not torch.float32:
            return str(self.computed).removeprefix("torch.")
        return f"{self.target.products}, sums of float32"

    @lazy
    def read_backward(self) -> tuple[bool, ...]:
        """For each of parameters, x and states: whether the backward pass reads its numbers."""
        return read_backward(self.plan)

    @lazy
    def reads_x(self) -> bool:
        """Whether the backward pass reads the sequences."""
        return self.read_backward[len(self.plan.signature.parameters)]

    @lazy
    def is_random(self) -> bool:
        """Whether a step draws random numbers."""
        order = g.topological(sink.node for sink in self.plan.infer.sinks)
        return any(node.op == "random" for node in order)

    def _widened(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return values in the precision that is computed in."""
        return [value.float() if value.dtype in _HALVES else value for value in values]

    def _cotangents(
        self, x: Tensor, state: Sequence[Tensor], dy: Tensor | None, dlast: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the cotangents of the outputs and of the last states, zeros where none were given."""
        if dy is None:
            output = self.plan.outputs[0]
            dy = torch.zeros(output, dtype=self.dtype, device=x.device).expand((*x.shape[:2], *output))
        dy = dy.resolve_neg()  # of complex numbers' imaginary parts, some gradients are kept with their sign turned
        starts = [
            torch.zeros(leaf.shape, dtype=self.computed, device=x.device)
            if given is None
            else given.to(self.computed).resolve_neg().contiguous()
            for leaf, given in zip(state, dlast, strict=True)
        ]
        return dy, starts
