"""What is looked at of the rows that a forecaster trains on: gaps, the scale of MASE, whether counts are counts, and
whether values are ever below zero.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Series
from ostinato.errors import DataError
from ostinato.tasks.forecast.metrics import mase_scale

_NEAR_ZERO = 0.1  # of a series' highest value: what its lowest is at most, where zero is a bound of it


def has_missing(panel: Panel, train: Part, context: int) -> bool:
    """Tell whether a window's context can hold a missing target: one in the data, or one before a series' start."""
    if (train.stop[train.stop > 0] < 2 * context).any():
        return True
    blocks = (
        one.rows(first, min(first + 65536, int(stop)))[:, : panel.targets]
        for one, stop in zip(panel.series, train.stop, strict=True)
        for first in range(0, int(stop), 65536)
    )
    return any(bool(np.isnan(block).any()) for block in blocks)


def mase_scales(panel: Panel, train: Part, season: int) -> NDArray[np.float64]:
    """Return the MASE scale of each series, `(series, targets)`."""
    scales = [
        mase_scale(one.rows(max(0, int(stop) - 100_000), int(stop))[:, : panel.targets], season)
        for one, stop in zip(panel.series, train.stop, strict=True)
    ]
    return np.stack(scales)


def check_counts(panel: Panel, train: Part, counts: bool) -> None:
    """Refuse values that are no counts, where counts are forecast.

    Raises:
        DataError: there is one.
    """
    for one, stop in zip(panel.series, train.stop, strict=True) if counts else ():
        values = one.rows(0, int(stop))[:, : panel.targets]
        odd = (values < 0) | (values != np.round(values)) & ~np.isnan(values)
        if odd.any():
            raise DataError(
                f"the target has the value {values[odd][0]:g}, which is no count; output negative_binomial needs whole "
                "numbers of 0 or more: use student_t or quantiles"
            )


def never_below_zero(panel: Panel, stop: NDArray[np.int64], asked: bool | Literal["auto"]) -> tuple[bool, ...]:
    """Tell of each target whether its forecasts stay at zero or above.

    Of sales, counts and prices, values below zero are no forecast. A target is taken for such a one where no value is
    negative and some series comes near zero: one that stays far from it, as summer's temperatures do, may yet cross it.

    Args:
        panel: the data.
        stop: the end of the rows that are looked at, of each series.
        asked: `"auto"`, or what was asked for.

    Raises:
        DataError: it was asked for, and there is a negative value.
    """
    if asked is False:
        return (False,) * panel.targets
    negative, near = np.zeros(panel.targets, bool), np.zeros(panel.targets, bool)
    for one, end in zip(panel.series, stop, strict=True):
        low, high = _range(one, int(end), panel.targets)
        negative |= low < 0
        near |= low <= _NEAR_ZERO * high
    if asked == "auto":
        return tuple(bool(one) for one in near & ~negative)
    if negative.any():
        name = panel.target_columns[int(negative.argmax())]
        raise DataError(
            f'"{name}" has negative values, but nonnegative=True keeps its forecasts at zero or above; use "auto" or '
            "False"
        )
    return (True,) * panel.targets


def _range(series: Series, stop: int, targets: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest value of each target; infinite ones where there is none."""
    low, high = np.full(targets, np.inf), np.full(targets, -np.inf)
    for first in range(0, stop, 65536):
        block = series.rows(first, min(first + 65536, stop))[:, :targets]
        low = np.minimum(low, np.where(np.isnan(block), np.inf, block).min(0))
        high = np.maximum(high, np.where(np.isnan(block), -np.inf, block).max(0))
    return low, high
