"""Gradients of regular calls: what the programs give, and the longer ways where something watches or asks for more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.calls import ScanCall, dense
from ostinato.engine.run.batches import is_batched, over_batch
from ostinato.engine.run.operator import references, renamed, version
from ostinato.engine.run.operator import scan as run_scan

if TYPE_CHECKING:
    from ostinato.engine.run.quick import Calls, Ragged, Walk

AHEAD = 3
"""Arguments of a quick call before its tensors."""


def is_plain(grad: Tensor | None) -> bool:
    """Tell whether a gradient is one, not a batch of them."""
    return grad is None or not is_batched(grad)


def cotangents(grads: Sequence[Tensor | None], dtype: torch.dtype) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """Return the gradients of outputs and of last states as programs read them."""
    dy = grads[0]
    if dy is not None:
        dy = _plain(dy, dtype)
        if not dy.is_contiguous():
            # a sum's is one number for all, whose features lie on one another
            dy = dense(dy) if dy.stride(-1) else dy.contiguous()
    return dy, [grad if grad is None else _plain(grad, dtype).contiguous() for grad in grads[1:]]


def _plain(grad: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a gradient of a type, kept with the sign that it has."""
    if grad.dtype is not dtype:
        grad = grad.to(dtype)
    return grad.resolve_neg() if grad.is_neg() else grad


class Call(NamedTuple):
    """A call whose gradients are wanted."""

    calls: Calls
    seed: int
    ragged: Ragged | None
    given: Sequence[Tensor]
    """x, parameters and states."""

    @property
    def x(self) -> Tensor:
        """Return the sequences, `(time, batch, ...)`."""
        found: Tensor = self.opened(self.given[0])
        return found

    def opened(self, packed: Any) -> Any:
        """Return packed sequences, or gradients of such, with zeros where rows have ended; any other as they are."""
        if packed is None or self.ragged is None or self.ragged.sizes is None:
            return packed
        steps, batch = len(self.ragged.sizes), self.ragged.sizes[0]
        rows = packed.new_zeros((steps * batch, *packed.shape[1:])).index_copy(0, self._places(), packed)
        return rows.view(steps, batch, *packed.shape[1:])

    def closed(self, rows: Tensor) -> Tensor:
        """Return sequences packed again if they came so."""
        if self.ragged is None or self.ragged.sizes is None:
            return rows
        return rows.flatten(0, 1).index_select(0, self._places())

    def _places(self) -> Tensor:
        assert self.ragged is not None
        assert self.ragged.sizes is not None
        sizes = self.ragged.sizes
        return torch.tensor([step * sizes[0] + row for step, size in enumerate(sizes) for row in range(size)])

    @property
    def parameters(self) -> Sequence[Tensor]:
        """Return the parameters of all walks."""
        return self.given[1 : self.calls.count + 1]

    @property
    def starts(self) -> Sequence[Tensor]:
        """Return the first states; none for zeros."""
        return self.given[self.calls.count + 1 :]

    def of(self, walk: int, x: Tensor, starts: Sequence[Tensor]) -> ScanCall:
        """Return the call of one walk over sequences from states, as operators know it."""
        walks = self.calls.walks
        first = sum(each.taken for each in walks[:walk])
        parameters = list(self.parameters[first : first + walks[walk].taken])
        states = [_of_walk(self.calls, start, walk) for start in starts]
        lengths, marks = (None, None) if self.ragged is None else (self.ragged.lengths, self.ragged.marks)
        resets = None if marks is None else marks.bool()
        return ScanCall(parameters, x, states, lengths, resets, walks[walk].reverse, self.seed, walks[walk].number)


def _of_walk(calls: Calls, state: Any, walk: int) -> Any:
    """Return what of a stacked state, or of its gradient, belongs to one walk."""
    return state if state is None or not calls.stacked else state[walk]


def goals(calls: Calls, given: int) -> list[int]:
    """Return where gradients go: of parameters, of x if it has one, of states."""
    dx = [] if calls.backward.dx is None else [AHEAD]
    return [*calls.goals, *dx, *range(AHEAD + calls.count + 1, AHEAD + given)]


def check_unchanged(unread: Sequence[Tensor], versions: Sequence[int]) -> None:
    """Refuse tensors that the eager loop will read and that have been changed.

    Raises:
        RuntimeError: that is so.
    """
    for tensor, before in zip(unread, versions, strict=True):
        if version(tensor) != before:
            raise RuntimeError(
                f"gradients of gradients need a tensor {tuple(tensor.shape)} that was given to a scan as it was then, "
                "but it has been modified by an inplace operation; change a copy of it"
            )


def refuse_shapes(tensors: Sequence[Tensor], shapes: Sequence[torch.Size]) -> None:
    """Say which tensor has not the shape that it had, which swapping `.data` can do unseen by autograd.

    Raises:
        RuntimeError: always.
    """
    tensor, shape = next(pair for pair in zip(tensors, shapes, strict=True) if pair[0].shape != pair[1])
    raise RuntimeError(
        f"a tensor {tuple(shape)} given to a scan has become {tuple(tensor.shape)} before the backward pass; "
        "give it its shape back until then"
    )


