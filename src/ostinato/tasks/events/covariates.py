"""The other columns of a log: which of them are read, and as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Cells: TypeAlias = Mapping[str, NDArray[Any]]
_VALUES = 100
"""Categories of a column at most; of more, the most frequent."""
_CODES = 50
"""Whole numbers of up to so many different values are categories."""
_NAMES = 0.5  # of the rows, or of the cases: a text with more different values than that is the name of each


@dataclass(frozen=True)
class Covariates:
    """The columns that are read of each event beside its case, activity and time.

    Args:
        categories: by column, the values that are told apart, numbered from 1; any other, and none, is 0.
        numbers: the columns of numbers.
    """

    categories: Mapping[str, tuple[str, ...]]
    numbers: tuple[str, ...]

    @classmethod
    def fit(cls, columns: Mapping[str, Sequence[NDArray[Any]]]) -> Covariates:
        """Take columns, by name and case `(events,)` each, none of which should be `useless`."""
        categories, numbers = {}, []
        for name, cases in columns.items():
            cells = np.concatenate(cases)
            values, counts = _counted(cells)
            if cells.dtype == object or (_whole(cells) and len(values) <= _CODES):
                most = np.argsort(-counts, kind="stable")[:_VALUES]
                categories[name] = tuple(values[place] for place in most)
            else:
                numbers.append(name)
        return cls(categories, tuple(numbers))

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.categories, *self.numbers)

    @cached_property
    def _index(self) -> Mapping[str, Mapping[str, int]]:
        return {
            name: {text: number for number, text in enumerate(category, 1)}
            for name, category in self.categories.items()
        }

    def codes(self, cells: Cells, events: int) -> NDArray[np.int64]:
        """Return the categories of events as numbers, `(events, columns)`."""
        found = np.zeros((events, len(self.categories)), np.int64)
        for place, (name, index) in enumerate(self._index.items()):
            if name in cells:
                found[:, place] = [index.get(_text(cell), 0) for cell in cells[name]]
        return found

    def values(self, cells: Cells, events: int) -> NDArray[np.float64]:
        """Return the numbers of events, `(events, columns)`, NaN where missing."""
        found = np.full((events, len(self.numbers)), np.nan)
        for place, name in enumerate(self.numbers):
            found[:, place] = cells.get(name, np.nan)
        return found


def useless(cases: Sequence[NDArray[Any]], kinds: NDArray[Any]) -> str:
    """Return why a column tells nothing of what comes next, or nothing.

    Args:
        cases: `(events,)` each.
        kinds: the activities of all cases, flat.
    """
    cells = np.concatenate(cases)
    values, counts = _counted(cells)
    if len(values) < 2:
        return "has one value"
    text = cells.dtype == object
    if not text and not _whole(cells):
        return ""
    most = _NAMES if text else 0.99
    if counts.sum() > 2 and len(values) > most * counts.sum():
        return "names each row"
    if len(cases) > 2 and len(values) > most * len(cases) and all(len(_counted(case)[0]) < 2 for case in cases):
        return "names each case"
    if text and np.sort(counts)[-_VALUES:].sum() < counts.sum() / 2:
        return "has too many different values"
    pairs = len(set(zip(map(_text, cells), kinds, strict=True)))
    return "says what the activity says" if pairs == len(set(kinds)) == len(values) else ""


def _counted(cells: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different values that are not missing, as texts, and how often each is there."""
    values, counts = np.unique([text for text in map(_text, cells) if text], return_counts=True)
    return values.tolist(), counts.astype(np.int64)


def _text(cell: Any) -> str:
    """Return a cell as a text, whole numbers without decimals; nothing for a missing one."""
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.0f}" if cell.is_integer() else repr(float(cell))
    return "" if cell is None else str(cell)


def _whole(cells: NDArray[Any]) -> bool:
    if cells.dtype == object:
        return False
    known = cells[np.isfinite(cells)]
    return bool((known == np.floor(known)).all())
