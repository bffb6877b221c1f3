"""Scans under the transforms of functions of `torch.func`, and with forward-mode derivatives: compiled as without them.

Each transform finds a rule here: the gradient of a scan is an operation with rules of its own, the derivative along a
direction is a scan of the cell in `front.tangent`, and a batch of calls runs one by one, or side by side as rows of one
call where they share the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.calls import ScanCall

_WIDTHS = tuple[int, int]


def transformed() -> bool:
    """Tell whether a transform of functions, or forward-mode differentiation, is active."""
    return torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0


def has_rules() -> bool:
    """Tell whether there are rules here for all transforms that are active.

    PyTorch runs the forward-mode rule of an operation with forward mode off: a derivative along a direction of such a
    derivative would be zero, without a word.
    """
    kinds = torch._C._functorch.TransformType
    active = [each.key() for each in torch._C._functorch.get_interpreter_stack() or ()]
    return all(kind in (kinds.Grad, kinds.Jvp, kinds.Vmap) for kind in active) and active.count(kinds.Jvp) < 2


def over_rows() -> bool:
    """Tell whether one of them runs a batch of calls."""
    kinds = torch._C._functorch.TransformType
    return any(each.key() is kinds.Vmap for each in torch._C._functorch.get_interpreter_stack() or ())


@contextmanager
def outside_of_transforms() -> Iterator[None]:
    """Run what is no part of the function that is transformed."""
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    level, hooks = torch.autograd.forward_ad._current_level, torch._C._autograd
    refusal = hooks._saved_tensors_hooks_get_disabled_error_message()
    with temporarily_clear_interpreter_stack():
        torch.autograd.forward_ad._current_level = -1
        hooks._saved_tensors_hooks_enable()
        try:
            with torch.autograd.forward_ad._set_fwd_grad_enabled(False):
                yield
        finally:
            torch.autograd.forward_ad._current_level = level
            if refusal is not None:
                hooks._saved_tensors_hooks_disable(refusal)


def scan_transformed(call: ScanCall) -> Sequence[Tensor]:
    """Run a plan over time; returns the outputs and the last states."""
    states = len(call.state)
    flat = (*call.parameters, call.x, *call.state, call.lengths, call.resets)
    results = _Scan.apply((len(call.parameters), states), call[5:], *flat)  # type: ignore[no-untyped-call]
    found: Sequence[Tensor] = results[: 1 + states]
    return found


def _as_call(widths: _WIDTHS, options: Sequence[Any], flat: Sequence[Any]) -> ScanCall:
    parameters, states = widths
    end = parameters + 1 + states
    lengths, resets = flat[end : end + 2]
    return ScanCall(
        list(flat[:parameters]), flat[parameters], list(flat[parameters + 1 : end]), lengths, resets, *options
    )


class _Scan(torch.autograd.Function):
    """A scan; tensors come flat: parameters, x, states, lengths, resets."""

    @staticmethod
    def forward(widths: _WIDTHS, options: Sequence[Any], *flat: Any) -> tuple[Tensor, ...]:
        """Run the plan."""
        from ostinato.engine.run.operator import executable_of

        call = _as_call(widths, options, flat)
        y, last, saved = executable_of(call.plan).launch(call, save=True, apart=True)
        return (y, *last, *saved)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what derivatives need."""
        ctx.widths, ctx.options, *flat = inputs
        saved = output[1 + ctx.widths[1] :]
        _keep_plan(ctx)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*saved)
        ctx.save_for_backward(*flat, *saved)
        ctx.save_for_forward(*flat)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        """Run the backward program, as an operation that has a derivative."""
        states, ends = ctx.widths[1], sum(ctx.widths) + 3
        flat, saved = ctx.saved_tensors[:ends], ctx.saved_tensors[ends:]
        dy, dlast = grads[0], grads[1 : 1 + states]
        found = _Gradients.apply(ctx.widths, ctx.options, *flat, dy, *dlast, *saved)  # type: ignore[no-untyped-call]
        spread = iter(found)
        wanted = ctx.again.source.signature.gradients
        return (None, None, *(next(spread) if had else None for had in wanted), None, None)

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> tuple[Any, ...]:
        """Return the tangents."""
        ends = sum(ctx.widths) + 1
        call = _as_call(ctx.widths, ctx.options, ctx.saved_tensors)
        found = ctx.again.tangents(call, directions[2 : 2 + ends])
        return (*found, *[None] * ctx.kept)

    @staticmethod
    def vmap(info: Any, in_dims: Any, widths: _WIDTHS, options: Sequence[Any], *flat: Any) -> Any:
        """Run a batch of calls: side by side where only sequences and states are different, else one by one."""
        dims = in_dims[2:]
        if all(dim is None for dim in dims[: widths[0]]) and flat[-2] is flat[-1] is None:
            return _side_by_side(info.batch_size, dims, widths, options, flat)
        return _one_by_one(info.batch_size, dims, partial(_Scan.apply, widths, options), flat)


