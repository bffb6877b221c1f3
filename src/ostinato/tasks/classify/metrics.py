"""How well classes are told: accuracy, macro F1, cross-entropy, calibration, and the counts behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.base.classes import class_scores, confusion_counts, macro_f1
from ostinato.tasks.base.summary import Better

Floats: TypeAlias = "NDArray[np.float64]"
BETTER: dict[str, Better] = {
    "accuracy": "higher",
    "macro F1": "higher",
    "cross-entropy": "lower",
    "calibration error": "lower",
}
BINS = 10
_LEAST = 1e-12


@dataclass(frozen=True)
class Prediction:
    """What was told of examples.

    Args:
        classes: the class told for each, `(examples,)`.
        chances: the probability of each class, `(examples, classes)`; `None`: none were given.
    """

    classes: Integers
    chances: Floats | None = None

    @classmethod
    def of(cls, chances: Floats) -> Prediction:
        """Return the likeliest classes."""
        return cls(chances.argmax(1).astype(np.int64), chances)


def scores_for(prediction: Prediction, targets: Integers, classes: int) -> dict[str, float]:
    """Return the measures of `BETTER`; without probabilities, those that need none."""
    counts = confusion_counts(targets, prediction.classes, classes)
    found = {"accuracy": float((prediction.classes == targets).mean()), "macro F1": macro_f1(counts)}
    if prediction.chances is not None:
        found["cross-entropy"] = cross_entropy(prediction.chances, targets)
        found["calibration error"] = calibration_error(prediction.chances, targets)
    return found


def cross_entropy(chances: Floats, targets: Integers) -> float:
    """Return the mean negative log-likelihood, in nats."""
    return float(-np.log(np.maximum(chances[np.arange(len(targets)), targets], _LEAST)).mean())


def calibration_error(chances: Floats, targets: Integers, bins: int = BINS) -> float:
    """Return the expected calibration error of the likeliest class.

    Confidences from 0 to 1 are parted into equal bins; it is the mean distance between accuracy and mean confidence of
    a bin, weighted by how many examples it has.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.
    """
    counts, accuracy, confidence = reliability(chances, targets, bins)
    seen = counts > 0
    return float((counts[seen] * np.abs(accuracy - confidence)[seen]).sum() / counts.sum())


def reliability(chances: Floats, targets: Integers, bins: int = BINS) -> tuple[Integers, Floats, Floats]:
    """Return the examples, the accuracy and the mean confidence of each bin; NaN where it is empty."""
    confidence = chances.max(1)
    right = (chances.argmax(1) == targets).astype(np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = [np.bincount(places, weights=own, minlength=bins) for own in (right, confidence)]
    with np.errstate(invalid="ignore"):
        accuracy, mean = (own / np.where(counts, counts, np.nan) for own in sums)
    return counts, accuracy, mean


@dataclass(frozen=True)
class ClassScores:
    """How a classifier does on examples it was not trained on; `str` of it is a table."""

    protocol: str
    examples: int
    measures: dict[str, float]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """`confusion[class][told]`, how many of each class were told to be each."""

    def plain(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        return {"examples": self.examples, **self.measures, "classes": self.classes, "confusion": self.confusion}

    def __str__(self) -> str:
        counts = np.array(self.confusion, np.int64)
        width = max(10, *(len(name) for name in self.classes))
        lines = [f"{self.protocol}; {self.examples:,} examples", ""]
        lines += [f"{name:>{width}} {value:9.4f}" for name, value in self.measures.items()]
        lines += ["", f"{'class':>{width}} {'precision':>9} {'recall':>9} {'F1':>9} {'examples':>9}"]
        found = class_scores(counts)
        for row in zip(self.classes, found.precision, found.recall, found.f1, found.support, strict=True):
            lines.append(f"{row[0]:>{width}} {row[1]:9.4f} {row[2]:9.4f} {row[3]:9.4f} {row[4]:9,}")
        return "\n".join(lines)
