"""The engine as operators of PyTorch: what traces a model sees one node for a whole scan, with its gradient."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from ostinato.engine.backends.calls import ScanCall
from ostinato.engine.backends.executable import Executable
from ostinato.engine.backends.sums import each_on_its_own
from ostinato.engine.run.batches import is_batched, one_by_one, over_batch
from ostinato.engine.run.twice import Again

_numbers = count()
_executables: weakref.WeakValueDictionary[int, Executable] = weakref.WeakValueDictionary()
references: dict[int, Again] = {}

_ARGUMENTS = (
    "Tensor[] parameters, Tensor x, Tensor[] state, Tensor? lengths, Tensor? resets, bool reverse, int seed, int plan"
)
_library: Any = torch.library.Library("ostinato", "DEF")  # type: ignore[no-untyped-call]
_library.define(f"scan({_ARGUMENTS}, bool save) -> Tensor[]", tags=(torch.Tag.pt2_compliant_tag,))
_library.define(
    f"scan_backward({_ARGUMENTS}, Tensor[] saved, Tensor? dy, Tensor?[] dlast) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def register(executable: Executable, reference: Again) -> int:
    """Return the number by which the operators find an executable as long as it lives.

    `reference` differentiates its gradients.
    """
    number = next(_numbers)
    _executables[number] = executable
    references[number] = reference
    weakref.finalize(executable, references.pop, number, None)
    return number


def executable_of(number: int) -> Executable:
    """Return the executable that was registered under a number."""
    return _executables[number]


def scan(call: ScanCall, save: bool, apart: bool) -> Sequence[Tensor]:
    """Run a plan over time; returns the outputs, the last states, and, with `save`, what the backward pass needs.

    With nothing tracing, the way through PyTorch's dispatcher is left out: it takes longer than a short scan. Unless
    they have to be `apart`, the outputs may lie in the memory of what is saved, and so must not be changed in place.
    """
    if torch._C._len_torch_dispatch_stack():
        results: Sequence[Tensor] = torch.ops.ostinato.scan.default(*call, save)
        return results
    return _differentiable(_forward_apart if apart else _forward, call, save)


def _forward(call: ScanCall, save: bool, *, apart: bool = False) -> list[Tensor]:
    y, last, saved = _executables[call.plan].launch(call, save=save, apart=apart)
    return [y, *last, *saved]


_forward_apart = partial(_forward, apart=True)
_WIDTH = len(ScanCall._fields)


def _forward_defined(*arguments: Any) -> list[Tensor]:
    """Run a plan as an operator must: its results lie apart, and what no row wrote is zero."""
    call, (save,) = ScanCall(*arguments[:_WIDTH]), arguments[_WIDTH:]
    results = _forward_apart(call, save)
    if call.lengths is not None and _executables[call.plan].streams_are_packed:
        for stream in results[1 + len(call.state) :]:
            stream[int(call.lengths.sum()) :].zero_()
    return results


def _forward_shapes(*arguments: Any) -> list[Tensor]:
    call, (save,) = ScanCall(*arguments[:_WIDTH]), arguments[_WIDTH:]
    programs, x = _executables[call.plan].plan, call.x
    kept = programs.saved if save else ()
    return [
        x.new_empty((*x.shape[:2], *programs.outputs[0])),
        *(leaf.new_empty(leaf.shape) for leaf in call.state),
        *(x.new_empty((x.shape[0] * x.shape[1], *node.shape)) for node in kept),
    ]


def _gradients(
    call: ScanCall, saved: Sequence[Tensor], dy: Tensor | None, dlast: Sequence[Tensor | None]
) -> list[Tensor]:
    """Return the gradients that the plan computes: of parameters, x and states, those that are wanted, in order."""
    executable = _executables[call.plan]
    weights, dx, dstate = executable.launch_backward(call, saved, dy, dlast)
    wanted = executable.plan.signature.gradients
    found: list[Tensor] = []
    inputs = [*call.parameters, call.x, *call.state]
    for gradient, like, needed in zip([*weights, dx, *dstate], inputs, wanted, strict=True):
        if needed:
            found.append(torch.zeros_like(like) if gradient is None else gradient.to(like.dtype).contiguous())
    return each_on_its_own(found)


def _gradients_defined(*arguments: Any) -> list[Tensor]:
    return _gradients(ScanCall(*arguments[:_WIDTH]), *arguments[_WIDTH:])


def _gradient_shapes(*arguments: Any) -> list[Tensor]:
    call = ScanCall(*arguments[:_WIDTH])
    wanted = _executables[call.plan].plan.signature.gradients
    inputs = [*call.parameters, call.x, *call.state]
    return [tensor.new_empty(tensor.shape) for tensor, needed in zip(inputs, wanted, strict=True) if needed]


class _Scan(torch.autograd.Function):
    """A scan with its gradient; the tensors come flat, as autograd wants them."""

    @staticmethod
    def forward(ctx: Any, run: Any, options: Any, counts: Any, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run the plan and keep what the backward pass needs."""
        call = _unflatten(counts, tensors, options)
        parameters, x, state, lengths, resets, _, _, plan = call
        results = run(call, True)
        saved = results[1 + len(state) :]
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*saved)
        ctx.options, ctx.counts = options, counts
        # the cell, and with it the plan, may be gone when the backward pass comes
        ctx.executable = _executables[plan]
        # lengths and resets may be changed afterwards, as with the layers of torch.nn, which work with copies of them
        marks = [None if mark is None else mark.clone() for mark in (lengths, resets)]
        # what the backward program does not read may be changed too, the biases for instance
        read = ctx.executable.read_backward
        inputs = list(zip([*parameters, x, *state], read, strict=True))
        ctx.unread = [None if needed else (tensor, version(tensor)) for tensor, needed in inputs]
        ctx.shapes = [tensor.shape for tensor, _ in inputs]
        ctx.save_for_backward(*(tensor if needed else None for tensor, needed in inputs), *marks, *saved)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the plan's backward program, so that the gradients can be differentiated if they are to be."""
        executable = ctx.executable
        size = len(ctx.unread)
        everything = ctx.saved_tensors  # asked for once: gradient checkpointing gives them once
        twice = torch.is_grad_enabled()
        tensors = joined(everything[:size], ctx.unread, ctx.shapes, unchanged=twice)
        call = _unflatten(ctx.counts, [*tensors, *everything[size : size + 2]], ctx.options)
        saved = everything[size + 2 :]
        dy, dlast = grads[0], list(grads[1 : 1 + len(call.state)])
        if twice:
            # other names of the same tensors: one may have been computed from another, and its gradient goes that way
            (x,) = renamed([call.x])
            named = call._replace(parameters=renamed(call.parameters), x=x, state=renamed(call.state))
            found = references[call.plan](named, dy, dlast, list(saved))
        else:
            found = run_backward(call, list(saved), [dy, *dlast])
        spread = iter(found)
        wanted = executable.plan.signature.gradients
        return (None, None, None, *(next(spread) if needed else None for needed in wanted), None, None)


