"""Columns of numbers that name or count rows, and are nothing to be forecast."""

from __future__ import annotations

import re

import numpy as np

from ostinato.data.table import Table, is_numeric, numbers

_LARGE = 10_000  # from which on a number that rises by one is a day, an order or the like
_FEWEST = 12  # rows that count before a column without a name that says so is taken for their number
_IDENTITY = re.compile(r"(?:^|[_\s.\-])(?:id|uuid|guid)$", re.IGNORECASE)
_CAMEL = re.compile(r"[a-z](?:ID|Id)$")


def counts_rows(table: Table, name: str) -> bool:
    """Tell whether a column counts the rows, from 0, 1 or a large number such as a day's, whatever it is called."""
    values = _whole(table, name)
    if values is None or len(values) < _FEWEST or not (values[0] in (0, 1) or values[0] >= _LARGE):
        return False
    return bool((np.diff(values) == 1).all())


def is_identity(table: Table, name: str) -> bool:
    """Tell whether a column is called as identities are, and holds whole numbers."""
    bare = name.strip()
    return (_IDENTITY.search(bare) or _CAMEL.search(bare)) is not None and _whole(table, name) is not None


def _whole(table: Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    if not is_numeric(table, name, ()):
        return None
    values = numbers(table, name, ())
    return values if np.isfinite(values).all() and (values == np.round(values)).all() else None
