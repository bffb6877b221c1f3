"""What is looked at of the rows that a forecaster trains on: gaps, the scale of MASE, whether counts are counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part
from ostinato.errors import DataError
from ostinato.tasks.forecast.metrics import mase_scale


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
