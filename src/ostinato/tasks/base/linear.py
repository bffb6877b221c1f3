"""A logistic regression on numbers, sparse or not; its penalty may be chosen on examples that were left out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_STRENGTHS = (2.0, 16.0, 128.0)
_ITERATIONS, _WHILE_CHOOSING = 60, 30
_WORK = 1e7  # products of one pass over all examples, above which one part alone chooses the penalty
_MOST_WORK = 3e7  # likewise, above which some of the examples choose it
_FEW, _ENOUGH = 10, 1000
_SPREAD = 0.5  # of the normal prior of the logarithm of a scale around none
_DOUBT = 1.5  # nats that a strength beside the middle one has to be better by, over all examples


@dataclass(frozen=True)
class Linear:
    """Scores of classes, linear in the numbers.

    Args:
        weights: `(numbers, classes)`, or of two classes `(numbers, 1)`: the second's alone.
        offsets: `(classes,)`, likewise.
    """

    weights: NDArray[np.float32]
    offsets: Floats
    live: Any = field(init=False, repr=False, compare=False, metadata={"saved": False})

    def __post_init__(self) -> None:
        """Raise `ValueError` where shapes do not fit each other, or a number is none."""
        object.__setattr__(self, "live", self.weights.astype(np.float64))  # once, not for each text
        fit = self.weights.ndim == 2 and self.offsets.shape == self.weights.shape[1:]
        if not fit or not (np.isfinite(self.weights).all() and np.isfinite(self.offsets).all()):
            raise ValueError(f"weights {self.weights.shape} and offsets {self.offsets.shape} are of no linear layer")

    def scaled(self, scale: float) -> Linear:
        """Return it with scores multiplied."""
        return self if scale == 1 else Linear((self.weights * scale).astype(np.float32), self.offsets * scale)

    def log_probabilities(self, numbers: Any) -> Floats:
        """Return `(examples, classes)` of sparse numbers `(examples, numbers)`."""
        return _log_probabilities(np.asarray(numbers @ self.live) + self.offsets)


def _log_probabilities(scores: Floats) -> Floats:
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    found: Floats = log_softmax(scores, axis=1)
    return found


def fit_linear(
    numbers: Any,
    targets: Integers,
    classes: int,
    strength: float,
    weights: Floats | None = None,
    *,
    start: Linear | None = None,
    iterations: int = _ITERATIONS,
    until: float = math.inf,
) -> Linear:
    """Return the regression with the least cross-entropy and penalty, `|weights|^2 / (2 strength)`.

    Args:
        numbers: sparse or not, `(examples, numbers)`.
        targets: the class of each.
        classes: how many there are.
        strength: how little large weights cost, as scikit-learn's `C`.
        weights: how much each example counts; `None`: all alike.
        start: where to begin.
        iterations: at most.
        until: on the clock of `time.monotonic`, after which no further step is taken.
    """
    from scipy.optimize import minimize

    columns = 1 if classes == 2 else classes
    size, rows = numbers.shape[1], np.arange(len(targets))
    turned = numbers.T if isinstance(numbers, np.ndarray) else numbers.T.tocsr()
    weights = np.ones(len(targets)) if weights is None else weights
    truth = np.zeros((len(targets), classes))
    truth[rows, targets] = 1.0

    def loss(flat: Floats) -> tuple[float, Floats]:
        held = flat.reshape(size + 1, columns)
        logs = _log_probabilities(numbers @ held[:-1] + held[-1])
        error = ((np.exp(logs) - truth) * weights[:, None])[:, -columns:]
        gradient = np.empty_like(held)
        np.divide(held[:-1], strength, out=gradient[:-1])  # in place, as far as may be: weights are many
        gradient[:-1] += turned @ error
        gradient[-1] = error.sum(0)
        gradient /= len(rows)
        inner = flat[:-columns]
        total = -(logs[rows, targets] * weights).sum() + float(inner @ inner) / (2 * strength)
        return float(total) / len(rows), gradient.ravel()

    begin = np.zeros((size + 1, columns))
    if start is not None:
        begin[:-1], begin[-1] = start.weights, start.offsets
    options: dict[str, Any] = {"maxiter": iterations, "maxcor": 8, "gtol": 1e-6, "ftol": 1e-7}

    def stop(_: Floats) -> None:
        if time.monotonic() > until:
            raise StopIteration

    found = minimize(  # type: ignore[call-overload]
        loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options, callback=None if until == math.inf else stop
    )
    flat: Floats = found.x.reshape(size + 1, columns)
    return Linear(flat[:-1].astype(np.float32), flat[-1])


class Strength(NamedTuple):
    """How little large weights cost, and by what scores are multiplied afterwards, as examples left out told best."""

    value: float
    scale: float = 1.0


def choose_strength(
    numbers: Any, targets: Integers, classes: int, weights: Floats, seed: int, *, until: float = math.inf
) -> Strength:
    """Return the strength with the least cross-entropy of examples that were left out.

    Strengths are compared with scores multiplied by what is best for each: how confident a layer is and what it tells
    apart are two things, and with few examples of many classes a weak penalty tells more apart, too confidently.

    All examples are left out once, in three parts or, if there are fewer than 400, five; where that would take long,
    those of one part, or of one part of some of them. Of ten examples or fewer nothing can be chosen, and of few the
    middle strength is left only for one that is better by more than chance; after `until`, on the clock of
    `time.monotonic`, no further strength is tried.
    """
    usual = Strength(_STRENGTHS[1])
    if len(targets) <= _FEW:
        return usual
    count = len(targets)
    numbers, targets, weights, used, part = _left_out(numbers, targets, classes, weights, seed)
    begun: dict[int, Linear | None] = dict.fromkeys(used)
    found = dict[float, tuple[float, Strength]]()
    for strength in _STRENGTHS[1:] + _STRENGTHS[:1]:  # the usual one first, should there be no time for more
        if time.monotonic() > until or (strength < usual.value and min(found.values())[1].value > usual.value):
            break  # no time is left, or a weaker penalty was better
        loss, scale = _loss_of_left_out(numbers, targets, classes, weights, strength, part, begun, until)
        if time.monotonic() > until:
            break  # it was broken off
        # a scale for some of the examples is none for all: with more of them the penalty counts for less
        found[strength] = (
            loss + _DOUBT * (strength != usual.value),
            Strength(strength, scale if len(part) == count else 1.0),
        )
    return min(found.values())[1] if found else usual


def _left_out(
    numbers: Any, targets: Integers, classes: int, weights: Floats, seed: int
) -> tuple[Any, Integers, Floats, range, Integers]:
    """Return the examples that choose, how many parts of them are left out in turn, and which part each is in."""
    work = numbers.nnz * (1 if classes == 2 else classes)
    if work > _MOST_WORK:
        count = min(len(targets), max(_ENOUGH, int(len(targets) * _MOST_WORK / work)))
        rows = np.sort(np.random.default_rng(seed).permutation(len(targets))[:count])
        numbers, targets, weights = numbers[rows], targets[rows], weights[rows]
    folds = 5 if len(targets) < 400 else 3
    return numbers, targets, weights, range(folds if work < _WORK else 1), _folds(targets, folds, seed)


def _loss_of_left_out(
    numbers: Any,
    targets: Integers,
    classes: int,
    weights: Floats,
    strength: float,
    part: Integers,
    begun: dict[int, Linear | None],
    until: float,
) -> tuple[float, float]:
    """Return the cross-entropy of what is left out, and the scale of scores that it is least with."""
    said, rows = list[Floats](), list[Integers]()
    for fold in begun:
        inside, outside = part != fold, np.flatnonzero(part == fold)
        found = begun[fold] = fit_linear(
            numbers[inside], targets[inside], classes, strength, weights[inside],
            start=begun[fold], iterations=_WHILE_CHOOSING, until=until,
        )  # fmt: skip
        said.append(found.log_probabilities(numbers[outside]))
        rows.append(outside)
    logs, at = np.concatenate(said), np.concatenate(rows)
    places, truth, counts = np.arange(len(at)), targets[at], weights[at]

    def loss(log_scale: float) -> float:
        missed = -(log_softmax(math.exp(log_scale) * logs, axis=1)[places, truth] * counts).sum()
        return float(missed) + 0.5 * (log_scale / _SPREAD) ** 2

    from scipy.optimize import minimize_scalar

    best = minimize_scalar(loss, bounds=(math.log(0.1), math.log(4.0)), method="bounded", options={"xatol": 0.02})
    return float(best.fun), math.exp(float(best.x))


def _folds(targets: Integers, folds: int, seed: int) -> Integers:
    """Return in which part each example is left out; each class is in all parts alike."""
    rng = np.random.default_rng(seed)
    part = np.empty(len(targets), np.int64)
    next_one = 0
    for each in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == each))
        part[rows] = (next_one + np.arange(len(rows))) % folds
        next_one += len(rows)
    return part
