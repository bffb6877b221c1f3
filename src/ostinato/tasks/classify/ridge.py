"""A linear head in closed form: ridge regression to the classes, its penalty chosen by leaving each example out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.examples import Integers

PENALTIES = np.logspace(-3, 5, 17)


@dataclass(frozen=True)
class Ridge:
    """Scores of classes that are linear in features: `(features - mean) @ weights + offsets`.

    Args:
        mean: of each feature, `(features,)`.
        weights: `(features, classes)`; offsets: `(classes,)`.
        left_out: the scores of each training example by the weights that are found without it, `(examples, classes)`.
        penalty: the one that was chosen.
    """

    mean: Floats
    weights: Floats
    offsets: Floats
    left_out: Floats
    penalty: float

    def __call__(self, features: NDArray[np.floating]) -> Floats:
        """Return scores `(examples, classes)`."""
        found: Floats = (features - self.mean) @ self.weights + self.offsets
        return found


def fit_ridge(features: Floats, targets: Integers, classes: int, counts: Floats | None = None) -> Ridge:
    """Return the scores whose squared distance from 1 for an example's class, and -1 for others, is least.

    The squared size of the weights is penalised; of `PENALTIES` the one is taken whose squared error is least on
    examples left out, one at a time, which for this loss takes no second fit (R. Rifkin and R. Lippert, "Notes on
    regularized least squares", 2007).

    Args:
        features: `(examples, features)`, of like scale.
        targets: classes, `(examples,)`.
        classes: how many there are.
        counts: how much each example counts; `None`: all alike.
    """
    weigh = np.ones(len(targets)) if counts is None else counts / counts.mean()
    total = weigh.sum()
    mean = weigh @ features / total
    wanted = np.where(np.arange(classes) == targets[:, None], 1.0, -1.0)
    offsets = weigh @ wanted / total
    root = np.sqrt(weigh)[:, None]
    inputs, goals = features - mean, (wanted - offsets) * root
    inputs *= root
    vectors, values = _directions(inputs)
    turned = vectors.T @ goals
    beyond = 1 - weigh / total - (vectors**2).sum(1)  # what no direction of the features reaches
    best: tuple[float, Floats, float] | None = None
    for penalty in PENALTIES:
        left = penalty / (values + penalty)
        # 1 less the leverage; the constant, which is not penalised, is a direction that the centred features lack
        free = np.maximum((vectors**2) @ left + np.maximum(beyond, 0.0), 1e-9)
        missed = (goals - vectors @ ((1 - left)[:, None] * turned)) / free[:, None]
        error = float((missed**2).sum())
        if best is None or error < best[0]:
            best = error, missed, float(penalty)
    assert best is not None
    _, missed, penalty = best
    weights = inputs.T @ (vectors @ (turned / (values + penalty)[:, None]))
    return Ridge(mean, weights, offsets, wanted - missed / root, penalty)


def _directions(inputs: Floats) -> tuple[Floats, Floats]:
    """Return the left singular vectors `(examples, directions)` of features, and the squares of the singular values."""
    examples, size = inputs.shape
    if examples <= size:
        values, vectors = np.linalg.eigh(inputs @ inputs.T)
        kept = values > 1e-10 * max(values.max(initial=0.0), 1e-30)
        return vectors[:, kept], values[kept]
    values, right = np.linalg.eigh(inputs.T @ inputs)
    kept = values > 1e-10 * max(values.max(initial=0.0), 1e-30)
    return inputs @ (right[:, kept] / np.sqrt(values[kept])), values[kept]
