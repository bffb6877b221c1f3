"""Naive2, the benchmark of the M4 competition: the naive forecast of the seasonally adjusted series.

Source: S. Makridakis, E. Spiliotis and V. Assimakopoulos, "The M4 competition: 100,000 time series and 61 forecasting
methods", International Journal of Forecasting 36, 2020, and the competition's published benchmark code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CRITICAL = 1.645  # 90 % of the normal distribution, as the competition took it


def naive2(history: Floats, horizon: int, season: int) -> Floats:
    """Forecast one series `(rows,)` without missing values; `(horizon,)`."""
    if not is_seasonal(history, season):
        return np.full(horizon, history[-1])
    indices = multiplicative_indices(history, season)
    phases = np.arange(len(history), len(history) + horizon) % season
    return np.asarray(history[-1] / indices[(len(history) - 1) % season] * indices[phases])


def is_seasonal(history: Floats, season: int) -> bool:
    """Test whether the autocorrelation at the season's lag is beyond its 90 % limit (Bartlett's formula)."""
    if season <= 1 or len(history) < 3 * season:
        return False
    centred = history - history.mean()
    variance = float((centred**2).sum())
    if variance == 0:
        return False
    correlations = np.array([(centred[lag:] * centred[:-lag]).sum() / variance for lag in range(1, season + 1)])
    limit = _CRITICAL * np.sqrt((1 + 2 * (correlations[:-1] ** 2).sum()) / len(history))
    return bool(abs(correlations[-1]) > limit)


def multiplicative_indices(history: Floats, season: int) -> Floats:
    """Return the seasonal indices of the classical multiplicative decomposition, their mean being one, `(season,)`."""
    # an even season's moving average is centred by halving its two ends
    weights = (np.ones(season) if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5]) / season
    trend = np.convolve(history, weights, mode="valid")
    margin = (len(history) - len(trend)) // 2
    ratio = np.full(len(history), np.nan)
    ratio[margin : margin + len(trend)] = history[margin : margin + len(trend)] / trend
    indices = np.array([np.nanmean(ratio[phase::season]) for phase in range(season)])
    return np.asarray(indices / indices.mean())
