"""Copies of a cell that can be run without touching the user's: their own tables, other tensors, their own settings."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.engine.front.reach import MISSING, Variables
from ostinato.engine.front.scope import is_users_class
from ostinato.engine.front.watch import OF_MODULES, Look

_TABLES = ("_parameters", "_buffers", "_modules")


def shell_of(cell: nn.Module, stand_ins: Mapping[int, Tensor], names: frozenset[str] | None) -> nn.Module:
    """Return a module that runs as this one does, on other tensors.

    What runs it may set attributes, change settings and modes: the cell's own stay as they are, at every moment.

    Args:
        cell: what is copied; the functions and classes it uses are shared.
        stand_ins: for the `id` of a tensor, what stands in its place; other tensors are shared.
        names: the attributes that its code reads or sets, which are copied deeply; `None` for all.
    """
    modules = list(cell.modules())
    memo: dict[int, Any] = {id(module): object.__new__(type(module)) for module in modules}
    memo |= stand_ins
    for module in modules:
        _fill(memo[id(module)], module, memo, names)
    shell: nn.Module = memo[id(cell)]
    return shell


def _fill(shell: nn.Module, module: nn.Module, memo: dict[int, Any], names: frozenset[str] | None) -> None:
    for name, value in module.__dict__.items():
        if name in _TABLES:
            table = copy.copy(value)
            table.update({key: memo.get(id(item), item) for key, item in value.items()})
            shell.__dict__[name] = table
        elif isinstance(value, Tensor):
            shell.__dict__[name] = memo.get(id(value), value)
        elif name in OF_MODULES:
            shell.__dict__[name] = copy.copy(value)  # tables of hooks
        elif names is None or name in names:
            shell.__dict__[name] = _copy(value, memo)
        else:
            shell.__dict__[name] = value


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - whatever a user's object raises: what cannot be copied is shared, and watched
        return value


def probe_of(cell: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that shares the parameters and has its own buffers."""
    kept = {id(tensor) for tensor in cell.parameters()}
    tensors = [
        value
        for module in cell.modules()
        for table in (module._buffers, module.__dict__)
        for value in table.values()
        if isinstance(value, Tensor) and id(value) not in kept
    ]
    shell = shell_of(cell, {id(tensor): tensor.detach().clone() for tensor in tensors}, None)
    return shell.eval()


class Snapshot:
    """What a cell's code reads outside of its copies, to be put back if a run of a copy has changed it."""

    def __init__(self, seen: Look) -> None:
        self._seen = seen
        self._copies = [(value, _content(value)) for value in seen.mutable]
        own = seen.scope.own
        self._functions = [(function, dict(function.__dict__)) for function in seen.scope.functions]
        bases = {base: None for kind in seen.scope.classes for base in kind.__mro__ if is_users_class(base, own)}
        self._classes = [(base, dict(vars(base))) for base in bases]

    def restore(self) -> None:
        """Put everything back."""
        for value, content in self._copies:
            _put_back(value, *content)
        for table, name, value in self._seen.places:
            if table.get(name, MISSING) is not value:
                _set(table, name, value)
        for function, attributes in self._functions:
            function.__dict__.clear()
            function.__dict__.update(attributes)
        for base, attributes in self._classes:
            now = dict(vars(base))
            for name in now.keys() - attributes.keys():
                delattr(base, name)
            for name, value in attributes.items():
                if now.get(name, MISSING) is not value:
                    setattr(base, name, value)


def _content(value: Any) -> tuple[Any, dict[str, Any] | None]:
    attributes = getattr(value, "__dict__", None)
    inner = None
    if isinstance(value, (list, dict, set, deque, bytearray, np.ndarray)):
        inner = value.copy()
    elif isinstance(value, Tensor):
        return value.detach().clone(), None
    return inner, None if attributes is None else dict(attributes)


def _put_back(value: Any, inner: Any, attributes: dict[str, Any] | None) -> None:
    if attributes is not None:
        value.__dict__.clear()
        value.__dict__.update(attributes)
    if isinstance(value, (dict, set)):
        value.clear()
        value.update(inner)
    elif isinstance(value, (list, bytearray)):
        value[:] = inner
    elif isinstance(value, deque):
        value.clear()
        value.extend(inner)
    elif isinstance(value, np.ndarray):
        value[...] = inner
    elif isinstance(value, Tensor):
        with torch.no_grad():
            value.copy_(inner)


def _set(table: Any, name: str, value: Any) -> None:
    if isinstance(table, Variables):
        table.restore(name, value)
    elif isinstance(table, dict):
        table[name] = value
