"""Values as hashable keys: two are equal only if a cell that reads them would trace to the same graph.

Containers and objects are taken apart, so that a change inside is seen; what cannot be taken apart is refused by name.
"""

from __future__ import annotations

import datetime
import enum
import functools
import re
import types
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.engine.front.reach import (
    IMPURE_METHODS,
    MISSING,
    home,
    is_impure_module,
    is_known_pure,
    is_trusted,
    refuse_impure,
)
from ostinato.engine.plan.graph import Unsupported

_ATOMS = frozenset(
    [int, bool, str, bytes, type(None), type(...), type(NotImplemented), torch.dtype, torch.device, torch.layout,
     torch.memory_format, torch.Size, re.Pattern, types.CodeType, types.GenericAlias, types.UnionType, type(MISSING)]
)  # fmt: skip
_SHOWN = (
    complex,
    range,
    Decimal,
    datetime.date,
    datetime.datetime,
    datetime.timedelta,
    datetime.time,
    datetime.timezone,
)
"""Types two values of which may be equal and yet not the same."""
_AS_THEY_ARE = (
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
_CALENDARS = (datetime.datetime, datetime.date)
_OF_MEMBERS = frozenset(["_value_", "_name_", "__objclass__", "_sort_order_"])
_CACHED = type(functools.lru_cache(lambda: None))
_MOST = 20_000
"""Values looked at in a cell's settings."""
_LARGEST = 1 << 20
"""Bytes of an array or a tensor kept among settings."""


class Freezer:
    """Turns values into keys; one is made for each look at a cell.

    Args:
        names: the attributes that the cell's code can read; `None` for any.
        own: packages of the cell's code; see `reach.is_trusted`.
        number: the place of a tensor or module of the cell among all of its own, or none for a stranger.
        shows: whether objects are made texts, so that attributes without a name in the code count where they can.
    """

    def __init__(
        self,
        names: frozenset[str] | None,
        own: frozenset[str],
        number: Callable[[Any], int | None] = lambda _: None,
        *,
        shows: bool = False,
    ) -> None:
        self.names, self.own, self.number, self.shows = names, own, number, shows
        self.met: dict[int, Any] = {}
        """Functions, classes and modules whose code or attributes matter, by `id`."""
        self.mutable: list[Any] = []
        """Containers and objects that can change without being replaced."""
        self.opaque = False
        """Whether an object of a library was met, which may keep something from step to step."""
        self._seen: dict[int, int] = {}
        self._count = 0

    def reads(self, name: str) -> bool:
        """Tell whether the cell's code can read an attribute of this name."""
        return self.names is None or name in self.names

    def whole(self, value: Any, label: str) -> Any:
        """Return a key for a value that depends on nothing looked at before; see `freeze`."""
        self._seen.clear()
        return self.freeze(value, label)

    def freeze(self, value: Any, label: str) -> Any:
        """Return a key for a value.

        Raises:
            Unsupported: the value can change unseen; the message names it by `label`.
        """
        kind = type(value)
        if kind in _ATOMS:
            return kind, value
        if kind is float:
            return kind, value.hex()  # tells -0.0 from 0.0, and a NaN is itself
        self._count += 1
        if self._count > _MOST:
            raise Unsupported(f"{label}, which holds more than {_MOST:,} values to be watched")
        if isinstance(value, (types.FunctionType, type, types.ModuleType)):
            return self._code(value, label)
        simple = self._simple(value, kind, label)
        if simple is not None:
            return simple
        if id(value) in self._seen:
            return "again", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        return self._compound(value, kind, label)

    def _code(self, value: Any, label: str) -> Any:
        refuse_impure(value, label)
        if isinstance(value, types.FunctionType) and hasattr(value, "registry") and hasattr(value, "dispatch"):
            raise Unsupported(f"{label}, which chooses among functions (functools.singledispatch)")
        if value in _CALENDARS and any(map(self.reads, IMPURE_METHODS)):
            raise Unsupported(f"{label}, a class that tells what time it is")
        module = value.__name__ if isinstance(value, types.ModuleType) else home(value)
        if not is_trusted(module, self.own):
            self.meet(value)
        return value

    def meet(self, value: Any) -> None:
        """Note a function, class or module whose code or attributes matter."""
        self.met.setdefault(id(value), value)
        if isinstance(value, type) and not is_trusted(home(type(value)), self.own):
            self.met.setdefault(id(type(value)), type(value))

    def _simple(self, value: Any, kind: type, label: str) -> Any:
        """Return a key for what is one thing, and not a container."""
        if isinstance(value, Tensor):
            return self._tensor(value, label)
        if isinstance(value, nn.Module):
            return self._module(value, label)
        if kind in _SHOWN:
            return kind, repr(value)
        if isinstance(value, enum.Enum):
            return self._member(value, kind, label)
        if isinstance(value, types.MethodWrapperType):
            return "method", value.__name__, self.freeze(value.__self__, label)
        if isinstance(value, np.generic):
            return kind, value.tobytes()
        if isinstance(value, np.ndarray):
            return self._array(value, label)
        if isinstance(value, types.BuiltinFunctionType):
            return self._builtin(value, label)
        if isinstance(value, (*_AS_THEY_ARE, PurePath)) or kind.__module__ in ("typing", "torch._ops"):
            return value
        if callable(value) and kind.__module__.startswith("numpy"):  # a function that is no Python function
            return self._code(value, label)
        return None

    def _member(self, value: enum.Enum, kind: type, label: str) -> Any:
        """Return a key for a member of an enumeration, which may have attributes besides its value."""
        more = {name: item for name, item in value.__dict__.items() if name not in _OF_MEMBERS}
        if more:
            self.mutable.append(value)
        parts = tuple((name, self.freeze(item, f"{label}.{name}")) for name, item in more.items())
        return self._code(kind, label), value.name, self.freeze(value._value_, f"{label}.value"), parts

    def _tensor(self, value: Tensor, label: str) -> Any:
        number = self.number(value)
        if number is not None:
            return "tensor", number
        if value.device.type != "cpu" or value.layout is not torch.strided or value.nbytes > _LARGEST:
            raise Unsupported(f"{label}, a tensor that is kept in a container; register it as a buffer of the cell")
        self.mutable.append(value)
        numbers = value.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
        return "values", value.dtype, value.shape, value.requires_grad, numbers

    def _module(self, value: nn.Module, label: str) -> Any:
        number = self.number(value)
        if number is None:
            raise Unsupported(f"{label}, a module that is no part of the cell; use nn.ModuleList or an attribute")
        return "module", number

    def _array(self, value: Any, label: str) -> Any:
        if value.dtype.hasobject or value.nbytes > _LARGEST:
            raise Unsupported(f"{label}, an array that is too large to be watched, or holds objects")
        self.mutable.append(value)
        return type(value), value.shape, value.dtype.str, value.tobytes()

    def _builtin(self, value: Any, label: str) -> Any:
        refuse_impure(value, label)
        holder = value.__self__
        if holder is None or isinstance(holder, (types.ModuleType, type)):
            return value
        return "method", value.__name__, self.freeze(holder, label)

    def _compound(self, value: Any, kind: type, label: str) -> Any:
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return kind, *(self.freeze(part, label) for part in parts)
        if isinstance(value, types.MethodType):
            return kind, self.freeze(value.__func__, label), self.freeze(value.__self__, label)
        if isinstance(value, (property, functools.cached_property, staticmethod, classmethod)):
            return kind, *(self.freeze(getattr(value, name, None), label) for name in ("fget", "func", "__func__"))
        if isinstance(value, _CACHED):
            # what a trace leaves there has no numbers, and would be given to whoever asks next
            raise Unsupported(f"{label}, which keeps its results (functools.lru_cache)")
        if isinstance(value, slice):
            return kind, *(self.freeze(part, label) for part in (value.start, value.stop, value.step))
        if isinstance(value, types.MappingProxyType):
            self.mutable.append(value)  # it shows a table that may change
            return kind, self._items(dict(value), label)
        return self._object(value, kind, label)

    def _object(self, value: Any, kind: type, label: str) -> Any:
        """Return a key for a container, or for an object by its attributes."""
        content = self._content(value, label)
        state = self._attributes(value, kind, label)
        if content is None and state is None:
            raise Unsupported(f"{label}, a {kind.__module__}.{kind.__qualname__}, which can change unseen")
        if is_impure_module(kind.__module__):
            raise Unsupported(f"{label}, a {kind.__module__}.{kind.__qualname__}, which can change unseen")
        if not isinstance(value, (tuple, frozenset)) or state:
            self.mutable.append(value)
        module = home(kind)
        self.opaque |= is_trusted(module, self.own) and not is_known_pure(module)
        return self._code(kind, label), content, state

    def _content(self, value: Any, label: str) -> Any:
        if isinstance(value, dict):
            return self._items(value, label)
        if isinstance(value, (list, tuple, deque, set, frozenset)):
            return tuple(self.freeze(item, f"{label}[...]") for item in value)
        if isinstance(value, (bytearray, memoryview)) or type(value).__module__ == "array":
            return bytes(value)
        for base in (bool, int, float, complex, str, bytes):
            if isinstance(value, base):
                return base, base.__repr__(value)
        return None

    def _items(self, value: dict[Any, Any], label: str) -> Any:
        return tuple((self.freeze(key, label), self.freeze(item, f"{label}[{key!r}]")) for key, item in value.items())

    def _attributes(self, value: Any, kind: type, label: str) -> Any:
        """Return the attributes of an object that can be read, by name; none if it has no such thing."""
        table = _plainly(value, "__dict__")
        slots = [name for base in kind.__mro__ for name in _slots_of(base)]
        if table is MISSING and not slots:
            return None
        everything = self.names is None or any(is_trusted(home(base), self.own) for base in kind.__mro__[:-1])
        found = {name: _plainly(value, name) for name in slots} | ({} if table is MISSING else table)
        parts = [
            (name, self.freeze(item, f"{label}.{name}"))
            for name, item in found.items()
            if everything or self.reads(name)
        ]
        if self.shows and not everything:
            parts += self.shown({name: item for name, item in found.items() if not self.reads(name)}, label)
        return tuple(parts)

    def shown(self, attributes: dict[str, Any], label: str) -> list[tuple[str, Any]]:
        """Return keys for attributes that are not named in the code, of those that can be watched."""
        parts = []
        for name, item in attributes.items():
            with suppress(Unsupported):
                parts.append((name, self.freeze(item, f"{label}.{name}")))
        return parts


def _plainly(value: Any, name: str) -> Any:
    """Return an attribute as it stands, without what a class's own `__getattr__` makes of it."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return MISSING


def _slots_of(base: type) -> Iterable[str]:
    slots = base.__dict__.get("__slots__", ())
    return [name for name in ([slots] if isinstance(slots, str) else slots) if name not in ("__dict__", "__weakref__")]
