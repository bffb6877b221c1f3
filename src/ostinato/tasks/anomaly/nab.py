"""The score of the Numenta Anomaly Benchmark: windows, early detections worth more, false alarms by how far they are.

Checked against the published scorer (github.com/numenta/NAB, `nab/sweeper.py` and `nab/scorer.py`), standard profile.

Source: A. Lavin and S. Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark",
ICMLA 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PROBATION = 0.15
_TRIED = 400  # thresholds
_PROBATION_ROWS = 5000  # of a file, beyond which the probationary part does not grow


@dataclass(frozen=True)
class Profile:
    """What a detection, a false alarm and a miss are worth."""

    true_positive: float = 1.0
    false_positive: float = 0.11
    false_negative: float = 1.0


STANDARD = Profile()
FEW_FALSE_ALARMS = Profile(1.0, 0.22, 1.0)
FEW_MISSES = Profile(1.0, 0.11, 2.0)


def probation(rows: int) -> int:
    """Return how many rows at the beginning of a file are not judged.

    >>> probation(1000), probation(22695)
    (150, 750)
    """
    return math.floor(PROBATION * min(rows, _PROBATION_ROWS))


def scaled_sigmoid(position: float) -> float:
    """Return what a detection is worth, from 1 at the beginning of a window (-1) over 0 at its end (0) to -1."""
    return -1.0 if position > 3.0 else 2 / (1 + math.exp(5 * position)) - 1


@dataclass(frozen=True)
class Judged:
    """One file: what a detection in each row is worth, before the profile's weights.

    Args:
        worth: `(rows,)`.
        window: `(rows,)`, the number of the window that a row is in; -1: none.
        count: how many windows there are.
        rows: which rows are judged, from the end of the probationary part on.
    """

    worth: Floats
    window: NDArray[np.int64]
    count: int
    rows: slice

    @classmethod
    def of(cls, rows: int, windows: Sequence[tuple[int, int]], *, judged_from: int | None = None) -> Judged:
        """Return a file of so many rows with windows, the first and the last row of each.

        Args:
            rows: of the file.
            windows: in their order.
            judged_from: the first row that is judged; `None`: after the probationary part.
        """
        worth, window = np.full(rows, -1.0), np.full(rows, -1, np.int64)
        first_score = scaled_sigmoid(-1.0)
        for number, (first, last) in enumerate(windows):
            width = last - first + 1
            for row in range(first, last + 1):
                worth[row] = scaled_sigmoid(-(last - row + 1) / width) / first_score
                window[row] = number
            stop = windows[number + 1][0] if number + 1 < len(windows) else rows
            for row in range(last + 1, stop):
                worth[row] = scaled_sigmoid((row - last) / max(width - 1, 1))
        begin = probation(rows) if judged_from is None else judged_from
        return cls(worth, window, len(windows), slice(begin, rows))


def raw_score(judged: Judged, marks: NDArray[np.bool_], profile: Profile = STANDARD) -> float:
    """Return the score of detections, `(rows,)`, in one file: the best in each window, and every false one."""
    array = np.zeros(len(judged.worth), np.bool_)
    array[judged.rows] = marks[judged.rows]
    found = 0.0
    for number in range(judged.count):
        inside = array & (judged.window == number)
        found += profile.true_positive * float(judged.worth[inside].max()) if inside.any() else -profile.false_negative
    return found + profile.false_positive * float(judged.worth[array & (judged.window < 0)].sum())


def normalised(raw: float, windows: int, profile: Profile = STANDARD) -> float:
    """Return a score over all files from 0, that of a detector that says nothing, to 100; NaN without a window."""
    null, perfect = -profile.false_negative * windows, profile.true_positive * windows
    return 100 * (raw - null) / (perfect - null) if windows else math.nan


def onsets(scores: Floats, quiet: int) -> Floats:
    """Return scores where they are higher than those of the `quiet` rows before, and 0 elsewhere.

    The benchmark counts every row of an alarm that is a false one; a person is called once. Its own detector keeps the
    first of a run in like manner (`anomaly_likelihood.py`, the filter of likelihoods).

    >>> onsets(np.array([1.0, 3.0, 2.0, 3.0, 4.0]), 2).tolist()
    [1.0, 3.0, 0.0, 0.0, 4.0]
    """
    found = np.where(scores == scores, scores, 0.0)
    before = np.full(len(found), -np.inf)
    for lag in range(1, quiet + 1):
        before[lag:] = np.maximum(before[lag:], found[:-lag])
    return np.where(found > before, found, 0.0)


def calls(marks: NDArray[np.bool_], quiet: int) -> NDArray[np.bool_]:
    """Return where a detector calls: where an alarm begins that comes more than `quiet` rows after the last one.

    >>> calls(np.array([1, 1, 0, 1, 0, 0, 0, 1], bool), 2).astype(int).tolist()
    [1, 0, 0, 0, 0, 0, 0, 1]
    """
    found = np.zeros(len(marks), np.bool_)
    places = np.flatnonzero(marks)
    found[places[np.diff(places, prepend=-quiet - 2) > quiet + 1]] = True
    return found


def best_called(
    files: Sequence[Judged], scores: Sequence[Floats], quiet: int, profile: Profile = STANDARD
) -> tuple[float, float]:
    """Return the best score of one threshold for all files, and that threshold, of a detector that calls once an alarm.

    It is quiet for so many rows after one, as published detectors are (KNN CAD, CAD OSE); see `best_score`.
    """
    every = np.concatenate([score[file.rows] for file, score in zip(files, scores, strict=True)])
    every = np.sort(np.unique(every[np.isfinite(every)]))[::-1]
    windows = sum(file.count for file in files)
    best, threshold = -profile.false_negative * windows, math.inf
    for place in np.unique(np.geomspace(1, len(every), _TRIED).astype(int)) - 1:
        at = float(every[place])
        # alarms in the probationary part are none
        total = sum(
            raw_score(file, calls(_judged(file, score) >= at, quiet), profile)
            for file, score in zip(files, scores, strict=True)
        )
        if total > best:
            best, threshold = total, at
    return normalised(best, windows, profile), threshold


def _judged(file: Judged, score: Floats) -> Floats:
    found = np.full(len(score), -np.inf)
    found[file.rows] = np.where(score[file.rows] == score[file.rows], score[file.rows], -np.inf)
    return found


def best_score(files: Sequence[Judged], scores: Sequence[Floats], profile: Profile = STANDARD) -> tuple[float, float]:
    """Return the best normalised score of one threshold for all files, as the benchmark has it, and that threshold.

    Args:
        files: as they are judged.
        scores: of each, `(rows,)`; a row is detected from the threshold on; NaN never is.
        profile: what a detection is worth.
    """
    rows: list[tuple[float, int, int]] = []
    for place, (file, score) in enumerate(zip(files, scores, strict=True)):
        indices = range(*file.rows.indices(len(score)))
        rows += [(-float(score[row]), place, row) for row in indices if score[row] == score[row]]
    rows.sort()
    windows = sum(file.count for file in files)
    total = -profile.false_negative * windows
    best, threshold = total, math.inf
    reached: dict[tuple[int, int], float] = {}
    for at, (negative, place, row) in enumerate(rows):
        file = files[place]
        number = int(file.window[row])
        if number < 0:
            total += profile.false_positive * float(file.worth[row])
        else:
            worth = profile.true_positive * float(file.worth[row])
            before = reached.get((place, number))
            if before is None:
                total += worth + profile.false_negative
            else:
                total += max(worth - before, 0.0)
            reached[place, number] = worth if before is None else max(before, worth)
        last = at + 1 == len(rows) or rows[at + 1][0] != negative
        if last and total > best:
            best, threshold = total, -negative
    return normalised(best, windows, profile), threshold
