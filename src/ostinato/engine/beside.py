"""Tables beside objects: what is known of a module, and is gone with it, without a trace in the module itself."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar, overload

_T = TypeVar("_T")
_D = TypeVar("_D")


class Beside(Generic[_T]):
    """Something for each of some objects, as long as they are there.

    `weakref.WeakKeyDictionary` takes equal objects for one. A module's class may have an `__eq__` of its own, by sizes
    for instance: its objects have other weights, and what is known of one is not true of the other.

    >>> class Cell:
    ...     pass
    >>> table, cell = Beside(), Cell()
    >>> table[cell] = "known"
    >>> table.get(cell), table.get(Cell())
    ('known', None)
    """

    __slots__ = ("__weakref__", "_forget", "_found")

    def __init__(self) -> None:
        self._found: dict[int, tuple[Any, _T]] = {}
        this = weakref.ref(self)

        def forget(gone: Any) -> None:
            # before the memory, and with it the number, can be another object's
            table = this()
            if table is not None:
                table._found.pop(gone.key, None)

        self._forget = forget

    @overload
    def get(self, owner: object) -> _T | None: ...

    @overload
    def get(self, owner: object, default: _D) -> _T | _D: ...

    def get(self, owner: object, default: Any = None) -> Any:
        """Return what stands beside an object, or the default."""
        found = self._found.get(id(owner))
        return default if found is None else found[1]

    def setdefault(self, owner: object, value: _T) -> _T:
        """Return what stands beside an object, which is this from now on if there was nothing."""
        return self._found.setdefault(id(owner), self._kept(owner, value))[1]

    def pop(self, owner: object) -> None:
        """Forget what stands beside an object, if anything does."""
        self._found.pop(id(owner), None)

    def __getitem__(self, owner: object) -> _T:
        """Return what stands beside an object."""
        return self._found[id(owner)][1]

    def __setitem__(self, owner: object, value: _T) -> None:
        """Put something beside an object."""
        self._found[id(owner)] = self._kept(owner, value)

    def __contains__(self, owner: object) -> bool:
        """Tell whether anything stands beside an object."""
        return id(owner) in self._found

    def __len__(self) -> int:
        """Return beside how many objects something stands."""
        return len(self._found)

    def _kept(self, owner: object, value: _T) -> tuple[Any, _T]:
        # a reference that is dropped calls nobody: only that which stands in the table tells that its object is gone
        return weakref.KeyedRef(owner, self._forget, id(owner)), value
