"""Making intervals hold what they promise: conformal calibration on the validation part.

Sources: Y. Romano, E. Patterson and E. Candès, "Conformalized quantile regression", NeurIPS 2019, with the widening
measured in units of each forecast's own widest interval, so that it follows the forecast's uncertainty; P. Bratley, B.
Fox and L. Schrage, "A guide to simulation", 1987 (batch means: how many observations that are alike count for).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DEGREES = 20.0  # forecasts that do not overlap, from which on they are believed rather than what was known before
_STRETCHES = 8  # of time, whose coverage is compared
_NARROWER = 0.5  # of a narrowing that is made
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
    times: NDArray[np.int64] | None = None,
) -> Floats:
    """Return how far each level must move, in widths of the widest central interval, `(levels,)`.

    Intervals that were too narrow are widened by all of it, since networks err less on what they were trained on. Those
    that were too wide are narrowed by half: they were right in training, over more times than the validation part has,
    which then was calm, and what comes is as likely to be like the one as like the other.

    Args:
        truth: what came in the validation part, `(windows, horizon, targets)`.
        quantiles: what was forecast, `(windows, horizon, targets, levels)`.
        levels: of the quantiles.
        independent: how many forecasts there are that do not overlap; `None`: all values stand for themselves.
        known: share of the intervals, 0 to 1, that was found on other and more forecasts: by so much they stay as they
            are where these are few.
        times: of each window, `(windows,)`: calm and rough times last, so that a long part may hold few of them.
    """
    offsets = np.zeros(len(levels))
    central, seen = pairs(levels), ~np.isnan(truth)
    if not central or seen.sum() < _ENOUGH:
        return offsets
    y, q = truth[seen], quantiles[seen]
    width = _width(q, central)
    if times is not None and independent is not None:
        windows = np.broadcast_to(times[:, None, None], truth.shape)[seen]
        low, high = central[0]
        beyond = np.maximum(q[:, low] - y, y - q[:, high]) / width
        inside = beyond <= np.quantile(beyond, levels[high] - levels[low])
        independent = telling(inside, windows, independent)
    for low, high in central:
        beyond = np.maximum(q[:, low] - y, y - q[:, high]) / width
        promised = levels[high] - levels[low]
        offset = np.quantile(beyond, level_of_few(promised, independent or len(beyond)))
        offsets[high] = max(offset, _NARROWER * offset)
        offsets[low] = -offsets[high]
    count = independent or len(y)
    return offsets * count / (count + known * _DEGREES)


def level_of_few(promised: float, count: float) -> float:
    """Return the level whose quantile among `count` errors a new error stays below as often as promised.

    The quantile at level `a`, interpolated between the ordered errors, is passed by a new one with probability
    `1 - ((count - 1) a + 1) / (count + 1)`: with 36 days of errors, one of 80 % holds 78.4 %. Overlapping forecasts err
    alike, so that it is days that count, and not the thousands of values on them.
    """
    # of few errors, none is small enough for the narrowest intervals, or large enough for the widest
    return min(max((promised * (count + 1) - 1) / (count - 1), 0.0), 1.0) if count > 1 else 1.0


def telling(inside: NDArray[np.bool_], times: NDArray[np.int64], most: int) -> int:
    """Return how many independent values tell as much about a share as these do, by how it differs between times.

    Args:
        inside: whether each value is inside its interval, `(values,)`.
        times: of each, `(values,)`.
        most: as many as it can be.
    """
    if most < 2 * _STRETCHES:
        return most
    edges = np.quantile(times, np.linspace(0, 1, _STRETCHES + 1)[1:-1])
    stretch = np.searchsorted(edges, times, side="right")
    count = np.bincount(stretch, minlength=_STRETCHES)
    if not count.all():
        return most
    shares = np.bincount(stretch, inside, _STRETCHES) / count
    variance, share = float(shares.var(ddof=1)) / _STRETCHES, float(inside.mean())
    return most if not variance else int(min(max(share * (1 - share) / variance, _STRETCHES), most))


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
