"""Making intervals hold what they promise: conformal calibration on the validation part.

Source: Y. Romano, E. Patterson and E. Candès, "Conformalized quantile regression", NeurIPS 2019, with the widening
measured in units of each forecast's own widest interval, so that it follows the forecast's uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DEGREES = 20.0  # forecasts that do not overlap, from which on they are believed rather than what was known before
_ENOUGH = 30  # observed values; fewer have no quantiles to speak of


def pairs(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Return which levels make central intervals, the widest first."""
    found = [(i, len(levels) - 1 - i) for i in range(len(levels) // 2)]
    return [(i, j) for i, j in found if abs(levels[i] + levels[j] - 1) < 1e-9]


def measure_calibration(
    truth: Floats,
    quantiles: Floats,
    levels: Sequence[float],
    independent: int | None = None,
    known: float = 0.0,
) -> Floats:
    """Return how far each level must move, in widths of the widest central interval, `(levels,)`.

    Args:
        truth: what came in the validation part, `(windows, horizon, targets)`.
        quantiles: what was forecast, `(windows, horizon, targets, levels)`.
        levels: of the quantiles.
        independent: how many forecasts there are that do not overlap; `None`: all values stand for themselves.
        known: share of the intervals, 0 to 1, that was found on other and more forecasts: by so much they stay as they
            are where these are few.
    """
    offsets = np.zeros(len(levels))
    central, seen = pairs(levels), ~np.isnan(truth)
    if not central or seen.sum() < _ENOUGH:
        return offsets
    y, q = truth[seen], quantiles[seen]
    width = _width(q, central)
    for low, high in central:
        beyond = np.maximum(q[:, low] - y, y - q[:, high]) / width
        promised = levels[high] - levels[low]
        offsets[high] = np.quantile(beyond, _level(promised, independent or len(beyond)))
        offsets[low] = -offsets[high]
    count = independent or len(y)
    return offsets * count / (count + known * _DEGREES)


def _level(promised: float, count: int) -> float:
    """Return the level whose quantile among `count` errors a new error stays below as often as promised.

    The quantile at level `a`, interpolated between the ordered errors, is passed by a new one with probability
    `1 - ((count - 1) a + 1) / (count + 1)`: with 36 days of errors, one of 80 % holds 78.4 %. Overlapping forecasts err
    alike, so that it is days that count, and not the thousands of values on them.
    """
    # of few errors, none is small enough for the narrowest intervals, or large enough for the widest
    return min(max((promised * (count + 1) - 1) / (count - 1), 0.0), 1.0) if count > 1 else 1.0


def calibrate(quantiles: Floats, offsets: Floats, levels: Sequence[float]) -> Floats:
    """Move quantiles `(..., levels)` by their offsets; the median stays, and their order is kept."""
    central = pairs(levels)
    if not central or not offsets.any():
        return quantiles
    moved = quantiles + offsets * _width(quantiles, central)[..., None]
    middle = len(levels) // 2 if len(levels) % 2 else None
    # an interval may be narrowed, but not past the median, nor past the interval inside it
    for low, high in reversed(central):
        inner_low = moved[..., low + 1] if middle is not None or low + 1 < high else moved[..., low]
        inner_high = moved[..., high - 1] if middle is not None or low + 1 < high else moved[..., high]
        moved[..., low] = np.minimum(moved[..., low], inner_low)
        moved[..., high] = np.maximum(moved[..., high], inner_high)
    return moved


def _width(quantiles: Floats, central: list[tuple[int, int]]) -> Floats:
    low, high = central[0]
    width = quantiles[..., high] - quantiles[..., low]
    return np.maximum(width, 1e-9 * np.maximum(np.abs(quantiles[..., high]), 1e-9))
