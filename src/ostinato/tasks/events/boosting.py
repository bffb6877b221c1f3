"""Boosted trees on all that the network of an event predictor reads: in the mixture with it, and as a baseline."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ostinato.errors import CorruptArtifact, MissingExtra
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.events.features import Floats, Seen

_ONE_HOT = 40
_ROUNDS, _STEP, _PATIENCE, _LEAVES = 120, 10, 2, 15
_ROWS, _FEWEST, _TOGETHER = 50_000, 50, 256


WORK, A_SECOND = 1e10, 1e9
"""Numbers that the trees of all rounds look at together, to choose how many rounds there are; and in about a second."""


@dataclass(frozen=True)
class Boosting:
    """Boosted trees (scikit-learn's histogram gradient boosting) that tell what comes next.

    Their features are the last four activities, how often each activity came so far, times and covariates.

    Args:
        sizes: how many values each code has; width: how many features there are.
        there: the classes that trees were grown for; classes: how many there are in all.
        start: `(columns,)`, the scores that trees are added to.
        roots: `(trees,)`, where the nodes of each begin; tree `i` is of column `i % columns`.
        features, thresholds, lefts, rights, values: `(nodes,)`; at a leaf there is no feature, -1.
        missing_left: `(nodes,)`, whether a missing number goes to the left.
    """

    sizes: tuple[int, ...]
    width: int
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

    def __post_init__(self) -> None:
        """Refuse nodes that make no trees, as a damaged file may have them."""
        nodes, places = len(self.values), np.arange(len(self.values))
        parts = (self.features, self.thresholds, self.missing_left, self.lefts, self.rights)
        ends = np.append(self.roots[1:], nodes)
        below = np.repeat(ends - self.roots, np.maximum(ends - self.roots, 0)) if len(self.roots) else places
        if (
            any(part.shape != (nodes,) for part in parts)
            or len(below) != nodes
            or (self.features >= self.width).any()
            or any(((each < 0) | (each >= below)).any() for each in (self.lefts, self.rights))
            or len(self.roots) % max(len(self.start), 1)
        ):
            raise ValueError("its nodes make no trees")

    @classmethod
    def fit(cls, seen: Seen, following: NDArray[np.int64], classes: int, work: float = WORK) -> Boosting | None:
        """Grow trees, as many rounds as are best on the last fifth of the events, then once more on all.

        Args:
            seen: what is known at each event.
            following: `(events,)`, the class of what came; what is none of the classes is left out.
            classes: how many there are.
            work: how many numbers trees may look at; of more, the newest events and fewer rounds are taken.

        Returns:
            `None`: there are too few events.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        known = np.flatnonzero((following >= 0) & (following < classes))[-_ROWS:]
        if len(known) < _FEWEST or len(np.unique(following[known])) < 2:
            return None
        sizes = tuple((seen.codes.max(0) + 1).tolist())
        rows, targets = _table(seen.at(known), sizes), following[known]
        fitting = int(work / (2 * _STEP * rows.shape[1] * len(np.unique(targets))))
        rows, targets = rows[-max(fitting, _FEWEST) :], targets[-max(fitting, _FEWEST) :]
        if len(np.unique(targets)) < 2:
            return None
        model = _grown(rows, targets, _chosen_rounds(rows, targets, work))
        return cls(sizes, rows.shape[1], np.asarray(model.classes_, np.int64), classes, *_flat(model))

    def __call__(self, seen: Seen) -> Floats:
        """Return the distribution after each event, `(events, classes)`; a class without trees has 0."""
        rows = _table(seen, self.sizes)
        if rows.shape[1] != self.width:
            raise CorruptArtifact(
                f"the trees of the model read {self.width} numbers, not {rows.shape[1]}; fit it again"
            )
        leaves = [self._leaves(rows[first : first + _TOGETHER]) for first in range(0, len(rows), _TOGETHER)]
        scores = self.start + np.concatenate(leaves).reshape(len(rows), -1, len(self.start)).sum(1)
        found = np.zeros((len(rows), self.classes))
        if len(self.start) == 1:
            found[:, self.there[1]] = expit(scores[:, 0])
            found[:, self.there[0]] = 1 - found[:, self.there[1]]
        else:
            found[:, self.there] = softmax(scores, -1)
        return found

    def _leaves(self, rows: Floats) -> Floats:
        """Return what each tree says of each row, `(rows, trees)`: all trees are walked down side by side."""
        at = np.tile(self.roots, (len(rows), 1))
        for _ in range(_LEAVES):  # no way down is longer
            inner = self.features[at] >= 0
            if not inner.any():
                break
            row, tree = np.nonzero(inner)
            nodes = at[row, tree]
            numbers = rows[row, self.features[nodes]]
            left = np.where(np.isnan(numbers), self.missing_left[nodes], numbers <= self.thresholds[nodes])
            at[row, tree] = self.roots[tree] + np.where(left, self.lefts[nodes], self.rights[nodes])
        return np.asarray(self.values[at])


def boosting_is_there() -> bool:
    """Tell whether the library that grows trees is installed."""
    return importlib.util.find_spec("sklearn") is not None


def _chosen_rounds(rows: Floats, targets: NDArray[np.int64], work: float = WORK) -> int:
    """Return how many rounds are best on the last fifth of the rows."""
    cut = len(rows) * 4 // 5
    columns = len(np.unique(targets[:cut]))
    if columns < 2:
        return _STEP
    most = int(np.clip(work / (columns * rows.size * _STEP), 2, _ROUNDS // _STEP)) * _STEP
    model = _grown(rows[:cut], targets[:cut], _STEP)
    losses = [_loss(model, rows[cut:], targets[cut:])]
    while model.max_iter < most and int(np.argmin(losses)) >= len(losses) - _PATIENCE:
        model.set_params(max_iter=model.max_iter + _STEP, warm_start=True).fit(_filled(rows[:cut]), targets[:cut])
        losses.append(_loss(model, rows[cut:], targets[cut:]))
    return _STEP * (int(np.argmin(losses)) + 1)


def _loss(model: Any, rows: Floats, targets: NDArray[np.int64]) -> float:
    given = np.zeros((len(rows), int(max(targets.max(), model.classes_.max())) + 1))
    given[:, model.classes_] = model.predict_proba(rows)
    return cross_entropy(targets, given)


def _grown(rows: Floats, targets: NDArray[np.int64], rounds: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtra(
            "boosted trees, beside the network of an event predictor and in it, need the extra text: "
            "pip install 'ostinato[text]'"
        ) from error
    return HistGradientBoostingClassifier(
        max_iter=rounds, learning_rate=0.1, max_leaf_nodes=_LEAVES, l2_regularization=1.0, early_stopping=False,
        random_state=0,
    ).fit(_filled(rows), targets)  # fmt: skip


def _filled(rows: Floats) -> Floats:
    """Return rows whose columns without any number are 0: the library takes none of nothing but missing ones."""
    return np.where(np.isnan(rows).all(0), 0.0, rows)


def _table(seen: Seen, sizes: tuple[int, ...]) -> Floats:
    """Return the features of events, `(events, features)`."""
    activities = seen.counts.shape[1] + 2
    parts = [_one_hot(column, activities) for column in seen.lags.T]
    parts += [_one_hot(column, size) for column, size in zip(seen.codes.T, sizes, strict=True)]
    return np.concatenate([seen.counts, seen.numbers, *parts], -1, dtype=np.float64)


def _one_hot(column: NDArray[np.int64], size: int) -> Floats:
    """Return a code as one number for each value; of very many values, as one number."""
    if size > _ONE_HOT:
        return column[:, None].astype(np.float64)
    return np.asarray(column[:, None] == np.arange(size), np.float64)


def _flat(model: Any) -> tuple[NDArray[Any], ...]:
    """Return the start, the roots and the nodes of trees, one behind the other."""
    trees = [tree.nodes for row in model._predictors for tree in row]
    nodes = np.concatenate(trees)
    return (
        np.ravel(model._baseline_prediction).astype(np.float64),
        np.cumsum([0, *map(len, trees)])[:-1].astype(np.int64),
        np.where(nodes["is_leaf"] == 1, -1, nodes["feature_idx"].astype(np.int64)),
        nodes["num_threshold"].astype(np.float64),
        nodes["missing_go_to_left"] == 1,
        nodes["left"].astype(np.int64),
        nodes["right"].astype(np.int64),
        nodes["value"].astype(np.float64),
    )
