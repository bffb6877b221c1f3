"""Loops of Keras's cells whose plans are known: found by what they depend on, without watching or tracing a step.

A step of ours has no weights and no settings but its form; so a plan depends on the form, on shapes and types, and on
which gradients are wanted. All of it is looked at in every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.run.compiled import Ready, find
from ostinato.engine.run.plain import plain_now
from ostinato.engine.run.quick import scan_quickly
from ostinato.keras.steps import Form

_MOST = 128


class Loop(NamedTuple):
    """A loop that is to be run."""

    kind: str
    """Of the cell."""
    form: Form
    tensors: Sequence[Tensor]
    """What `form.names` are the names of."""
    xs: Tensor
    """`(time, batch, features)`."""
    state: Sequence[Tensor]

    def key(self) -> Any:
        """Return all that a plan depends on; none if a tensor does not lie as the quick way reads it."""
        every = (self.xs, *self.state, *self.tensors)
        if any(tensor.layout is not torch.strided or tensor.is_neg() for tensor in every):
            return None
        wanted = [tensor.requires_grad for tensor in every] if torch.is_grad_enabled() else ()
        return (
            self.kind, self.form, self.xs.dtype, self.xs.shape[1:], *[tensor.shape for tensor in self.tensors], *wanted,
            torch.is_grad_enabled(), *[tensor.dtype for tensor in every], is_wanted(), torch.get_default_dtype(),
        )  # fmt: skip


class Plan(NamedTuple):
    """A plan, and which tensors it takes in its own order."""

    ready: Ready
    order: list[int]


_known: dict[Any, Plan] = {}


def plan_of(loop: Loop) -> Plan | None:
    """Return the plan of a loop, if it is known."""
    return _known.get(loop.key())


def run(loop: Loop, lengths: Tensor | None, *, reverse: bool) -> tuple[Tensor, ...] | None:
    """Run a loop whose plan is known: outputs and last states; none for the longer way."""
    known = plan_of(loop) if plain_now() else None
    if known is None:
        return None
    executable = known.ready.executable
    return scan_quickly(
        executable, known.ready.number, [loop.tensors[index] for index in known.order], loop.xs, loop.state,
        reverse=reverse, save=torch.is_grad_enabled() and executable.plan.backward is not None, lengths=lengths,
    )  # fmt: skip


def learn(loop: Loop, step: nn.Module) -> None:
    """Keep the plan of a loop that went the longer way."""
    key = loop.key() if plain_now() else None
    if key is None or key in _known:
        return
    ready = find(step, step, loop.xs, tuple(loop.state))
    if not isinstance(ready, Ready):
        return
    if len(_known) >= _MOST:
        _known.clear()
    names = loop.form.names
    _known[key] = Plan(ready, [names.index(name) for name in ready.executable.plan.signature.parameters])
