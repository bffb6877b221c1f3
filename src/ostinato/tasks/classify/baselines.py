"""What a classifier has to beat: the most frequent class, words counted, nearest neighbours, statistics of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from ostinato.data.text import WordVocabulary, split_words
from ostinato.errors import MissingExtra
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.dtw import WarpedNeighbours
from ostinato.tasks.classify.encoding import Floats, Part, Prediction
from ostinato.tasks.classify.examples import Integers

MOST_FREQUENT = "most frequent class"
BAG_OF_WORDS = "bag of words, logistic regression"
STATISTICS = "statistics, logistic regression"
NEIGHBOURS = "1-NN DTW"
_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
_CELLS = 3e9  # of all warping tables together: about half a minute
_LEAST_NEIGHBOURS, _LONGEST = 20, 200
_KEPT = 1 << 24  # numbers of training sequences that are kept in a model, at most


@dataclass(frozen=True)
class MostFrequent:
    """The shares of the classes in training, each example counted once more."""

    shares: Floats

    @classmethod
    def fit(cls, part: Part, classes: int) -> MostFrequent:
        """Count the classes of a part."""
        counts = np.bincount(part.targets, minlength=classes) + 1.0
        return cls(counts / counts.sum())

    def predict(self, part: Part) -> Prediction:
        """Return the same of every example."""
        return Prediction.of(np.tile(self.shares, (len(part), 1)))


def check_bag_of_words() -> None:
    """Raise `MissingExtra` unless scikit-learn is there."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "the bag of words beside a text classifier needs the extra text: pip install 'ostinato[text]'; or fit with "
            "test=0 and no test file, which compares nothing"
        ) from error


@dataclass(frozen=True)
class BagOfWords:
    """A logistic regression on words and pairs of words, counts weighted by `(1 + log tf) idf`.

    Args:
        words: what splits texts, with no word of its own; `None`: at spaces and punctuation.
        terms: those counted, as UTF-8 with a line end behind each.
        weights: `(classes there, terms)`, or one row of two; offsets: `(rows of weights,)`.
        idf: `(terms,)`; there: the classes that training has; classes: how many in all.
    """

    words: WordVocabulary | None
    terms: NDArray[np.uint8]
    idf: Floats
    weights: Floats
    offsets: Floats
    there: Integers
    classes: int
    live: Any = field(default=None, metadata={"saved": False}, compare=False)

    @classmethod
    def fit(cls, words: WordVocabulary | None, train: Part, validation: Part | None, classes: int) -> BagOfWords:
        """Fit on texts; the strength of the penalty is the one that is best on the validation part, 1 without it.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        check_bag_of_words()
        from sklearn.linear_model import LogisticRegression

        counter = _counter(words)
        counts = counter.fit_transform(train.examples.items)
        best: tuple[float, Any] | None = None
        for strength in _STRENGTHS if validation is not None else (1.0,):
            if best is not None and deadline().passed:
                break  # the best of those that were tried
            model = LogisticRegression(C=strength, max_iter=1000).fit(counts, train.targets)
            loss = 0.0
            if validation is not None:
                given = _all_classes(model, counter.transform(validation.examples.items), classes)
                loss = cross_entropy(validation.targets, given)
            if best is None or loss < best[0]:
                best = loss, model
        assert best is not None
        terms = "".join(f"{term}\n" for term in counter.get_feature_names_out()).encode("utf-8", "surrogatepass")
        own = best[1]
        return cls(
            words, np.frombuffer(terms, np.uint8), counter.idf_, own.coef_, own.intercept_,
            np.asarray(own.classes_, np.int64), classes, (counter, own),
        )  # fmt: skip

    def predict(self, part: Part) -> Prediction:
        """Return the probabilities of texts.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        counter, model = self.live or self._restored()
        return Prediction.of(_all_classes(model, counter.transform(part.examples.items), self.classes))

    def _restored(self) -> tuple[Any, Any]:
        check_bag_of_words()
        from sklearn.linear_model import LogisticRegression

        names = self.terms.tobytes().decode("utf-8", "surrogatepass").split("\n")[:-1]
        counter = _counter(self.words, {name: number for number, name in enumerate(names)})
        counter.idf_ = self.idf
        model = LogisticRegression()
        model.coef_, model.intercept_, model.classes_ = self.weights, self.offsets, self.there
        return counter, model


