"""Which season a series has: the lag at which it repeats itself best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STRONG = 0.3  # of the correlation a season has at least
_TIMES, _USUAL_TIMES = 2, 1.5  # how often it must be seen, and one that the frequency suggests
_LONGEST = 4096
_BROAD = 1.25  # times the shortest lag of a peak


def find_season(parts: Sequence[Floats], usual: Sequence[int]) -> int:
    """Return the steps of a season, 1 for none.

    Args:
        parts: the training rows of each series, `(rows, channels)`, NaN where missing.
        usual: the seasons that the frequency suggests, which are preferred to others.

    >>> find_season([np.sin(np.arange(200) * np.pi / 12)[:, None]], ())
    24
    """
    found: dict[int, float] = {}
    longest = max(parts, key=len, default=np.zeros((0, 1)))
    for channel in range(longest.shape[1]):
        held = longest[:, channel]
        correlations = _correlations(held)
        for lag in _candidates(correlations, usual):
            found[lag] = found.get(lag, 0.0) + float(correlations[lag]) / longest.shape[1]
    known = {lag: value for lag, value in found.items() if value >= _STRONG}
    if not known:
        return 1
    best = max(known.values())
    # the shortest of those that are about as good: twice a season is one too; a usual one before others
    close = [lag for lag, value in known.items() if value >= 0.9 * best]
    if common := [lag for lag in close if lag in usual]:
        return min(common)
    # a broad peak has several lags in noise, of which the highest is meant
    shortest = min(close)
    return max((lag for lag in close if lag <= _BROAD * shortest), key=lambda lag: known[lag])


def _candidates(correlations: Floats, usual: Sequence[int]) -> set[int]:
    inner = correlations[1:-1]
    peaks = np.flatnonzero((inner > correlations[:-2]) & (inner >= correlations[2:])) + 1
    # before the correlation has once been low, a peak is only noise on a slow decay
    low = np.flatnonzero(correlations < 0.5 * _STRONG)
    first = int(low[0]) if len(low) else len(correlations)
    twice = len(correlations) * _USUAL_TIMES / _TIMES
    return {int(lag) for lag in peaks if max(first, 2) < lag <= twice} | {
        lag for lag in usual if 2 < lag < len(correlations) - 1
    }


def _correlations(values: Floats) -> Floats:
    """Return the autocorrelation of a series without its trend, `(lags + 1,)`, at lags up to two thirds of it."""
    seen = np.isfinite(values)
    most = min(int(len(values) / _USUAL_TIMES), _LONGEST)
    if seen.sum() < 8 or most < 3:
        return np.zeros(1)
    places = np.arange(len(values))
    line = np.polyfit(places[seen], values[seen], 1)
    low, high = np.quantile(values[seen] - np.polyval(line, places[seen]), [0.01, 0.99])
    rest = np.where(seen, np.clip(np.where(seen, values, 0.0) - np.polyval(line, places), low, high), 0.0)
    size = 1 << (2 * len(values) - 1).bit_length()
    products = np.fft.irfft(np.abs(np.fft.rfft(rest, size)) ** 2, size)[: most + 1]
    pairs = np.fft.irfft(np.abs(np.fft.rfft(seen.astype(float), size)) ** 2, size)[: most + 1]
    mean = products / np.maximum(pairs, 1)
    return np.asarray(mean / mean[0]) if mean[0] > 1e-12 else np.zeros(1)
