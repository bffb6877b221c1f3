"""Cells and their compiled plans: when one can be used again, when another is needed, when the eager loop runs."""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from ostinato.engine import backends
from ostinato.engine.backends import executable_for, half_target
from ostinato.engine.backends.calls import ScanCall
from ostinato.engine.backends.executable import Executable
from ostinato.engine.beside import Beside
from ostinato.engine.forks import making
from ostinato.engine.front.capture import Captured, capture
from ostinato.engine.front.convert import convert
from ostinato.engine.front.scope import Scope
from ostinato.engine.front.shell import Snapshot, shell_of
from ostinato.engine.front.state import State, leaves, map_state, structure
from ostinato.engine.front.watch import Look, look, look_anew, watched_by_all_modules
from ostinato.engine.plan.divide import make_plan
from ostinato.engine.plan.graph import NotNow, Unsupported
from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.plan.plan import Plan
from ostinato.engine.run.agreement import check_agreement
from ostinato.engine.run.carrying import Carrying
from ostinato.engine.run.operator import register
from ostinato.engine.run.operator import scan as run_scan
from ostinato.engine.run.plain import engine_is_on as engine_is_on
from ostinato.engine.run.quick import Walk, calls_alone, scan_quickly, walked
from ostinato.engine.run.repeated import remember, wanted_of
from ostinato.engine.run.transforms import has_rules, outside_of_transforms, over_rows, scan_transformed, transformed
from ostinato.engine.run.twice import Again, Source
from ostinato.errors import EngineWarning

_DTYPES = {
    "cpu": (torch.float32, torch.float64, torch.bfloat16),
    "cuda": (torch.float32, torch.float64, torch.bfloat16, torch.float16),
}
"""What is taken on each kind of device."""
_MOST_PLANS = 64
"""Of one cell. A number that is an attribute and changes at every call would else compile at every call."""
_MOST_SHAPES = 3
"""Of tensors that look like rows of the batch, when it is tried which of them are."""


class Request(NamedTuple):
    """A scan that is asked for: of arguments that fit, each as `scan` describes it."""

    xs: Tensor
    state: State
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool
    apart: bool = False
    """Whether the outputs may be changed in place, and so must not lie in the memory of anything else."""
    mixed: bool | None = None
    """Under autocast, whether products of matrices are made in bfloat16, see `mixed_now`; none elsewhere."""


@dataclass(frozen=True)
class Ready:
    """A compiled plan, and the number by which the operators know it."""

    executable: Executable
    captured: Captured
    """What the plan was made of."""
    number: int


_shared: weakref.WeakValueDictionary[Any, Ready] = weakref.WeakValueDictionary()
"""The plans of all cells: equal cells have one."""
_recent: OrderedDict[Any, Ready] = OrderedDict()
"""Those wanted last, for the next model of the same kind when the last one is gone."""
_MOST_RECENT = 64
_scopes: Beside[dict[type, Scope]] = Beside()
_plans: Beside[dict[Any, Ready | Unsupported]] = Beside()
_batches: Beside[dict[Any, Ready | Unsupported]] = Beside()
"""For cells that may compute with the size of their batch: what holds for each size."""
_MOST_BATCHES = 512
_warned: Beside[bool] = Beside()


def suits(xs: Tensor, state: State) -> bool:
    """Tell whether a call is one that the engine may try: plain tensors, with nothing else watching each step."""
    if not engine_is_on() or xs.dtype not in _DTYPES.get(xs.device.type, ()) or 0 in xs.shape:
        return False
    if not has_rules():
        return False
    if torch._C._is_tracing():  # a trace of `torch.jit` has a step's operations, and none that is Python's
        return False
    if any(leaf.dtype is not xs.dtype or leaf.device != xs.device or leaf.is_neg() for leaf in leaves(state)):
        return False
    if torch._C._len_torch_function_stack() and not _only_places_on(xs.device.type):
        return False
    return all(
        type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided for tensor in (xs, *leaves(state))
    )


def _only_places_on(kind: str) -> bool:
    """Tell whether the modes that watch PyTorch's functions only say that new tensors are on this kind of device."""
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return all(type(mode) is DeviceContext and mode.device.type == kind for mode in modes)


