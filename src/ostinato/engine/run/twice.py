"""Derivatives of a scan along a direction, and of its gradients: through plans of their own.

What a gradient is differentiated to is a gradient again: of what the derivative along a direction gives. So one more
cell, the one in `front.tangent`, serves forward-mode derivatives, gradients of gradients and what comes after them. Its
plan is made when it is first needed. The first gradients stay those of the plan, to the same bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine.backends import executable_for
from ostinato.engine.backends.calls import ScanCall
from ostinato.engine.backends.executable import Executable
from ostinato.engine.forks import making
from ostinato.engine.front.capture import MOST_OPERATIONS, capture, without_unused
from ostinato.engine.front.convert import convert
from ostinato.engine.front.scope import Scope
from ostinato.engine.front.shell import shell_of
from ostinato.engine.front.state import built, leaves
from ostinato.engine.front.tangent import Tangent
from ostinato.engine.plan.divide import make_plan
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.signature import Signature
from ostinato.engine.run.batches import is_batched, over_batch
from ostinato.engine.run.gradients import gradients_of
from ostinato.engine.run.reference import scan_eagerly
from ostinato.engine.run.transforms import outside_of_transforms, scan_transformed, transformed
from ostinato.errors import EngineWarning, UsageError

_TIMES = 6
"""How many times the operations of a cell's trace one of its derivatives may take."""


@dataclass(frozen=True)
class Source:
    """What a plan was made of, without the cell: it may be gone when derivatives are asked for."""

    name: str
    """Of the cell's class."""
    cell: nn.Module
    """A copy of the cell on tensors without data."""
    places: tuple[Tensor, ...]
    """These tensors, where each call puts its own."""
    shape: Any
    """How the state is nested."""
    signature: Signature
    scope: Scope
    is_random: bool


@dataclass(frozen=True)
class _Ready:
    executable: Executable
    number: int


