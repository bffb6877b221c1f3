"""Boosted trees on all that the network of an event predictor reads: in the mixture with it, and as a baseline."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ostinato.errors import MissingExtra
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.events.features import Floats, Seen
from ostinato.tasks.events.trees import LEAVES, Trees

_ONE_HOT = 40
_ROWS, _FEWEST = 50_000, 50
_SLOWEST, _FASTEST, _MOVED, _MOST = (
    0.1,
    0.4,
    6.0,
    12.0,
)  # steps of trees; rounds times steps that are usual, and at most
_CHECKED, _PATIENCE = 1.0, 2  # rounds times steps from one check to the next; checks without a better loss
_CHOOSING = 0.4  # of the time, to choose the number of rounds; to grow as many on all events takes a quarter more
_WORK, _A_SECOND = 3e9, 1.2e8  # numbers that trees look at where there is no limit of time; and in about a second


@dataclass(frozen=True)
class Rounds:
    """How many trees of each column there are, and how large their steps are."""

    count: int
    rate: float


@dataclass(frozen=True)
class Boosting:
    """Boosted trees (scikit-learn's histogram gradient boosting) that tell what comes next.

    Their features are the last four activities, how often each activity came so far, times and covariates.

    Args:
        sizes: how many values each code has.
        there: the classes that trees were grown for; classes: how many there are in all.
        trees: a column for each class, or one of two.
        rounds: how many there are.
    """

    sizes: tuple[int, ...]
    there: NDArray[np.int64]
    classes: int
    trees: Trees
    rounds: Rounds

    def __post_init__(self) -> None:
        """Refuse columns that are of no classes, as a damaged file may have them."""
        columns = len(self.there) if len(self.there) > 2 else 1
        if len(self.trees.start) != columns or len(self.there) < 2 or (self.there >= self.classes).any():
            raise ValueError("its trees are not of its classes")

    @classmethod
    def fit(
        cls,
        seen: Seen,
        following: NDArray[np.int64],
        classes: int,
        seconds: float | None = None,
        rounds: Rounds | None = None,
    ) -> Boosting | None:
        """Grow trees, as many rounds as are best on the last fifth of the events, then once more on all.

        Args:
            seen: what is known at each event.
            following: `(events,)`, the class of what came; what is none of the classes is left out.
            classes: how many there are.
            seconds: how long that may take, about, by fewer rounds of larger steps, and of many events the newest.
            rounds: where they are chosen already.

        Returns:
            `None`: there are too few events.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        known = np.flatnonzero((following >= 0) & (following < classes))[-_ROWS:]
        if len(known) < _FEWEST or len(np.unique(following[known])) < 2:
            return None
        sizes = _sizes(seen)
        there = len(np.unique(following[known]))
        rows, targets = _newest(_table(seen.at(known), sizes), following[known], there, seconds)
        if len(np.unique(targets)) < 2:
            return None
        rounds = rounds or _chosen_rounds(rows, targets, seconds)
        model = _grown(rows, targets, rounds)
        return cls(sizes, np.asarray(model.classes_, np.int64), classes, Trees.of(model, rows.shape[1]), rounds)

    def __call__(self, seen: Seen) -> Floats:
        """Return the distribution after each event, `(events, classes)`; a class without trees has 0."""
        scores = self.trees(_table(seen, self.sizes))
        found = np.zeros((len(scores), self.classes))
        if len(self.there) == 2:
            found[:, self.there[1]] = expit(scores[:, 0])
            found[:, self.there[0]] = 1 - found[:, self.there[1]]
        else:
            found[:, self.there] = softmax(scores, -1)
        return found


@dataclass(frozen=True)
class TimeTrees:
    """Boosted trees that tell the median of each time, on the scale that the network has it; see `TimeScale`.

    Args:
        sizes: how many values each code has.
        trees: of each time, `None` where too few are known.
        rounds: how many there are of each.
    """

    sizes: tuple[int, ...]
    trees: tuple[Trees | None, ...]
    rounds: tuple[Rounds | None, ...]

    def __post_init__(self) -> None:
        """Refuse trees of more than one number, as a damaged file may have them."""
        if any(each is not None and len(each.start) != 1 for each in self.trees):
            raise ValueError("its trees are not of times")

    @classmethod
    def fit(
        cls,
        seen: Seen,
        times: Floats,
        seconds: float | None = None,
        rounds: Sequence[Rounds | None] | None = None,
    ) -> TimeTrees | None:
        """Grow trees for the absolute error, as many rounds as are best on the last fifth of the events.

        Args:
            seen: what is known at each event.
            times: `(events, times)`, on the network's scale; NaN where not known.
            seconds: see `Boosting.fit`.
            rounds: likewise, of each time.

        Returns:
            `None`: too few times are known.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        sizes, share = _sizes(seen), None if seconds is None else seconds / times.shape[1]
        found, chosen = list[Trees | None](), list[Rounds | None]()
        for column, given in zip(times.T, rounds or [None] * times.shape[1], strict=True):
            known = np.flatnonzero(np.isfinite(column))[-_ROWS:]
            trees, count = None, None
            if len(known) >= _FEWEST:
                rows, targets = _newest(_table(seen.at(known), sizes), column[known], 1, share)
                count = given or _chosen_time_rounds(rows, targets, share)
                trees = Trees.of(_grown_times(rows, targets, count), rows.shape[1])
            found.append(trees)
            chosen.append(count)
        return cls(sizes, tuple(found), tuple(chosen)) if any(found) else None

    def __call__(self, seen: Seen) -> Floats:
        """Return medians `(events, times)`, NaN where there are no trees."""
        rows = _table(seen, self.sizes)
        columns = [np.full(len(rows), np.nan) if each is None else each(rows)[:, 0] for each in self.trees]
        return np.stack(columns, -1)


def boosting_is_there() -> bool:
    """Tell whether the library that grows trees is installed."""
    return importlib.util.find_spec("sklearn") is not None


def _newest(rows: Floats, targets: NDArray[Any], columns: int, seconds: float | None) -> tuple[Floats, NDArray[Any]]:
    """Return the newest events, as many as there is time for with the largest steps."""
    fitting = int(_affordable(rows.shape[1] * columns, seconds) * _FASTEST / _MOVED)
    return rows[-max(fitting, _FEWEST) :], targets[-max(fitting, _FEWEST) :]


def _affordable(numbers: float, seconds: float | None) -> float:
    """Return how often there is time to look at so many numbers, to choose rounds on four fifths of them."""
    work = _WORK if seconds is None else min(_WORK, _A_SECOND * seconds)
    return _CHOOSING / 0.8 * work / numbers


def _chosen_rounds(rows: Floats, targets: NDArray[np.int64], seconds: float | None = None) -> Rounds:
    """Return how many rounds are best on the last fifth of the rows."""
    columns = len(np.unique(targets[: len(rows) * 4 // 5]))
    if columns < 2:
        return Rounds(10, _SLOWEST)
    return _best_rounds(rows, targets, columns, seconds, _grown, _loss)


def _chosen_time_rounds(rows: Floats, targets: Floats, seconds: float | None = None) -> Rounds:
    return _best_rounds(rows, targets, 1, seconds, _grown_times, _absolute_error)


def _best_rounds(
    rows: Floats,
    targets: NDArray[Any],
    columns: int,
    seconds: float | None,
    grown: Callable[[Floats, NDArray[Any], Rounds], Any],
    loss: Callable[[Any, Floats, NDArray[Any]], float],
) -> Rounds:
    cut, until = len(rows) * 4 // 5, math.inf if seconds is None else time.monotonic() + _CHOOSING * seconds
    rate = float(np.clip(_MOVED / max(_affordable(rows.size * columns, seconds), 1.0), _SLOWEST, _FASTEST))
    step = max(round(_CHECKED / rate), 1)
    model = grown(rows[:cut], targets[:cut], Rounds(step, rate))
    losses = [loss(model, rows[cut:], targets[cut:])]
    while (
        model.max_iter * rate < _MOST and int(np.argmin(losses)) >= len(losses) - _PATIENCE and time.monotonic() < until
    ):
        model.set_params(max_iter=model.max_iter + step, warm_start=True).fit(_filled(rows[:cut]), targets[:cut])
        losses.append(loss(model, rows[cut:], targets[cut:]))
    return Rounds(step * (int(np.argmin(losses)) + 1), rate)


def _loss(model: Any, rows: Floats, targets: NDArray[np.int64]) -> float:
    given = np.zeros((len(rows), int(max(targets.max(), model.classes_.max())) + 1))
    given[:, model.classes_] = model.predict_proba(rows)
    return cross_entropy(targets, given)


def _absolute_error(model: Any, rows: Floats, targets: Floats) -> float:
    return float(np.abs(model.predict(rows) - targets).mean())


def _grown(rows: Floats, targets: NDArray[np.int64], rounds: Rounds) -> Any:
    ensemble = _library()
    return ensemble.HistGradientBoostingClassifier(**_options(rounds)).fit(_filled(rows), targets)


def _grown_times(rows: Floats, targets: Floats, rounds: Rounds) -> Any:
    ensemble = _library()
    return ensemble.HistGradientBoostingRegressor(loss="absolute_error", **_options(rounds)).fit(_filled(rows), targets)


def _options(rounds: Rounds) -> dict[str, Any]:
    return {
        "max_iter": rounds.count, "learning_rate": rounds.rate, "max_leaf_nodes": LEAVES, "l2_regularization": 1.0,
        "early_stopping": False, "random_state": 0,
    }  # fmt: skip


def _library() -> Any:
    try:
        import sklearn.ensemble
    except ImportError as error:
        raise MissingExtra(
            "boosted trees, beside the network of an event predictor and in it, need the extra text: "
            "pip install 'ostinato[text]'"
        ) from error
    return sklearn.ensemble


def _filled(rows: Floats) -> Floats:
    """Return rows whose columns without any number are 0: the library takes none of nothing but missing ones."""
    return np.where(np.isnan(rows).all(0), 0.0, rows)


def _sizes(seen: Seen) -> tuple[int, ...]:
    return tuple((seen.codes.max(0) + 1).tolist())


def _table(seen: Seen, sizes: tuple[int, ...]) -> Floats:
    """Return the features of events, `(events, features)`."""
    # a column for each of the last activities, not one for each that there is: a third of the numbers, no worse trees
    codes = [_one_hot(column, size) for column, size in zip(seen.codes.T, sizes, strict=True)]
    return np.concatenate([seen.counts, seen.numbers, seen.lags, *codes], -1, dtype=np.float64)


def _one_hot(column: NDArray[np.int64], size: int) -> Floats:
    """Return a code as one number for each value; of very many values, as one number."""
    if size > _ONE_HOT:
        return column[:, None].astype(np.float64)
    return np.asarray(column[:, None] == np.arange(size), np.float64)
