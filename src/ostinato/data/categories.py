"""Text columns as categories: their places, as training found them, and what is said of new ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.cells import NO, YES
from ostinato.data.frames import plain_value
from ostinato.data.table import Table, texts
from ostinato.errors import DataWarning
from ostinato.words import counted, quoted


def category_codes(table: Table, name: str, missing: tuple[str, ...], categories: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the place of each cell among categories, `(rows,)`: -1 where missing, -2 where it is none of them.

    True and false find their word however it is written. That, and what is not known, is said once, in a warning.
    """
    cells = texts(table, name, missing)
    place = _places(categories)
    codes = [-1 if cell is None else place.get(cell, place.get(cell.lower(), -2)) for cell in cells]
    unknown = [str(cell) for cell, code in zip(cells, codes, strict=True) if code == -2]
    if unknown:
        warn_unknown(name, table.origin, unknown, categories)
    _say_folded(name, table.origin, cells, codes, categories)
    return np.array(codes, np.int64)


def category_of(cell: Any, categories: tuple[str, ...], missing: tuple[str, ...]) -> int:
    """Return the place of one value among categories, as `category_codes` does for a column."""
    value = plain_value(cell)
    if value is None or str(value).strip() in ("", *missing):
        return -1
    place, text = _places(categories), str(value).strip()
    return place.get(text, place.get(text.lower(), -2))


def _places(categories: tuple[str, ...]) -> dict[str, int]:
    """Return the place of each category by its text; of words for true and false in small letters too."""
    words = {category.lower(): i for i, category in enumerate(categories) if category.lower() in (*YES, *NO)}
    return words | {category: i for i, category in enumerate(categories)}


def _say_folded(
    name: str, origin: str, cells: Sequence[str | None], codes: Sequence[int], categories: tuple[str, ...]
) -> None:
    """Say which words for true and false were taken as a category that is written otherwise."""
    pairs = {
        (cell, categories[code]) for cell, code in zip(cells, codes, strict=True) if cell is not None and code >= 0
    }
    folded = sorted(pair for pair in pairs if pair[0] != pair[1])
    if folded:
        shown = ", ".join(f'"{value}" is taken as "{known}"' for value, known in folded[:4])
        warnings.warn(
            f'column "{name}" of {origin}: {shown}, as in the training data; capitals tell other words apart, but not '
            "these",
            DataWarning,
            stacklevel=2,
        )


def warn_unknown(name: str, origin: str, unknown: Sequence[str], categories: Sequence[str] = ()) -> None:
    """Warn of values of a column that are none of the categories known, though one may differ only in its capitals."""
    kinds = sorted(set(unknown))
    shown = quoted(kinds)
    rows = counted(len(unknown), "rows")
    warnings.warn(
        f'column "{name}" of {origin} has in {rows} what was not there in training ({shown}); such rows count as none '
        f"of the categories known{_twin(kinds, categories)}",
        DataWarning,
        stacklevel=2,
    )


def _twin(unknown: Sequence[str], categories: Sequence[str]) -> str:
    known = {category.lower(): category for category in categories}
    kind = next((each for each in unknown if each.lower() in known), None)
    return (
        "" if kind is None else f'; "{kind}" is not taken as "{known[kind.lower()]}": write them alike if they are one'
    )
