"""What a plan's trace read, and whether it still is as it was: tensors, settings wherever they live, code, modes.

A look at a cell takes down all of it as one key. The next call compares what can be compared quickly, object by object;
only where something was replaced, or can change in place, is it taken down again.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import is_
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.nn.modules import module as _module
from torch.nn.parameter import is_lazy

from ostinato.engine.beside import Beside
from ostinato.engine.front.freeze import Freezer
from ostinato.engine.front.reach import MISSING
from ostinato.engine.front.scope import Scope, empty_scope, extended, is_users_class
from ostinato.engine.plan.graph import Unsupported

OF_MODULES = frozenset(nn.Module().__dict__) - {"training"}
"""What PyTorch itself keeps in every module."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = tuple(getattr(_module, f"_global{name}") for name in _HOOKS if hasattr(_module, f"_global{name}"))
_ROUNDS = 50
"""Looks until no new code is met; each finds what the code of the last one reads."""


def watched_by_all_modules(*, names_alone: bool = True) -> bool:
    """Tell whether hooks are set that run whenever any module is called.

    Args:
        names_alone: whether those count by which PyTorch's own counters know the name of the module they are in.
    """
    if not any(_GLOBAL_HOOKS):
        return False
    hooks = [hook for table in _GLOBAL_HOOKS for hook in table.values()]
    return names_alone or any(getattr(hook, "__module__", "") != "torch.utils.module_tracker" for hook in hooks)


def is_watched(module: nn.Module) -> bool:
    """Tell whether a module has hooks, of its forward or of its backward pass."""
    return any(getattr(module, name) for name in _HOOKS)


class Fingerprint:
    """A key with its hash kept: it is looked up at every call."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value, self._hash = value, hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Fingerprint) and self.value == other.value)


@dataclass
class Look:
    """A cell as it was when it was looked at."""

    tensors: dict[str, Tensor]
    """All that the cell reads, by name: parameters, buffers, and attributes that are tensors; each once."""
    scope: Scope
    fingerprint: Fingerprint | None = None
    refusal: str = ""
    """What cannot be watched; then the cell runs eagerly."""
    drawing: tuple[nn.Module, ...] = ()
    """Parametrisations that give another weight each time."""
    tables: list[tuple[Mapping[str, Any], list[str] | None, list[Any]]] = field(default_factory=list)
    """Tables of attributes with what stands in them; those of PyTorch's classes have the names that they have."""
    empty: list[Mapping[Any, Any]] = field(default_factory=list)
    """Tables with nothing in them, hooks above all."""
    codes: list[tuple[Any, tuple[Any, ...]]] = field(default_factory=list)
    places: list[tuple[Mapping[str, Any], str, Any]] = field(default_factory=list)
    metas: list[tuple[Any, ...]] = field(default_factory=list)
    deep: list[tuple[Any, str, Any]] = field(default_factory=list)
    mutable: list[Any] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    kinds: list[tuple[nn.Module, type]] = field(default_factory=list)
    """The parts of the cell, without itself, which must not be kept alive here, with their classes."""
    kind: type | None = None
    opaque: bool = False
    """Whether code of other libraries runs, which may keep something from step to step."""
    arranged: dict[Any, Any] = field(default_factory=dict)
    """For whoever runs the cell: what calls of each shape need, as long as it is as it was."""
    outputs: dict[Any, torch.Size] = field(default_factory=dict)
    """The same: the shapes of its outputs."""

    @property
    def draws(self) -> bool:
        """Whether a weight of the cell is drawn at random for each call now."""
        return any(module.training for module in self.drawing)

    def holds(self) -> bool:
        """Tell whether the cell and all that its code reads are as they were."""
        if self.refusal or any(self.empty):
            return False
        for table, names, values in self.tables:
            if len(table) != len(values) or not all(map(is_, table.values(), values)):
                return False
            if names is not None and list(table) != names:
                return False
        for table, name, value in self.places:
            if table.get(name, MISSING) is not value:
                return False
        for function, parts in self.codes:
            now = _parts_of(function)
            if len(now) != len(parts) or not all(map(is_, now, parts)):
                return False
        if any(type(module) is not kind for module, kind in self.kinds):
            return False
        for tensor, meta in zip(self.tensors.values(), self.metas, strict=True):
            if _meta(tensor) != meta:
                return False
        return not self.deep or self._settings_hold()

    def _settings_hold(self) -> bool:
        freezer = Freezer(self.scope.names, self.scope.own, self.number, shows=self.scope.shows)
        try:
            return all(freezer.whole(value, label) == key for value, label, key in self.deep)
        except (Unsupported, RuntimeError):  # a container that another thread is changing
            return False

    def number(self, value: Any) -> int | None:
        """Return the place of a tensor or a module of the cell among its own."""
        return self.numbers.get(id(value))


