"""The classical decomposition of many series at once: whether there is a season, its indices, the series without it.

Source: M. Kendall and A. Stuart, "The Advanced Theory of Statistics", volume 3, 1983, chapter 46; the test for a season
is that of the M4 competition (see `naive2.py`). D. Miller and D. Williams, "Shrinkage estimators of time series
seasonal factors and their effect on forecasting accuracy", International Journal of Forecasting 19, 2003.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.gaps import filled_between

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_CRITICAL = 1.645  # 90 % of the normal distribution


@dataclass(frozen=True)
class Adjusted:
    """Series with their seasons.

    Args:
        filled: the series, missing values put in between their neighbours, `(rows, steps)`.
        seen: which values were there.
        begun: the steps from the first value on.
        period: steps of the season.
        indices: of the steps to come, `(rows, period)`: what is added to the level, or what it is multiplied with.
        kind: `"none"`: there is no season, `"sum"` or `"ratio"`.
        usable: rows that are long enough, and positive where they must be.
        scale: the size of each series, `(rows,)`.
    """

    filled: Floats
    seen: Bools
    begun: Bools
    period: int
    indices: Floats
    kind: Literal["none", "sum", "ratio"]
    usable: Bools
    scale: Floats

    def season(self, first: int, count: int) -> Floats:
        """Return the season of `count` steps, counted from the next one after the series, `(rows, count)`."""
        return self.indices[:, np.arange(first, first + count) % self.period]

    def level_values(self) -> Floats:
        """Return the series without its season."""
        steps = self.filled.shape[1]
        season = self.season(-steps, steps)
        return self.filled / season if self.kind == "ratio" else self.filled - season

    def flat(self) -> Adjusted:
        """Return the series without its season, as a series of its own."""
        rows = len(self.filled)
        return replace(self, filled=self.level_values(), period=1, indices=np.zeros((rows, 1)), kind="none")

    def restore(self, level: Floats) -> Floats:
        """Put the season on what comes, `(rows, horizon)`."""
        season = self.season(0, level.shape[1])
        return level * season if self.kind == "ratio" else level + season


def adjustments(history: Floats, period: int) -> Iterator[Adjusted]:
    """Yield the series without a season, and with an additive and a multiplicative one where some row has room."""
    plain = prepared(history)
    yield plain
    if period <= 1 or history.shape[1] < 2 * period:
        return
    average = moving_average(plain, period)
    for kind in ("sum", "ratio"):
        one = with_indices(plain, period, kind, average)
        if one.usable.any():
            yield one


def adjust(history: Floats, period: int) -> Adjusted:
    """Return the series without the season that the test finds: by ratios where they are positive, else by sums."""
    plain = prepared(history)
    if period <= 1 or history.shape[1] < 3 * period:
        return plain
    average = moving_average(plain, period)
    sums, ratios = (with_indices(plain, period, kind, average) for kind in ("sum", "ratio"))
    shown = is_seasonal(plain, period)
    # one kind for the whole batch: ratios of one where a row has no season, and sums turned into ratios are not needed
    if (ratios.usable | ~shown).all():
        seasonal = shown & ratios.usable
        return replace(ratios, indices=np.where(seasonal[:, None], ratios.indices, 1.0))
    seasonal = shown & sums.usable
    return replace(sums, indices=np.where(seasonal[:, None], sums.indices, 0.0))


def prepared(history: Floats) -> Adjusted:
    """Return series without a season, their gaps filled."""
    seen = ~np.isnan(history)
    begun = np.maximum.accumulate(seen, 1)
    filled = np.where(begun, filled_between(history), 0.0)
    scale = np.abs(filled * begun).sum(1) / np.maximum(begun.sum(1), 1)
    rows = len(history)
    return Adjusted(filled, seen, begun, 1, np.zeros((rows, 1)), "none", np.asarray(seen.any(1)), scale)


def with_indices(
    plain: Adjusted, period: int, kind: Literal["sum", "ratio"], average: tuple[Floats, Bools] | None = None
) -> Adjusted:
    """Return series with their seasonal indices, means of what the centred moving average leaves.

    Args:
        plain: the series.
        period: steps of the season.
        kind: whether it is added or multiplied.
        average: what `moving_average` gives, where it is known.
    """
    trend, inside = average or moving_average(plain, period)
    usable = plain.begun.sum(1) >= 2 * period
    if kind == "ratio":
        lowest = np.where(plain.seen, plain.filled, np.inf).min(1)
        usable = usable & (lowest > 0)
        inside = inside & usable[:, None]
        left = np.where(inside, plain.filled / np.where(inside, trend, 1.0), 0.0)
    else:
        left = np.where(inside, plain.filled - trend, 0.0)
    total, count = _by_phase(left, period), _by_phase(inside.astype(np.float64), period)
    usable &= (count > 0).all(1)
    neutral = 1.0 if kind == "ratio" else 0.0
    indices = np.where(usable[:, None], total / np.maximum(count, 1), neutral)
    if kind == "ratio":
        indices = np.maximum(indices, 0.05)
        indices = indices / indices.mean(1, keepdims=True)
    else:
        indices = indices - indices.mean(1, keepdims=True)
    return replace(plain, period=period, indices=indices, kind=kind, usable=usable)


def shrunken(plain: Adjusted, periods: Sequence[int], kind: Literal["sum", "ratio"]) -> Adjusted:
    """Return series with the indices of several seasons, each as far as it is beyond the noise of its means.

    Few cycles tell a year of weeks badly, yet no season at all is worse: indices are shrunk by how much they vary
    beside their error (positive-part James-Stein). Each season is found in what the shorter ones leave.

    Args:
        plain: the series.
        periods: steps of the seasons, the shortest first; those that do not go into the longest are left out.
        kind: whether they are added or multiplied.
    """
    whole, left, usable = periods[-1], plain, np.zeros_like(plain.usable)
    indices = np.full((len(plain.filled), whole), 1.0 if kind == "ratio" else 0.0)
    for period in periods:
        if whole % period or plain.filled.shape[1] < 2 * period:
            continue
        one = _shrunken(left, period, kind)
        own = np.tile(one.indices, whole // period)
        indices = indices * own if kind == "ratio" else indices + own
        left, usable = one.flat(), usable | one.usable
        left = replace(left, usable=plain.usable)
    return replace(plain, period=whole, indices=indices, kind=kind, usable=usable)


def _shrunken(plain: Adjusted, period: int, kind: Literal["sum", "ratio"]) -> Adjusted:
    average, inside = moving_average(plain, period)
    one = with_indices(plain, period, kind, (average, inside))
    inside = inside & one.usable[:, None]
    steps, neutral = plain.filled.shape[1], 1.0 if kind == "ratio" else 0.0
    season = one.season(-steps, steps)
    fitted = average * season if kind == "ratio" else average + season
    wrong = np.where(inside, plain.filled - fitted, 0.0)
    if kind == "ratio":  # in units of the level, as the indices are
        wrong = wrong / np.where(inside & (average > 0), average, 1.0)
    count = inside.sum(1)
    noise = (wrong**2).sum(1) / np.maximum(count - period, 1) * period / np.maximum(count, 1)
    between = ((one.indices - neutral) ** 2).sum(1) / max(period - 1, 1)
    share = np.maximum(0.0, 1 - (period - 3) / max(period - 1, 1) * noise / np.where(between > 0, between, np.inf))
    return replace(one, indices=neutral + np.minimum(share, 1.0)[:, None] * (one.indices - neutral))


def is_seasonal(plain: Adjusted, period: int) -> Bools:
    """Test whether the autocorrelation at the season's lag is beyond its 90 % limit (Bartlett's formula)."""
    count = np.maximum(plain.begun.sum(1), 1)
    mean = (plain.filled * plain.begun).sum(1) / count
    centred = (plain.filled - mean[:, None]) * plain.begun
    variance = np.maximum((centred**2).sum(1), 1e-300)
    found = _products(centred, period) / variance[:, None]
    limit = _CRITICAL * np.sqrt((1 + 2 * (found[:, :-1] ** 2).sum(1)) / count)
    return np.asarray((found[:, -1] > limit) & (count >= 3 * period))


def _products(values: Floats, most: int) -> Floats:
    """Return the sums of products of values and those so many steps before, for lags from 1 on, `(rows, most)`."""
    size = 1 << (values.shape[1] + most - 1).bit_length()
    spectrum = np.fft.rfft(values, size)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, 1 : most + 1]


def _by_phase(values: Floats, period: int) -> Floats:
    """Return the sums of the steps of each phase of a period, `(rows, period)`; the next step has phase 0."""
    rows, steps = values.shape
    whole = np.zeros((rows, -(-steps // period) * period))
    whole[:, whole.shape[1] - steps :] = values
    return np.asarray(whole.reshape(rows, -1, period).sum(1))


def moving_average(plain: Adjusted, period: int) -> tuple[Floats, Bools]:
    """Return the centred moving average over a season and where it is whole, both `(rows, steps)`."""
    width = period + 1 - period % 2
    half = width // 2
    rows, steps = plain.filled.shape
    padded = np.zeros((rows, steps + 2 * half + 1))
    padded[:, half + 1 : half + 1 + steps] = plain.filled
    sums = np.cumsum(padded, 1)
    trend = sums[:, width:] - sums[:, :-width]
    if period % 2 == 0:  # the ends of the season are one phase, and count half
        trend = trend - 0.5 * (padded[:, 1 : steps + 1] + padded[:, width:])
    trend = trend / period
    inside = np.zeros_like(plain.begun)
    inside[:, half : steps - half] = plain.begun[:, : steps - 2 * half]
    return trend, inside & plain.seen
