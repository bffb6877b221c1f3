"""What a classifier has to beat: the commonest class, words counted, nearest neighbours, a few numbers a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from ostinato.errors import MissingExtra
from ostinato.tasks.classify.dtw import WarpedNeighbours
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.metrics import Floats, Prediction, cross_entropy

COMMONEST = "most frequent class"
BAG_OF_WORDS = "bag of words, logistic regression"
STATISTICS = "statistics, logistic regression"
_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
_CELLS = 3e9  # of all warping tables together: about half a minute
_LEAST_NEIGHBOURS = 20
_LONGEST = 200


def commonest(targets: Integers, classes: int, count: int) -> Prediction:
    """Return, for `count` examples, the shares of the classes in training, each example counted once more."""
    shares = np.bincount(targets, minlength=classes) + 1.0
    return Prediction.of(np.tile(shares / shares.sum(), (count, 1)))


def check_bag_of_words() -> None:
    """Raise `MissingExtra` unless scikit-learn is there."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "the bag of words beside a text classifier needs the extra text: pip install 'ostinato[text]'; or fit with "
            "test=0 and no test file, which compares nothing"
        ) from error


def bag_of_words(
    split: Callable[[str], list[str]],
    texts: Sequence[str],
    targets: Integers,
    validation: tuple[Sequence[str], Integers] | None,
    test: Sequence[str],
    classes: int,
) -> Prediction:
    """Return what a logistic regression on words and pairs of words tells of test texts.

    Counts are weighted by `(1 + log tf) idf`; the strength of the penalty is the one with the least cross-entropy on
    the validation part (1 without it).

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    check_bag_of_words()
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counter = TfidfVectorizer(analyzer=lambda text: _words_and_pairs(split(text)), sublinear_tf=True)
    counts, test_counts = counter.fit_transform(texts), counter.transform(test)
    best: tuple[float, Any] | None = None
    for strength in _STRENGTHS if validation is not None else (1.0,):
        model = LogisticRegression(C=strength, max_iter=1000).fit(counts, targets)
        loss = 0.0
        if validation is not None:
            loss = cross_entropy(_all_classes(model, counter.transform(validation[0]), classes), validation[1])
        if best is None or loss < best[0]:
            best = loss, model
    assert best is not None
    return Prediction.of(_all_classes(best[1], test_counts, classes))


def _words_and_pairs(words: list[str]) -> list[str]:
    words = words or ["\0"]
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def _all_classes(model: Any, counts: Any, classes: int) -> Floats:
    """Return probabilities with a column for every class, those without a training example too."""
    chances = np.zeros((counts.shape[0], classes))
    chances[:, model.classes_] = model.predict_proba(counts)
    return chances


def statistics(
    sequences: Sequence[NDArray[np.floating]], targets: Integers, test: Sequence[NDArray[np.floating]], classes: int
) -> Prediction:
    """Return what a logistic regression on a few numbers of each channel tells of test sequences.

    They are mean, standard deviation, least, largest, first and last value, mean absolute change, share missing; and
    the length.
    """
    features, test_features = (np.stack([_numbers(own) for own in part]) for part in (sequences, test))
    mean, scale = features.mean(0), features.std(0)
    scale[scale < 1e-9] = 1.0
    weights = _logistic((features - mean) / scale, targets, classes)
    return Prediction.of(softmax(_with_one((test_features - mean) / scale) @ weights, axis=1))


def _numbers(sequence: NDArray[np.floating]) -> Floats:
    columns = []
    for channel in np.asarray(sequence, np.float64).T:
        seen = channel[~np.isnan(channel)]
        own = seen if seen.size else np.zeros(1)
        change = np.abs(np.diff(own)).mean() if own.size > 1 else 0.0
        columns.append(
            [own.mean(), own.std(), own.min(), own.max(), own[0], own[-1], change, 1 - seen.size / len(channel)]
        )
    return np.array([*np.ravel(columns), math.log(len(sequence))])


def _logistic(features: Floats, targets: Integers, classes: int, penalty: float = 1.0) -> Floats:
    """Return the weights `(features + 1, classes)` of a regression whose squared size is penalised, the last free."""
    from scipy.optimize import minimize

    inputs, rows = _with_one(features), np.arange(len(targets))
    shape = (inputs.shape[1], classes)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        scores = inputs @ weights
        log_total = logsumexp(scores, axis=1)
        error = np.exp(scores - log_total[:, None])
        error[rows, targets] -= 1.0
        penalised = weights.copy()
        penalised[-1] = 0.0
        total = (log_total - scores[rows, targets]).sum() + 0.5 * penalty * (penalised**2).sum()
        return float(total), (inputs.T @ error + penalty * penalised).ravel()

    found: Floats = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found.reshape(shape)


def _with_one(features: Floats) -> Floats:
    return np.hstack([features, np.ones((len(features), 1))])


def nearest(
    sequences: Sequence[NDArray[np.floating]],
    targets: Integers,
    test: Sequence[NDArray[np.floating]],
    window: float,
    seed: int,
) -> tuple[str, Prediction]:
    """Return the name of the nearest-neighbour baseline, with what it leaves out, and what it tells.

    Sets that would take minutes are made smaller: sequences of more than 200 steps by the means of neighbouring steps,
    then the training part by a draw that keeps the classes' shares. Every test sequence is told.
    """
    longest = max(map(len, [*sequences, *test]))
    every = -(-longest // _LONGEST)
    sequences, test = ([_coarser(own, every) for own in part] for part in (sequences, test))
    mean_steps = [float(np.mean([len(own) for own in part])) for part in (sequences, test)]
    cells = len(sequences) * len(test) * mean_steps[0] * mean_steps[1]
    kept = max(_LEAST_NEIGHBOURS, int(len(sequences) * _CELLS / cells)) if cells > _CELLS else len(sequences)
    rows = _drawn(targets, kept, seed)
    near = WarpedNeighbours([sequences[row] for row in rows], window)
    told = np.array([targets[rows[near.distances(own).argmin()]] for own in test], np.int64)
    left = [f"{len(rows):,} of {len(targets):,}"] if len(rows) < len(targets) else []
    left += [f"means of {every} steps"] if every > 1 else []
    left += [f"window {window:g}"] if window < 1 else []
    return "1-NN DTW" + (f" ({', '.join(left)})" if left else ""), Prediction(told)


def _coarser(sequence: NDArray[np.floating], every: int) -> NDArray[np.floating]:
    """Return means of so many neighbouring steps; the last may have fewer."""
    if every == 1:
        return sequence
    groups = [sequence[first : first + every] for first in range(0, len(sequence), every)]
    seen = [np.maximum((~np.isnan(group)).sum(0), 1) for group in groups]
    means = np.stack([np.nansum(group, 0) / count for group, count in zip(groups, seen, strict=True)])
    gone = np.stack([np.isnan(group).all(0) for group in groups])
    return np.where(gone, np.nan, means)


def _drawn(targets: Integers, count: int, seed: int) -> Integers:
    """Return so many rows, or a few more, with each class in its share and at least once."""
    if count >= len(targets):
        return np.arange(len(targets))
    rng, share = np.random.default_rng(seed), count / len(targets)
    parts = []
    for number in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == number))
        parts.append(rows[: max(1, round(len(rows) * share))])
    return np.sort(np.concatenate(parts))
