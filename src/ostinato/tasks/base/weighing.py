"""How much the experts of a mixture count: by what each says of examples that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SPREAD = 0.5
"""Of the normal prior of a weight's logarithm around where it starts: a dozen examples move it little."""


def drawn_folds(targets: Integers, folds: int, seed: int, groups: Sequence[Any] | None = None) -> Integers:
    """Return the fold of each example, `(examples,)`: each class in equal shares, -1 for the only one of its class.

    Args:
        targets: the class of each example.
        folds: how many there are.
        seed: of the draw.
        groups: what each belongs to; those of one group are in one fold. `None`: each is alone.

    >>> np.bincount(drawn_folds(np.repeat([0, 1], 10), 5, 0)).tolist()
    [4, 4, 4, 4, 4]
    """
    rng = np.random.default_rng(seed)
    if groups is not None and len(set(groups)) < len(groups):
        return _whole_groups(groups, folds, rng)
    found = np.full(len(targets), -1, np.int64)
    for target in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == target))
        if len(rows) > 1:
            found[rows] = (np.arange(len(rows)) + rng.integers(folds)) % folds
    return found


def _whole_groups(groups: Sequence[Any], folds: int, rng: np.random.Generator) -> Integers:
    """Return folds of whole groups; of one group, -1 for all."""
    names, owners = np.unique([str(group) for group in groups], return_inverse=True)
    if len(names) < 2:
        return np.full(len(groups), -1, np.int64)
    places = np.empty(len(names), np.int64)
    places[rng.permutation(len(names))] = np.arange(len(names)) % folds
    found: Integers = places[owners]
    return found


def weigh(scores: list[Floats], starts: list[float], targets: Integers, spread: float = SPREAD) -> list[float]:
    """Return the weight of each branch with the least cross-entropy of their sum, pulled towards where it starts.

    The pull is that of a normal prior of the weights' logarithms with the standard deviation `spread`: so a dozen
    examples move the weights, and with them how confident the probabilities are, only a little.

    Args:
        scores: of each branch, `(examples, classes)`, of examples that it was not trained on.
        starts: where each weight starts.
        targets: classes, `(examples,)`.
        spread: see above.
    """
    from scipy.optimize import minimize

    def loss(logs: Floats) -> float:
        return weighed_loss(scores, np.exp(logs), starts, targets, spread)

    begin = np.log(starts)
    found = minimize(loss, begin, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4, "maxiter": 400}).x
    return [float(each) for each in np.exp(np.clip(found, -6.0, 4.0))]


def weighed_loss(
    scores: list[Floats], weights: Sequence[float] | Floats, starts: list[float], targets: Integers,
    spread: float = SPREAD,
) -> float:  # fmt: skip
    """Return what `weigh` makes least: the cross-entropy of all examples, and how far weights are from their starts."""
    summed: Floats = sum(weight * score for weight, score in zip(weights, scores, strict=True))
    missed = (logsumexp(summed, 1) - summed[np.arange(len(targets)), targets]).sum() if len(targets) else 0.0
    return float(missed + 0.5 * (((np.log(weights) - np.log(starts)) / spread) ** 2).sum())