_looks: Beside[Look] = Beside()


def look(cell: nn.Module) -> Look:
    """Return what a cell is now; what is known of it already is only compared."""
    known = _looks.get(cell)
    if known is not None and type(cell) is known.kind and known.holds():
        return known
    found = _looks[cell] = look_anew(cell, None if known is None else known.scope)
    return found


def look_now(cell: nn.Module) -> Look:
    """Return what a cell is, wherever PyTorch's compiler may be: looking is not for it to trace."""
    return _look_untraced(cell) if torch.compiler.is_compiling() else look(cell)


# as torch.compiler.disable, but importing the compiler of PyTorch, which takes a second, only when it is called
_look_untraced = _disable_dynamo(look)


def look_anew(cell: nn.Module, scope: Scope | None = None) -> Look:
    """Take down all that a plan of a cell depends on.

    Args:
        cell: the cell, or a wrapper around it.
        scope: what is known of its code from an earlier look.
    """
    tensors = tensors_of(cell)
    if any(is_lazy(tensor) for tensor in tensors.values()):
        return Look(tensors, empty_scope(cell), None, "parameters that have no shape before the first call")
    try:
        scope = scope or empty_scope(cell)
        for _ in range(_ROUNDS):
            freezer, seen = _taken_down(cell, scope, tensors)
            if not freezer.met.keys() - scope.known.keys():
                return seen
            scope = extended(scope, freezer.met.values())
        raise Unsupported("code that leads to ever more code")
    except Unsupported as reason:
        return Look(tensors, scope or empty_scope(cell), None, str(reason), _drawing(cell))
    except RecursionError:
        return Look(tensors, empty_scope(cell), None, "settings that are nested too deeply", _drawing(cell))


def _taken_down(cell: nn.Module, scope: Scope, tensors: dict[str, Tensor]) -> tuple[Freezer, Look]:
    modules = list(cell.modules())
    found = Look(tensors, scope, drawing=_drawing(cell), numbers=numbers_of(cell), kind=type(cell))
    found.kinds = [(module, type(module)) for module in modules[1:]]
    found.metas = [_meta(tensor) for tensor in tensors.values()]
    freezer = Freezer(scope.names, scope.own, found.number, shows=scope.shows)
    paths = {id(module): path for path, module in cell.named_modules()}
    parts: list[Any] = [tuple(tensors), tuple(map(type, tensors.values())), tuple(found.metas)]
    for module in modules:
        path = paths[id(module)]
        parts += _of_module(module, f"self.{path}." if path else "self.", freezer, found)
    for place in scope.places:
        value = place.value()
        found.places.append((place.table, place.name, value))
        parts.append(_whole(freezer, value, place.label, found))
    for function in scope.functions:
        found.codes.append((function, _parts_of(function)))
        parts += [function.__code__, _whole(freezer, function.__defaults__, f"defaults of {function.__name__}", found)]
        parts.append(_whole(freezer, function.__kwdefaults__, f"defaults of {function.__name__}", found))
        attributes = {name: value for name, value in function.__dict__.items() if freezer.reads(name)}
        parts.append(_whole(freezer, attributes, function.__name__, found) if attributes else ())
    for kind in scope.classes:
        parts += _of_class(kind, freezer, found)
    for namespace in scope.modules:
        parts += _of_namespace(namespace, freezer, found)
    found.mutable, found.opaque = list(freezer.mutable), scope.opaque or freezer.opaque
    found.fingerprint = Fingerprint(tuple(parts))
    return freezer, found


def _of_module(module: nn.Module, lead: str, freezer: Freezer, found: Look) -> Iterator[Any]:
    """Take down a module: its class, mode, settings, and the places of its tensors and parts."""
    kind = type(module)
    if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        raise Unsupported(f"{kind.__name__}, a scripted module, whose settings are out of sight")
    users = is_users_class(kind, freezer.own)
    if users:
        freezer.meet(kind)
    layers = _layers_of(kind, freezer.own)
    hooks = [module.__dict__[name] for name in _HOOKS if name in module.__dict__]
    if any(hooks):
        raise Unsupported(f"{kind.__name__} with hooks, which must run at every step")
    found.empty += hooks
    for table in (module.__dict__, module._parameters, module._buffers, module._modules):
        if table:
            found.tables.append((table, list(table) if users else None, list(table.values())))
        else:
            found.empty.append(table)
    yield from (kind, _whole(freezer, kind.forward, f"{kind.__name__}.forward", found), module.training)
    found.places += [(vars(base), "forward", vars(base)["forward"]) for base in layers]
    for name, value in module.__dict__.items():
        if name in OF_MODULES or name == "training":
            continue
        if isinstance(value, Tensor):
            yield name, found.number(value)
        elif freezer.reads(name):
            yield name, _whole(freezer, value, lead + name, found)
        elif layers or not users or freezer.shows:
            # a layer of PyTorch reads plain settings; what else is put there is not for it
            with suppress(Unsupported):
                yield name, _whole(freezer, value, lead + name, found)
    for table in (module._parameters, module._buffers, module._modules):
        yield tuple((name, None if value is None else found.number(value)) for name, value in table.items())


