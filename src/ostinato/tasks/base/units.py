"""What is judged in units that do not depend on each other: series, windows, texts, sentences, cases, blocks of text.

A measure over many answers says how good a model is; whether that is more than chance is told over units. Of each unit
a measure keeps its part: of a mean, the unit's own mean and its weight; of a measure of a whole corpus, such as F1 or
BLEU, what is summed up before the measure is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import ShapeError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A measure that is a mean: `values (units,)` weighed by `weights (units,)`, 0 where a unit has no answer."""

    values: Floats
    weights: Floats

    @property
    def total(self) -> float:
        """The measure over all units, NaN without any."""
        known = self.weights > 0
        weight = self.weights[known].sum()
        return float((self.values[known] * self.weights[known]).sum() / weight) if weight > 0 else float("nan")


@dataclass(frozen=True)
class Sums:
    """A measure of sums over units.

    Args:
        sums: `(units, columns)`, what each unit adds.
        of: from sums over units, `(draws, columns)`, to the measure of each draw, `(draws,)`.
    """

    sums: Floats
    of: Callable[[Floats], Floats]

    @property
    def total(self) -> float:
        """The measure over all units."""
        return float(self.of(self.sums.sum(0, keepdims=True))[0])


Parts: TypeAlias = "Mean | Sums"


@dataclass(frozen=True)
class Units:
    """The parts of measures that units have; the units of two models are compared one by one.

    Args:
        count: how many there are.
        of: what one is, in the plural.
        measures: by name; those that are left out are not tested.
    """

    count: int
    of: str
    measures: Mapping[str, Parts]

    def __post_init__(self) -> None:
        """Refuse parts of another number of units.

        Raises:
            ShapeError: a measure has more or fewer.
        """
        for name, measure in self.measures.items():
            found = len(measure.values) if isinstance(measure, Mean) else len(measure.sums)
            if found != self.count:
                raise ShapeError(f"{name} has {found} units; expected {self.count}")


def mean_of(
    values: ArrayLike, owners: ArrayLike | None = None, count: int = 0, weights: ArrayLike | None = None
) -> Mean:
    """Return a mean over answers by their units.

    Args:
        values: of each answer, of any shape; NaN: none.
        owners: the number of the unit of each, of the same shape; `None`: each answer is one.
        count: how many units there are, where `owners` are given.
        weights: of each answer; `None`: all alike.

    >>> mean_of([1.0, 2.0, 6.0], [0, 0, 1], 2).values.tolist()
    [1.5, 6.0]
    """
    flat = np.asarray(values, np.float64).ravel()
    given = np.ones(len(flat)) if weights is None else np.asarray(weights, np.float64).ravel()
    given = np.where(np.isfinite(flat) & np.isfinite(given), given, 0.0)
    flat = np.where(given > 0, flat, 0.0)
    if owners is None:
        return Mean(flat, given)
    places = np.asarray(owners, np.int64).ravel()
    total: Floats = np.bincount(places, given, count).astype(np.float64)
    sums = np.bincount(places, given * flat, count)
    return Mean(np.divide(sums, total, out=np.zeros(count), where=total > 0), total)


def sums_of(columns: ArrayLike, owners: ArrayLike, count: int) -> Floats:
    """Return what each unit adds up to, `(units, columns)`, of what each answer adds, `(answers, columns)`."""
    rows, places = np.asarray(columns, np.float64), np.asarray(owners, np.int64)
    return np.stack([np.bincount(places, rows[:, i], count) for i in range(rows.shape[1])], -1)


def blocks(answers: int, least: int, most: int = 1000) -> NDArray[np.int64]:
    """Return the number of the block of each answer in a row of them: blocks of `least` answers, or of more.

    There are no more than `most` of them; answers behind the last whole block belong to it.

    >>> blocks(7, 3).tolist()
    [0, 0, 0, 1, 1, 1, 1]
    """
    size = max(least, -(-answers // most))
    return np.minimum(np.arange(answers) // size, max(answers // size - 1, 0)).astype(np.int64)
