"""Values that are no measurement: a sensor's 10,000,000 amid values of fifty, which nothing in the series explains.

One such value makes scales, regressions and intervals those of itself. It is taken as missing, and a note says so. Only
what is far beyond all else, seldom, and over after a few steps is taken for one: bursts that come again, a new level,
the growth of a series and its newest values stay.

Source: J. Tukey, "Exploratory Data Analysis", 1977 (outliers by the range of the middle values; the limit here is far
wider, since what is rare is not wrong).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Series
from ostinato.data.notes import note
from ostinato.words import counted

Floats = NDArray[np.float64]
_FAR = 100.0  # ranges of the middle four fifths of the values, from their median
_FAR_IN_LOGARITHMS = 5.0  # the same of the logarithms of values that are all positive
_SELDOM = 0.01  # of the values
_STEPS = 3  # that a glitch lasts at most
_FEWEST, _MOST = 30, 10_000_000  # values of a series that are looked at
_COMMON = 0.1  # of the values: one value that so many have, as zero is where it seldom rains, tells no range


def without_glitches(panel: Panel) -> Panel:
    """Return a panel whose targets have no glitches: NaN stands for them, and a note tells of the first."""
    found, series = list[tuple[Series, int, int]](), list[Series]()
    for one in panel.series:
        wrong = _wrong(one, panel.targets)
        found += [(one, int(row), int(column)) for row, column in np.argwhere(wrong)]
        series.append(_cleaned(one, wrong) if wrong.any() else one)
    if not found:
        return panel
    first, row, column = found[0]
    whose = f' of series "{first.id}"' if first.id else ""
    value = first.rows(row, row + 1)[0, column]
    others = f", and so {'are' if len(found) > 2 else 'is'} {counted(len(found) - 1, 'other values')}" * (
        len(found) > 1
    )
    note(
        f'{panel.origin}: {value:g} in column "{panel.columns[column]}"{whose}, row {row + 1:,} of it, is more than '
        f"{_FAR:.0f} times as far off as nearly all others, and is taken as missing{others}; if it is right, clip it"
    )
    return replace(panel, series=tuple(series))


def _wrong(one: Series, targets: int) -> NDArray[np.bool_]:
    """Return where targets are glitches, `(rows, targets)`."""
    if not _FEWEST <= len(one) <= _MOST // max(targets, 1):
        return np.zeros((0, targets), np.bool_)
    values = one.rows(0, len(one))[:, :targets]
    return np.stack([_glitches(values[:, column]) for column in range(targets)], 1)


def _cleaned(one: Series, wrong: NDArray[np.bool_]) -> Series:
    values = one.rows(0, len(one)).copy()
    values[:, : wrong.shape[1]][wrong] = np.nan
    return replace(one, values=values, take=None)


def _glitches(values: Floats) -> NDArray[np.bool_]:
    """Return where a series `(rows,)` has glitches.

    >>> series = np.sin(np.arange(100.0))
    >>> series[40] = 1e6
    >>> np.flatnonzero(_glitches(series)).tolist()
    [40]
    """
    nothing = np.zeros(len(values), np.bool_)
    seen = values[np.isfinite(values)]
    if len(seen) < _FEWEST:
        return nothing
    middle = float(np.median(seen))
    common = np.isclose(seen, middle, rtol=1e-12) if np.mean(seen == middle) > _COMMON else seen == 0
    told = seen[~common] if common.mean() > _COMMON else seen
    if len(told) < _FEWEST:
        return nothing
    low, high = np.quantile(told, [0.1, 0.9])
    filled = np.where(np.isfinite(values), values, middle)
    far = np.abs(filled - middle) > _FAR * (high - low)
    if seen.min() > 0:  # sizes of firms and files differ by orders of magnitude
        far &= np.abs(np.log(filled / middle)) > _FAR_IN_LOGARITHMS * np.log(high / low)
    if not far.any() or not high > low or far.sum() > max(1, _SELDOM * len(seen)):
        return nothing
    # the newest may be how it goes on, and what lasts is a level
    edges = np.flatnonzero(np.diff(np.r_[0, far.astype(np.int8), 0]))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - first > _STEPS or stop == len(values):
            far[first:stop] = False
    return np.asarray(far, np.bool_)