def _layers_of(kind: type, own: frozenset[str]) -> list[type]:
    """Return the layers of libraries that a class is or derives from: they read settings that no code here names."""
    return [
        base
        for base in kind.__mro__
        if base is not nn.Module and "forward" in vars(base) and not is_users_class(base, own)
    ]


def _of_class(kind: type, freezer: Freezer, found: Look) -> Iterator[Any]:
    """Take down what a class holds that its objects can read."""
    layers = _layers_of(kind, freezer.own) if issubclass(kind, nn.Module) else []
    for base in kind.__mro__:
        if not is_users_class(base, freezer.own):
            continue
        # kept in the class by whatever copies an object, so that it comes to no class later
        copyreg._slotnames(base)  # type: ignore[attr-defined]
        table = vars(base)
        found.tables.append((table, list(table), list(table.values())))
        for name, value in list(table.items()):
            if name.startswith("__") and name.endswith("__"):
                yield value if isinstance(value, FunctionType) else name
                if freezer.reads(name) and not isinstance(value, FunctionType):
                    yield _whole(freezer, value, f"{base.__name__}.{name}", found)
            elif freezer.reads(name):
                yield name, _whole(freezer, value, f"{base.__name__}.{name}", found)
            elif layers:
                with suppress(Unsupported):
                    yield name, _whole(freezer, value, f"{base.__name__}.{name}", found)


def _of_namespace(module: ModuleType, freezer: Freezer, found: Look) -> Iterator[Any]:
    """Take down what code that is handed a module can read of it."""
    table = vars(module)
    if "__getattr__" in table:
        raise Unsupported(f"the module {module.__name__}, which makes its attributes whenever it is asked")
    for name in table if freezer.names is None else freezer.names:
        value = table.get(name, MISSING)
        found.places.append((table, name, value))
        if not name.startswith("__"):
            yield name, _whole(freezer, value, f"{module.__name__}.{name}", found)


def _whole(freezer: Freezer, value: Any, label: str, found: Look) -> Any:
    """Return the key of a value; what can change in place is kept to be compared at every call."""
    before = len(freezer.mutable)
    key = freezer.whole(value, label)
    if len(freezer.mutable) > before:
        found.deep.append((value, label, key))
    return key


def _parts_of(function: Any) -> tuple[Any, ...]:
    return function.__code__, function.__defaults__, function.__kwdefaults__, *function.__dict__.values()


def _meta(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.requires_grad, tensor.is_cpu, tensor.layout, tensor.is_neg()


def _drawing(cell: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(module for module in cell.modules() if getattr(module, "draws_anew", False))


def settings_of(shell: nn.Module, scope: Scope, numbers: Mapping[int, int]) -> dict[str, Any]:
    """Return a key for each setting of a cell, by name; tensors and modules without a number are strangers."""

    def number(value: Any) -> int:
        return numbers.get(id(value), -1)

    found: dict[str, Any] = {}
    for path, module in shell.named_modules():
        lead = f"self.{path}." if path else "self."
        for table in (module._parameters, module._buffers, module._modules):
            found |= {lead + name: None if value is None else number(value) for name, value in table.items()}
        found[f"{lead}training"] = module.training
        for name, value in module.__dict__.items():
            if name in OF_MODULES or name == "training":
                continue
            if isinstance(value, Tensor):
                found[lead + name] = number(value)
            elif scope.names is None or name in scope.names:
                found[lead + name] = Freezer(scope.names, scope.own, number).whole(value, lead + name)
    return found


def numbers_of(cell: nn.Module) -> dict[int, int]:
    """Return the places of a cell's modules and tensors, by `id`."""
    numbers = {id(module): index for index, module in enumerate(cell.modules())}
    return numbers | {id(tensor): index for index, tensor in enumerate(tensors_of(cell).values())}


def tensors_of(cell: nn.Module) -> dict[str, Tensor]:
    """Return all tensors that a cell reads, by name: parameters, buffers, and plain attributes that are tensors."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, module in cell.named_modules():
        lead = f"{prefix}." if prefix else ""
        for table in (module._parameters, module._buffers, module.__dict__):
            for name, value in table.items():
                if isinstance(value, Tensor) and id(value) not in seen and name not in OF_MODULES:
                    seen.add(id(value))
                    found[lead + name] = value
    return found
