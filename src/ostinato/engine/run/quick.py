"""Regular calls with little around them: nothing that watches, memory as it is read.

It is the same plans and the same kernels as in `operator`; what is left out is arranging a call that was arranged
before. Several layers, and both directions of each, are one call here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.calls import dense
from ostinato.engine.backends.executable import Executable
from ostinato.engine.run.operator import version
from ostinato.engine.run.quick_gradients import (
    AHEAD,
    Call,
    check_unchanged,
    cotangents,
    differentiable,
    goals,
    gradients,
    is_plain,
    refuse_shapes,
)
from ostinato.engine.run.unchanged import checker


class Walk(NamedTuple):
    """One layer in one direction."""

    executable: Executable
    number: int
    """By which the operators know its plan."""
    reverse: bool

    @property
    def taken(self) -> int:
        """Return how many parameters it takes."""
        return len(self.executable.plan.signature.parameters)


class Calls:
    """What calls of one shape need, looked up once.

    Args:
        layers: the directions of each layer, the first one first.
        forward: what runs them.
        backward: the same for gradients; none if nobody asks for them.
        stacked: whether states are `(walks, batch, ...)` rather than `(batch, ...)`, which only one walk can have.
        packed: whether sequences come packed, `(positions, ...)`.
    """

    __slots__ = (
        "__weakref__", "backward", "count", "forward", "goals", "layers", "packed", "reads_x", "sides", "stacked",
    )  # fmt: skip

    def __init__(
        self, layers: Sequence[Sequence[Walk]], forward: Any, backward: Any, *, stacked: bool, packed: bool = False
    ) -> None:
        self.layers, self.forward, self.backward, self.stacked = layers, forward, backward, stacked
        self.packed = packed
        walks = [walk for layer in layers for walk in layer]
        self.count = sum(walk.taken for walk in walks)
        flags = [walk.executable.read_backward for walk in walks]
        parameters = [flag for walk, read in zip(walks, flags, strict=True) for flag in read[: walk.taken]]
        self.reads_x = any(walk.executable.reads_x for walk in layers[0])
        states = [
            any(found)
            for found in zip(*(read[walk.taken + 1 :] for walk, read in zip(walks, flags, strict=True)), strict=True)
        ]
        whole = [self.reads_x, *parameters]
        self.sides = (_Sides(whole), _Sides([*whole, *states]))
        """Without states, and with."""
        self.goals = [] if backward is None else [AHEAD + 1 + number for number in backward.gradients]

    @property
    def walks(self) -> list[Walk]:
        """Return all walks in order."""
        return [walk for layer in self.layers for walk in layer]


class _Sides:
    """Which tensors of a call the backward pass reads, and which not."""

    __slots__ = ("check", "join", "pick", "rest", "shapes")

    def __init__(self, read: Sequence[bool]) -> None:
        places = [place for place, flag in enumerate(read) if flag]
        others = [place for place, flag in enumerate(read) if not flag]
        self.pick, self.rest = _picker(places), _picker(others)
        order = places + others
        self.join = _picker([order.index(place) for place in range(len(read))])
        """Brings tensors that are read and those that are not back into order."""
        self.check: Callable[..., bool] | None = None
        self.shapes: list[torch.Size] = []

    def look(self, calls: Calls, given: Sequence[Tensor]) -> None:
        """Remember what tensors are given: all calls of this kind have tensors of this kind.

        But the first size of x: a row that is alone may have more steps than are walked, packed rows differ in theirs.
        """
        end = calls.count + 1
        self.shapes = [tensor.shape for tensor in given]
        self.check = checker(given[1:end], given[:1], given[end:], free=True)


def _picker(places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that gives the items of a tuple at these places."""
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda items: (items[places[0]],)) if places else (lambda _: ())


class Ragged(NamedTuple):
    """What the rows of a call have of their own: lengths, and steps before which they return to their start."""

    steps: int
    """That are walked: all there are, or those of a row that is alone, of which the others are not looked at."""
    numbers: Sequence[int] | Tensor | None
    """The lengths; a copy."""
    rows: Any
    """Lengths of several rows as the backend reads them."""
    marks: Tensor | None = None
    """Resets, `(time, batch)`, as bytes."""

    sizes: Sequence[int] | None = None
    """Of packed sequences: how many rows each step has."""

    @property
    def lengths(self) -> Tensor | None:
        """Return the lengths as a tensor."""
        return None if self.numbers is None else torch.as_tensor(self.numbers)


