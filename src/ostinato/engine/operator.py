"""The engine as operators of PyTorch: autograd, `torch.compile` and export see one node for a whole scan."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.executable import Executable, make_call

_numbers = count()
_executables: weakref.WeakValueDictionary[int, Executable] = weakref.WeakValueDictionary()
_references: dict[int, Any] = {}

_ARGUMENTS = (
    "Tensor[] parameters, Tensor x, Tensor[] state, Tensor? lengths, Tensor? resets, bool reverse, int seed, int plan"
)


def register(executable: Executable) -> int:
    """Return the number by which the operators find an executable as long as it lives."""
    number = next(_numbers)
    _executables[number] = executable
    return number


@torch.library.custom_op("ostinato::scan", mutates_args=(), schema=f"({_ARGUMENTS}, bool save) -> Tensor[]")
def scan_operator(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    reverse: bool,
    seed: int,
    plan: int,
    save: bool,
) -> list[Tensor]:
    """Run a plan over time; returns the outputs, the last states, and what the backward pass needs."""
    executable = _executables[plan]
    call = make_call(x, state, lengths, resets, reverse, seed, executable.rows(parameters))
    y, last, saved = executable.forward(parameters, call, save=save)
    return [y, *last, *saved]


@scan_operator.register_fake
def _(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    reverse: bool,
    seed: int,
    plan: int,
    save: bool,
) -> list[Tensor]:
    programs = _executables[plan].plan
    kept = programs.saved if save else ()
    return [
        x.new_empty((*x.shape[:2], *programs.outputs[0])),
        *(leaf.new_empty(leaf.shape) for leaf in state),
        *(x.new_empty((x.shape[0] * x.shape[1], *node.shape)) for node in kept),
    ]


@torch.library.custom_op(
    "ostinato::scan_backward",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, Tensor[] saved, Tensor? dy, Tensor?[] dlast) -> Tensor[]",
)
def scan_backward_operator(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    reverse: bool,
    seed: int,
    plan: int,
    saved: Sequence[Tensor],
    dy: Tensor | None,
    dlast: Sequence[Tensor | None],
) -> list[Tensor]:
    """Return the gradients that the plan computes: of parameters, x and states, those that are wanted, in order."""
    executable = _executables[plan]
    call = make_call(x, state, lengths, resets, reverse, seed, executable.rows(parameters))
    weights, dx, dstate = executable.backward(parameters, call, saved, dy, dlast)
    wanted = executable.plan.captured.signature.gradients
    found: list[Tensor] = []
    for gradient, like, needed in zip([*weights, dx, *dstate], [*parameters, x, *state], wanted, strict=True):
        if needed:
            found.append(torch.zeros_like(like) if gradient is None else gradient.contiguous())
    return found


@scan_backward_operator.register_fake
def _(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    reverse: bool,
    seed: int,
    plan: int,
    saved: Sequence[Tensor],
    dy: Tensor | None,
    dlast: Sequence[Tensor | None],
) -> list[Tensor]:
    wanted = _executables[plan].plan.captured.signature.gradients
    inputs = [*parameters, x, *state]
    return [tensor.new_empty(tensor.shape) for tensor, needed in zip(inputs, wanted, strict=True) if needed]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    parameters, x, state, lengths, resets, reverse, seed, plan, save = inputs
    ctx.set_materialize_grads(False)
    ctx.counts = (len(parameters), len(state))
    ctx.options = (reverse, seed, plan)
    # the cell, and with it the plan, may be gone when the backward pass comes
    ctx.executable = _executables.get(plan)
    if not save:
        raise RuntimeError("ostinato::scan was called with save=False although a gradient is wanted")
    ctx.save_for_backward(*parameters, x, *state, lengths, resets, *output[1 + len(state) :])


def _backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    (count, states), (reverse, seed, plan) = ctx.counts, ctx.options
    tensors = ctx.saved_tensors
    parameters, x = list(tensors[:count]), tensors[count]
    state = list(tensors[count + 1 : count + 1 + states])
    lengths, resets = tensors[count + 1 + states : count + 3 + states]
    saved = list(tensors[count + 3 + states :])
    dy, dlast = grads[0], list(grads[1 : 1 + states])
    wanted = _executables[plan].plan.captured.signature.gradients
    if torch.is_grad_enabled():
        found = _references[plan](parameters, x, state, lengths, resets, reverse, dy, dlast)
    else:
        found = scan_backward_operator(
            parameters, x, state, lengths, resets, reverse, seed, plan, saved, dy, dlast
        )
    spread = iter(found)
    gradients = [next(spread) if needed else None for needed in wanted]
    return gradients[:count], gradients[count], gradients[count + 1 :], None, None, None, None, None, None


scan_operator.register_autograd(_backward, setup_context=_setup_context)


def keep_reference(plan: int, function: Any) -> None:
    """Keep the eager way to a plan's gradients, for gradients of gradients."""
    _references[plan] = function
    weakref.finalize(_executables[plan], _references.pop, plan, None)
