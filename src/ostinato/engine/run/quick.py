"""Regular calls with little around them: no resets, nothing that watches, memory as it is read.

It is the same plans and the same kernels as in `operator`; what is left out is arranging a call that was arranged
before. Several layers, and both directions of each, are one call here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.calls import ScanCall, dense
from ostinato.engine.backends.executable import Executable
from ostinato.engine.run.batches import is_batched, over_batch
from ostinato.engine.run.operator import references, renamed, version
from ostinato.engine.run.operator import scan as run_scan
from ostinato.engine.run.unchanged import checker

_AHEAD = 3
"""Arguments before the tensors."""


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
    """

    __slots__ = ("backward", "count", "forward", "goals", "layers", "reads_x", "sides", "stacked")

    def __init__(self, layers: Sequence[Sequence[Walk]], forward: Any, backward: Any, *, stacked: bool) -> None:
        self.layers, self.forward, self.backward, self.stacked = layers, forward, backward, stacked
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
        self.goals = [] if backward is None else [_AHEAD + 1 + number for number in backward.gradients]

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
        """Remember what tensors are given: all calls of this kind have tensors of this kind."""
        end = calls.count + 1
        self.shapes = [tensor.shape for tensor in given]
        self.check = checker(given[1:end], given[:1], given[end:])


