"""Cells and their compiled plans: when one can be used again, when another is needed, when the eager loop runs."""

from __future__ import annotations

import os
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from ostinato.engine.capture import capture
from ostinato.engine.executable import Executable
from ostinato.engine.graph import Unsupported
from ostinato.engine.linear import is_wanted
from ostinato.engine.operator import register
from ostinato.engine.operator import scan as run_scan
from ostinato.engine.plan import make_plan
from ostinato.engine.reference import scan_eagerly
from ostinato.engine.state import State, leaves, map_state, structure
from ostinato.errors import EngineWarning

_PLAIN = (int, float, bool, str, type(None), torch.dtype, types.FunctionType, types.BuiltinFunctionType, type)
_OF_MODULES = frozenset(nn.Module().__dict__) - {"training"}
"""What PyTorch itself keeps in every module."""
_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
_MOST_PLANS = 64
"""Of one cell. A number that is an attribute and changes at every call would else compile at every call."""


@dataclass(frozen=True)
class Ready:
    """A compiled plan, and the number by which the operators know it."""

    executable: Executable
    number: int


_plans: weakref.WeakKeyDictionary[nn.Module, dict[Any, Ready | Unsupported]] = weakref.WeakKeyDictionary()
_tracing = threading.Lock()
_warned: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def engine_is_on() -> bool:
    """Tell whether cells are compiled; `OSTINATO_ENGINE=off` in the environment leaves all to the eager loop."""
    return os.environ.get("OSTINATO_ENGINE", "on").lower() not in ("off", "0", "eager")


def suits(xs: Tensor, state: State) -> bool:
    """Tell whether a call is one that the engine may try: plain CPU tensors, with nothing else watching each step."""
    if not engine_is_on() or xs.device.type != "cpu" or xs.dtype not in _DTYPES or 0 in xs.shape:
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0:
        return False
    if any(leaf.dtype is not xs.dtype or leaf.device.type != "cpu" for leaf in leaves(state)):
        return False
    return type(xs) in (Tensor, nn.Parameter)


def scan_compiled(
    owner: nn.Module,
    cell: nn.Module,
    xs: Tensor,
    state: State,
    lengths: Tensor | None,
    reverse: bool,
    resets: Tensor | None,
    apart: bool,
) -> tuple[Tensor, State] | Unsupported:
    """Run a scan through a compiled plan, or return why the engine cannot take the cell.

    `owner` is the user's cell, which plans are kept with; `cell` is itself or a short-lived wrapper made of it alone.
    """
    # looking a plan up is not for `torch.compile` to trace; its guard against that costs, so only there
    run = _scan_untraced if torch.compiler.is_compiling() else _scan_compiled
    result: tuple[Tensor, State] | Unsupported = run(owner, cell, xs, state, lengths, reverse, resets, apart)
    return result


def _scan_compiled(
    owner: nn.Module,
    cell: nn.Module,
    xs: Tensor,
    state: State,
    lengths: Tensor | None,
    reverse: bool,
    resets: Tensor | None,
    apart: bool,
) -> tuple[Tensor, State] | Unsupported:
    tensors = tensors_of(cell)
    ready = find(owner, cell, xs, state, tensors)
    if isinstance(ready, Unsupported):
        return ready
    values = list(tensors.values())
    flat = leaves(state)
    save = torch.is_grad_enabled() and ready.executable.plan.backward is not None
    seed = int(torch.randint(2**62, ())) if ready.executable.is_random else 0
    results = run_scan(values, xs, flat, lengths, resets, reverse, seed, ready.number, save, apart)
    last = iter(results[1 : 1 + len(flat)])
    return results[0], map_state(lambda _: next(last), state)


# as torch.compiler.disable, but importing the compiler of PyTorch, which takes a second, only when it is called
_scan_untraced = _disable_dynamo(_scan_compiled)


def find(
    owner: nn.Module, cell: nn.Module, xs: Tensor, state: State, tensors: dict[str, Tensor]
) -> Ready | Unsupported:
    """Return the plan for a call, made now if there is none yet, or why there can be none."""
    flat = leaves(state)
    grad = torch.is_grad_enabled()
    wanted = [grad and tensor.requires_grad for tensor in (*tensors.values(), xs)]
    # gradients run through the states whoever wants them
    gradients = (*wanted, *[any(wanted) or (grad and any(leaf.requires_grad for leaf in flat))] * len(flat))
    key = (
        fingerprint(cell), is_wanted(), gradients, xs.dtype, xs.shape[2:], structure(state),
        tuple(leaf.shape[1:] for leaf in flat),
    )  # fmt: skip
    plans = _plans.setdefault(owner, {})
    ready = plans.get(key) or plans.get((key, xs.shape[1]))
    if ready is None:
        if len(plans) >= _MOST_PLANS:
            return Unsupported("settings or sizes that keep changing (make what changes a buffer of the cell)")
        rows = [
            name
            for name, tensor in tensors.items()
            if tensor.dim() and tensor.shape[0] == xs.shape[1] and not isinstance(tensor, nn.Parameter)
        ]
        # PyTorch's tracer patches modules for the whole process while it runs
        with _tracing:
            ready = _make(owner, cell, xs, state, tensors, gradients, rows)
        if fingerprint(cell) != key[0]:
            ready = Unsupported("attributes that change as the cell runs")
        # a tensor with as many rows as this batch may be a row for each sequence, or may only look like it
        plans[(key, xs.shape[1]) if rows else key] = ready
    return ready