def version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place, as autograd counts it."""
    return 0 if tensor.is_inference() else tensor._version


def joined(
    saved: Sequence[Any], unread: Sequence[Any], shapes: Sequence[torch.Size], *, unchanged: bool
) -> list[Tensor]:
    """Return all tensors of a call: those that autograd has saved, and those that the backward program does not read.

    Raises:
        RuntimeError: one has to be `unchanged`, because it will be read again, and is not; or has not the shape
            that it had, which swapping `.data` can do unseen by autograd.
    """
    for kept in unread if unchanged else ():
        if kept is not None and version(kept[0]) != kept[1]:
            raise RuntimeError(
                f"gradients of gradients need a tensor {tuple(kept[0].shape)} that was given to a scan as it was then, "
                "but it has been modified by an inplace operation; change a copy of it"
            )
    tensors = [tensor if kept is None else kept[0] for tensor, kept in zip(saved, unread, strict=True)]
    for tensor, shape in zip(tensors, shapes, strict=True):
        if tensor.shape != shape:
            raise RuntimeError(
                f"a tensor {tuple(shape)} given to a scan has become {tuple(tensor.shape)} before the backward pass; "
                "give it its shape back until then"
            )
    return tensors


def renamed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors under other names, as far as gradients pass through them."""
    return [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in tensors]


