"""Regular calls with little around them: no lengths, no resets, nothing that watches, memory as it is read.

It is the same plan and the same kernels as in `operator`; what is left out is arranging a call that was arranged
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.calls import ScanCall, dense
from ostinato.engine.backends.executable import Executable
from ostinato.engine.run.batches import is_batched, over_batch
from ostinato.engine.run.operator import joined, references, renamed, version


def scan_quickly(
    executable: Executable, number: int, parameters: Sequence[Tensor], x: Tensor, starts: Sequence[Tensor], *,
    reverse: bool, save: bool, stacked: bool = False, seed: int = 0,
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
        stacked: whether states are `(1, batch, ...)`.
        seed: of random numbers.
    """
    steps, batch = x.shape[:2]
    forward = executable.quick_forward(steps, batch, reverse, save=save, stacked=stacked)
    if forward is None or not all(tensor.is_contiguous() for tensor in (*parameters, *starts)):
        return None
    if not save:
        y, lasts, _ = forward(parameters, dense(x), starts, seed)
        return (y, *lasts)
    backward = executable.quick_backward(steps, batch, reverse, stacked=stacked)
    if backward is None:
        return None
    if executable.reads_x and not x.is_contiguous():
        # as torch.nn does: what it transposes it copies, and the user's own may be changed afterwards
        x = x.contiguous()
    options = _Options(executable, number, forward, backward, len(parameters), reverse, stacked, seed)
    results: tuple[Tensor, ...] = _apply(options, dense(x), *parameters, *starts)
    return results


class _Options:
    """What a call has beside tensors."""

    __slots__ = ("backward", "count", "executable", "forward", "number", "reverse", "seed", "stacked")

    def __init__(
        self, executable: Executable, number: int, forward: Any, backward: Any, count: int, reverse: bool,
        stacked: bool, seed: int,
    ) -> None:  # fmt: skip
        self.executable, self.number, self.forward, self.backward = executable, number, forward, backward
        self.count, self.reverse, self.stacked, self.seed = count, reverse, stacked, seed


class _Quick(torch.autograd.Function):
    """A scan with its gradient."""

    @staticmethod
    def forward(ctx: Any, options: _Options, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the plan and keep what the backward pass needs."""
        count = options.count
        y, lasts, chunk = options.forward(tensors[:count], x, tensors[count:], options.seed)
        ctx.set_materialize_grads(False)
        ctx.options = options
        # what the backward program does not read may be changed afterwards, the biases for instance
        read = options.executable.read_backward
        kept: list[Tensor | None] = [x if read[count] else None]
        unread: list[Any] = [None if read[count] else (x, version(x))]
        for index, tensor in enumerate(tensors):
            if read[index if index < count else index + 1]:
                kept.append(tensor)
                unread.append(None)
            else:
                kept.append(None)
                unread.append((tensor, version(tensor)))
        ctx.unread, ctx.shapes = unread, [x.shape, *[tensor.shape for tensor in tensors]]
        ctx.save_for_backward(*kept, chunk)
        return (y, *lasts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the plan's backward program; through the eager loop if the gradients are to be differentiated."""
        options: _Options = ctx.options
        *saved, chunk = ctx.saved_tensors  # asked for once: gradient checkpointing gives them once
        twice = torch.is_grad_enabled()
        x, *tensors = joined(saved, ctx.unread, ctx.shapes, unchanged=twice)
        found = _differentiable(options, x, tensors, grads) if twice else _gradients(options, chunk, x, tensors, grads)
        wanted = options.executable.plan.signature.gradients
        spread = iter(found)
        every = [next(spread, None) if needed else None for needed in wanted]
        count = options.count
        return (None, every[count], *every[:count], *every[count + 1 : len(tensors) + 1])


# what `_Quick.apply` comes to where no transform of functions is active, which is known here; it takes longer
_apply: Any = super(torch.autograd.Function, _Quick).apply


def _gradients(
    options: _Options, chunk: Tensor, x: Tensor, tensors: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    """Return the gradients that are wanted: of parameters, x and states."""
    if any(grad is not None and is_batched(grad) for grad in grads):
        return over_batch(lambda row: _gradients(options, chunk, x, tensors, row), grads)
    if torch._C._len_torch_dispatch_stack() or torch._C._functorch.peek_interpreter_stack() is not None:
        return _watched(options, chunk, x, tensors, grads)
    dtype, count = chunk.dtype, options.count
    read = [*tensors[:count], x] if options.executable.reads_x else tensors[:count]
    if not all(tensor.dtype is dtype and tensor.is_contiguous() for tensor in read):
        # their `.data` was swapped since the forward pass, or the model converted
        return _watched(options, chunk, x, tensors, grads)
    dy = None if grads[0] is None else dense(grads[0].to(dtype).resolve_neg())
    dlast = [None if grad is None else grad.to(dtype).resolve_neg().contiguous() for grad in grads[1:]]
    states = len(tensors) > count
    weights, dx, dstates = options.backward(tensors[:count], x, chunk, dy, dlast, options.seed, states=states)
    wanted = options.executable.plan.signature.gradients
    return [grad for grad, needed in zip((*weights, dx, *dstates), wanted, strict=False) if needed]


def _as_call(options: _Options, x: Tensor, tensors: Sequence[Tensor]) -> ScanCall:
    count = options.count
    shapes = options.backward.states
    states = list(tensors[count:]) or [x.new_zeros(shape) for shape in shapes]
    if options.stacked:
        states = [state[0] for state in states]
    return ScanCall(tensors[:count], x, states, None, None, options.reverse, options.seed, options.number)


def _unstacked(options: _Options, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [grad if grad is None or not options.stacked else grad[0] for grad in grads]


def _stacked(options: _Options, found: Sequence[Tensor]) -> list[Tensor]:
    states = options.executable.plan.signature.states if options.stacked else 0
    first = len(found) - states
    return [*found[:first], *(grad[None] for grad in found[first:])]


def _watched(
    options: _Options, chunk: Tensor, x: Tensor, tensors: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    """Go through PyTorch's dispatcher, where something counts or traces operations."""
    call, total = _as_call(options, x, tensors), x.shape[0] * x.shape[1]
    saved = [
        chunk[place : place + total * node.size].view(total, *node.shape)
        for place, node in zip(options.forward.places, options.executable.plan.saved, strict=True)
    ]
    dlast = _unstacked(options, grads[1:])
    return _stacked(options, torch.ops.ostinato.scan_backward.default(*call, saved, grads[0], dlast))


def _differentiable(
    options: _Options, x: Tensor, tensors: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    # other names of the same tensors: one may have been computed from another, and its gradient goes that way
    (x,), tensors = renamed([x]), renamed(tensors)
    found = references[options.number](_as_call(options, x, tensors), grads[0], _unstacked(options, grads[1:]))
    return _stacked(options, found)
