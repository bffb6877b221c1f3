"""What the loop asks of an application: batches, and the loss of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

Carry = Any  # a tree of tensors: the recurrent state at the end of a chunk


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Args:
        data: a tensor, or a mapping or (named) tuple of tensors; the loop moves it to the device.
        continues: whether its sequences continue from those of the batch before, so that the recurrent state is carried
            over (truncated backpropagation through time; Williams and Peng, 1990).
    """

    data: Any
    continues: bool = False


@dataclass(frozen=True)
class Step:
    """The loss of one batch: a scalar mean over `weight` elements, and the state to carry to the next chunk."""

    loss: Tensor
    weight: float
    carry: Carry | None = None


class AnyBatch(Protocol):
    """What a `Batch` has, for sources that must not import this room."""

    @property
    def data(self) -> Any:
        """One step's data."""

    @property
    def continues(self) -> bool:
        """Whether its sequences continue from those of the batch before."""


class BatchSource(Protocol):
    """Batches of an epoch. The same epoch must give the same batches each time, so that a resumed run can skip."""

    def __len__(self) -> int:
        """Return how many batches an epoch has."""

    def batches(self, epoch: int) -> Iterator[AnyBatch]:
        """Return the batches of an epoch, counted from 0."""


class Objective(Protocol):
    """The loss of one batch; `carry` is what the chunk before returned, detached, or `None` at a fresh start."""

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:
        """Run the module on a batch."""
