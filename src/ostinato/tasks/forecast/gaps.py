"""What stands in place of missing values of a series, NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def filled_between(values: Floats) -> Floats:
    """Draw lines over gaps, along the last axis; before the first value stands that, after the last one that.

    A series without any value stays missing.

    >>> filled_between(np.array([np.nan, 1.0, np.nan, 3.0, np.nan]))
    array([1., 1., 2., 3., 3.])
    """
    seen = ~np.isnan(values)
    if seen.all():
        return values
    rows, there = np.atleast_2d(values), np.atleast_2d(seen)
    filled = rows.copy()
    for row in np.flatnonzero(~there.all(1) & there.any(1)):
        known = np.flatnonzero(there[row])
        gaps = np.flatnonzero(~there[row])
        filled[row, gaps] = np.interp(gaps, known, rows[row, known])
    return filled.reshape(values.shape)


def filled_forward(values: Floats) -> Floats:
    """Put the newest value before it in place of each missing one, along axis 1 of `(windows, rows, ...)`.

    >>> filled_forward(np.array([[np.nan, 1.0, np.nan]]))
    array([[nan,  1.,  1.]])
    """
    places = np.arange(values.shape[1]).reshape(1, -1, *[1] * (values.ndim - 2))
    newest = np.maximum.accumulate(np.where(np.isnan(values), 0, places), 1)
    return np.asarray(np.take_along_axis(values, newest, 1))