def scan_compiled(
    owner: nn.Module, cell: nn.Module, request: Request, seen: Look
) -> tuple[Tensor, State] | Unsupported:
    """Run a scan through a compiled plan, or return why the engine cannot take the cell.

    `owner` is the user's cell, which plans are kept with, as it was `seen`; `cell` is itself or a short-lived wrapper
    made of it alone.
    """
    # looking a plan up is not for `torch.compile` to trace; its guard against that costs, so only there
    run = _scan_untraced if torch.compiler.is_compiling() else _scan_compiled
    result: tuple[Tensor, State] | Unsupported = run(owner, cell, request, seen)
    return result


def _scan_compiled(
    owner: nn.Module, cell: nn.Module, request: Request, seen: Look
) -> tuple[Tensor, State] | Unsupported:
    as_owner, carries = seen, type(cell) is Carrying
    if cell is not owner:
        seen = _look_at_wrapper(owner, cell)
    xs, state, lengths, resets, reverse, apart, mixed = request
    ready = _find(owner, cell, xs, state, seen, bool(mixed))
    if isinstance(ready, Unsupported):
        return ready
    values = list(seen.tensors.values())
    flat = leaves(state)
    save = torch.is_grad_enabled() and ready.executable.plan.backward is not None
    if ready.executable.is_random and over_rows():
        return NotNow("random numbers in a batch of calls")
    seed = int(torch.randint(2**62, ())) if ready.executable.is_random else 0
    results: Sequence[Tensor] | None = None
    if transformed():
        results = scan_transformed(ScanCall(values, xs, flat, lengths, resets, reverse, seed, ready.number))
    elif not torch._C._len_torch_dispatch_stack():
        options: Any = {"reverse": reverse, "save": save, "seed": seed, "lengths": lengths, "resets": resets}
        results = scan_quickly(ready.executable, ready.number, values, xs, flat, **options)
        if results is not None and (cell is owner or carries) and not seen.drawing:
            _remember(ready, request, as_owner, list(seen.tensors.values()), save=save, states=carries)
    if results is None:
        results = run_scan(ScanCall(values, xs, flat, lengths, resets, reverse, seed, ready.number), save, apart)
    last = iter(results[1 : 1 + len(flat)])
    return results[0], map_state(lambda _: next(last), state)


def _remember(
    ready: Ready, request: Request, seen: Look, values: Sequence[Tensor], *, save: bool, states: bool
) -> None:  # fmt: skip
    """Keep what the next call of this kind needs."""
    xs, state, lengths, resets, reverse, _, mixed = request
    walk = Walk(ready.executable, ready.number, reverse)
    calls = calls_alone(walk, *xs.shape[:2], save=save, walked=walked(lengths), resets=resets is not None)
    if calls is not None:
        wanted = wanted_of(xs, state, lengths, resets, reverse, mixed=mixed, states=states)
        remember(seen, calls, wanted, values, random=ready.executable.is_random)


# as torch.compiler.disable, but importing the compiler of PyTorch, which takes a second, only when it is called
_scan_untraced = _disable_dynamo(_scan_compiled)


def mixed_now(xs: Tensor) -> bool:
    """Tell whether a call multiplies matrices in bfloat16: under autocast to it, where the processor gains by it."""
    return (
        xs.dtype is torch.float32
        and xs.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and half_target(xs.device) is not None
    )


def find(owner: nn.Module, cell: nn.Module, xs: Tensor, state: State, *, mixed: bool = False) -> Ready | Unsupported:
    """Return the plan for a call, made now if there is none yet, or why there can be none."""
    return _find(owner, cell, xs, state, look(cell) if cell is owner else _look_at_wrapper(owner, cell), mixed)


def _find(owner: nn.Module, cell: nn.Module, xs: Tensor, state: State, seen: Look, mixed: bool) -> Ready | Unsupported:
    if seen.fingerprint is None:
        return Unsupported(seen.refusal)
    flat = leaves(state)
    grad = torch.is_grad_enabled()
    # below a transform of functions, tensors do not tell what is wanted of them
    hidden = torch._C._functorch.peek_interpreter_stack() is not None
    wanted = [
        grad and (tensor.requires_grad or (hidden and tensor.is_floating_point()))
        for tensor in (*seen.tensors.values(), xs)
    ]
    # gradients run through the states whoever wants them
    gradients = (*wanted, *[any(wanted) or (grad and any(leaf.requires_grad for leaf in flat))] * len(flat))
    key = (
        seen.fingerprint, is_wanted(), gradients, xs.dtype, xs.device, xs.shape[2:], structure(state),
        tuple(leaf.shape[1:] for leaf in flat), torch.get_default_dtype(), grad and seen.scope.grad_mode,
        half_target(xs.device) if mixed else None,
    )  # fmt: skip
    plans = _plans.get(owner) or _plans.setdefault(owner, {})
    ready = plans.get(key) or plans.get((key, xs.shape[1])) or _batches.get(owner, {}).get((key, xs.shape[1]))
    if ready is not None:
        return ready
    if not transformed():
        return _made(plans, key, _Wanted(owner, cell, xs, state, seen, gradients, mixed))
    if seen.scope.sizes or seen.opaque:
        return NotNow("a cell that may compute with the size of its batch, below a transform of functions")
    with outside_of_transforms():
        plain, starts = _like(xs), map_state(_like, state)
        return _made(plans, key, _Wanted(owner, cell, plain, starts, seen, gradients, mixed))


