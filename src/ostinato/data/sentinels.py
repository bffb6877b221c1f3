"""Numbers that stand for a missing value, such as -999, and look like any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.table import Table, as_option

_MARKS = (-99.0, -999.0, -9999.0, -99999.0, -99.9, -999.9, -9999.9, 999.9, 9999.0, 9999.9, 99999.0, 999999.0)
_LEAST = 8  # other values that show how large they are


def say_sentinel(table: Table, name: str, values: NDArray[np.float64]) -> None:
    """Say of a number of nines far from all others that it may mean a missing value, and what says so.

    Args:
        table: with the column.
        name: of it.
        values: of it, `(rows,)`, NaN where missing.
    """
    kept = values[np.isfinite(values)]
    for mark in (each for each in _MARKS if each in (kept.min(initial=0), kept.max(initial=0))):
        others = kept[kept != mark]
        if len(others) < _LEAST:
            continue
        low, high = float(others.min()), float(others.max())
        if low - (high - low) <= mark <= high + (high - low):
            continue
        text = f"{mark:g}"
        note(
            f'{text} stands in {int((values == mark).sum())} of {len(kept)} rows of column "{name}" of {table.origin}, '
            f"far from its other values ({low:.6g} to {high:.6g}); if it means that a value is missing: "
            f'missing=["{text}"] ({as_option(text)})'
        )
        return
