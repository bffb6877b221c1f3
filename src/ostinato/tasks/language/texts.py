"""From files or texts to flat arrays of token numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import (
    CharacterVocabulary,
    SubwordVocabulary,
    Vocabulary,
    WordVocabulary,
    encode_corpus,
    read_lines,
    read_text,
)
from ostinato.errors import DataError, UsageError
from ostinato.nn.softmax import adaptive_cutoffs
from ostinato.tasks.base.holding_out import Held, Shares, percent
from ostinato.tasks.base.kneser_ney import Counted, KneserNey, count
from ostinato.tasks.language.mixing import Gate, Mixture, features_of
from ostinato.tasks.language.parameters import LanguageParameters, Output
from ostinato.tasks.language.suiting import suited_dropout, suited_output

Level: TypeAlias = Literal["character", "word", "subword"]
_SUBWORDS = 8000
_ORDERS = {"character": 8, "word": 5, "subword": 6}
"""The longest n-grams of which the best length is chosen."""
_COUNTED_A_SECOND = 150_000
"""Tokens that are counted for each second of a budget: in less than a third of one."""
_LINES = 100
_JUDGED, _WORSE = 200_000, 2
"""Tokens that an order is chosen on, at most, and orders in a row that are no better before it is."""


@dataclass(frozen=True)
class Texts:
    """Texts in pieces: lines, or for characters whole texts."""

    origin: str
    pieces: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True)
class Tokens:
    """A text as token numbers, `(tokens,)`, read as one stream; its length is how many of them are predicted."""

    numbers: NDArray[np.int32]

    def __len__(self) -> int:
        return max(0, len(self.numbers) - 1)


@dataclass(frozen=True)
class LanguageEncoder:
    """The vocabulary of a text, and what n-grams know of it.

    Args:
        vocabulary: built on the training part; level: what a token is.
        cutoffs: of an adaptive softmax, none of others.
        output: the kind of scores; dropout, input_dropout: those that suit the text, or that were asked for.
        ngrams: of the training part, and gate: how the network is mixed with them; `None`: it stands alone.
        counts: how often each token occurs in training, while a model is fitted.
        counted: the n-grams of the training part, while a model that is mixed with some is fitted.

    Raises:
        ValueError: the parts do not belong together, as in a file that was changed.
    """

    vocabulary: Vocabulary
    level: Level
    cutoffs: tuple[int, ...]
    output: Output = "softmax"
    dropout: float = 0.0
    input_dropout: float = 0.0
    ngrams: KneserNey | None = None
    gate: Gate | None = None
    counts: NDArray[np.int64] | None = field(default=None, metadata={"saved": False}, compare=False)
    counted: Counted | None = field(default=None, metadata={"saved": False}, compare=False)

    def __post_init__(self) -> None:
        """Hold the parts against each other."""
        if not (0 <= self.dropout < 1 and 0 <= self.input_dropout < 1):
            raise ValueError("its dropout is no share")
        if self.ngrams is not None and self.ngrams.symbols != len(self.vocabulary):
            raise ValueError("its n-grams are of another vocabulary")
        if self.ngrams is not None and self.gate is not None and self.gate.features != features_of(self.ngrams.order):
            raise ValueError("its gate is of other n-grams")

    @property
    def mixture(self) -> Mixture | None:
        """The n-grams with the gate."""
        return None if self.ngrams is None or self.gate is None else Mixture(self.ngrams, self.gate)

    @classmethod
    def fit(cls, parameters: LanguageParameters, texts: Texts) -> LanguageEncoder:
        """Build the vocabulary, and count."""
        given = parameters
        size, least, lower = given.vocabulary_size, given.min_count, given.lower
        if given.level == "character":
            made: Vocabulary = CharacterVocabulary.build(texts.pieces, lower=lower, min_count=least, max_size=size)
        elif given.level == "word":
            made = WordVocabulary.build(texts.pieces, lower=lower, min_count=least, max_size=size)
        else:
            made = SubwordVocabulary.build(texts.pieces, size=size or _SUBWORDS, lower=lower)
        numbers = cls(made, given.level, ()).encode(texts).numbers
        counts = np.bincount(numbers, minlength=len(made))
        cutoffs = adaptive_cutoffs(counts, given.hidden_size) if given.output == "adaptive" else ()
        ngrams = count_ngrams(made, given.level, numbers, given.max_seconds) if given.ngrams else None
        output, dropout = suited_output(given, len(made), len(numbers)), suited_dropout(given, len(numbers))
        return cls(made, given.level, tuple(cutoffs), output, *dropout, counts=counts, counted=ngrams)

    def encode(self, texts: Texts) -> Tokens:
        """Return texts as token numbers."""
        return Tokens(encode_corpus(texts.pieces, self.vocabulary, eos=self.level != "character"))


def count_ngrams(
    vocabulary: Vocabulary, level: Level, numbers: NDArray[np.int32], seconds: float | None = None
) -> Counted:
    """Return the n-grams of a training text; with a budget of time, of as much of its end as a third of it is for."""
    if seconds is not None:
        numbers = numbers[-max(2, int(_COUNTED_A_SECOND * seconds)) :]
    return count(numbers, len(vocabulary), _ORDERS[level], vocabulary.specials.unk)


def best_order(counted: Counted, validation: NDArray[np.int32] | None) -> KneserNey:
    """Return the n-grams of the order that predicts a validation text best; without one, of the order before last.

    From the highest order down, until two in a row are no better: of a long text each takes seconds.
    """
    if validation is None or len(validation) < 2:
        return counted.of_order(max(1, counted.most - 1))
    text = validation[-_JUDGED:]
    best, least, worse = counted.of_order(counted.most), np.inf, 0
    for order in range(counted.most, 0, -1):
        model = best if order == counted.most else counted.of_order(order)
        loss = float(model.losses(text).mean())
        worse = 0 if loss < least else worse + 1
        if loss < least:
            best, least = model, loss
        if worse == _WORSE:
            break
    return best


def read_texts(source: Any, level: Level) -> Texts:
    """Read a text.

    Args:
        source: a path of a text, plain or `.gz`, or texts themselves in a list.
        level: words and subwords are read line by line, with a mark at each end; characters as they stand.

    Raises:
        DataError: the file cannot be read, or holds nothing.
        UsageError: the source is none of these.
    """
    if isinstance(source, Texts):
        return source
    if isinstance(source, (str, Path)):
        pieces: Iterable[str] = [read_text(source)] if level == "character" else read_lines(source)
        return Texts(Path(source).name, tuple(pieces))
    texts = list(source) if isinstance(source, Iterable) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"data is a {type(source).__name__}; expected a path, or a list of texts")
    if level != "character":
        texts = [line for text in texts for line in text.splitlines() if line.strip()]
    return Texts("texts in memory", tuple(texts))


def hold_out_end(texts: Texts, shares: Shares) -> Held[Texts]:
    """Hold out the end of a text: of all characters, or whole lines where there are many."""
    pieces: Sequence[str] = texts.pieces
    total = sum(map(len, pieces))
    kept = 1.0 - shares.validation - shares.test
    bounds = [round(total * kept), round(total * (kept + shares.validation)), total]
    if len(pieces) >= _LINES:
        sizes = np.cumsum([len(piece) for piece in pieces])
        first, second = (int(np.searchsorted(sizes, bound)) for bound in bounds[:2])
        parts = [tuple(pieces[:first]), tuple(pieces[first:second]), tuple(pieces[second:])]
    else:
        joined = "\n".join(pieces) if len(pieces) > 1 else "".join(pieces)
        cuts = [joined[a:b] for a, b in zip([0, *bounds], bounds, strict=False)]
        parts = [(part,) if part else () for part in cuts]
    train, validation, test = (Texts(texts.origin, part) for part in parts)
    if total < 2 or not len(train):
        raise DataError(f"{texts.origin} leaves {total} characters to train on; give more, or hold less of it out")
    return Held(train, validation, test, f"the last {percent(shares.test)}, read as one stream")
