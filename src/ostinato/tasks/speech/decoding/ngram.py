"""N-grams of a model's own units as a scorer: modified Kneser-Ney over transcripts or other texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ostinato.errors import DataError, UsageError
from ostinato.nn.losses.hypotheses import Floats
from ostinato.tasks.base.kneser_ney import KneserNey, count
from ostinato.tasks.speech.decoding.spelling import Spelling

ORDERS = {"character": 8, "subword": 4, "word": 3}
"""The length of n-grams by what a unit is."""
_KEPT = 20_000
_BOUNDARY = 0
"""The blank's number, which no text has: it stands for the beginning and the end of an utterance."""


@dataclass(frozen=True)
class NGramScorer:
    """How probable the next unit is by the last few ones.

    Args:
        ngrams: over the classes of the model; 0 is the beginning and the end of an utterance.
        order: units that are looked at, the next one among them.

    Raises:
        ValueError: the n-grams are of another order.

    Source: R. Kneser and H. Ney, 1995; S. Chen and J. Goodman, 1999; see `ostinato.tasks.base.kneser_ney`.
    """

    ngrams: KneserNey
    order: int
    _known: dict[tuple[int, ...], Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hold the order against the n-grams."""
        if self.order < 1 or self.ngrams.order > self.order:
            raise ValueError(f"n-grams of {self.ngrams.order} units are said to be of {self.order}")

    @classmethod
    def fit(cls, texts: Iterable[str], units: Spelling, order: int | None = None) -> NGramScorer:
        """Count the n-grams of texts.

        Args:
            texts: an utterance each; units that the model does not know are left out.
            units: of the model.
            order: units of the longest n-gram; `None`: 8 characters, 4 subwords or 3 words.

        Raises:
            DataError: the texts hold no unit of the model.
            UsageError: `order` is below 1.
        """
        longest = ORDERS.get(units.level, 4) if order is None else order
        if longest < 1:
            raise UsageError(f"order is {longest}; expected 1 or more units")
        rows = [each for each in (units.encode(text) for text in texts) if each]
        if not rows:
            raise DataError("the texts hold no unit that the model knows; give texts in the language of the model")
        stream = np.concatenate([[_BOUNDARY], *([*row, _BOUNDARY] for row in rows)]).astype(np.int64)
        return cls(count(stream, len(units), longest).of_order(longest), longest)

    def start(self) -> tuple[int, ...]:
        """Return the beginning of an utterance."""
        return (_BOUNDARY,)

    def scores(self, state: tuple[int, ...]) -> Floats:
        """Return the logarithms of the probabilities of all classes."""
        found = self._known.get(state)
        if found is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            with np.errstate(divide="ignore"):
                found = np.log(np.maximum(self.ngrams.distribution(state), 1e-10))
            self._known[state] = found
        return found

    def advance(self, state: tuple[int, ...], label: int) -> tuple[int, ...]:
        """Return the last units."""
        return (*state, label)[-(self.order - 1) :] if self.order > 1 else ()

    def end(self, state: tuple[int, ...]) -> float:
        """Return the logarithm of the probability that nothing comes."""
        return float(self.scores(state)[_BOUNDARY])

    def log_probability(self, classes: Iterable[int]) -> float:
        """Return that of a whole utterance."""
        state, total = self.start(), 0.0
        for label in classes:
            total += float(self.scores(state)[label])
            state = self.advance(state, label)
        return total + self.end(state)