def scan_quickly(
    executable: Executable, number: int, parameters: Sequence[Tensor], x: Tensor, starts: Sequence[Tensor], *,
    reverse: bool, save: bool, seed: int = 0, lengths: Tensor | None = None, resets: Tensor | None = None,
) -> tuple[Tensor, ...] | None:  # fmt: skip
    """Run a scan; returns the outputs and the last states, or none where only the longer way can.

    Nothing of PyTorch's may be tracing or transforming this call.

    Args:
        executable: the plan.
        number: by which operators know it.
        parameters: all tensors of the cell.
        x: `(time, batch, ...)`.
        starts: the first states; none for zeros that nobody wants gradients of.
        reverse: whether rows are walked backwards.
        save: whether gradients may be asked for.
        seed: of random numbers.
        lengths: of the rows, `(batch,)`.
        resets: before which steps rows return to their start, `(time, batch)`.
    """
    steps, batch = x.shape[:2]
    ragged = None
    if lengths is not None or resets is not None:
        ragged = ragged_of(executable, lengths, steps, resets)
        if ragged is None:
            return None
    walk = Walk(executable, number, reverse)
    calls = calls_alone(walk, steps, batch, save=save, walked=walked(lengths), resets=resets is not None)
    if calls is None:
        return None
    if not all(tensor.is_contiguous() for tensor in (*parameters, *starts)):
        # Keras's orthogonal matrices for instance, which are columns of a decomposition
        parameters, starts = [each.contiguous() for each in parameters], [each.contiguous() for each in starts]
    return run_calls(calls, x, parameters, starts, seed, ragged)


def ragged_of(
    executable: Executable, lengths: Tensor | None, steps: int, resets: Tensor | None = None
) -> Ragged | None:  # fmt: skip
    """Return lengths, `(batch,)`, and resets, `(time, batch)`, as plans read them.

    None if they cannot, as where a length is not between 0 and `steps`.
    """
    # a copy, as those of lengths are: the caller's may be changed until the backward pass
    marks = None if resets is None else resets.to(torch.uint8).contiguous()
    if lengths is None:
        return Ragged(steps, None, None, marks)
    if len(lengths) == 1:
        alone = int(lengths)
        return Ragged(alone, (alone,), None, marks) if 0 < alone <= steps else None
    rows = executable.quick_rows(lengths, steps)
    return None if rows is None else Ragged(steps, rows.lengths, rows, marks)


_OF_SEVERAL = -1


def walked(lengths: Tensor | None) -> int | None:
    """Return what calls with lengths differ by: the steps of a row that is alone, a number below zero for several rows.

    A row that is alone is run as a shorter one, whose outputs end with zeros. None without lengths.
    """
    if lengths is None:
        return None
    return int(lengths) if len(lengths) == 1 else _OF_SEVERAL


def calls_alone(
    walk: Walk, steps: int, batch: int, *, save: bool, walked: int | None = None, resets: bool = False
) -> Calls | None:
    """Return what calls of one walk need, states being `(batch, ...)`; none where only the longer way can.

    Args:
        walk: one layer in one direction.
        steps: of the sequences.
        batch: rows.
        save: whether gradients may be asked for.
        walked: which steps, see the function of this name.
        resets: whether rows return to their start before marked steps.
    """
    executable, reverse = walk.executable, walk.reverse
    ragged = walked == _OF_SEVERAL
    if walked is not None and not ragged:
        steps = walked
    forward = executable.quick_forward(steps, batch, reverse, save=save, ragged=ragged, resets=resets)
    if forward is None:
        return None
    backward = executable.quick_backward(steps, batch, reverse, ragged=ragged, resets=resets) if save else None
    if save and backward is None:
        return None
    calls: Calls | None = forward.calls
    if calls is None or calls.backward is not backward:
        calls = forward.calls = Calls([[walk]], forward, backward, stacked=False)
    return calls


def packed_of(executable: Executable, sizes: Sequence[int], positions: int) -> Ragged | None:
    """Return how many rows each step of packed sequences has as plans read it, or none if they cannot."""
    rows = executable.quick_packed(sizes, positions)
    return None if rows is None else Ragged(len(sizes), rows.lengths, rows, None, rows.sizes)


