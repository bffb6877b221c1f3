"""Measures of scores against labelled ranges: range-based precision and recall, VUS-PR, point-adjusted F1, AUROC."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.alarms import merged

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
Range = tuple[int, int]
_THRESHOLDS = 250
_BUFFERS = 11


def ranges_of(labels: Marks) -> list[Range]:
    """Return runs of labels as `(first, stop)`."""
    return merged(labels, 0)


def range_recall(real: Sequence[Range], found: Sequence[Range], *, existence: float = 0.0) -> float:
    """Return range-based recall, positions counted alike, a range found in pieces less; NaN without ranges.

    Args:
        real: what was there, as `(first, stop)`.
        found: what was said.
        existence: how much it counts that a range was found at all.

    Source: N. Tatbul, T. J. Lee, S. Zdonik, M. Alam and J. Gottschlich, "Precision and recall for time series",
    NeurIPS 2018.

    >>> range_recall([(0, 10)], [(5, 10)]), range_recall([(0, 10)], [(0, 2), (4, 6)])
    (0.5, 0.2)
    """
    if not real:
        return math.nan
    total = 0.0
    for first, stop in real:
        overlaps = [min(stop, b) - max(first, a) for a, b in found if a < stop and b > first]
        share = sum(overlaps) / (stop - first)
        total += existence * bool(overlaps) + (1 - existence) * share / max(len(overlaps), 1)
    return total / len(real)


def range_precision(real: Sequence[Range], found: Sequence[Range]) -> float:
    """Return range-based precision; NaN where nothing was said."""
    return range_recall(found, real)


def f_measure(precision: float, recall: float) -> float:
    """Return the harmonic mean; 0 where either is, or where nothing was said."""
    if not (precision == precision and recall == recall) or precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def softened(labels: Marks, buffer: int) -> Floats:
    """Return labels from 0 to 1 that fall off around each range, over half a buffer on either side."""
    soft = labels.astype(np.float64)
    for first, stop in ranges_of(labels):
        for place in range(max(first - buffer // 2, 0), first):
            soft[place] += math.sqrt(1 - (first - place) / buffer)
        for place in range(stop, min(stop + buffer // 2, len(labels))):
            soft[place] += math.sqrt(1 - (place - stop + 1) / buffer)
    return np.minimum(soft, 1.0)


def range_auc_pr(labels: Marks, scores: Floats, buffer: int) -> float:
    """Return the area under precision by recall with labels that fall off around each range."""
    soft = softened(labels, buffer)
    segments = ranges_of(soft > 0)
    order = np.argsort(-scores, kind="stable")
    mass = np.cumsum(soft[order])
    wanted = (float(labels.sum()) + float(soft.sum())) / 2
    peaks = np.sort([-scores[a:b].max() for a, b in segments])
    places = np.unique(np.linspace(0, len(scores) - 1, _THRESHOLDS).astype(np.int64))
    # all rows of a score are said at once
    ranked = scores[order]
    places = np.unique(np.searchsorted(-ranked, -ranked[places], "right") - 1)
    recall = np.minimum(mass[places] / wanted, 1.0)
    there = np.searchsorted(peaks, -ranked[places], "right") / len(segments)
    precision = mass[places] / (places + 1)
    reached = np.append(0.0, recall * there)
    return float((np.diff(reached) * precision).sum())


def vus_pr(labels: Marks, scores: Floats, buffer: int | None = None) -> float:
    """Return the volume under the surface of precision, recall and buffer length; NaN without both labels.

    Args:
        labels: `(steps,)`.
        scores: `(steps,)`, finite.
        buffer: the longest; `None`: the mean length of a range, 100 at most.

    Source: J. Paparrizos, P. Boniol, T. Palpanas, R. Tsay, A. Elmore and M. Franklin, "Volume under the surface: a new
    accuracy evaluation measure for time-series anomaly detection", VLDB 2022.
    """
    if labels.all() or not labels.any():
        return math.nan
    lengths = [stop - first for first, stop in ranges_of(labels)]
    most = buffer if buffer is not None else int(np.clip(np.mean(lengths), 2, 100))
    buffers = np.unique(np.linspace(0, most, _BUFFERS).astype(np.int64))
    return float(np.mean([range_auc_pr(labels, scores, int(each)) for each in buffers]))


def best_point_adjusted_f1(labels: Marks, scores: Floats) -> float:
    """Return the best F1 of any threshold where a range counts as found whole once one step of it is.

    It inflates: a detector that draws its scores reaches high values on long ranges (S. Kim, K. Choi, H.-S. Choi,
    B. Lee and S. Yoon, "Towards a rigorous evaluation of time-series anomaly detection", AAAI 2022). It stands only
    beside such a one.
    """
    adjusted = scores.copy()
    for first, stop in ranges_of(labels):
        adjusted[first:stop] = scores[first:stop].max()
    order = np.argsort(-adjusted, kind="stable")
    ranked, hits = adjusted[order], np.cumsum(labels[order])
    last = np.append(np.flatnonzero(np.diff(ranked) != 0), len(ranked) - 1)
    f1 = 2 * hits[last] / (last + 1 + labels.sum())
    return float(f1.max())