def _keep_plan(ctx: Any) -> None:
    from ostinato.engine.run.operator import executable_of, references

    number = ctx.options[-1]
    # the cell, and with it the plan, may be gone when a derivative is asked for
    ctx.executable, ctx.again = executable_of(number), references[number]
    ctx.kept = len(ctx.executable.plan.saved)


def _one_by_one(size: int, dims: Sequence[Any], run: Any, flat: Sequence[Any]) -> Any:
    rows = (
        [value if dim is None else value.select(dim, index) for value, dim in zip(flat, dims, strict=True)]
        for index in range(size)
    )
    found = [run(*row) for row in rows]
    stacked = tuple(torch.stack(parts) for parts in zip(*found, strict=True))
    return stacked, (0,) * len(stacked)


def _side_by_side(size: int, dims: Sequence[Any], widths: _WIDTHS, options: Sequence[Any], flat: Sequence[Any]) -> Any:
    """Run a batch of calls as rows of one: the same bits, as rows have them in any batch."""
    first, states = widths
    rows = flat[first].shape[1 if dims[first] is None or dims[first] > 1 else 2]
    x = _merged(flat[first], dims[first], size, 1)
    state = [
        _merged(leaf, dim, size, 0)
        for leaf, dim in zip(flat[first + 1 : first + 1 + states], dims[first + 1 :], strict=False)
    ]
    found = _Scan.apply(widths, options, *flat[:first], x, *state, None, None)  # type: ignore[no-untyped-call]
    y = found[0].unflatten(1, (size, rows))
    last = [leaf.unflatten(0, (size, rows)) for leaf in found[1 : 1 + states]]
    steps = x.shape[0]
    saved = [stream.unflatten(0, (steps, size, rows)).movedim(1, 0).flatten(1, 2) for stream in found[1 + states :]]
    return (y, *last, *saved), (1, *[0] * states, *[0] * len(saved))


def _merged(tensor: Tensor, dim: int | None, size: int, place: int) -> Tensor:
    """Return a tensor with the batch of calls as rows, the rows of a call side by side."""
    tensor = tensor.unsqueeze(place).expand(*tensor.shape[:place], size, *tensor.shape[place:]) if dim is None else (
        tensor.movedim(dim, place))  # fmt: skip
    return tensor.flatten(place, place + 1)


