"""The measures of a choice among classes by units: of each answer, or of each sentence or case that answers are of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.tasks.base.units import Floats, Parts, Sums, mean_of, sums_of

_LEAST = 1e-12
_BINS = 10  # of the calibration error
_SCORES = 400  # different scores that areas under curves tell apart; of more, as many quantiles
_CELLS, _AREA_CELLS = 8_000_000, 4_000_000  # numbers of all units together, at most


def class_units(
    truth: ArrayLike,
    found: ArrayLike,
    probabilities: Floats | None,
    classes: int,
    owners: ArrayLike | None = None,
    count: int | None = None,
) -> dict[str, Parts]:
    """Return the parts of all that `class_measures` measures.

    Args:
        truth: class numbers; `classes`: one that was not seen in training.
        found: as many.
        probabilities: `(answers, classes)`, or `None`: none were given.
        classes: how many there are.
        owners: the number of the unit of each answer; `None`: each is one.
        count: how many units there are; `None`: as many as there are answers.
    """
    true, chosen = np.asarray(truth, np.int64).ravel(), np.asarray(found, np.int64).ravel()
    unit_of = np.arange(len(true)) if owners is None else np.asarray(owners, np.int64).ravel()
    units = len(true) if count is None else count
    parts: dict[str, Parts] = {"accuracy": mean_of(true == chosen, unit_of, units)}
    if 3 * (classes + 1) * units <= _CELLS:
        parts["macro F1"] = Sums(_f1_sums(true, chosen, classes + 1, unit_of, units), _macro_f1)
    if probabilities is None or not len(true):
        return parts
    seen = true < probabilities.shape[1]
    given = probabilities[np.arange(len(true)), np.where(seen, true, 0)]
    parts["cross-entropy"] = mean_of(np.where(seen, -np.log(np.maximum(given, _LEAST)), np.nan), unit_of, units)
    said = probabilities[np.arange(len(true)), chosen]
    parts["calibration error"] = Sums(_bin_sums(said, true == chosen, unit_of, units), _calibration_error)
    if classes == 2 and {0, 1} <= set(true.tolist()):
        areas = _score_sums(true[seen] == 1, probabilities[seen, 1], unit_of[seen], units)
        parts |= {"AUROC": Sums(areas, _auroc), "AUPRC": Sums(areas, _auprc)}
    return parts


def _counts(classes: NDArray[np.int64], width: int, owners: NDArray[np.int64], count: int) -> Floats:
    return np.bincount(owners * width + classes, minlength=count * width).reshape(count, width).astype(np.float64)


def _f1_sums(
    true: NDArray[np.int64], chosen: NDArray[np.int64], width: int, unit_of: NDArray[np.int64], count: int
) -> Floats:
    hit = true == chosen
    hits = _counts(true[hit], width, unit_of[hit], count)
    return np.concatenate([hits, _counts(true, width, unit_of, count) + _counts(chosen, width, unit_of, count)], 1)


def _macro_f1(sums: Floats) -> Floats:
    hits, both = np.split(sums, 2, axis=1)
    there = both > 0
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=there)
    return np.asarray(f1.sum(1) / np.maximum(there.sum(1), 1))


def _bin_sums(said: Floats, right: NDArray[np.bool_], unit_of: NDArray[np.int64], count: int) -> Floats:
    place = np.searchsorted(np.arange(1, _BINS) / _BINS, said)  # as `calibration_error` has it
    off = np.zeros((len(said), _BINS))
    off[np.arange(len(said)), place] = said - right
    return np.concatenate([sums_of(off, unit_of, count), np.bincount(unit_of, minlength=count)[:, None]], 1)


def _calibration_error(sums: Floats) -> Floats:
    return np.asarray(np.abs(sums[:, :-1]).sum(1) / np.maximum(sums[:, -1], 1))


def _score_sums(positive: NDArray[np.bool_], scores: Floats, unit_of: NDArray[np.int64], count: int) -> Floats:
    """Return how many negatives and positives each unit has by score, the lowest first."""
    levels = np.unique(scores)
    most = int(np.clip(_AREA_CELLS // (2 * max(count, 1)), 50, _SCORES))
    if len(levels) > most:
        levels = np.unique(np.quantile(scores, np.linspace(0, 1, most), method="lower"))
    place = np.searchsorted(levels, scores, side="right") - 1
    width = len(levels)
    return _counts(place + width * positive, 2 * width, unit_of, count)


def _auroc(sums: Floats) -> Floats:
    negatives, positives = np.split(sums, 2, axis=1)
    pairs = negatives.sum(1) * positives.sum(1)
    ahead = (positives * (np.cumsum(negatives, 1) - negatives / 2)).sum(1)
    return np.asarray(np.divide(ahead, pairs, out=np.full(len(sums), np.nan), where=pairs > 0))


def _auprc(sums: Floats) -> Floats:
    negatives, positives = (each[:, ::-1] for each in np.split(sums, 2, axis=1))
    hits = np.cumsum(positives, 1)
    chosen = hits + np.cumsum(negatives, 1)
    precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
    total = hits[:, -1]
    found = np.divide((positives * precision).sum(1), total, out=np.full(len(sums), np.nan), where=total > 0)
    return np.asarray(found)
