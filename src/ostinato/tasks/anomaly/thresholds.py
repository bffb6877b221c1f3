"""A threshold by labels: the one whose alarms agree best with the known anomalies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.tasks.anomaly.ranges import f_measure, range_precision, range_recall, ranges_of
from ostinato.tasks.base.alarms import merged

_TRIED = 60


def best_threshold(
    scores: Sequence[NDArray[np.float64]],
    labels: Sequence[NDArray[np.bool_] | None],
    otherwise: float,
    words: str,
    gap: int,
) -> tuple[float, str]:
    """Return the threshold of the best range-based F1, and how it was found, in words.

    Args:
        scores: of each series, `(steps,)`.
        labels: of each, likewise; `None`: not known.
        otherwise: the threshold where no anomaly is known.
        words: how that one was found.
        gap: steps between two alarms that are one.
    """
    known = [(score, marks) for score, marks in zip(scores, labels, strict=True) if marks is not None]
    if not any(marks.any() for _, marks in known):
        note("no known anomaly lies in the rows that calibrate; the threshold is that of the accepted rate")
        return otherwise, words
    every = np.concatenate([value for value, _ in known])
    every = np.unique(every[np.isfinite(every)])
    tried = np.append(every[np.unique(np.linspace(len(every) // 2, len(every) - 1, _TRIED).astype(int))], otherwise)
    best = max(tried.tolist(), key=lambda each: (_agreement(known, each, gap), each))
    return float(best), "by labels"


def _agreement(known: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]], threshold: float, gap: int) -> float:
    real, said, offset = [], [], 0
    for value, marks in known:
        real += [(a + offset, b + offset) for a, b in ranges_of(marks)]
        said += [(a + offset, b + offset) for a, b in merged(value >= threshold, gap)]
        offset += len(value)
    # that a range is found matters more than how much of it
    return f_measure(range_precision(real, said), range_recall(real, said, existence=0.9))


def best_split(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Return the score from which on rows are best called anomalous, by F1; rows may be sequences."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last = np.append(np.flatnonzero(np.diff(scores[order]) != 0), len(scores) - 1)
    f1 = 2 * hits[last] / (last + 1 + labels.sum())
    return float(scores[order][last[int(f1.argmax())]])
