"""Measures of forecasts, by their published definitions.

Arrays are float64: `truth` and `point` `(windows, horizon, targets)`, `quantiles` with one more dimension of levels.
A NaN in `truth` is a missing value and does not count; a measure with nothing to count is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mae(truth: Floats, point: Floats) -> float:
    """Return the mean absolute error."""
    return _mean(np.abs(truth - point))


def mse(truth: Floats, point: Floats) -> float:
    """Return the mean squared error."""
    return _mean((truth - point) ** 2)


def rmse(truth: Floats, point: Floats) -> float:
    """Return the root of the mean squared error over all values."""
    return float(np.sqrt(mse(truth, point)))


def smape(truth: Floats, point: Floats) -> float:
    """Return the symmetric mean absolute percentage error, 0 to 200 %, as the M4 competition defines it.

    Source: S. Makridakis, E. Spiliotis and V. Assimakopoulos, "The M4 competition", 2020, section 2.4.
    """
    size = np.abs(truth) + np.abs(point)
    ratio = np.divide(2 * np.abs(truth - point), size, out=np.zeros_like(size), where=size != 0)
    return 100 * _mean(np.where(np.isnan(truth), np.nan, ratio))


def mase(truth: Floats, point: Floats, scale: Floats) -> float:
    """Return the mean absolute scaled error: each series' mean error over its `mase_scale`, then the mean of all.

    `scale` is `(windows, targets)`; windows whose scale is zero or NaN do not count.

    Source: R. Hyndman and A. Koehler, "Another look at measures of forecast accuracy", 2006.
    """
    error = np.abs(truth - point)
    seen = ~np.isnan(error)
    by_window = np.where(seen, error, 0).sum(1) / np.where(seen.any(1), seen.sum(1), np.nan)
    return _mean(by_window / np.where(scale > 0, scale, np.nan))


def mase_scale(values: Floats, season: int) -> Floats:
    """Return the mean absolute error of the seasonal naive forecast within a series `(rows, targets)`: `(targets,)`."""
    if len(values) <= season:
        return np.full(values.shape[1], np.nan)
    return np.array([_mean(column) for column in np.abs(values[season:] - values[:-season]).T])


def pinball(truth: Floats, quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Return the quantile loss of each value and level, `(windows, horizon, targets, levels)`."""
    error = truth[..., None] - quantiles
    at = np.asarray(levels)
    return np.maximum(at * error, (at - 1) * error)


def weighted_quantile_loss(truth: Floats, quantiles: Floats, levels: Sequence[float]) -> float:
    """Return the mean over levels of twice the summed quantile loss over the summed absolute truth.

    This is `mean_wQuantileLoss` of GluonTS (Alexandrov et al., 2020). A truth without a forecast counts in neither sum.
    """
    lost = pinball(truth, quantiles, levels)
    total = np.abs(truth)[~np.isnan(lost).all(-1)].sum()
    loss = 2 * np.nansum(lost, axis=(0, 1, 2)) / (total if total > 0 else np.nan)
    return float(loss.mean())


def crps_from_quantiles(truth: Floats, quantiles: Floats, levels: Sequence[float]) -> float:
    """Return the continuous ranked probability score, as twice the mean quantile loss over the levels.

    It is exact as the levels fill (0, 1) evenly (Gneiting and Raftery, 2007); in the units of the data.
    """
    return 2 * _mean(pinball(truth, quantiles, levels))


def coverage(truth: Floats, low: Floats, high: Floats) -> float:
    """Return the share of values from `low` to `high`, both included."""
    return _mean(np.where(np.isnan(truth), np.nan, (truth >= low) & (truth <= high)))


def mae_by_step(truth: Floats, point: Floats) -> tuple[float, ...]:
    """Return the mean absolute error of each step of the horizon."""
    error = np.abs(truth - point)
    return tuple(_mean(error[:, step]) for step in range(error.shape[1]))


def widest_interval(levels: Sequence[float]) -> tuple[int, int] | None:
    """Return which two levels make the central 80 % interval, or else the widest central one; `None` without one."""
    pairs = [(i, j) for i, low in enumerate(levels) for j, high in enumerate(levels) if low < 0.5 and _sums(low, high)]
    return min(pairs, key=lambda pair: abs(levels[pair[1]] - levels[pair[0]] - 0.8)) if pairs else None


def score_all(
    truth: Floats, point: Floats, quantiles: Floats | None, levels: Sequence[float], scale: Floats
) -> dict[str, float]:
    """Return every measure that can be had, by its usual name."""
    scores = {
        "MAE": mae(truth, point),
        "RMSE": rmse(truth, point),
        "sMAPE": smape(truth, point),
        "MASE": mase(truth, point, scale),
    }
    if quantiles is None or not len(levels):
        return scores
    scores["wQL"] = weighted_quantile_loss(truth, quantiles, levels)
    scores["CRPS"] = crps_from_quantiles(truth, quantiles, levels)
    pair = widest_interval(levels)
    if pair is not None:
        width = round(100 * (levels[pair[1]] - levels[pair[0]]))
        scores[f"coverage {width} %"] = 100 * coverage(truth, quantiles[..., pair[0]], quantiles[..., pair[1]])
    return scores


def _sums(low: float, high: float) -> bool:
    return abs(low + high - 1) < 1e-9


def _mean(values: NDArray[np.floating]) -> float:
    seen = values[~np.isnan(values)]
    return float(seen.mean()) if seen.size else float("nan")