def gradients(call: Call, chunk: Tensor, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the gradients that are wanted: of parameters, x and states."""
    calls, seed, ragged, given = call
    if not all(map(is_plain, grads)):
        return over_batch(lambda row: gradients(call, chunk, row), grads)
    if torch._C._len_torch_dispatch_stack() or torch._C._functorch.peek_interpreter_stack() is not None:
        return _watched(call, chunk, grads)
    dtype, end = chunk.dtype, calls.count + 1
    for tensor in given[not calls.reads_x : end]:
        if tensor.dtype is not dtype or not tensor.is_contiguous():
            # their `.data` was swapped since the forward pass, or the model converted
            return _watched(call, chunk, grads)
    weights, dx, dstates = calls.backward(
        given[1:end], given[0], chunk, *cotangents(grads, dtype), seed,
        states=len(given) > end, rows=None if ragged is None else ragged.rows,
        resets=None if ragged is None else ragged.marks,
    )  # fmt: skip
    return [*weights, *([] if dx is None else [dx]), *dstates]


def _watched(call: Call, chunk: Tensor, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Go through PyTorch's dispatcher, walk by walk, where something counts or traces operations."""
    calls, kept = call.calls, call.calls.forward.kept
    dy, ends, number = call.opened(grads[0]), grads[1:], len(calls.walks)
    sequences = call.x
    weights: list[Tensor] = []
    states: list[list[Tensor]] = []
    dx: Tensor | None = None
    for place in reversed(range(len(calls.layers))):
        layer = calls.layers[place]
        number -= len(layer)
        total = torch.Size((calls.forward.shape.steps, calls.forward.shape.batch))
        x = sequences if not place else _kept(chunk, kept.between[place - 1], (*total, _width(calls.layers[place - 1])))
        found = []
        for way, walk in enumerate(layer):
            starts = call.starts or [x.new_zeros(shape) for shape in calls.backward.states]
            saved = [
                _kept(chunk, at, (total.numel(), *node.shape))
                for at, node in zip(kept.streams[number + way], walk.executable.plan.saved, strict=True)
            ]
            given = _part(dy, layer, way)
            arguments = call.of(number + way, x, starts), saved, given, [_of_walk(calls, g, number + way) for g in ends]
            found.append(_apart(walk, torch.ops.ostinato.scan_backward.default(*arguments[0], *arguments[1:])))
        weights = [gradient for part in found for gradient in part[0]] + weights
        states = [part[2] for part in found] + states
        sums = [part[1] for part in found if part[1] is not None]
        dx = dy = sum(sums[1:], sums[0]) if sums else None
    leaves = list(zip(*states, strict=True)) if call.starts else []
    stacked = [torch.stack(leaf) if calls.stacked else leaf[0] for leaf in leaves]
    return [*weights, *([] if calls.backward.dx is None or dx is None else [call.closed(dx)]), *stacked]


def _kept(chunk: Tensor, place: int, shape: Sequence[int]) -> Tensor:
    return chunk[place : place + torch.Size(shape).numel()].view(shape)


def _width(layer: Sequence[Walk]) -> int:
    return sum(walk.executable.plan.outputs[0][0] for walk in layer)


def _part(dy: Tensor | None, layer: Sequence[Walk], way: int) -> Tensor | None:
    """Return the gradient of one direction's outputs."""
    if dy is None or len(layer) == 1:
        return dy
    return dy.narrow(-1, _width(layer[:way]), _width(layer[way : way + 1]))


def _apart(walk: Walk, found: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None, list[Tensor]]:
    """Return the gradients that an operator gives: of parameters, of x, of states."""
    wanted = walk.executable.plan.signature.gradients
    parameters = sum(wanted[: walk.taken])
    rest = list(found[parameters:])
    return list(found[:parameters]), rest.pop(0) if wanted[walk.taken] else None, rest


def differentiable(call: Call, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the same gradients with a graph, by which they can be differentiated again."""
    # other names of the same tensors: one may have been computed from another, and its gradient goes that way
    calls = call.calls
    call = call._replace(given=renamed(call.given))
    if len(calls.walks) == 1:
        x = call.x
        states = call.starts or [x.new_zeros(shape) for shape in calls.backward.states]
        dlast = [_of_walk(calls, grad, 0) for grad in grads[1:]]
        found = references[calls.walks[0].number](call.of(0, x, states), call.opened(grads[0]), dlast)
        weights, dx, dstates = _apart(calls.walks[0], found)
        dstates = [grad[None] if calls.stacked else grad for grad in dstates] if call.starts else []
        return [*weights, *([] if calls.backward.dx is None or dx is None else [call.closed(dx)]), *dstates]
    outputs = [pair for pair in zip(_run_again(call), grads, strict=True) if pair[1] is not None]
    wanted = [call.given[goal - AHEAD] for goal in goals(calls, len(call.given))]
    asked = [tensor for tensor in wanted if tensor.requires_grad]
    spread = iter(
        torch.autograd.grad(
            [pair[0] for pair in outputs], asked, [pair[1] for pair in outputs], create_graph=True,
            materialize_grads=True,
        )
    )  # fmt: skip
    return [next(spread) if tensor.requires_grad else torch.zeros_like(tensor) for tensor in wanted]


def _run_again(call: Call) -> list[Tensor]:
    """Run all walks one by one, so that what they give can be differentiated twice."""
    calls, number, x = call.calls, 0, call.x
    starts = call.starts or [x.new_zeros(shape) for shape in calls.backward.states]
    lasts: list[Sequence[Tensor]] = []
    for layer in calls.layers:
        outputs = []
        for _ in layer:
            y, *rest = run_scan(call.of(number, x, starts), True, False)
            outputs.append(y)
            lasts.append(rest[: len(starts)])
            number += 1
        x = torch.cat(outputs, -1)
    return [call.closed(x), *(torch.stack(parts) for parts in zip(*lasts, strict=True))]
