"""Series that have ended: a product that is no longer sold has zeros, and what it sold before is no forecast.

Smoothing forgets slowly, so that years of zeros still leave a forecast above them. How likely it is that a series goes
on is told by its zeros: the more often it was above zero, the less likely is so long a run of them by chance. The
forecast is then a mixture of what it would be and of zero. But a closed shop opens and a meter is mended: as long as
the zeros are few beside the horizon, the upper quantiles stay above them.

Sources: P. Fader, B. Hardie and K. Lee, "Counting your customers the easy way", Marketing Science 24, 2005 (the
probability that a customer is still one, from the time since the last purchase); R. Teunter, A. Syntetos and M. Babai,
"Intermittent demand: linking forecasting to inventory obsolescence", 2011.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SURE = 0.95  # from which on a series goes on as it was


def going_on(history: Floats, horizon: int) -> Floats:
    """Return the probability that series go on, `(windows, targets)`: 1 where nothing speaks against it.

    Runs of zeros that come and go, as nights of solar power, say nothing: what counts is the part of the last run
    beyond twice the longest one before it, and beyond one horizon. A series that was ever negative does not end in
    zeros.

    Args:
        history: `(windows, steps, targets)`, NaN where missing.
        horizon: of the forecast.
    """
    windows, steps, targets = history.shape
    found = np.ones((windows, targets))
    # a cheap look first: few series have so many zeros at their end
    tail = history[:, -min(horizon + 1, steps) :]
    maybe = ~((tail != 0) & ~np.isnan(tail)).any(1)
    for window, target in np.argwhere(maybe):
        found[window, target] = _of_one(history[window, :, target], horizon)
    return found


def _of_one(values: Floats, horizon: int) -> float:
    seen = values[~np.isnan(values)]
    positive = np.flatnonzero(seen > 0)
    if not len(positive) or (seen < 0).any():
        return 1.0
    before, last = seen[positive[0] : positive[-1] + 1], len(seen) - 1 - positive[-1]
    longest = int(np.diff(positive).max(initial=1)) - 1
    beyond = last - max(2 * longest, horizon)
    if beyond <= 0:
        return 1.0
    share = (len(positive) + 0.5) / (len(before) + 1)
    alive = beyond * np.log1p(-min(share, 1 - 1e-9))
    ended = np.log(beyond / (len(before) + 1))
    found = float(1 / (1 + np.exp(min(ended - alive, 700.0))))
    # what has lasted so long may last as long again: a meter that failed comes back
    return float(max(found, horizon / (last + horizon) / 2))


def with_ending(
    point: Floats, quantiles: Floats | None, levels: Sequence[float], alive: Floats
) -> tuple[Floats, Floats | None]:
    """Return a forecast as the mixture of what it is and of zero.

    Args:
        point: `(windows, horizon, targets)`, the median.
        quantiles: `(windows, horizon, targets, levels)`, or none.
        levels: of the quantiles.
        alive: what `going_on` returned.
    """
    ending = np.argwhere(alive < _SURE)
    if not len(ending):
        return point, quantiles
    point = point.copy()
    quantiles = None if quantiles is None else quantiles.copy()
    for window, target in ending:
        share = alive[window, target]
        if quantiles is not None:
            quantiles[window, :, target] = _mixed(quantiles[window, :, target], levels, share)
        mixed = None if quantiles is None else quantiles[window, :, target]
        point[window, :, target] = _middle(point[window, :, target], mixed, levels, share)
    return point, quantiles


def _mixed(quantiles: Floats, levels: Sequence[float], share: float) -> Floats:
    """Return quantiles `(horizon, levels)` of a mixture with zero, of which the rest is `share`."""
    found = np.zeros_like(quantiles)
    for place, level in enumerate(levels):
        inner = (level - (1 - share)) / share if share > 0 else 0.0
        if inner > 0:
            found[:, place] = [np.interp(inner, levels, row) for row in quantiles]
    return np.asarray(np.maximum(found, 0.0))


def _middle(point: Floats, mixed: Floats | None, levels: Sequence[float], share: float) -> Floats:
    """Return the median of a mixture, given its quantiles `(horizon, levels)` if there are any."""
    if share <= 0.5:
        return np.zeros_like(point)
    if mixed is not None and 0.5 in levels:
        return np.asarray(mixed[:, list(levels).index(0.5)])
    return np.asarray(np.maximum(point, 0.0))