def _like(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)


@dataclass(frozen=True)
class _Wanted:
    """A call for which there is no plan yet."""

    owner: nn.Module
    cell: nn.Module
    xs: Tensor
    state: State
    seen: Look
    gradients: tuple[bool, ...]
    mixed: bool

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return self.xs.shape[1]

    @property
    def rows(self) -> tuple[str, ...]:
        """Tensors with as many rows as this batch: each may be a row for each sequence, or may only look like it.

        A cell that knows says so: `rows_of_batch` of it names those that are.
        """
        said = getattr(self.cell, "rows_of_batch", None)
        return tuple(
            name
            for name, tensor in self.seen.tensors.items()
            if tensor.dim() and tensor.shape[0] == self.batch
            if (not isinstance(tensor, nn.Parameter) if said is None else name in said)
        )

    def capture(self, **options: Any) -> Captured:
        """Trace a step."""
        backward = any(self.gradients)
        seen, gradients = self.seen, self.gradients
        return capture(
            self.cell,
            self.xs[0],
            self.state,
            seen.tensors,
            gradients,
            backward=backward,
            scope=seen.scope,
            unchanged=seen.holds,
            **options,
        )


def _made(plans: dict[Any, Ready | Unsupported], key: Any, call: _Wanted) -> Ready | Unsupported:
    """Make the plan of a call, or take that of an equal cell, and keep it."""
    if watched_by_all_modules():  # by a counter of operations, say, which would see the trace
        return NotNow("hooks on all modules")
    with making:
        ready = plans.get(key) or plans.get((key, call.batch))  # another thread may have made it
        if ready is not None:
            return ready
        if len(plans) >= _MOST_PLANS:
            return Unsupported("settings or sizes that keep changing (make what changes a buffer of the cell)")
        if call.rows:
            ready = plans[key, call.batch] = _shared_or_made((key, call.batch, call.rows), call)
        elif call.seen.scope.sizes or call.seen.opaque:
            ready = _agreed(plans, key, call)
        else:
            ready = plans[key] = _shared_or_made(key, call)
        return ready


def _shared_or_made(key: Any, call: _Wanted) -> Ready | Unsupported:
    """Return the plan that an equal cell has, or had not long ago, or make it."""
    ready = _shared.get(key) or _make(call)
    if isinstance(ready, Ready):
        _shared[key] = _recent[key] = ready
        _recent.move_to_end(key)
        if len(_recent) > _MOST_RECENT:
            _recent.popitem(last=False)
    return ready


def _agreed(plans: dict[Any, Ready | Unsupported], key: Any, call: _Wanted) -> Ready | Unsupported:
    """Return the plan of a cell that may compute with the size of its batch, if a step of this many rows agrees."""
    ready = plans.get(("any batch", key))
    if ready is None:
        ready = plans["any batch", key] = _shared_or_made(("any batch", key), call)
    batches = _batches.get(call.owner) or _batches.setdefault(call.owner, {})
    if (key, call.batch) in batches:
        return batches[key, call.batch]
    if isinstance(ready, Ready):
        try:
            rows = ready.executable.plan.signature.rows
            true = call.capture(rows=rows, batch=call.batch)
            _check_agreement(ready, true, call)
        except Unsupported as reason:
            ready = reason
    if len(batches) >= _MOST_BATCHES:
        batches.clear()
    batches[key, call.batch] = ready
    return ready