def _make(
    owner: nn.Module, cell: nn.Module, xs: Tensor, state: State, tensors: dict[str, Tensor], gradients: Sequence[bool],
    candidates: Sequence[str],
) -> Ready | Unsupported:  # fmt: skip
    cell_is_owner = cell is owner
    try:
        _check_tensors(cell, tensors, xs.dtype)
        plan = _planned(cell, xs, state, tensors, gradients, candidates)
        executable = Executable(plan, xs.dtype, parallel=is_wanted())
    except Unsupported as reason:
        return reason
    user, wrap = weakref.ref(owner), type(cell)

    def again() -> nn.Module | None:
        module = user()
        return module if module is None or cell_is_owner else wrap(module)

    reference = _eager_gradients(again, tuple(tensors), structure(state), tuple(gradients))
    return Ready(executable, register(executable, reference))


def _planned(
    cell: nn.Module, xs: Tensor, state: State, tensors: dict[str, Tensor], gradients: Sequence[bool],
    candidates: Sequence[str],
) -> Any:  # fmt: skip
    """Capture and plan; if that fails and some tensors could be rows of the batch, try again with them as such."""
    for chosen in [(), tuple(candidates)] if candidates else [()]:
        try:
            return make_plan(capture(cell, xs[0], state, tensors, gradients, backward=any(gradients), rows=chosen))
        except Unsupported as error:
            last = error
    try:
        make_plan(capture(cell, xs[0], state, tensors, gradients, backward=any(gradients), locate=True))
    except Unsupported as located:
        raise located from last
    raise last


def _check_tensors(cell: nn.Module, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    for name, tensor in tensors.items():
        if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.device.type != "cpu":
            raise Unsupported(f"{name} is a {type(tensor).__name__} on {tensor.device}")
        if tensor.is_floating_point() and tensor.dtype is not dtype:
            raise Unsupported(f"{name} is {tensor.dtype} and the sequences are {dtype}")
    for module in cell.modules():
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            raise Unsupported(f"{type(module).__name__} has hooks, which must run at every step")


def _eager_gradients(
    cell: Callable[[], nn.Module | None], names: tuple[str, ...], shape: Any, wanted: tuple[bool, ...]
) -> Any:
    """Return a function that computes a scan's gradients eagerly, so that they can be differentiated again."""

    def gradients(
        parameters: Sequence[Tensor], x: Tensor, state: Sequence[Tensor], lengths: Tensor | None,
        resets: Tensor | None, reverse: bool, dy: Tensor | None, dlast: Sequence[Tensor | None],
    ) -> list[Tensor]:  # fmt: skip
        module = cell()
        if module is None:
            raise RuntimeError("the cell of this scan is gone; keep it until the second backward pass")
        from ostinato.engine.capture import _Bound

        bound = _Bound(module, dict(zip(names, parameters, strict=True)))
        ys, last = scan_eagerly(bound, x, _built(shape, iter(state)), lengths, reverse, resets)
        pairs = [(out, grad) for out, grad in zip([ys, *leaves(last)], [dy, *dlast], strict=True) if grad is not None]
        pairs = [(out, grad) for out, grad in pairs if out.requires_grad]
        asked = [tensor for tensor, needed in zip([*parameters, x, *state], wanted, strict=True) if needed]
        inputs = [tensor for tensor in asked if tensor.requires_grad]
        found = torch.autograd.grad(
            [out for out, _ in pairs], inputs, [grad for _, grad in pairs], create_graph=True, allow_unused=True
        )
        known = {id(tensor): grad for tensor, grad in zip(inputs, found, strict=True) if grad is not None}
        return [known.get(id(tensor), torch.zeros_like(tensor)) for tensor in asked]

    return gradients


def _built(shape: Any, parts: Any) -> State:
    return next(parts) if shape is None else tuple(_built(part, parts) for part in shape)


def tensors_of(cell: nn.Module) -> dict[str, Tensor]:
    """Return all tensors that a cell reads, by name: parameters, buffers, and plain attributes that are tensors."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, module in cell.named_modules():
        lead = f"{prefix}." if prefix else ""
        for table in (module._parameters, module._buffers, module.__dict__):
            for name, value in table.items():
                if name in _OF_MODULES:
                    continue
                if isinstance(value, Tensor) and id(value) not in seen and not name.startswith("_ostinato"):
                    seen.add(id(value))
                    found[lead + name] = value
    return found


def fingerprint(cell: nn.Module) -> tuple[Any, ...]:
    """Return what a cell's graph depends on besides tensors' values: modules, their modes, settings and shapes."""
    parts: list[Any] = []
    for module in cell.modules():
        parts += [type(module), len(module._forward_hooks) + len(module._forward_pre_hooks)]
        for name, value in module.__dict__.items():
            if name in _OF_MODULES:
                continue
            if isinstance(value, _PLAIN):
                parts += [name, value]
            elif isinstance(value, Tensor) and not name.startswith("_ostinato"):
                parts += [name, value.shape, value.requires_grad]
            elif isinstance(value, (tuple, list)) and name[0] != "_":
                parts += [name, tuple(item if isinstance(item, _PLAIN) else id(item) for item in value)]
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                parts += [name, None if tensor is None else tensor.shape]
    return tuple(parts)


def warn_once(cell: nn.Module, reason: Unsupported) -> None:
    """Say that a cell has run eagerly, and why."""
    if cell in _warned:
        return
    _warned.add(cell)
    warnings.warn(
        f"{type(cell).__name__} runs in the eager loop, right but slower: the engine does not take {reason}",
        EngineWarning,
        stacklevel=4,
    )