def _counter(words: WordVocabulary | None, vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    def split(text: str) -> list[str]:
        found = words.split_text(text) if words is not None else split_words(text, "words")
        found = found or ["\0"]
        return found + [f"{a} {b}" for a, b in pairwise(found)]

    return TfidfVectorizer(analyzer=split, sublinear_tf=True, vocabulary=vocabulary)


def _all_classes(model: Any, counts: Any, classes: int) -> Floats:
    """Return probabilities with a column for every class, those without a training example too."""
    found = np.zeros((counts.shape[0], classes))
    found[:, model.classes_] = model.predict_proba(counts)
    return found


@dataclass(frozen=True)
class Statistics:
    """A logistic regression on a few numbers of each channel.

    They are mean, standard deviation, least, largest, first and last value, mean absolute change, share missing; and
    the length.

    Args:
        center, spread: of the channels, as the network has them; mean, scale: of the numbers; weights: `(numbers + 1,
            classes)`.
    """

    center: Floats
    spread: Floats
    mean: Floats
    scale: Floats
    weights: Floats

    @classmethod
    def fit(cls, encoder: ChannelEncoder, part: Part) -> Statistics:
        """Fit on sequences."""
        features = np.stack([_numbers((own.values - encoder.center) / encoder.scale) for own in part.examples.items])
        mean, scale = features.mean(0), features.std(0)
        scale[scale < 1e-9] = 1.0
        weights = _logistic((features - mean) / scale, part.targets, len(encoder.classes))
        return cls(encoder.center, encoder.scale, mean, scale, weights)

    def predict(self, part: Part) -> Prediction:
        """Return the probabilities of sequences."""
        items = part.examples.items
        features = np.stack([_numbers((own.values - self.center) / self.spread) for own in items])
        return Prediction.of(softmax(_with_one((features - self.mean) / self.scale) @ self.weights, axis=1))


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


@dataclass(frozen=True)
class Neighbours:
    """The class of the nearest training sequence under dynamic time warping; see `WarpedNeighbours`.

    Sets that would take minutes are made smaller: sequences of more than 200 steps by the means of neighbouring steps,
    then the training part by a draw that keeps the classes' shares. Every sequence is answered.

    Args:
        values: of the training sequences, one behind the other, `(steps, channels)`; lengths, targets: of each.
        center, scale: by which channels are standardised, or none and ones.
        window: how far a path may stray; seed: of the draw.
    """

    values: NDArray[np.float32]
    lengths: Integers
    targets: Integers
    center: Floats
    scale: Floats
    window: float
    seed: int

    @classmethod
    def fit(cls, part: Part, center: Floats, scale: Floats, window: float, seed: int) -> Neighbours:
        """Keep sequences, or so many of them that they fit into a model's file."""
        items = [own.values for own in part.examples.items]
        sizes = sum(own.size for own in items)
        rows = _drawn(part.targets, len(items) if sizes <= _KEPT else int(len(items) * _KEPT / sizes), seed)
        lengths = np.array([len(items[row]) for row in rows], np.int64)
        return cls(
            np.concatenate([items[row] for row in rows]), lengths, part.targets[rows], center, scale, window, seed
        )

    def predict(self, part: Part) -> Prediction:
        """Return the classes of the nearest."""
        known = np.split(self.values, np.cumsum(self.lengths)[:-1])
        test = [own.values for own in part.examples.items]
        every = -(-max(map(len, [*known, *test])) // _LONGEST)
        known, test = ([_coarser((own - self.center) / self.scale, every) for own in part] for part in (known, test))
        mean_steps = [float(np.mean([len(own) for own in part])) for part in (known, test)]
        cells = len(known) * len(test) * mean_steps[0] * mean_steps[1]
        kept = max(_LEAST_NEIGHBOURS, int(len(known) * _CELLS / cells)) if cells > _CELLS else len(known)
        rows = _drawn(self.targets, kept, self.seed)
        near = WarpedNeighbours([known[row] for row in rows], self.window)
        return Prediction(np.array([self.targets[rows[near.distances(own).argmin()]] for own in test], np.int64))


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


def joined(parts: Sequence[Part | None]) -> Part:
    """Return the examples of several parts as one."""
    there = [part for part in parts if part is not None]
    first = there[0].examples
    items = tuple(own for part in there for own in part.examples.items)
    arrays = [own for part in there for own in part.arrays]
    examples = type(first)(first.origin, items, None, first.channels, first.reading)
    return Part(examples, arrays, np.concatenate([part.targets for part in there]))
