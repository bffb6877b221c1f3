"""The code that can run in a step of a cell, and what it can read: found once, kept for all cells of the same code."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from ostinato.engine.front.reach import (
    Place,
    facts_of,
    home,
    is_dynamic,
    is_known_pure,
    is_library_code,
    is_trusted,
    places_of,
    reads_anything,
    reads_sizes,
    refuse_reads_of_the_trace,
    shows_objects,
    variables_of,
)

_ALWAYS = frozenset(["forward"])
_OF_FUNCTIONS = frozenset(["forward", "backward", "setup_context", "jvp", "vmap", "apply"])
"""What PyTorch calls of a `torch.autograd.Function`."""
_NOT_RUN = frozenset(
    """
    __init__ __repr__ __str__ __module__ __doc__ __dict__ __weakref__ __annotations__ __qualname__ __setstate__
    __getstate__ __reduce__ __reduce_ex__ __deepcopy__ __copy__ __init_subclass__ __del__ __dir__
    __static_attributes__ __firstlineno__ __dataclass_params__ __dataclass_fields__ __match_args__ __slots__
    __abstractmethods__ _abc_impl __orig_bases__ __parameters__ __type_params__
    """.split()  # noqa: SIM905 - a list of words
)
"""Of a module in the cell: no step calls these, or they are no code."""


@dataclass(frozen=True)
class Scope:
    """Functions and classes that a cell's step can reach, and the names that their code reads."""

    own: frozenset[str]
    """Packages of which the cell's code is a part."""
    known: dict[int, Any]
    """Functions, classes and modules whose code has been looked at, by `id`."""
    names: frozenset[str] | None
    """The attributes that can be read; `None` if any can."""
    functions: tuple[FunctionType, ...]
    classes: tuple[type, ...]
    modules: tuple[ModuleType, ...]
    """Modules of the user's that are passed around whole."""
    places: tuple[Place, ...]
    """What the functions read through globals and enclosing functions."""
    shows: bool
    """Whether objects are made texts; see `reach.shows_objects`."""
    sizes: bool
    """Whether the user's code may use the number of rows as a number."""
    opaque: bool
    """Whether code of other libraries runs, which may keep something from step to step."""
    grad_mode: bool
    """Whether the code may ask if gradients are recorded."""


def empty_scope(cell: nn.Module) -> Scope:
    """Return the scope of a cell before anything is known."""
    roots = {home(base).partition(".")[0] for module in cell.modules() for base in type(module).__mro__}
    return Scope(
        frozenset(roots - {"torch", "builtins", "typing", "abc"}),
        {},
        _ALWAYS,
        (),
        (),
        (),
        (),
        False,
        False,
        False,
        False,
    )


def extended(scope: Scope, met: Iterable[Any]) -> Scope:
    """Return the scope with more code in it, and all code that the new names lead to.

    Raises:
        Unsupported: the code does what a plan cannot stand for.
    """
    known = dict(scope.known)
    known |= {id(value): value for value in met}
    classes = [value for value in known.values() if isinstance(value, type)]
    functions = {id(value): value for value in known.values() if isinstance(value, FunctionType)}
    names, everything, count = set(scope.names or ()), scope.names is None, -1
    while count != (count := len(names) + len(functions) + everything):
        wanted = None if everything else names
        for each in classes:
            functions |= {id(function): function for function in _methods(each, wanted, scope.own)}
        for function in functions.values():
            if is_library_code(function, scope.own):
                continue
            facts = facts_of(function.__code__)
            names |= facts.names
            everything |= _is_users(function) and reads_anything(facts)
    return _with_code(scope, known, tuple(classes), tuple(functions.values()), None if everything else frozenset(names))


def _with_code(
    scope: Scope, known: dict[int, Any], classes: tuple[type, ...], functions: tuple[FunctionType, ...],
    names: frozenset[str] | None,
) -> Scope:  # fmt: skip
    read = [function for function in functions if not is_library_code(function, scope.own)]
    wrappers = [function for function in functions if is_library_code(function, scope.own)]
    facts = {function: facts_of(function.__code__) for function in read}
    for function in read:
        if _is_users(function):
            refuse_reads_of_the_trace(facts[function], function.__qualname__)
    found = {function: places_of(function) for function in read}
    found |= {function: variables_of(function) for function in wrappers}
    places = {(id(place.table), place.name): place for each in found.values() for place in each}
    values = [place.value() for place in places.values()]
    called = [value for value in values if callable(value) and is_trusted(home(value), scope.own)]
    if any(is_dynamic(place.value()) for function in read if _is_users(function) for place in found[function]):
        names = None
    return Scope(
        scope.own,
        known | {id(function): function for function in functions},
        names,
        functions,
        classes,
        tuple(value for value in known.values() if isinstance(value, ModuleType)),
        tuple(places.values()),
        any(shows_objects(each) for each in facts.values()),
        any(names is None or reads_sizes(facts[function]) for function in read if _is_users(function)),
        any(not is_known_pure(home(value)) for value in [*called, *wrappers]),
        any("is_grad_enabled" in each.names for each in facts.values()),
    )


def _is_users(function: FunctionType) -> bool:
    return not (function.__module__ or "").startswith("ostinato.")


def _methods(kind: type, names: set[str] | None, own: frozenset[str]) -> Iterator[FunctionType]:
    """Return the functions of a class that can run, given the names that are read."""
    run = names
    if issubclass(kind, torch.autograd.Function) and names is not None:
        run = names | _OF_FUNCTIONS
    skipped = _NOT_RUN if issubclass(kind, nn.Module) else _NOT_RUN - {"__init__"} | {"__hash__"}
    for base in kind.__mro__:
        if is_trusted(home(base), own):
            continue
        for name, value in vars(base).items():
            if name not in skipped and (run is None or name in run or name.startswith("__") or name == "__init__"):
                yield from functions_in(value)


def functions_in(value: Any) -> Iterator[FunctionType]:
    """Return the functions behind a method, a property, or what else a class holds."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, (staticmethod, classmethod, MethodType)):
        yield from functions_in(value.__func__)
    elif isinstance(value, property):
        yield from functions_in(value.fget)
    elif isinstance(value, functools.cached_property):
        yield from functions_in(value.func)


def is_users_class(kind: type, own: frozenset[str]) -> bool:
    """Tell whether a class has code that must be looked at."""
    return not is_trusted(home(kind), own)
