"""The wide part of a text classifier: a linear layer on words, pairs and parts of words, beside the deep network.

What a linear layer of counts knows, a recurrent network of a few thousand texts has to learn from nothing; what it
cannot know, the order of words beyond pairs, the network adds. Each is fitted by itself, the wide one to the only
optimum that there is, and what each says is weighed on texts that neither has seen.

Source: H.-T. Cheng et al., "Wide & deep learning for recommender systems", 2016, for the two side by side; G. Hinton,
"Training products of experts by minimizing contrastive divergence", 2002, for probabilities multiplied.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import Vocabulary, WordVocabulary
from ostinato.tasks.base.linear import Linear, choose_strength, fit_linear
from ostinato.tasks.base.summary import Table
from ostinato.tasks.classify.terms import Terms

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_WORDS = 6_000_000  # of the texts that it is fitted on, at most
_WORDS_A_SECOND = 120_000  # that it can be fitted on, of two classes, on one core
_WEIGHTS, _FEWEST, _MOST = 1 << 20, 1 << 12, 1 << 18  # weights of each kind of term, and terms of a kind
_HELD, _LEAST = 1_400_000, 64  # weights of a kind that memory is meant to hold, a fit takes thirty of each; and terms
_WORDS_AGAIN = 2_500_000  # times classes, of texts that it is fitted on once more, at most
_FREE_CLASSES = 4  # that cost hardly more than reading the words does
_LARGE, _ITERATIONS, _OF_LARGE = 3_000_000, 60, 30  # words times classes, from which on fewer steps are enough
_TOGETHER = 4096


@dataclass(frozen=True)
class Wide:
    """Terms of texts and a linear layer on them.

    Args:
        terms: what is counted.
        linear: the layer.
        strength: how little its large weights cost, as it was chosen.
        whole: whether it was fitted on the validation texts too, once all was chosen on them.
        scale: of its scores, chosen likewise.
        seconds: that the terms and the last fit took.
    """

    terms: Terms
    linear: Linear
    strength: float
    whole: bool = False
    scale: float = 1.0
    seconds: float = field(default=0.0, compare=False, metadata={"saved": False})

    def __post_init__(self) -> None:
        """Raise `ValueError` where the parts do not fit each other, as in a file that was changed."""
        if self.linear.weights.shape[0] != len(self.terms):
            raise ValueError(f"there are {len(self.terms)} terms and {self.linear.weights.shape[0]} weights")

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        targets: Integers,
        weights: Floats,
        splitter: WordVocabulary,
        seed: int,
        seconds: float | None = None,
    ) -> Wide:
        """Fit on training texts, all of them or as many, drawn at random, as have six million words.

        Args:
            texts: of training.
            targets: the class of each.
            weights: how much each class counts, `(classes,)`.
            splitter: what splits texts, with no word of its own.
            seed: of what is drawn.
            seconds: those of the training; fewer words are read where a half of them would not be enough.
        """
        classes, until = len(weights), _after(seconds)
        most = _WORDS if seconds is None else min(_WORDS, _WORDS_A_SECOND * seconds / 2)
        rows = _drawn(texts, int(most / max(1.0, _columns(classes) / _FREE_CLASSES)), seed)
        chosen, labels = [texts[row] for row in rows], targets[rows]
        began = time.monotonic()
        terms = _terms(splitter, chosen, classes)
        numbers, each = terms.weighted(chosen), weights[labels]
        read = time.monotonic() - began
        # half of what is left chooses, the other half fits
        strength, scale = choose_strength(numbers, labels, classes, each, seed, until=_between(time.monotonic(), until))
        began = time.monotonic()
        linear = fit_linear(numbers, labels, classes, strength, each, iterations=_steps(chosen, classes), until=until)
        seconds_again = read + time.monotonic() - began
        return cls(terms, linear.scaled(scale), strength, scale=scale, seconds=seconds_again)

    def is_fitted_again(self, texts: Sequence[str], classes: int, seconds: float | None = None) -> bool:
        """Tell whether `fitted_on_all` fits again: of very many texts, a few more tell little.

        Args:
            texts: of the training part, or of all.
            classes: how many there are.
            seconds: those of the training, a quarter of which it may take.
        """
        fits = seconds is None or self.seconds <= seconds / 4
        return fits and bool(_sizes(texts).sum() * _columns(classes) <= _WORDS_AGAIN)

    def fitted_on_all(
        self, texts: Sequence[str], targets: Integers, weights: Floats, seconds: float | None = None
    ) -> Wide:
        """Return it with the terms and weights of more texts, those of the validation part among them.

        What was chosen stays: where there are a few hundred texts, a tenth more of them is worth a percent of accuracy.
        Where that would take long it is returned as it is.

        Args:
            texts: of both parts.
            targets: the class of each.
            weights: how much each class counts, `(classes,)`.
            seconds: those of the training.
        """
        classes = len(weights)
        if not self.is_fitted_again(texts, classes, seconds):
            return self
        terms, each = _terms(self.terms.splitter, texts, classes), weights[targets]
        linear = fit_linear(
            terms.weighted(texts), targets, classes, self.strength, each, iterations=_steps(texts, classes)
        )
        return Wide(terms, linear.scaled(self.scale), self.strength, True, self.scale)

    def log_probabilities(self, texts: Sequence[str]) -> Floats:
        """Return what it says of texts, `(texts, classes)`."""
        parts = [texts[first : first + _TOGETHER] for first in range(0, len(texts), _TOGETHER)]
        return np.concatenate([self.linear.log_probabilities(self.terms.weighted(part)) for part in parts])

    def speaking(self, names: Sequence[str], *, at_most: int = 12, classes: int = 20) -> Table:
        """Return which terms speak most for each class: those that most raise its score over the mean of all."""
        weights = self.linear.weights
        weights = np.hstack([-weights, weights]) if weights.shape[1] == 1 else weights - weights.mean(1, keepdims=True)
        rows = []
        for name, column in list(zip(names, weights.T, strict=True))[:classes]:
            best = [place for place in np.argsort(-column, kind="stable")[:at_most].tolist() if column[place] > 0]
            rows.append((str(name), ", ".join(self.terms.names(best))))
        note = "the first classes only" if len(names) > classes else "- marks a part of a word, _ the edge of one"
        return Table(
            "Which words, pairs and parts of words speak for each class", ("class", "terms"), tuple(rows), note
        )

    def reasons(self, text: str, name: int, *, at_most: int = 5) -> list[str]:
        """Return the terms of a text that spoke most for a class."""
        row, weights = self.terms.weighted([text]), self.linear.weights
        column = weights[:, 0] * (1 if name else -1) if weights.shape[1] == 1 else weights[:, name] - weights.mean(1)
        said = row.data * column[row.indices]
        best = [place for place in np.argsort(-said, kind="stable")[:at_most].tolist() if said[place] > 0]
        return self.terms.names([int(row.indices[place]) for place in best])


def _after(seconds: float | None) -> float:
    """Return when half of the time of a training has passed, on the clock of `time.monotonic`."""
    return math.inf if seconds is None else time.monotonic() + seconds / 2


def _between(first: float, second: float) -> float:
    return second if math.isinf(second) else (first + second) / 2


def _terms(splitter: WordVocabulary, texts: Sequence[str], classes: int) -> Terms:
    held = max(_HELD // _columns(classes), _LEAST)
    return Terms.of(splitter, texts, min(max(_WEIGHTS // _columns(classes), _FEWEST), _MOST, held))


def _columns(classes: int) -> int:
    """Return how many columns of weights there are."""
    return 1 if classes == 2 else classes


def _steps(texts: Sequence[str], classes: int) -> int:
    """Return how many steps the fit of the linear layer takes at most."""
    return _ITERATIONS if _sizes(texts).sum() * _columns(classes) <= _LARGE else _OF_LARGE


def splitter_of(vocabulary: Vocabulary, *, lower: bool) -> WordVocabulary:
    """Return what splits texts into the words that are counted: that of a vocabulary of words, else at punctuation."""
    if isinstance(vocabulary, WordVocabulary):
        return WordVocabulary((), vocabulary.split, vocabulary.lower, vocabulary.normal_form)
    return WordVocabulary((), "words", lower)


def _sizes(texts: Sequence[str]) -> Integers:
    """Return about how many words texts have, by their spaces, or by eight characters each."""
    return np.array([max(text.count(" ") + 1, len(text) // 8) for text in texts], np.int64)


def _drawn(texts: Sequence[str], most: int, seed: int) -> Integers:
    """Return the rows of texts whose words are not too many together."""
    sizes = _sizes(texts)
    if sizes.sum() <= most:
        return np.arange(len(texts))
    order = np.random.default_rng(seed).permutation(len(texts))
    return np.sort(order[: max(1, int((np.cumsum(sizes[order]) <= most).sum()))])