def calls_of(
    layers: Sequence[Sequence[Walk]], steps: int, batch: int, *, save: bool, packed: bool = False
) -> Calls | None:
    """Return what calls of several layers need, states being `(walks, batch, ...)`; none if they do not go together.

    Args:
        layers: the directions of each, the first one first.
        steps: of the sequences.
        batch: rows.
        save: whether gradients may be asked for.
        packed: whether sequences come packed, of rows that are not all equally long.
    """
    plans = [[(walk.executable, walk.reverse) for walk in layer] for layer in layers]
    found = layers[0][0].executable.quick_layers(plans, steps, batch, save=save, ragged=packed, packed=packed)
    return None if found is None else Calls(layers, *found, stacked=True, packed=packed)


def run_calls(
    calls: Calls, x: Tensor, parameters: Sequence[Tensor], starts: Sequence[Tensor], seed: int = 0,
    ragged: Ragged | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Run what was arranged: the outputs and the last states.

    Nothing of PyTorch's may be tracing or transforming this call; parameters and states are dense.
    """
    if calls.backward is None:
        x = x if x.is_contiguous() else x.contiguous() if calls.packed else dense(x)
        y, lasts, _ = calls.forward(parameters, x, starts, seed, *marks_of(ragged))
        return (y, *lasts)
    if not x.is_contiguous():
        # as torch.nn does: what it transposes it copies, and the user's own may be changed afterwards
        x = x.contiguous() if calls.reads_x or calls.packed else dense(x)
    results: tuple[Tensor, ...] = _apply(calls, seed, ragged, x, *parameters, *starts)
    return results


def marks_of(ragged: Ragged | None) -> tuple[Any, Tensor | None]:
    """Return lengths and resets as the backend reads them."""
    return (None, None) if ragged is None else (ragged.rows, ragged.marks)


class _Quick(torch.autograd.Function):
    """A scan with its gradient."""

    @staticmethod
    def forward(ctx: Any, calls: Calls, seed: int, ragged: Ragged | None, *given: Tensor) -> tuple[Tensor, ...]:
        """Run the plans and keep what the backward pass needs; given are x, parameters and states."""
        end = calls.count + 1
        y, lasts, chunk = calls.forward(given[1:end], given[0], given[end:], seed, *marks_of(ragged))
        ctx.set_materialize_grads(False)
        sides = calls.sides[len(given) > end]
        if sides.check is None:
            sides.look(calls, given)
        # what the backward program does not read may be changed afterwards, the biases for instance
        unread = sides.rest(given)
        try:
            versions = [tensor._version for tensor in unread]
        except RuntimeError:  # tensors of inference mode have none
            versions = [version(tensor) for tensor in unread]
        ctx.call = calls, seed, ragged, sides, unread, versions, len(given[0])
        ctx.save_for_backward(chunk, *sides.pick(given))
        return (y, *lasts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the plans' backward programs; through the eager loop if the gradients are to be differentiated."""
        calls, seed, ragged, sides, unread, versions, count = ctx.call
        chunk, *saved = ctx.saved_tensors  # asked for once: gradient checkpointing gives them once
        given = sides.join((*saved, *unread))
        results: list[Tensor | None] = [None] * (AHEAD + len(given))
        if len(given[0]) == count and sides.check(*given) and _plain_now() and all(map(is_plain, grads)):
            end = calls.count + 1
            rows, marks = marks_of(ragged)
            weights, dx, dstates = calls.backward(
                given[1:end], given[0], chunk, *cotangents(grads, chunk.dtype), seed, states=len(given) > end,
                rows=rows, resets=marks,
            )  # fmt: skip
            for place, gradient in zip(calls.goals, weights, strict=True):
                results[place] = gradient
            results[AHEAD] = dx
            if dstates:
                results[AHEAD + end :] = dstates
            return tuple(results)
        twice = torch.is_grad_enabled()
        if twice:
            check_unchanged(unread, versions)
        shapes = [torch.Size((count, *sides.shapes[0][1:])), *sides.shapes[1:]]
        if [tensor.shape for tensor in given] != shapes:
            refuse_shapes(given, shapes)
        call = Call(calls, seed, ragged, given)
        found = differentiable(call, grads) if twice else gradients(call, chunk, grads)
        for place, gradient in zip(goals(calls, len(given)), found, strict=True):
            results[place] = gradient
        return tuple(results)


# what `_Quick.apply` comes to where no transform of functions is active, which is known here; it takes longer
_apply: Any = super(torch.autograd.Function, _Quick).apply


def _plain_now() -> bool:
    """Tell whether gradients are asked for once, with nothing that counts, traces or transforms."""
    return not (
        torch.is_grad_enabled()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.peek_interpreter_stack() is not None
    )
