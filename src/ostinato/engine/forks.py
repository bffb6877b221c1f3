"""What a forked process must not inherit: a lock that a thread which is not there would have to give back.

A fork copies the memory but only the thread that forks. So it waits here until no other thread is making a plan or
compiling: the child then finds nothing half made, neither here nor in the libraries that this goes through.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

making = threading.RLock()
"""Held by the thread that traces, plans or compiles."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=making.release)

_T = TypeVar("_T")


class lazy(Generic[_T]):  # noqa: N801 - a decorator
    """An attribute that is computed when it is first asked for, once however many threads ask.

    `functools.cached_property` of Python 3.11 holds a lock of its own meanwhile, which a fork could leave locked.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[_T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...

    def __get__(self, instance: object | None, owner: type) -> _T | lazy[_T]:
        """Compute and keep; the next time Python finds what is kept first."""
        if instance is None:
            return self
        with making:
            kept = instance.__dict__
            if self.name not in kept:
                kept[self.name] = self.compute(instance)
            value: _T = kept[self.name]
            return value