def _check_agreement(ready: Ready, true: Captured, call: _Wanted) -> None:
    """Compare a plan with a trace of the true batch; on the CPU, whichever device it is for."""
    tensors, executable = [tensor.detach().cpu() for tensor in call.seen.tensors.values()], ready.executable
    if call.xs.device.type != "cpu" or call.mixed:
        dtype = torch.float64 if call.xs.dtype is torch.float64 else torch.float32
        executable = executable_for(torch.device("cpu"))(executable.plan, dtype)
    check_agreement(executable, ready.captured, true, tensors, call.batch)


def _make(call: _Wanted) -> Ready | Unsupported:
    snapshot = Snapshot(call.seen)
    try:
        make = executable_for(call.xs.device, half_target(call.xs.device) if call.mixed else None)
        _check_tensors(call.seen.tensors, call.xs)
        captured, plan = _planned(call)
        executable = make(plan, call.xs.dtype, parallel=is_wanted())
        if call.xs.device.type != "cpu":
            executable.compile(training=plan.backward is not None)  # it is now that a cell can be refused
    except Exception as error:  # noqa: BLE001 - whatever a plan stumbles over, the eager loop is right
        if not call.seen.holds():
            snapshot.restore()
        return error if isinstance(error, Unsupported) else Unsupported(f"a step without a plan ({error!r:.200})")
    tensors = call.seen.tensors
    fakes = {id(tensor): torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for tensor in tensors.values()}
    source = Source(
        type(call.owner).__name__, shell_of(call.cell, fakes, call.seen.scope.names), tuple(fakes.values()),
        structure(call.state), captured.signature, call.seen.scope, executable.is_random,
    )  # fmt: skip
    return Ready(executable, captured, register(executable, Again(source, call.xs.dtype, call.xs.device)))


def _planned(call: _Wanted) -> tuple[Captured, Plan]:
    """Capture and plan; if that fails and some tensors could be rows of the batch, try again with them as such."""
    for chosen in _choices(call):
        try:
            captured = call.capture(rows=chosen)
            return captured, make_plan(convert(captured))
        except Unsupported as error:
            last = error
    try:
        convert(call.capture(locate=True))
    except Unsupported as located:
        raise located from last
    raise last


def _choices(call: _Wanted) -> list[tuple[str, ...]]:
    """Return which tensors may be taken as rows of the batch, in the order of trial: none, all, some by their shapes.

    A mask of dropout and a matrix of weights that was cast look alike if there are as many units as rows.
    """
    names = call.rows
    shapes = {name: call.seen.tensors[name].shape for name in names}
    kinds = list(dict.fromkeys(shapes.values()))
    if getattr(call.cell, "rows_of_batch", None) is not None:
        return [names]
    found: list[tuple[str, ...]] = [(), names] if names else [()]
    if 1 < len(kinds) <= _MOST_SHAPES:
        for bits in range(1, 2 ** len(kinds) - 1):
            chosen = [kind for place, kind in enumerate(kinds) if bits >> place & 1]
            found.append(tuple(name for name in names if shapes[name] in chosen))
    return found


def _check_tensors(tensors: dict[str, Tensor], xs: Tensor) -> None:
    dtype, device = xs.dtype, xs.device
    for name, tensor in tensors.items():
        if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.device != device:
            raise Unsupported(
                f"{name} is a {type(tensor).__name__} on {tensor.device} and the sequences are on {device}"
            )
        if tensor.layout is not torch.strided or tensor.is_neg():
            raise Unsupported(f"{name}, which is {tensor.layout} or is kept with its sign turned")
        if tensor.is_floating_point() and tensor.dtype is not dtype:
            raise Unsupported(f"{name} is {tensor.dtype} and the sequences are {dtype}")


def _look_at_wrapper(owner: nn.Module, cell: nn.Module) -> Look:
    """Look at a short-lived wrapper around a cell; what is known of its code is kept with the cell."""
    scopes = _scopes.get(owner) or _scopes.setdefault(owner, {})
    seen = look_anew(cell, scopes.get(type(cell)))
    scopes[type(cell)] = seen.scope
    return seen


def release_memory() -> None:
    """Give back what is kept for later: memory of outputs, and plans of cells that are gone."""
    with making:
        _recent.clear()
    backends.release_memory()


def warn_once(cell: nn.Module, reason: Unsupported) -> None:
    """Say that a cell has run eagerly, and why."""
    if cell in _warned or isinstance(reason, NotNow):
        return
    _warned[cell] = True
    warnings.warn(
        f"{type(cell).__name__} runs in the eager loop, right but slower: the engine does not take {reason}",
        EngineWarning,
        stacklevel=4,
    )
