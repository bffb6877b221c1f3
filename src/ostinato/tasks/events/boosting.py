"""Gradient boosting beside an event predictor, on all that the network reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ostinato.errors import MissingExtra
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.events.cases import Cases
from ostinato.tasks.events.features import Floats

_LAGS, _ONE_HOT = 4, 40
_ROUNDS, _STEP, _PATIENCE = 120, 10, 2
_WITHOUT = 30  # rounds, where nothing tells how many
_SECONDS = 15.0  # for choosing the rounds; the last fit then takes about as long as one of these
_ROWS = 50_000


@dataclass(frozen=True)
class Boosting:
    """Boosted trees (scikit-learn's histogram gradient boosting) that tell what comes next.

    Their features are the last four activities, how often each activity came so far, times and covariates.

    Args:
        counted: the activities whose number is a feature; sizes: how many values each code has.
        there: the classes that trees were grown for; classes: how many there are in all.
        start: `(columns,)`, the scores that trees are added to.
        roots: `(trees,)`, where the nodes of each begin; tree `i` is of column `i % columns`.
        features, thresholds, lefts, rights, values: `(nodes,)`; at a leaf there is no feature, -1.
        missing_left: `(nodes,)`, whether a missing number goes to the left.
    """

    counted: NDArray[np.int64]
    sizes: tuple[int, ...]
    there: NDArray[np.int64]
    classes: int
    start: Floats
    roots: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: Floats
    missing_left: NDArray[np.bool_]
    lefts: NDArray[np.int64]
    rights: NDArray[np.int64]
    values: Floats

    @classmethod
    def fit(cls, train: Cases, validation: Cases | None, classes: int, counted: NDArray[np.int64]) -> Boosting:
        """Grow trees, as many rounds as are best on the validation part, then once more on both.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        whole = train.joined(validation)
        sizes = tuple((np.concatenate([case.codes for case in whole.cases]).max(0) + 1).tolist())
        rounds = _WITHOUT
        if validation is not None:
            rounds = _chosen_rounds(train, validation, classes, counted, sizes)
        model, there = _grown(_table(whole, counted, sizes), whole.following, classes, rounds)
        return cls(counted, sizes, there, classes, *_flat(model))

    def probabilities(self, cases: Cases) -> Floats:
        """Return the distribution after each event, `(events, classes)`; a class without trees has 0."""
        rows = _table(cases, self.counted, self.sizes)
        scores = np.tile(self.start, (len(rows), 1))
        for tree, root in enumerate(self.roots):
            scores[:, tree % len(self.start)] += self._leaves(rows, int(root))
        found = np.zeros((len(rows), self.classes))
        if len(self.there) == 1:
            found[:, self.there] = 1.0
        elif len(self.start) == 1:
            found[:, self.there[1]] = expit(scores[:, 0])
            found[:, self.there[0]] = 1 - found[:, self.there[1]]
        else:
            found[:, self.there] = softmax(scores, -1)
        return found

    def _leaves(self, rows: Floats, root: int) -> Floats:
        at = np.full(len(rows), root)
        inner = np.flatnonzero(self.features[at] >= 0)
        while len(inner):
            nodes = at[inner]
            numbers = rows[inner, self.features[nodes]]
            left = np.where(np.isnan(numbers), self.missing_left[nodes], numbers <= self.thresholds[nodes])
            at[inner] = root + np.where(left, self.lefts[nodes], self.rights[nodes])
            inner = inner[self.features[at[inner]] >= 0]
        return np.asarray(self.values[at])


def _chosen_rounds(
    train: Cases, validation: Cases, classes: int, counted: NDArray[np.int64], sizes: tuple[int, ...]
) -> int:
    """Return how many rounds are best on the validation part, as far as time allows to see."""
    held_out, losses, until = _table(validation, counted, sizes), [], time.monotonic() + _SECONDS
    for model, there in _growing(_table(train, counted, sizes), train.following, classes):
        given = np.zeros((len(held_out), classes))
        given[:, there] = model.predict_proba(held_out)
        losses.append(cross_entropy(validation.following, given))
        if int(np.argmin(losses)) < len(losses) - _PATIENCE or time.monotonic() > until:
            break
    return _STEP * (int(np.argmin(losses)) + 1)


def _growing(rows: Floats, following: NDArray[np.int64], classes: int) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    model, there = _grown(rows, following, classes, _STEP)
    yield model, there
    kept, targets = _judged(rows, following, classes)
    while model.max_iter < _ROUNDS and len(there) > 1:
        yield model.set_params(max_iter=model.max_iter + _STEP, warm_start=True).fit(kept, targets), there


def _grown(
    rows: Floats, following: NDArray[np.int64], classes: int, rounds: int
) -> tuple[Any, NDArray[np.int64]]:
    try:
        from sklearn.dummy import DummyClassifier
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtra(
            "gradient boosting beside an event predictor needs the extra text: pip install 'ostinato[text]'"
        ) from error
    kept, targets = _judged(rows, following, classes)
    if len(np.unique(targets)) == 1:
        return DummyClassifier().fit(kept, targets), np.unique(targets)
    model = HistGradientBoostingClassifier(
        max_iter=rounds, learning_rate=0.1, max_leaf_nodes=15, l2_regularization=1.0, early_stopping=False,
        random_state=0,
    )  # fmt: skip
    model.fit(kept, targets)
    return model, np.asarray(model.classes_, np.int64)


def _judged(
    rows: Floats, following: NDArray[np.int64], classes: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Return what is learned from: rows whose class is known, the newest of very many."""
    known = np.flatnonzero((following >= 0) & (following < classes))[-_ROWS:]
    return rows[known], following[known]


def _table(cases: Cases, counted: NDArray[np.int64], sizes: tuple[int, ...]) -> Floats:
    """Return the features of all events, `(events, features)`."""
    lags = np.concatenate([_lagged(case.kinds) for case in cases.cases])
    counts = np.concatenate([np.cumsum(case.kinds[:, None] == counted, 0) for case in cases.cases])
    codes = np.concatenate([case.codes for case in cases.cases])
    numbers = np.concatenate([case.numbers for case in cases.cases])
    known = int(counted.max(initial=0)) + 2
    parts = [_one_hot(column, known) for column in lags.T]
    parts += [_one_hot(column, size) for column, size in zip(codes.T, sizes, strict=True)]
    return np.concatenate([counts, numbers, *parts], -1).astype(np.float64)


def _lagged(kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last activities up to each event, the newest first; one more than an activity's number, 0 for none."""
    padded = np.concatenate([np.zeros(_LAGS - 1, np.int64), kinds + 1])
    return np.stack([padded[_LAGS - 1 - back : len(padded) - back] for back in range(_LAGS)], -1)


def _one_hot(column: NDArray[np.int64], size: int) -> Floats:
    """Return a code as one number for each value; of very many values, as one number."""
    if size > _ONE_HOT:
        return column[:, None].astype(np.float64)
    return (column[:, None] == np.arange(size)).astype(np.float64)


def _flat(model: Any) -> tuple[NDArray[Any], ...]:
    """Return the start, the roots and the nodes of trees, one behind the other."""
    trees = [tree.nodes for row in getattr(model, "_predictors", []) for tree in row]
    start = np.ravel(getattr(model, "_baseline_prediction", np.zeros(1))).astype(np.float64)
    roots = np.cumsum([0, *map(len, trees)])[:-1].astype(np.int64)
    if not trees:
        return start, np.zeros(0, np.int64), *(np.zeros(0, kind) for kind in (int, float, bool, int, int, float))
    nodes = np.concatenate(trees)
    return (
        start,
        roots,
        np.where(nodes["is_leaf"] == 1, -1, nodes["feature_idx"].astype(np.int64)),
        nodes["num_threshold"].astype(np.float64),
        nodes["missing_go_to_left"] == 1,
        nodes["left"].astype(np.int64),
        nodes["right"].astype(np.int64),
        nodes["value"].astype(np.float64),
    )
