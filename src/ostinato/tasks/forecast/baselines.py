"""Forecasts that any model must be compared with.

Histories are `(windows, rows, targets)`, the last row being the newest; shorter ones are padded before with NaN, and
NaN is a missing value. Forecasts are `(windows, horizon, targets)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.gaps import filled_forward

Floats = NDArray[np.float64]


def naive(history: Floats, horizon: int) -> Floats:
    """Repeat the last observed value."""
    return np.repeat(filled_forward(history)[:, -1:], horizon, 1)


def seasonal_naive(history: Floats, horizon: int, season: int) -> Floats:
    """Repeat the last season; a missing value is taken from the season before, or else is the last observed value."""
    rows = history.shape[1]
    if season <= 1 or rows < season:
        return naive(history, horizon)
    whole = history[:, rows - rows // season * season :]
    seasons = whole.reshape(len(history), -1, season, history.shape[2])
    last = filled_forward(seasons)[:, -1]
    forecast = last[:, np.arange(horizon) % season]
    return np.where(np.isnan(forecast), naive(history, horizon), forecast)


def drift(history: Floats, horizon: int) -> Floats:
    """Draw the line from the first observed value to the last further on."""
    filled = filled_forward(history)
    rows = history.shape[1]
    seen = ~np.isnan(history)
    first = seen.argmax(1)
    last = rows - 1 - seen[:, ::-1].argmax(1)
    start = np.take_along_axis(history, first[:, None], 1)[:, 0]
    slope = (filled[:, -1] - start) / np.maximum(last - first, 1)
    # steps are counted from the last observed value, which may lie before the end
    steps = np.arange(1, horizon + 1)[None, :, None] + (rows - 1 - last)[:, None]
    line: Floats = filled[:, -1:] + slope[:, None] * steps
    return line
