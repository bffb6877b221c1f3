"""From the scores of a ridge to probabilities: a linear map of them, found on examples left out.

Squared distances from -1 and 1 are not probabilities, and of three classes in a row the middle one has the largest
score nowhere ("masking"); a linear map of the scores before the softmax tells it (T. Hastie, R. Tibshirani and A. Buja,
"Flexible discriminant analysis by optimal scoring", Journal of the American Statistical Association 89, 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from ostinato.tasks.base.weighing import drawn_folds, weigh
from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.examples import Integers

_FOLDS = 5
_TEMPERATURE, _SPREAD = 4.0, 1.5  # that probabilities usually need, and how far its logarithm may be from that
_WIDTHS = (0.0, 0.1, 0.3, 1.0)  # of the normal prior of how far a map is from a multiple of the scores; 0: no map
_BEFORE = np.array([0.9, 0.04, 0.03, 0.03])  # how likely each width is before the data
_OFFSET = 1.0  # of the normal prior of what is added
_EXAMPLES, _WORK, _ITERATIONS = 2000, 1e6, 100  # at most; of examples times squared classes
_LONG, _SCORES = 4e6, 2e5  # of the same, above which maps take long; scores that tell a multiple, at most
_Map = tuple[Floats, Floats]


@dataclass(frozen=True)
class Turned:
    """Scores as logarithms of probabilities, but for a constant: `scores @ matrix + offsets`.

    Args:
        matrix: `(classes, classes)`; offsets: `(classes,)`.
        scores: of each example by a map that was found without it, `(examples, classes)`.
    """

    matrix: Floats
    offsets: Floats
    scores: Floats


def turn(scores: Floats, targets: Integers, counts: Floats) -> Turned:
    """Return a map of scores to logarithms of probabilities.

    It is the mean of maps that are held more and less near to a multiple of the scores, each as likely as it was before
    and the cross-entropy on examples left out makes it; of more than some hundred classes the multiple alone.

    Args:
        scores: of examples that they were found without, `(examples, classes)`, in an order in which each beginning has
            every class.
        targets: their classes.
        counts: how much each example counts.
    """
    classes = scores.shape[1]
    most = min(_EXAMPLES, max(int(_WORK / classes**2), 2 * classes), len(scores))
    is_long = most * classes**2 > _LONG
    most = min(most, max(int(_SCORES / classes), 1)) if is_long else most
    known, wanted, weights = scores[:most], targets[:most], counts[:most] / counts[:most].mean()
    (scale,) = weigh([known], [_TEMPERATURE], wanted, _SPREAD)
    if is_long:
        matrix, offsets = _multiple(scale, classes)
        return Turned(matrix, offsets, scores * scale)
    folds = np.maximum(drawn_folds(wanted, _FOLDS, 0), 0)
    held = np.zeros((len(_WIDTHS), *known.shape))
    for fold in np.unique(folds):
        rest, those = folds != fold, folds == fold
        for place, width in enumerate(_WIDTHS):
            matrix, offsets = _map(known[rest], wanted[rest], weights[rest], scale, width)
            held[place, those] = known[those] @ matrix + offsets
    losses = (weights * _missed(held, wanted)).sum(1)
    likely = _BEFORE * np.exp(losses.min() - losses)
    likely /= likely.sum()
    maps = [_map(known, wanted, weights, scale, width) for width in _WIDTHS]
    matrix, offsets = (sum(share * each[part] for share, each in zip(likely, maps, strict=True)) for part in (0, 1))
    found = scores @ matrix + offsets
    found[:most] = np.tensordot(likely, held, 1)
    return Turned(matrix, offsets, found)


def _missed(scores: Floats, targets: Integers) -> Floats:
    """Return the cross-entropy of each example, `(..., examples)`."""
    missed: Floats = logsumexp(scores, -1) - scores[..., np.arange(len(targets)), targets]
    return missed


def _multiple(scale: float, classes: int) -> _Map:
    return scale * np.eye(classes), np.zeros(classes)


def _map(scores: Floats, targets: Integers, weights: Floats, scale: float, width: float) -> _Map:
    """Return the map with the least cross-entropy that is held near to `scale` times the scores."""
    from scipy.optimize import minimize

    classes = scores.shape[1]
    if width == 0 or len(np.unique(targets)) < 2:
        return _multiple(scale, classes)

    def both(flat: Floats) -> _Map:
        return scale * (np.eye(classes) + flat[:-classes].reshape(classes, classes)), flat[-classes:]

    wanted = np.eye(classes)[targets]

    def loss(flat: Floats) -> tuple[float, Floats]:
        matrix, offsets = both(flat)
        found = scores @ matrix + offsets
        total = logsumexp(found, 1, keepdims=True)
        slopes = weights[:, None] * (np.exp(found - total) - wanted)
        pull = np.append(flat[:-classes] / width**2, flat[-classes:] / _OFFSET**2)
        gradient = np.append((scale * scores.T @ slopes).ravel(), slopes.sum(0)) + pull
        missed = weights @ (total[:, 0] - found[np.arange(len(targets)), targets])
        return float(missed + 0.5 * pull @ flat), gradient

    start = np.zeros(classes * (classes + 1))
    return both(minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x)
