"""The seasons of series, from the frequency and from what the training part shows.

A season counts where neighbouring cycles are alike: the autocorrelation of the series, its trend taken away, at the
season's lag. A frequency says which seasons there may be (a day and a week for hours); of numbered rows, whose
seasons nobody knows, they are looked for. Many series vote by their median.

Sources: X. Wang, K. Smith and R. Hyndman, "Characteristic-based clustering for time series data", Data Mining and
Knowledge Discovery 13, 2006 (the strength of a season); K. Bandara, R. Hyndman and C. Bergmeir, "MSTL", 2021 (several
seasons, the shortest first, each found in what the shorter ones leave).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Frequency, Panel, Part
from ostinato.data.frequency import DAY, SECOND
from ostinato.tasks.forecast.gaps import filled_between

Floats = NDArray[np.float64]
_SERIES = 60  # looked at; more do not change a median
_CYCLES = 40  # of the longest season looked at, the newest
_ROWS = 20_000
_LIKE = 0.15  # autocorrelation of neighbouring cycles that is a season whatever the number of series
_CRITICAL = 2.0  # of the normal distribution: 1 of 40 by chance
_BEYOND = 0.05  # how much more like itself a week must be than like six or eight days
_PROMINENCE = 0.05  # of a peak of the autocorrelation
_LAST_VALUES = 8
_OF_RECENT = 200.0  # a season errs at most so much more, squared, than an autoregression of the last values
_SMOOTH = 1e-4  # share of the variance that an autoregression is taken to err by at least
_PEAKS = 12
_TIMES = 5  # a season within another comes at least so many times in it
_LINE = 4.0  # how much higher its line is than those around
_MOST = 3
_DAYS = (24, 48, 96, 144, 288)  # steps of a day, which may have a week: of hours, half hours, ... five minutes
_USUAL = (
    4,
    7,
    12,
    24,
    48,
    52,
    60,
    96,
    144,
    168,
    288,
    336,
    365,
    672,
    1008,
    1440,
    2016,
    8766,
)  # lengths of clocks and calendars
_NEAR = 28  # a length off by one step, or by one in so many, may be a usual one
_SHARE = 1 / 3  # of many series, that a season is of
_MANY = 10


@dataclass(frozen=True)
class Season:
    """A season.

    Args:
        length: in steps.
        strength: 0 to 1: the share of the variance, beside trend and other seasons, that it explains; the
            autocorrelation at its lag, so that a season whose shape changes has less.
    """

    length: int
    strength: float


def find_seasons(panel: Panel, part: Part) -> tuple[Season, ...]:
    """Return the seasons of the targets in a part of a panel, the strongest first; none is an empty tuple.

    Args:
        panel: the data.
        part: the rows to look at: those of training.
    """
    stops = part.stop - part.start
    chosen = np.unique(np.linspace(0, len(panel.series) - 1, min(_SERIES, len(panel.series))).round().astype(int))
    columns = range(min(panel.targets, max(1, _SERIES // len(chosen))))
    longest = max(candidates_of(panel.frequency), default=0)
    rows = min(_ROWS, _CYCLES * longest) if longest else _ROWS // 4
    series: list[Floats] = []
    for at in chosen:
        stop = int(part.stop[at])
        values = panel.series[at].rows(stop - min(rows, int(stops[at])), stop)
        series.extend(values[:, column] for column in columns)
    return seasons_of(series, panel.frequency)


def seasons_of(series: Sequence[Floats], frequency: Frequency) -> tuple[Season, ...]:
    """Return the seasons that series `(rows,)` share, NaN where missing, the strongest first."""
    usable = [trimmed for one in series if (trimmed := _trimmed(np.asarray(one, np.float64))) is not None]
    if not usable:
        return ()
    known = candidates_of(frequency)
    lengths = _tested(usable, known, frequency) if known or frequency.has_calendar else _searched(usable)
    found = [
        Season(length, strength)
        for length, strength in zip(lengths, _strengths(usable, lengths), strict=True)
        if known or strength > _LIKE or length in map(_week_of, lengths)
    ]
    return tuple(sorted(found, key=lambda season: -season.strength))


def candidates_of(frequency: Frequency) -> tuple[int, ...]:
    """Return the seasons that a frequency may have, in steps, the shortest first.

    >>> candidates_of(Frequency.parse("h")), candidates_of(Frequency.parse("D")), candidates_of(Frequency.parse("QS"))
    ((24, 168), (7, 365), (4,))
    """
    found = set(frequency.seasons)
    if frequency.unit == "us" and frequency.step == DAY:
        found.add(365)
    if frequency.unit == "business" and frequency.step == 1:
        found.add(261)
    for span in (60 * SECOND, 3600 * SECOND):
        if frequency.unit == "us" and span % frequency.step == 0 and span // frequency.step >= 4:
            found.add(span // frequency.step)
    return tuple(sorted(length for length in found if length > 1))


def seasonal_shape(values: Floats, length: int) -> Floats:
    """Return the mean of each phase of a season, `(length,)`, the trend taken away; the first value has phase 0."""
    return _shape(values - _trend(values, length), length)[:length]


# --- one season -------------------------------------------------------------------------------------------------------


def _tested(series: Sequence[Floats], candidates: Sequence[int], frequency: Frequency) -> list[int]:
    """Return which candidates are seasons, each looked for in what the shorter ones leave."""
    cycles = 2 if frequency.unit == "month" else 3
    found, left = list[int](), list(series)
    for length in candidates:
        long = [one for one in left if len(one) >= cycles * length]
        if 2 * len(long) < len(left) or not _is_season(long, length, found):
            continue
        found.append(length)
        left = [_without(one, length) if len(one) >= cycles * length else one for one in left]
    return found


def _is_season(series: Sequence[Floats], length: int, shorter: Sequence[int]) -> bool:
    found = np.array([_likeness(one, length, shorter) for one in series]).reshape(-1, 2)
    # of a flat series nothing is known: it has no vote
    votes = found[np.isfinite(found[:, 0])]
    if 2 * len(votes) < len(found) or not len(votes):
        return False
    chance = float(np.median(votes[:, 1])) / np.sqrt(min(len(votes), 10))
    # of many series some may have none: offices rest on Sundays, and a hospital does not
    with_it = float(np.mean(votes[:, 0] > np.maximum(_LIKE, _CRITICAL * votes[:, 1])))
    return bool(np.median(votes[:, 0]) > max(_LIKE, _CRITICAL * chance) or (len(votes) >= _MANY and with_it > _SHARE))


def _likeness(values: Floats, length: int, shorter: Sequence[int] = ()) -> tuple[float, float]:
    """Return the autocorrelation of a detrended series at a season's lag, less that of other lags, and its error.

    The error is that of chance (Bartlett, 1946), neighbours within a quarter of the season being alike in any series.
    Both are NaN where there is no telling.
    """
    detrended = values - _trend(values, length)
    most = min(len(values) - 3, max(length + 1, 3 * length // 2, *(length + short for short in shorter), 0))
    correlations = _autocorrelations(detrended, most)
    if correlations is None or len(correlations) <= length:
        return float("nan"), float("nan")
    at = correlations[length]
    around = np.delete(correlations[length // 2 :], slice(length - length // 2, length - length // 2 + 1))
    # cycles of a shorter season whose shape changes slowly are alike at all its multiples
    rivals = [
        correlations[lag] + _BEYOND
        for short in shorter
        if length % short == 0
        for lag in (length - short, length + short)
        if 0 < lag < len(correlations)
    ]
    if rivals and at < max(rivals):
        return 0.0, 0.0
    pairs = max(1, int(np.isfinite(detrended).sum()) - length)
    error = np.sqrt((1 + 2 * float((correlations[1 : length // 4 + 1] ** 2).sum())) / pairs)
    return float(at - max(0.0, np.median(around) if len(around) else 0.0)), float(error)


def _strengths(series: Sequence[Floats], lengths: Sequence[int]) -> list[float]:
    """Return the strength of each season, the others taken away."""
    found = []
    for length in lengths:
        votes = [_strength(one, length, lengths) for one in series if len(one) >= 2 * length]
        seen = [vote for vote in votes if np.isfinite(vote)]
        found.append(float(np.clip(np.median(seen), 0, 1)) if seen else 0.0)
    return found


def _strength(values: Floats, length: int, lengths: Sequence[int]) -> float:
    """Return the autocorrelation at a season's lag, the trend and the other seasons taken away.

    Of a season that repeats, it is its share of the variance; one whose shape or length drifts has it smaller.
    """
    rest = values
    for other in lengths:
        if other != length and len(values) >= 2 * other:
            # a week holds the day within it: its own share is what the day leaves, and not the other way round
            rest = rest - (_shape(rest - _trend(rest, other), other) if length % other == 0 or other % length else 0.0)
    correlations = _autocorrelations(rest - _trend(rest, length), length)
    return float("nan") if correlations is None else float(correlations[length])


# --- seasons that nobody knows ----------------------------------------------------------------------------------------


def _searched(series: Sequence[Floats]) -> list[int]:
    """Return the seasons of rows that are only numbered, the shortest first."""
    found, left = list[int](), list(series)
    while len(found) < _MOST:
        length = _first_peak(left, found)
        if length is None:
            break
        found.append(length)
        left = [_without(one, length) for one in left]
    weeks = [_week_of(length) for length in found]
    return sorted({*found, *(week for week in weeks if week and _has_week(left, week, found))})


def _week_of(length: int) -> int:
    """Return the steps of a week whose day has so many; 0 of what is no day."""
    return 7 * length if length in _DAYS else 0


def _has_week(series: Sequence[Floats], week: int, found: Sequence[int]) -> bool:
    """Tell whether some of many series have a week, which the median of all does not show."""
    if any(abs(length - week) <= week // 5 for length in found) or len(found) >= _MOST:
        return False
    long = [one for one in series if len(one) >= 3 * week]
    return 2 * len(long) >= len(series) and _is_season(long, week, [length for length in found if length < week])


def _first_peak(series: Sequence[Floats], found: Sequence[int]) -> int | None:
    """Return the lag of the first high peak of the autocorrelation that is a season; `None` if none is."""
    rows = int(np.median([len(one) for one in series]))
    most = rows // 3
    curves = [
        correlated
        for one in series
        if (correlated := _autocorrelations(one - _line(one), min(most, len(one) - 3))) is not None
    ]
    curves = [curve for curve in curves if len(curve) > most]
    if most < 4 or 2 * len(curves) < len(series):
        return None
    curve = np.median([one[: most + 1] for one in curves], axis=0)
    peaks = [lag for lag in _peaks(curve) if not any(_repeats(lag, season) for season in found)]
    limits = _CRITICAL * np.sqrt((1 + 2 * np.cumsum(curve[1:] ** 2)) / rows)
    # of one series a peak may be chance; the median of many is not
    alike = _LIKE * (1 + 1 / np.sqrt(min(len(curves), 10)))
    peaks = [lag for lag in peaks if curve[lag] > max(alike, limits[lag - 2])][:_PEAKS]
    peaks = [lag for lag in peaks if _is_season(series, lag, [season for season in found if season < lag])]
    high = max((curve[lag] for lag in peaks), default=0.0)
    found_now = next((lag for lag in peaks if curve[lag] >= 0.8 * high and _tells(series, lag)), None)
    if found_now is None:
        return None
    nearest = _usual(series, found_now, found)
    return _within(series, nearest) or nearest


def _usual(series: Sequence[Floats], length: int, found: Sequence[int]) -> int:
    """Return the season of clocks and calendars that is next to a season and explains as much; or the season itself.

    The peak of an autocorrelation is blunt: of a smooth season it lies a step or two off, and neighbouring lengths,
    which drift apart by one step a cycle, are hardly told by a few cycles. By how much each explains, over all cycles,
    they are told better; a difference below one standard error of a correlation says nothing.
    """
    usual = {*_USUAL, *(7 * day for day in found if day in _DAYS)}
    near = [one for one in usual if abs(one - length) <= max(1, one // _NEAR)]
    if length in near or not near:
        return length
    left = [one - _trend(one, length) for one in series]
    best = max(near, key=lambda one: _explained(left, one))
    error = 1 / np.sqrt(np.median([len(one) for one in series]))
    return best if _explained(left, best) >= _explained(left, length) - error else length


def _explained(series: Sequence[Floats], length: int) -> float:
    """Return the share of the variance that a season's shape explains, less what it would explain of noise."""
    shares = []
    for one in series:
        rest, rows = one - _shape(one, length), int(np.isfinite(one).sum())
        shares.append(1 - float(np.nanvar(rest)) / max(float(np.nanvar(one)), 1e-300) * rows / max(rows - length, 1))
    return float(np.median(shares))


