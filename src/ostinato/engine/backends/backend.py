"""What a backend gives: a plan made runnable on one kind of machine, in four verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine.backends.calls import ScanCall


class StepKernel(Protocol):
    """One step of a cell on fixed memory."""

    shapes: list[torch.Size]
    """Of the tensors of the state."""
    x: NDArray[Any]
    """What a step reads, `(batch, ...)`."""
    numbers: NDArray[Any]
    """The same memory, flat."""
    y: NDArray[Any]
    """What a step writes."""

    count: int
    """How many rows a call advances: the first ones."""

    def set_count(self, count: int) -> None:
        """Advance the first `count` rows from now on, of as many as there is memory for."""

    def advance(self) -> None:
        """Read `x`, go one step, write `y`."""

    def go_back(self) -> None:
        """Undo the last step."""

    def state(self) -> list[Tensor]:
        """Return the tensors of the state as they are now; they change with the next steps."""

    def set_state(self, values: Sequence[Tensor]) -> None:
        """Go on from another state, of the same shapes."""


class Backend(Protocol):
    """A plan on one kind of machine. `executable.Executable` has what all of them share."""

    def compile(self, *, training: bool) -> None:
        """Compile what a call needs, now, as far as that is possible without one."""

    def launch(self, call: ScanCall, *, save: bool, apart: bool = False) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run a call: outputs, last states, and with `save` what `launch_backward` needs."""

    def step(self, parameters: Sequence[Tensor], x: Tensor, state: Sequence[Tensor]) -> StepKernel:
        """Return one step on memory of its own.

        Raises:
            Unsupported: this backend has no single steps.
        """

    def allocate(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return memory of the machine, whose numbers are not set."""
