"""Measures and panels of anything that chooses among classes: confusion, scores of each class, calibration, mistakes.

Nothing here knows a task: truth and choice are class numbers, probabilities are numbers from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import ShapeError, UsageError
from ostinato.tasks.base.areas import auprc, auroc
from ostinato.tasks.base.summary import Curve, Matrix, Table
from ostinato.words import counted

Counts = NDArray[np.int64]
_LEAST = 1e-12
_ALIKE = 0.01  # accuracies nearer than this are alike


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of each class, `(classes,)`, 0 where a quotient would be 0 / 0; how often each is true.

    As scikit-learn's `precision_recall_fscore_support` with `zero_division=0`.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: Counts


def confusion_counts(truth: ArrayLike, found: ArrayLike, classes: int) -> Counts:
    """Return how often each class was taken for each, `(classes of the truth, classes found)`.

    Raises:
        ShapeError: there are not as many found as true ones.
        UsageError: a number is no class.

    >>> confusion_counts([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    rows, columns = _numbers(truth, classes, "truth"), _numbers(found, classes, "found")
    if len(rows) != len(columns):
        raise ShapeError(f"truth has {len(rows)} classes and found {len(columns)}; expected as many")
    flat = np.bincount(rows * classes + columns, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def class_scores(counts: Counts) -> ClassScores:
    """Return precision, recall and F1 of each class from `confusion_counts`.

    >>> class_scores(np.array([[1, 1], [0, 1]])).f1.round(3).tolist()
    [0.667, 0.667]
    """
    hits, true, chosen = np.diag(counts), counts.sum(1), counts.sum(0)
    return ClassScores(_share(hits, chosen), _share(hits, true), _share(2 * hits, true + chosen), true)


def macro_f1(counts: Counts) -> float:
    """Return the mean F1 of the classes that are true or chosen at least once, 0 if there are none.

    As scikit-learn's `f1_score` with `average="macro"` where no classes are named.
    """
    there = counts.sum(0) + counts.sum(1) > 0
    return float(class_scores(counts).f1[there].mean()) if there.any() else 0.0


def accuracy(counts: Counts) -> float:
    """Return the share of the right ones, 0 if there are none."""
    return float(np.trace(counts) / max(counts.sum(), 1))


def cross_entropy(truth: ArrayLike, probabilities: NDArray[np.float64]) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats; a class without a probability is left out.

    Args:
        truth: class numbers; one that is not below the number of probabilities was not seen in training.
        probabilities: `(answers, classes)`.
    """
    classes = np.asarray(truth)
    seen = classes < probabilities.shape[1]
    given = probabilities[seen, classes[seen]]
    return float(-np.log(np.maximum(given, _LEAST)).mean()) if seen.any() else 0.0


def class_measures(
    truth: ArrayLike, found: ArrayLike, probabilities: NDArray[np.float64] | None, classes: int
) -> dict[str, float]:
    """Return the measures of a choice among classes.

    Args:
        truth: class numbers; `classes`: one that was not seen in training.
        found: as many.
        probabilities: `(answers, classes)`, or `None`: none were given.
        classes: how many there are; of two, the second is the positive one of AUROC and AUPRC.
    """
    counts = confusion_counts(truth, found, classes + 1)
    measures = {"accuracy": accuracy(counts), "macro F1": macro_f1(counts)}
    if probabilities is not None:
        given = probabilities[np.arange(len(probabilities)), np.asarray(found)]
        measures["cross-entropy"] = cross_entropy(truth, probabilities)
        measures["calibration error"] = calibration_error(given, np.asarray(truth) == np.asarray(found))
        known = np.asarray(truth)
        if classes == 2 and {0, 1} <= set(known.tolist()):
            seen = known < classes
            scores = probabilities[seen, 1]
            measures |= {"AUROC": auroc(known[seen] == 1, scores), "AUPRC": auprc(known[seen] == 1, scores)}
    return measures


def frequent_class_remarks(values: Mapping[str, Mapping[str, float]], frequent: Mapping[str, float]) -> list[str]:
    """Return what to look at where the accuracy of a model is that of the most frequent class.

    Args:
        values: `values[name][measure]`, those of the model under `"model"`.
        frequent: the measures of naming the most frequent class always; nothing: it is not known.
    """
    row = values["model"]
    if not frequent or "macro F1" not in row or row["accuracy"] - frequent["accuracy"] > _ALIKE:
        return []
    named = [f"{name} {row[name]:.3g} (there {frequent[name]:.3g})" for name in ("macro F1", "AUROC")
             if name in row and name in frequent]  # fmt: skip
    return [f"Naming the most frequent class has that accuracy too, so look at {' and '.join(named)}."]


def confusion_panel(
    labels: Sequence[str],
    truth: ArrayLike,
    found: ArrayLike,
    *,
    title: str = "Confusion",
    at_most: int = 20,
) -> Matrix:
    """Return how often each class was taken for each.

    Args:
        labels: the name of each class.
        truth: class numbers.
        found: as many.
        title: of the panel.
        at_most: classes to show; of more, the most frequent in the truth are, and the rest are put together in one.

    >>> confusion_panel(["no", "yes"], [0, 0, 1], [0, 1, 1]).values
    ((1.0, 1.0), (0.0, 1.0))
    """
    counts = confusion_counts(truth, found, len(labels))
    names, note = list(labels), ""
    if len(labels) > at_most:
        kept = np.sort(np.argsort(-counts.sum(1), kind="stable")[: at_most - 1])
        others = np.setdiff1d(np.arange(len(labels)), kept)
        names = [labels[number] for number in kept] + [counted(len(others), "others")]
        counts = _gathered(_gathered(counts, kept, others).T, kept, others).T
        note = f"the {len(kept)} most frequent of {len(labels)} classes; mistakes among the others are not told apart"
    values = tuple(tuple(map(float, row)) for row in counts)
    return Matrix(title, tuple(names), tuple(names), values, "true", "found", note)


def class_table(labels: Sequence[str], truth: ArrayLike, found: ArrayLike, *, title: str = "Classes") -> Table:
    """Return precision, recall, F1 and support of each class, the most frequent first.

    Args:
        labels: the name of each class.
        truth: class numbers.
        found: as many.
        title: of the panel.
    """
    scores = class_scores(confusion_counts(truth, found, len(labels)))
    rows = tuple(
        (
            labels[at],
            *(float(each[at]) for each in (scores.precision, scores.recall, scores.f1)),
            int(scores.support[at]),
        )
        for at in np.argsort(-scores.support, kind="stable")
    )
    return Table(title, ("class", "precision", "recall", "F1", "support"), rows)


def class_details(labels: Sequence[str], truth: ArrayLike, found: ArrayLike) -> dict[str, Any]:
    """Return as plain data which classes were taken for which, and the measures of each."""
    counts = confusion_counts(truth, found, len(labels))
    scores = class_scores(counts)
    columns = {"precision": scores.precision, "recall": scores.recall, "F1": scores.f1, "examples": scores.support}
    rows = {label: {name: float(values[i]) for name, values in columns.items()} for i, label in enumerate(labels)}
    return {"classes": list(labels), "confusion": counts.tolist(), "by class": rows}


def calibration_error(probabilities: ArrayLike, right: ArrayLike, *, bins: int = 10) -> float:
    """Return the expected calibration error: how far the probabilities given are from how often answers were right.

    Args:
        probabilities: `(answers,)`, that given to each answer.
        right: `(answers,)`, whether it was right.
        bins: of equal width, `((m - 1) / bins, m / bins]`, so that .5 lies in the fifth of ten and .55 in the sixth;
            the error is the mean over them of |share right - mean probability|, each weighed by its answers.

    Raises:
        ShapeError: there are not as many of both.
        UsageError: a probability is not from 0 to 1.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3.

    >>> calibration_error([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0])
    0.1
    >>> calibration_error([0.5, 0.55], [0, 1])
    0.475
    """
    counts, said, came = _bins(probabilities, right, bins)
    return float(round((counts * np.abs(said - came)).sum() / max(counts.sum(), 1), 12))


def reliability_curve(
    probabilities: ArrayLike, right: ArrayLike, *, bins: int = 10, title: str = "Reliability"
) -> Curve:
    """Return how often answers were right by the probability that was given to them; bins without answers are left out.

    Args:
        probabilities: `(answers,)`, that given to each answer.
        right: `(answers,)`, whether it was right.
        bins: see `calibration_error`.
        title: of the panel.

    Raises:
        ShapeError: there are not as many of both.
        UsageError: a probability is not from 0 to 1.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.
    """
    counts, said, came = _bins(probabilities, right, bins)
    error = calibration_error(probabilities, right, bins=bins)
    return Curve(
        title,
        x=tuple(map(float, said)),
        lines={"right": tuple(map(float, came))},
        x_axis="probability given",
        y_axis="share that was right",
        diagonal=True,
        note=f"{counted(int(counts.sum()), 'answers')}; expected calibration error {error:.3f}",
    )


def _bins(probabilities: ArrayLike, right: ArrayLike, bins: int) -> tuple[NDArray[np.float64], ...]:
    """Return, of each bin with answers, how many, the mean probability given and the share that was right."""
    given, hits = np.asarray(probabilities, np.float64).ravel(), np.asarray(right, np.float64).ravel()
    if len(given) != len(hits):
        raise ShapeError(f"there are {len(given)} probabilities and {len(hits)} answers; expected as many")
    if not ((given >= -1e-6) & (given <= 1 + 1e-6)).all():
        raise UsageError("a probability is not from 0 to 1; give probabilities, not scores")
    if bins < 1:
        raise UsageError(f"bins is {bins}; expected one or more")
    place = np.searchsorted(np.arange(1, bins) / bins, given)  # a value on an edge lies below it
    counts, said, came = (np.bincount(place, weights, bins) for weights in (None, given, hits))
    there = counts > 0
    return counts[there].astype(np.float64), said[there] / counts[there], came[there] / counts[there]


def mistakes_table(
    rows: Iterable[tuple[float, tuple[str | float, ...]]], columns: Sequence[str], *, at_most: int = 12
) -> Table:
    """Return the mistakes of which a model was most confident.

    Args:
        rows: of each mistake, the probability that was given to it, and what is to be shown before that.
        columns: the names of what is shown.
        at_most: mistakes that are shown.
    """
    ordered = sorted(rows, key=lambda row: -row[0])
    shown = tuple((*row, round(given, 4)) for given, row in ordered[:at_most])
    note = f"{counted(len(ordered), 'mistakes')} in all" if ordered else ""
    return Table("The most confident mistakes", (*columns, "probability"), shown, note)


def _gathered(counts: Counts, kept: Counts, others: Counts) -> Counts:
    return np.concatenate([counts[kept], counts[others].sum(0, keepdims=True)])


def _share(part: Counts, whole: Counts) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _numbers(given: ArrayLike, classes: int, what: str) -> Counts:
    numbers = np.asarray(given, np.int64).ravel()
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < classes:
        raise UsageError(
            f"{what} has class numbers from {numbers.min()} to {numbers.max()}; expected 0 to {classes - 1}"
        )
    return numbers
