"""How a long scan is cut into pieces, which states are kept, and in which order pieces run again.

With a state kept before every piece, each piece runs forward twice, and memory is that of the states and of one piece:
least, about the square root of all steps, where both are equal (T. Chen et al., "Training deep nets with sublinear
memory cost", 2016). With fewer states than pieces, some states are computed again from those before them, in the order
that needs the least work for so many (A. Griewank and A. Walther, "Algorithm 799: revolve", ACM TOMS, 2000): memory for
the logarithm of the steps costs a factor of time that is less than it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import Tensor

from ostinato.engine.plan.plan import Plan
from ostinato.errors import UsageError

Schedule: TypeAlias = "Literal['auto', 'sqrt', 'log', 'disk']"
_SCHEDULES = ("auto", "sqrt", "log", "disk")
_STEPS_OF_LOG = 8
"""Steps of a piece for each halving of the sequence: a call has costs of its own, so pieces are no single steps."""


@dataclass(frozen=True)
class Checkpointing:
    """What a long scan keeps for its backward pass.

    Args:
        steps: of a piece; `None` to have them chosen.
        memory: bytes for what is kept and computed with in the backward pass: states between pieces, and the inner
            values of one. Sequences, outputs and their gradients are not counted. `None` for no limit. All steps run as
            one piece if they fit; else as many states are kept as fit, and pieces run again once or more often.
        schedule: `"sqrt"` keeps a state for each piece, with as many steps as there are pieces; `"log"` keeps a number
            of states that grows with the logarithm of the steps; `"disk"` keeps inner values in a file, so that
            nothing runs again; `"auto"` follows `memory`, and is `"sqrt"` without a limit.
        folder: where states, outputs and the gradient of the sequences are kept in memory-mapped files, without names,
            that are gone when they are no longer used; `None` for memory (and for the system's temporary folder with
            `"disk"`).

    Raises:
        UsageError: a value is out of range, or two of them exclude each other.

    >>> import torch, ostinato
    >>> cell, xs = ostinato.cells.GRUCell(3, 5), torch.randn(1000, 1, 3)
    >>> ys, _ = ostinato.scan(cell, xs, checkpoint=ostinato.engine.Checkpointing(memory=20_000))
    >>> ys.sum().backward()
    """

    steps: int | None = None
    memory: int | None = None
    schedule: Schedule = "auto"
    folder: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "memory"):
            value = getattr(self, name)
            if value is not None and not is_count(value):
                raise UsageError(f"{name} is {value!r}; expected a whole number above 0, or None")
        if self.schedule not in _SCHEDULES:
            raise UsageError(f"schedule is {self.schedule!r}; expected one of {', '.join(map(repr, _SCHEDULES))}")
        if self.memory is not None and (self.schedule != "auto" or self.steps is not None):
            raise UsageError("memory was given together with steps or a schedule, which follow from it; give one")
        if self.folder is not None and not Path(self.folder).is_dir():
            raise UsageError(f"folder is {str(self.folder)!r}, which is no folder; make it first")


Checkpoint: TypeAlias = "int | Literal['auto', 'sqrt', 'log', 'disk'] | Checkpointing | None"
"""Steps of a piece, a schedule, or both with more."""


@dataclass(frozen=True)
class Costs:
    """Bytes: what one step of all rows keeps and computes with in the backward pass, and a state of all rows."""

    step: int
    state: int

    @staticmethod
    def of(plan: Plan | None, xs: Tensor, state: Sequence[Tensor]) -> Costs:
        """Return the costs of a scan; without a plan, of one whose steps keep ten times as much as they are given."""
        of_state = sum(leaf.nbytes for leaf in state)
        read = xs[0].nbytes if xs.shape[0] else 0
        if plan is None or plan.backward is None:
            return Costs(10 * (of_state + read), of_state)
        numbers = sum(node.size for node in plan.saved) + math.prod(plan.outputs[0])
        numbers += sum(sink.node.size for sink in plan.backward.of("stream"))
        # as much again for memory that is laid out for a while, or kept for the next call: a GRU of 32 units takes
        # 1,900 bytes a step (benchmarks/endless.py)
        return Costs(max(1, 2 * numbers * xs.element_size() * xs.shape[1]), max(1, of_state))


@dataclass(frozen=True)
class Pieces:
    """A scan in pieces."""

    steps: int
    """Of each; the last may be shorter."""
    count: int
    kept: int
    """States that are kept at a time, the first not counted."""
    disk: bool = False
    """Whether inner values are kept in a file."""
    folder: Path | None = None

    def bytes(self, costs: Costs) -> int:
        """Return what it keeps and computes with."""
        return self.kept * costs.state + self.steps * costs.step

    def middle(self, first: int, last: int, kept: int) -> int:
        """Return before which piece, of those from `first` to before `last`, the next state is kept."""
        count, repeats = last - first, 1
        while math.comb(kept + repeats, kept) < count:
            repeats += 1
        return first + max(1, count - math.comb(kept + repeats - 1, kept - 1))

    def first_kept(self) -> set[int]:
        """Return before which pieces the first pass keeps a state."""
        found, first, kept = set(), 0, self.kept
        while self.count - first > 1:
            first = self.middle(first, self.count, max(kept, 1))
            found.add(first)
            kept -= 1
        return found


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number above zero."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def pieces_for(checkpoint: Checkpoint, steps: int, costs: Callable[[], Costs]) -> Pieces | None:
    """Return how a scan is cut; none if it runs as one.

    Args:
        checkpoint: what was asked for.
        steps: of the scan.
        costs: of a step and a state, asked for where a limit is given.

    Raises:
        UsageError: `checkpoint` is none, or the limit is too small for any way.
    """
    if checkpoint is None:
        return None
    wanted = _as_settings(checkpoint)
    folder = None if wanted.folder is None else Path(wanted.folder)
    if wanted.schedule == "disk":
        return _every(steps, wanted.steps or _root(steps), disk=True, folder=folder)
    if wanted.memory is not None:
        found = _within(wanted.memory, steps, costs())
    elif wanted.schedule == "log":
        length = wanted.steps or _STEPS_OF_LOG * max(1, math.ceil(math.log2(max(steps, 2))))
        count = -(-steps // length)
        found = Pieces(length, count, min(count - 1, math.ceil(math.log2(max(count, 2)))))
    else:
        found = _every(steps, wanted.steps or _root(steps))
    if found.count < 2 and folder is None:
        return None
    return Pieces(found.steps, found.count, found.kept, folder=folder)


def _as_settings(checkpoint: Checkpoint) -> Checkpointing:
    if isinstance(checkpoint, Checkpointing):
        return checkpoint
    if isinstance(checkpoint, str) and checkpoint in _SCHEDULES:
        return Checkpointing(schedule=checkpoint)
    if is_count(checkpoint):
        return Checkpointing(steps=checkpoint)  # type: ignore[arg-type]
    names = ", ".join(f'"{name}"' for name in _SCHEDULES)
    raise UsageError(
        f"checkpoint is {checkpoint!r}; expected a number of steps, one of {names}, "
        "ostinato.engine.Checkpointing(...) or None"
    )


def _root(steps: int) -> int:
    return math.isqrt(max(steps, 1) - 1) + 1


def _every(steps: int, length: int, *, disk: bool = False, folder: Path | None = None) -> Pieces:
    """Return pieces of a length with a state kept before each."""
    length = min(length, max(steps, 1))
    count = max(1, -(-steps // length))
    return Pieces(length, count, count - 1, disk, folder)


def _within(memory: int, steps: int, costs: Costs) -> Pieces:
    """Return the pieces that need the least work within a limit."""
    whole = _every(steps, steps)
    if whole.bytes(costs) <= memory:
        return whole
    # the longest pieces with a state before each: kept states fall, and inner values grow, with their length
    best = memory // costs.step
    while best >= 1:
        found = _every(steps, best)
        if found.bytes(costs) <= memory:
            return found
        shorter = (memory - found.kept * costs.state) // costs.step
        if shorter >= best or shorter < 1:
            break
        best = shorter
    return _fewer(memory, steps, costs)


def _fewer(memory: int, steps: int, costs: Costs) -> Pieces:
    """Return pieces with fewer states than pieces: half of the limit for each, at least one of both."""
    length = max(1, memory // 2 // costs.step)
    kept = (memory - length * costs.step) // costs.state
    if kept < 1:
        length, kept = 1, (memory - costs.step) // costs.state
    if kept < 1:
        raise UsageError(
            f"memory is {memory:,} bytes; a state and one step need {costs.step + costs.state:,}, and about "
            f"{2 * math.isqrt(steps * costs.step * costs.state):,} have every piece run again only once"
        )
    count = -(-steps // length)
    return Pieces(length, count, min(kept, count - 1))