def _within(series: Sequence[Floats], length: int) -> int | None:
    """Return a season that comes many times in one that was found, as a day in a week; `None` without one.

    It is lines in the spectrum of the season's shape, which hide in the autocorrelation where the longer one is
    stronger by far.
    """
    votes = []
    for one in series:
        power = np.abs(np.fft.rfft(seasonal_shape(one, length))) ** 2
        votes.append(power / max(float(power.sum()), 1e-300))
    power = np.median(votes, axis=0)
    for times in range(_TIMES, length // 4 + 1):
        if length % times:
            continue
        comb = times * (1 + int(power[times::times].argmax()))
        around = np.delete(power[comb - times // 2 : comb + times // 2 + 1], min(times // 2, comb))
        if power[times::times].sum() > _LIKE and power[comb] > _LINE * around.max():
            return length // times
    return None


def _repeats(lag: int, found: int) -> bool:
    """Tell whether a lag is about a season that was found, or two or three of it, but not exactly so many."""
    times = max(1, round(lag / found))
    off = abs(lag - times * found)
    return off <= max(1, found // 5) if times == 1 else times <= 3 and 0 < off <= times * found // 10


def _peaks(curve: Floats) -> list[int]:
    """Return lags from 2 on that are higher than all others within a quarter of them."""
    found = []
    for lag in range(2, len(curve)):
        near = curve[max(1, lag - max(1, lag // 4)) : lag + max(1, lag // 4) + 1]
        around = curve[max(1, lag - max(1, lag // 2)) : lag + max(1, lag // 2) + 1]
        if lag + 1 < len(curve) and curve[lag] >= near.max() and curve[lag] - around.min() > _PROMINENCE:
            found.append(lag)
    return found


def _tells(series: Sequence[Floats], length: int) -> bool:
    """Tell whether a season says something that the last values do not.

    A smooth chaotic series comes back near to where it was, and looks seasonal; its last values tell its next one a
    thousand times better.
    """
    ratios = []
    for one in series:
        filled = filled_between(one - _trend(one, length))
        last = _error_of_recent(filled)
        cycle = float(np.mean((filled[length:] - filled[:-length]) ** 2)) / 2
        ratios.append(cycle / max(last, _SMOOTH * float(np.var(filled)), 1e-300))
    return float(np.median(ratios)) <= _OF_RECENT


def _error_of_recent(values: Floats) -> float:
    """Return the mean squared error, one step ahead, of an autoregression."""
    lags = min(_LAST_VALUES, max(1, len(values) // 10))
    x = np.lib.stride_tricks.sliding_window_view(values, lags)[:-1] - values.mean()
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    weights, *_ = np.linalg.lstsq(x, values[lags:], rcond=None)
    return float(np.mean((values[lags:] - x @ weights) ** 2))


# --- series -----------------------------------------------------------------------------------------------------------


def _trimmed(values: Floats) -> Floats | None:
    """Return a series from its first value to its last, scaled; `None` of one that is flat or mostly missing."""
    seen = np.flatnonzero(np.isfinite(values))
    if len(seen) < 6:
        return None
    inner = values[seen[0] : seen[-1] + 1]
    inner = np.where(np.isfinite(inner), inner, np.nan)
    size = float(np.nanmax(np.abs(inner - np.nanmean(inner))))
    if 2 * len(seen) < len(inner) or not size > 1e-9 * float(np.nanmax(np.abs(inner))):
        return None
    return np.asarray((inner - np.nanmean(inner)) / size)


def _trend(values: Floats, length: int) -> Floats:
    """Return the centred moving average of one season; its ends continue along its first and last season."""
    weights = np.ones(length) if length % 2 else np.r_[0.5, np.ones(length - 1), 0.5]
    if len(values) <= len(weights):
        return _line(values)
    seen = np.isfinite(values)
    total = np.convolve(np.where(seen, values, 0.0), weights, "valid") if length < 64 else _fast(values, seen, weights)
    count = np.convolve(seen.astype(float), weights, "valid") if length < 64 else _fast(seen, seen, weights)
    inner = np.where(count > length / 4, total / np.maximum(count, 1e-9), np.nan)
    inner = filled_between(inner) if np.isfinite(inner).any() else np.zeros_like(inner)
    margin = (len(values) - len(inner)) // 2
    trend = np.empty(len(values))
    trend[margin : margin + len(inner)] = inner
    reach = max(1, min(len(inner) - 1, length))
    for edge, step in ((margin, -1), (margin + len(inner) - 1, 1)):
        slope = (trend[edge] - trend[edge - step * reach]) / reach if len(inner) > 1 else 0.0
        steps = np.arange(1, margin + 1)
        trend[edge + step * steps] = trend[edge] + slope * steps
    return trend


def _fast(values: NDArray[np.generic], seen: NDArray[np.bool_], weights: Floats) -> Floats:
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(np.where(seen, values, 0.0).astype(float), weights, "valid"))


def _line(values: Floats) -> Floats:
    """Return the straight line through a series."""
    places, seen = np.arange(len(values), dtype=float), np.isfinite(values)
    slope, level = np.polyfit(places[seen], values[seen], 1)
    return np.asarray(slope * places + level)


def _shape(values: Floats, length: int) -> Floats:
    """Return the mean of each phase of a season, repeated to the length of the series; zero where nothing is seen."""
    padded = np.full(-(-len(values) // length) * length, np.nan)
    padded[: len(values)] = values
    cycles = padded.reshape(-1, length)
    seen = np.isfinite(cycles)
    means = np.where(seen, cycles, 0.0).sum(0) / np.maximum(seen.sum(0), 1)
    return np.asarray(np.tile(means - means.mean(), len(cycles))[: len(values)])


def _without(values: Floats, length: int) -> Floats:
    return values - _shape(values - _trend(values, length), length)


def _autocorrelations(values: Floats, most: int) -> Floats | None:
    """Return autocorrelations at lags 0 to `most` over the pairs that are seen; `None` where there is nothing."""
    seen = np.isfinite(values)
    if most < 1 or seen.sum() < 4:
        return None
    centred = np.where(seen, values - values[seen].mean(), 0.0)
    size = 1 << int(np.ceil(np.log2(len(values) + most + 1)))
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[: most + 1]
    squares = np.fft.rfft(centred**2, size)
    mask = np.fft.rfft(seen.astype(float), size)
    # each lag is measured by the values that take part in it, so that a few cycles are not cut short
    before = np.fft.irfft(np.conj(squares) * mask)[: most + 1]
    after = np.fft.irfft(np.conj(mask) * squares)[: most + 1]
    scale = np.sqrt(np.maximum(before * after, 0.0))
    if not before[0] > 1e-18 * len(values):
        return None
    return np.asarray(np.where(scale > 1e-9 * before[0], products / np.maximum(scale, 1e-300), 0.0))