class _Gradients(torch.autograd.Function):
    """The gradients of a scan; tensors come flat: as those of `_Scan`, gradients of outputs and ends, what is kept."""

    @staticmethod
    def forward(widths: _WIDTHS, options: Sequence[Any], *flat: Any) -> tuple[Tensor, ...]:
        """Run the plan's backward program."""
        from ostinato.engine.run.operator import run_backward

        call, ends = _as_call(widths, options, flat), sum(widths) + 3
        states = widths[1]
        # what was kept of a batch of calls with one row each lies among that of the others
        saved = [stream.contiguous() for stream in flat[ends + 1 + states :]]
        return tuple(run_backward(call, saved, flat[ends : ends + 1 + states]))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004
        """Keep what derivatives need."""
        ctx.widths, ctx.options, *flat = inputs
        _keep_plan(ctx)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat)
        ctx.save_for_forward(*flat)

    @staticmethod
    def backward(ctx: Any, *directions: Any) -> tuple[Any, ...]:
        """Differentiate the gradients."""
        size, states = sum(ctx.widths) + 1, ctx.widths[1]
        flat = ctx.saved_tensors
        call = _as_call(ctx.widths, ctx.options, flat)
        dy, *dlast = flat[size + 2 : size + 3 + states]
        spread = iter(directions)
        ways = [next(spread) if had else None for had in ctx.again.source.signature.gradients]
        found = _pulled(ctx.again, call, dy, dlast, ways, ends=True)
        ends = [None if end is None else way for end, way in zip((dy, *dlast), found[size:], strict=True)]
        return (None, None, *found[:size], None, None, *ends, *[None] * ctx.kept)

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> tuple[Any, ...]:
        """Return the tangents of the gradients: by the inputs, and by the gradients of the outputs."""
        size, states = sum(ctx.widths) + 1, ctx.widths[1]
        flat, wanted = ctx.saved_tensors, ctx.again.source.signature.gradients
        call = _as_call(ctx.widths, ctx.options, flat)
        dy, *dlast = flat[size + 2 : size + 3 + states]
        ways, moves = directions[2 : 2 + size], directions[size + 4 : size + 5 + states]
        parts: list[Sequence[Any]] = []
        if any(way is not None for way in ways):
            parts.append(_pulled(ctx.again, call, dy, dlast, list(ways), ends=False)[:size])
        if any(move is not None for move in moves):
            given = (*flat[: size + 2], *moves, *flat[size + 3 + states :])
            spread = iter(_Gradients.apply(ctx.widths, ctx.options, *given))  # type: ignore[no-untyped-call]
            parts.append([next(spread) if had else None for had in wanted])
        sums = []
        for place, tensor in enumerate(flat[:size]):
            if wanted[place]:
                found = [part[place] for part in parts if part[place] is not None]
                sums.append(sum(found[1:], found[0]) if found else torch.zeros_like(tensor))
        return tuple(sums)

    @staticmethod
    def vmap(info: Any, in_dims: Any, widths: _WIDTHS, options: Sequence[Any], *flat: Any) -> Any:
        """Run each of a batch: each has sums over its own rows."""
        return _one_by_one(info.batch_size, in_dims[2:], partial(_Gradients.apply, widths, options), flat)


def _pulled(
    again: Any, call: ScanCall, dy: Any, dlast: Sequence[Any], directions: Sequence[Any], *, ends: bool
) -> list[Any]:
    """Return the product of directions of gradients by their derivative; by those of the outputs only with `ends`."""
    inputs = [*call.parameters, call.x, *call.state]
    places = [index for index, tensor in enumerate(inputs) if again.source.signature.gradients[index]]
    count = len(call.parameters)

    def tangents(*moving: Tensor) -> tuple[Tensor, ...]:
        given = list(inputs)
        for place, tensor in zip(places, moving, strict=True):
            given[place] = tensor
        named = call._replace(parameters=given[:count], x=given[count], state=given[count + 1 :])
        return tuple(again.tangents(named, directions))

    transposed: tuple[Any, ...] = torch.func.vjp(tangents, *(inputs[place] for place in places))
    found, pull = transposed
    grads = [
        torch.zeros_like(tangent) if grad is None else grad for tangent, grad in zip(found, [dy, *dlast], strict=True)
    ]
    pulled = dict(zip(places, pull(tuple(grads)), strict=True))
    return [*(pulled.get(place) for place in range(len(inputs))), *(found if ends else [])]