def _picker(places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that gives the items of a tuple at these places."""
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda items: (items[places[0]],)) if places else (lambda _: ())


class Ragged(NamedTuple):
    """The lengths of a call."""

    lengths: Tensor
    rows: Any
    """As the backend reads them."""


def scan_quickly(
    executable: Executable, number: int, parameters: Sequence[Tensor], x: Tensor, starts: Sequence[Tensor], *,
    reverse: bool, save: bool, seed: int = 0, lengths: Tensor | None = None,
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
    """
    steps, batch = x.shape[:2]
    ragged = None
    if lengths is not None:
        rows = executable.quick_rows(lengths, steps)
        if rows is None:
            return None
        ragged = Ragged(lengths.clone(), rows)
    options = {"ragged": ragged is not None}
    forward = executable.quick_forward(steps, batch, reverse, save=save, **options)
    if forward is None or not all(tensor.is_contiguous() for tensor in (*parameters, *starts)):
        return None
    backward = executable.quick_backward(steps, batch, reverse, **options) if save else None
    if save and backward is None:
        return None
    calls = forward.calls
    if calls is None or calls.backward is not backward:
        calls = forward.calls = Calls([[Walk(executable, number, reverse)]], forward, backward, stacked=False)
    return run_calls(calls, x, parameters, starts, seed, ragged)


def calls_of(
    layers: Sequence[Sequence[Walk]], steps: int, batch: int, *, save: bool, ragged: bool = False
) -> Calls | None:
    """Return what calls of several layers need, states being `(walks, batch, ...)`; none if they do not go together.

    Args:
        layers: the directions of each, the first one first.
        steps: of the sequences.
        batch: rows.
        save: whether gradients may be asked for.
        ragged: whether rows have lengths.
    """
    plans = [[(walk.executable, walk.reverse) for walk in layer] for layer in layers]
    found = layers[0][0].executable.quick_layers(plans, steps, batch, save=save, ragged=ragged)
    return None if found is None else Calls(layers, *found, stacked=True)


def run_calls(
    calls: Calls, x: Tensor, parameters: Sequence[Tensor], starts: Sequence[Tensor], seed: int = 0,
    ragged: Ragged | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Run what was arranged: the outputs and the last states.

    Nothing of PyTorch's may be tracing or transforming this call; parameters and states are dense.
    """
    if calls.backward is None:
        x = x if x.is_contiguous() else dense(x)
        y, lasts, _ = calls.forward(parameters, x, starts, seed, None if ragged is None else ragged.rows)
        return (y, *lasts)
    if not x.is_contiguous():
        # as torch.nn does: what it transposes it copies, and the user's own may be changed afterwards
        x = x.contiguous() if calls.reads_x else dense(x)
    results: tuple[Tensor, ...] = _apply(calls, seed, ragged, x, *parameters, *starts)
    return results


class _Quick(torch.autograd.Function):
    """A scan with its gradient."""

    @staticmethod
    def forward(ctx: Any, calls: Calls, seed: int, ragged: Ragged | None, *given: Tensor) -> tuple[Tensor, ...]:
        """Run the plans and keep what the backward pass needs; given are x, parameters and states."""
        end = calls.count + 1
        y, lasts, chunk = calls.forward(
            given[1:end], given[0], given[end:], seed, None if ragged is None else ragged.rows
        )
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
        ctx.call = calls, seed, ragged, sides, unread, versions
        ctx.save_for_backward(chunk, *sides.pick(given))
        return (y, *lasts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the plans' backward programs; through the eager loop if the gradients are to be differentiated."""
        calls, seed, ragged, sides, unread, versions = ctx.call
        chunk, *saved = ctx.saved_tensors  # asked for once: gradient checkpointing gives them once
        given = sides.join((*saved, *unread))
        results: list[Tensor | None] = [None] * (_AHEAD + len(given))
        if sides.check(*given) and _plain_now() and all(map(_is_plain, grads)):
            end = calls.count + 1
            weights, dx, dstates = calls.backward(
                given[1:end], given[0], chunk, *_cotangents(grads, chunk.dtype), seed,
                states=len(given) > end, rows=None if ragged is None else ragged.rows,
            )  # fmt: skip
            for place, gradient in zip(calls.goals, weights, strict=True):
                results[place] = gradient
            results[_AHEAD] = dx
            if dstates:
                results[_AHEAD + end :] = dstates
            return tuple(results)
        twice = torch.is_grad_enabled()
        if twice:
            _check_unchanged(unread, versions)
        if [tensor.shape for tensor in given] != sides.shapes:
            _refuse_shapes(given, sides.shapes)
        call = _Call(calls, seed, ragged, given)
        found = _differentiable(call, grads) if twice else _gradients(call, chunk, grads)
        for place, gradient in zip(_goals(calls, len(given)), found, strict=True):
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


def _is_plain(grad: Tensor | None) -> bool:
    return grad is None or not is_batched(grad)


def _cotangents(grads: Sequence[Tensor | None], dtype: torch.dtype) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """Return the gradients of outputs and of last states as programs read them."""
    dy, *dlast = [
        grad
        if grad is None or (grad.dtype is dtype and grad.is_contiguous() and not grad.is_neg())
        else grad.to(dtype).resolve_neg()
        for grad in grads
    ]
    return (
        dy if dy is None or dy.is_contiguous() else dense(dy),
        [grad if grad is None or grad.is_contiguous() else grad.contiguous() for grad in dlast],
    )


class _Call(NamedTuple):
    """A call whose gradients are wanted."""

    calls: Calls
    seed: int
    ragged: Ragged | None
    given: Sequence[Tensor]
    """x, parameters and states."""

    @property
    def x(self) -> Tensor:
        """Return the sequences."""
        return self.given[0]

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
        lengths = None if self.ragged is None else self.ragged.lengths
        return ScanCall(parameters, x, states, lengths, None, walks[walk].reverse, self.seed, walks[walk].number)


def _of_walk(calls: Calls, state: Any, walk: int) -> Any:
    """Return what of a stacked state, or of its gradient, belongs to one walk."""
    return state if state is None or not calls.stacked else state[walk]


def _goals(calls: Calls, given: int) -> list[int]:
    """Return where gradients go: of parameters, of x if it has one, of states."""
    dx = [] if calls.backward.dx is None else [_AHEAD]
    return [*calls.goals, *dx, *range(_AHEAD + calls.count + 1, _AHEAD + given)]


def _check_unchanged(unread: Sequence[Tensor], versions: Sequence[int]) -> None:
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


def _refuse_shapes(tensors: Sequence[Tensor], shapes: Sequence[torch.Size]) -> None:
    """Say which tensor has not the shape that it had, which swapping `.data` can do unseen by autograd.

    Raises:
        RuntimeError: always.
    """
    tensor, shape = next(pair for pair in zip(tensors, shapes, strict=True) if pair[0].shape != pair[1])
    raise RuntimeError(
        f"a tensor {tuple(shape)} given to a scan has become {tuple(tensor.shape)} before the backward pass; "
        "give it its shape back until then"
    )


def _gradients(call: _Call, chunk: Tensor, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the gradients that are wanted: of parameters, x and states."""
    calls, seed, ragged, given = call
    if not all(map(_is_plain, grads)):
        return over_batch(lambda row: _gradients(call, chunk, row), grads)
    if torch._C._len_torch_dispatch_stack() or torch._C._functorch.peek_interpreter_stack() is not None:
        return _watched(call, chunk, grads)
    dtype, end = chunk.dtype, calls.count + 1
    for tensor in given[not calls.reads_x : end]:
        if tensor.dtype is not dtype or not tensor.is_contiguous():
            # their `.data` was swapped since the forward pass, or the model converted
            return _watched(call, chunk, grads)
    weights, dx, dstates = calls.backward(
        given[1:end], given[0], chunk, *_cotangents(grads, dtype), seed,
        states=len(given) > end, rows=None if ragged is None else ragged.rows,
    )  # fmt: skip
    return [*weights, *([] if dx is None else [dx]), *dstates]


def _watched(call: _Call, chunk: Tensor, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Go through PyTorch's dispatcher, walk by walk, where something counts or traces operations."""
    calls, kept = call.calls, call.calls.forward.kept
    dy, ends, number = grads[0], grads[1:], len(calls.walks)
    weights: list[Tensor] = []
    states: list[list[Tensor]] = []
    dx: Tensor | None = None
    for place in reversed(range(len(calls.layers))):
        layer = calls.layers[place]
        number -= len(layer)
        total = call.x.shape[:2]
        x = call.x if not place else _kept(chunk, kept.between[place - 1], (*total, _width(calls.layers[place - 1])))
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
    return [*weights, *([] if calls.backward.dx is None or dx is None else [dx]), *stacked]


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


def _differentiable(call: _Call, grads: Sequence[Tensor | None]) -> list[Tensor]:
    # other names of the same tensors: one may have been computed from another, and its gradient goes that way
    calls = call.calls
    call = call._replace(given=renamed(call.given))
    if len(calls.walks) == 1:
        states = call.starts or [call.x.new_zeros(shape) for shape in calls.backward.states]
        dlast = [_of_walk(calls, grad, 0) for grad in grads[1:]]
        found = references[calls.walks[0].number](call.of(0, call.x, states), grads[0], dlast)
        weights, dx, dstates = _apart(calls.walks[0], found)
        dstates = [grad[None] if calls.stacked else grad for grad in dstates] if call.starts else []
        return [*weights, *([] if dx is None else [dx]), *dstates]
    outputs = [pair for pair in zip(_run_again(call), grads, strict=True) if pair[1] is not None]
    wanted = [call.given[goal - _AHEAD] for goal in _goals(calls, len(call.given))]
    asked = [tensor for tensor in wanted if tensor.requires_grad]
    spread = iter(
        torch.autograd.grad(
            [pair[0] for pair in outputs], asked, [pair[1] for pair in outputs], create_graph=True,
            materialize_grads=True,
        )
    )  # fmt: skip
    return [next(spread) if tensor.requires_grad else torch.zeros_like(tensor) for tensor in wanted]


def _run_again(call: _Call) -> list[Tensor]:
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
    return [x, *(torch.stack(parts) for parts in zip(*lasts, strict=True))]