def run_backward(call: ScanCall, saved: list[Tensor], grads: Sequence[Tensor | None]) -> list[Tensor]:
    """Run the plan's backward program once, or, for a batch of gradients under `vmap`, once for each."""
    if any(grad is not None and is_batched(grad) for grad in grads):
        return over_batch(partial(run_backward, call, saved), grads)
    watched = torch._C._len_torch_dispatch_stack() or torch._C._functorch.peek_interpreter_stack() is not None
    dy, dlast = grads[0], list(grads[1:])
    if not watched:
        return _gradients(call, saved, dy, dlast)
    found: list[Tensor] = torch.ops.ostinato.scan_backward.default(*call, saved, dy, dlast)
    return found


def _unflatten(counts: tuple[int, int], tensors: Sequence[Any], options: tuple[bool, int, int]) -> ScanCall:
    parameters, states = counts
    flat = list(tensors)
    end = parameters + 1 + states
    lengths, resets = flat[end : end + 2]
    return ScanCall(flat[:parameters], flat[parameters], flat[parameters + 1 : end], lengths, resets, *options)


def _differentiable(run: Callable[..., list[Tensor]], call: ScanCall, save: bool) -> Sequence[Tensor]:
    if not save or not torch.is_grad_enabled():
        return run(call, save)
    parameters, x, state, lengths, resets, *options = call
    if not x.is_contiguous() and _executables[call.plan].reads_x:
        # as torch.nn does: what it transposes it copies, and the user's own may be changed afterwards
        x = x.contiguous()
    results: Sequence[Tensor] = _Scan.apply(  # type: ignore[no-untyped-call]
        run, tuple(options), (len(parameters), len(state)), *parameters, x, *state, lengths, resets
    )
    return results


def _below_autograd(call: ScanCall, save: bool) -> list[Tensor]:
    with torch._C._AutoDispatchBelowAutograd():
        results: list[Tensor] = torch.ops.ostinato.scan.default(*call, save)
    return results


def _autograd(*arguments: Any) -> list[Tensor]:
    return list(_differentiable(_below_autograd, ScanCall(*arguments[:_WIDTH]), *arguments[_WIDTH:]))


for _device in ("CPU", "CUDA"):
    _library.impl("scan", _forward_defined, _device)
    _library.impl("scan_backward", _gradients_defined, _device)
_library.impl("scan", _autograd, "Autograd")
torch.library.register_fake("ostinato::scan", _forward_shapes)
torch.library.register_fake("ostinato::scan_backward", _gradient_shapes)


def _flops(*arguments: Any, backward: bool, out_val: Any = None, **_: Any) -> int:  # noqa: ARG001
    """Count the real steps of all rows, as for packed sequences."""
    call = ScanCall(*arguments[:_WIDTH])
    x, lengths, work = call.x, call.lengths, _executables[call.plan].plan.work
    each, once = work.backward if backward else work.forward
    rows = int(lengths.sum()) if lengths is not None and type(lengths) is Tensor else x.shape[0] * x.shape[1]
    return each * rows + once


register_flop_formula(torch.ops.ostinato.scan, get_raw=True)(partial(_flops, backward=False))
register_flop_formula(torch.ops.ostinato.scan_backward, get_raw=True)(partial(_flops, backward=True))


for _name in ("scan", "scan_backward"):
    torch.library.register_vmap(
        f"ostinato::{_name}", one_by_one(getattr(torch.ops.ostinato, _name).default), lib=_library
    )
