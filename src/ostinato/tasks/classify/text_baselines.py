"""What a classifier of texts has to beat: words counted."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import WordVocabulary, split_words
from ostinato.errors import MissingExtra
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.classify.encoding import Floats, Part
from ostinato.tasks.classify.examples import Integers

BAG_OF_WORDS = "bag of words, logistic regression"
_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
_LONGER = 1.5  # than with the strength before it takes a fit, about
_HELD, _LEAST = 1 << 22, 256  # weights that memory is meant to hold, a fit takes thirty of each; and terms


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
        called: its name, with how many terms it has if classes are so many that these are not all.
    """

    words: WordVocabulary | None
    terms: NDArray[np.uint8]
    idf: Floats
    weights: Floats
    offsets: Floats
    there: Integers
    classes: int
    live: Any = field(default=None, metadata={"saved": False}, compare=False)
    called: str = BAG_OF_WORDS

    @classmethod
    def fit(cls, words: WordVocabulary | None, train: Part, validation: Part | None, classes: int) -> BagOfWords:
        """Fit on texts; the strength of the penalty is the one that is best on the validation part, 1 without it.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        check_bag_of_words()
        from sklearn.linear_model import LogisticRegression

        most = max(_HELD // len(np.unique(train.targets)), _LEAST)
        counter = _counter(words, most=most)
        counts = counter.fit_transform(train.examples.items)
        limited = f" ({most:,} words and pairs)" if counts.shape[1] == most else ""
        best: tuple[float, Any] | None = None
        took = 0.0
        for strength in _STRENGTHS if validation is not None else (1.0,):
            if best is not None and deadline().left() < _LONGER * took:
                break  # the best of those that were tried
            began = time.monotonic()
            with warnings.catch_warnings():  # it takes few texts of many classes for numbers
                warnings.simplefilter("ignore", UserWarning)
                model = LogisticRegression(C=strength, max_iter=1000).fit(counts, train.targets)
            took, loss = time.monotonic() - began, 0.0
            if validation is not None:
                given = _all_classes(model, counter.transform(validation.examples.items), classes)
                loss = cross_entropy(validation.targets, given)
            if best is None or loss < best[0]:
                best = loss, model
        assert best is not None
        terms = "".join(f"{term}\n" for term in counter.get_feature_names_out()).encode("utf-8", "surrogatepass")
        regression = best[1]
        return cls(
            words, np.frombuffer(terms, np.uint8), counter.idf_, regression.coef_, regression.intercept_,
            np.asarray(regression.classes_, np.int64), classes, (counter, regression), BAG_OF_WORDS + limited,
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


def _counter(words: WordVocabulary | None, vocabulary: dict[str, int] | None = None, *, most: int | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    def split(text: str) -> list[str]:
        found = words.split_text(text) if words is not None else split_words(text, "words")
        found = found or ["\0"]
        return found + [f"{a} {b}" for a, b in pairwise(found)]

    return TfidfVectorizer(analyzer=split, sublinear_tf=True, vocabulary=vocabulary, max_features=most)


def _all_classes(model: Any, counts: Any, classes: int) -> Floats:
    """Return probabilities with a column for every class, those without a training example too."""
    found = np.zeros((counts.shape[0], classes))
    found[:, model.classes_] = model.predict_proba(counts)
    return found