class Again:
    """Differentiates what one plan gives, as often as is asked."""

    def __init__(self, source: Source, dtype: torch.dtype, device: torch.device) -> None:
        self.source, self.dtype, self.device = source, dtype, device
        self._tangents: dict[Any, _Ready | Unsupported] = {}
        self._warned = False

    def __call__(
        self, call: ScanCall, dy: Tensor | None, dlast: Sequence[Tensor | None], saved: list[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the gradients of a scan, those that its plan gives, so that they can be differentiated.

        Args:
            call: the scan, its tensors as autograd knows them.
            dy: the gradient of the outputs.
            dlast: of the last states.
            saved: what the forward pass has kept; without it that pass runs again.
        """
        given = [*call.parameters, call.x, *call.state, dy, *dlast]
        batched = any(tensor is not None and is_batched(tensor) for tensor in (dy, *dlast))
        watched = torch._C._len_torch_dispatch_stack() or torch._C._functorch.peek_interpreter_stack() is not None
        if batched or watched:
            return self.eagerly(call, dy, dlast)
        found: tuple[Tensor, ...] = _Gradients.apply(self, call, saved, *given)  # type: ignore[no-untyped-call]
        return list(found)

    def eagerly(self, call: ScanCall, dy: Tensor | None, dlast: Sequence[Tensor | None]) -> list[Tensor]:
        """Return the gradients through the eager loop.

        Raises:
            UsageError: the cell draws random numbers, which would be others.
        """
        source = self.source
        if source.is_random:
            raise UsageError(
                f"this derivative of a gradient runs step by step, where {source.name} would draw other random numbers "
                "than it did; switch its dropout or noise off, or set OSTINATO_ENGINE=off from the start"
            )
        stand_ins = dict(zip(map(id, source.places), call.parameters, strict=True))
        cell = shell_of(source.cell, stand_ins, None)
        state = built(source.shape, iter(call.state))
        ys, last = scan_eagerly(cell, call.x, state, call.lengths, call.reverse, call.resets)
        inputs = [*call.parameters, call.x, *call.state]
        asked = [tensor for tensor, needed in zip(inputs, source.signature.gradients, strict=True) if needed]
        moving = [tensor for tensor in asked if tensor.requires_grad]
        found = gradients_of([ys, *leaves(last)], [dy, *dlast], moving, recorded=True)
        known = {id(tensor): grad for tensor, grad in zip(moving, found, strict=True) if grad is not None}
        return [known.get(id(tensor), torch.zeros_like(tensor)) for tensor in asked]

    def tangents(self, call: ScanCall, directions: Sequence[Tensor | None]) -> list[Tensor]:
        """Return the tangents of the outputs and of the last states.

        Args:
            call: the scan; gradients flow to its tensors if they are recorded, and to the directions.
            directions: for each of parameters, x and states, its tangent; none for zero.

        Raises:
            Unsupported: the engine does not take the derivative of the cell's step.
        """
        from ostinato.engine.run.operator import scan

        count = len(call.parameters)
        of_parameters, of_x, of_state = directions[:count], directions[count], directions[count + 1 :]
        ways = [way for way in of_parameters if way is not None]
        starts = [
            torch.zeros_like(leaf) if way is None else way.resolve_neg()
            for leaf, way in zip(call.state, of_state, strict=True)
        ]
        x = call.x if of_x is None else torch.cat([call.x.flatten(2), of_x.to(call.x.dtype).flatten(2)], 2)
        given = [*call.parameters, *(way.resolve_neg().contiguous() for way in ways)]
        state = [*call.state, *(way.contiguous() for way in starts)]
        grad = torch.is_grad_enabled()
        # below a transform of functions, tensors do not tell what is wanted of them
        hidden = torch._C._functorch.peek_interpreter_stack() is not None
        wanted = [grad and (tensor.requires_grad or (hidden and tensor.is_floating_point())) for tensor in (*given, x)]
        carried = any(wanted) or (grad and any(leaf.requires_grad for leaf in state))
        ready = self._plan(tuple(way is not None for way in (*of_parameters, of_x)), (*wanted, *[carried] * len(state)))
        half = len(call.state)
        call = call._replace(parameters=given, x=x, state=state, plan=ready.number)
        results = scan_transformed(call) if transformed() else scan(call, grad and carried, apart=False)
        return [results[0], *results[1 + half : 1 + 2 * half]]

    def _plan(self, moved: tuple[bool, ...], gradients: tuple[bool, ...]) -> _Ready:
        with making:
            key = (moved, gradients)
            if key not in self._tangents:
                with outside_of_transforms():
                    self._tangents[key] = self._made(moved, gradients)
            found = self._tangents[key]
        if isinstance(found, Unsupported):
            raise found
        return found

    def _made(self, moved: tuple[bool, ...], gradients: tuple[bool, ...]) -> _Ready | Unsupported:
        from ostinato.engine.run.operator import register

        try:
            source, x, state = self._tangent_of_step(moved)
            training = any(gradients)
            captured = capture(
                source.cell, x, state, dict(zip(source.signature.parameters, source.places, strict=True)), gradients,
                backward=training, scope=source.scope, rows=source.signature.rows, most=_TIMES * MOST_OPERATIONS,
            )  # fmt: skip
            plan = make_plan(convert(without_unused(captured)))
            executable = executable_for(self.device)(plan, self.dtype, parallel=False)
            if self.device.type != "cpu":
                executable.compile(training=training)
        except Exception as error:  # noqa: BLE001 - whatever a plan stumbles over, the eager loop is right
            return error if isinstance(error, Unsupported) else Unsupported(f"a step without a plan ({error!r:.200})")
        source = replace(source, signature=captured.signature)
        return _Ready(executable, register(executable, Again(source, self.dtype, self.device)))

    def _tangent_of_step(self, moved: tuple[bool, ...]) -> tuple[Source, Tensor, tuple[Tensor, ...]]:
        """Return the cell that gives the tangents, and what a step and a state of it look like."""
        old = self.source
        signature, places = old.signature, old.places
        tensors = [place for place, moves in zip(places, moved[:-1], strict=True) if moves]
        directions = [torch.empty_like(tensor) for tensor in tensors]
        names = [name for name, moves in zip(signature.parameters, moved[:-1], strict=True) if moves]
        features = signature.features if moved[-1] else None
        cell = Tangent(old.cell, tensors, directions, features, old.shape, signature.states, old.scope.names)
        widths = (2 * int(torch.Size(signature.features).numel()),) if moved[-1] else signature.features
        sizes = signature.outputs[1:]
        x, *state = (torch.empty((1, *size), dtype=self.dtype, device="meta") for size in (widths, *sizes, *sizes))
        first = len(places)
        names = [*signature.parameters, *(f"direction {first + index} of {name}" for index, name in enumerate(names))]
        known = replace(signature, parameters=tuple(names))
        shape = (None,) * len(state)
        source = replace(old, cell=cell, places=(*places, *directions), shape=shape, signature=known)
        return source, x, tuple(state)

    def differentiated(
        self, call: ScanCall, dy: Tensor | None, dlast: Sequence[Tensor | None], directions: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """Return the product of directions of the gradients by their derivative.

        Args:
            call: the scan.
            dy: the gradient of the outputs.
            dlast: of the last states.
            directions: for each of parameters, x and states, that of its gradient.
            wanted: for each of these, then dy and dlast, whether what comes to it is needed.

        Returns:
            For each of them what comes to it, if it is needed and there is something.
        """
        twice, count = torch.is_grad_enabled(), len(call.parameters)
        inputs = [*call.parameters, call.x, *call.state]
        # other names of the same tensors: one may have been computed from another, and its gradient goes that way
        names = [
            _named(tensor, needed=needed, recorded=twice)
            for tensor, needed in zip(inputs, wanted[: len(inputs)], strict=True)
        ]
        named = call._replace(parameters=names[:count], x=names[count], state=names[count + 1 :])
        with torch.set_grad_enabled(any(wanted[: len(inputs)]) or twice):
            tangents = self.tangents(named, directions)
            moving = [name for name, needed in zip(names, wanted, strict=False) if needed and name.requires_grad]
            found = gradients_of(tangents, [dy, *dlast], moving, recorded=twice)
        known = {id(name): grad for name, grad in zip(moving, found, strict=True)}
        ends = [tangent if needed else None for tangent, needed in zip(tangents, wanted[len(inputs) :], strict=True)]
        if not twice:
            ends = [None if tangent is None else tangent.detach() for tangent in ends]
        return [*(known.get(id(name)) for name in names), *ends]

    def differentiated_eagerly(
        self, call: ScanCall, dy: Tensor | None, dlast: Sequence[Tensor | None], directions: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """Return the same as `differentiated`, through the eager loop."""
        twice, count = torch.is_grad_enabled(), len(call.parameters)
        given = [*call.parameters, call.x, *call.state, dy, *dlast]
        size = len(given) - 1 - len(dlast)
        # gradients are asked for of all that the plan gives them for, whoever wants what comes of them
        needs = [any(pair) for pair in zip(wanted, [*self.source.signature.gradients, *wanted[size:]], strict=True)]
        with torch.enable_grad():
            names: list[Any] = [
                tensor if tensor is None else _named(tensor, needed=needed, recorded=twice)
                for tensor, needed in zip(given, needs, strict=True)
            ]
            named = call._replace(parameters=names[:count], x=names[count], state=names[count + 1 : size])
            first = self.eagerly(named, names[size], names[size + 1 :])
            ways = [way for way, had in zip(directions, self.source.signature.gradients, strict=True) if had]
            moving = [name for name, needed in zip(names, wanted, strict=True) if needed and name.requires_grad]
            found = gradients_of(first, ways, moving, recorded=twice)
        known = {id(name): grad for name, grad in zip(moving, found, strict=True)}
        return [known.get(id(name)) for name in names]

    def warn_once(self, reason: Unsupported) -> None:
        """Say that derivatives of gradients run eagerly, and why."""
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"second derivatives of {self.source.name} run in the eager loop, right but slower: the engine does not "
            f"take {reason}",
            EngineWarning,
            stacklevel=3,
        )


def _named(tensor: Tensor, *, needed: bool, recorded: bool) -> Tensor:
    if recorded:
        return tensor.view_as(tensor) if tensor.requires_grad else tensor
    return tensor.detach().requires_grad_(needed)


class _Gradients(torch.autograd.Function):
    """The gradients of a scan; tensors come flat: parameters, x, states, then the gradients of outputs and ends."""

    @staticmethod
    def forward(ctx: Any, again: Again, call: ScanCall, saved: list[Tensor] | None, *given: Any) -> tuple[Tensor, ...]:
        """Run the plan's backward program."""
        from ostinato.engine.run.operator import executable_of, run_backward

        ends = 1 + len(call.state)
        plain = ScanCall(given[: len(call.parameters)], given[len(call.parameters)], given[-2 * ends + 1 : -ends],
                         *call[3:])  # fmt: skip
        executable = executable_of(call.plan)
        if saved is None:
            _, _, saved = executable.launch(plain, save=True)
        found = run_backward(plain, list(saved), given[-ends:])
        ctx.set_materialize_grads(False)
        # the cell, and with it the plan, may be gone when the next pass comes
        ctx.again, ctx.executable = again, executable
        ctx.options = ScanCall((), torch.empty(0), (), None, None, *call[5:])
        ctx.counts = len(call.parameters), len(call.state)
        ctx.save_for_backward(*given, call.lengths, call.resets)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Tensor | None, ...]:
        """Differentiate them."""
        *given, lengths, resets = ctx.saved_tensors
        parameters, states = ctx.counts
        call = ctx.options._replace(
            parameters=given[:parameters], x=given[parameters], state=given[parameters + 1 : parameters + 1 + states],
            lengths=lengths, resets=resets,
        )  # fmt: skip
        again: Again = ctx.again
        wanted = ctx.needs_input_grad[3:]
        spread = iter(directions)
        ways = [next(spread) if had else None for had in again.source.signature.gradients]
        if all(way is None for way in ways):
            return (None,) * (3 + len(given))
        run = partial(_differentiated, again, call, wanted)
        return (None, None, None, *run([*given[-1 - states :], *ways]))


def _differentiated(
    again: Again, call: ScanCall, wanted: Sequence[bool], given: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Differentiate gradients, once or for a batch of directions, through the engine or the eager loop."""
    ends = 1 + len(call.state)
    dy, dlast, directions = given[0], given[1:ends], given[ends:]
    if any(tensor is not None and is_batched(tensor) for tensor in given):
        if torch.is_grad_enabled():
            return again.differentiated_eagerly(call, dy, dlast, directions, wanted)
        return _over_batch(partial(_differentiated, again, call, wanted), given)
    watched = torch._C._len_torch_dispatch_stack() or torch._C._functorch.peek_interpreter_stack() is not None
    if not watched:
        try:
            return again.differentiated(call, dy, dlast, directions, wanted)
        except Unsupported as reason:
            again.warn_once(reason)
    return again.differentiated_eagerly(call, dy, dlast, directions, wanted)


def _over_batch(
    run: Callable[[Sequence[Tensor | None]], list[Tensor | None]], given: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Run for each row of a batch; what comes to nothing in one comes to nothing in all."""
    present: list[bool] = []

    def dense(row: Sequence[Tensor | None]) -> list[Tensor]:
        found = run(row)
        present[:] = [tensor is not None for tensor in found]
        return [tensor for tensor in found if tensor is not None]

    rest = iter(over_batch(dense, given))
    return [next(rest) if there else None for there in present]
