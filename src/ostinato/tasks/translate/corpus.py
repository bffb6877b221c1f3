"""From pairs of texts to pairs of token numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from ostinato.data.lines import normalise
from ostinato.data.text import (
    BucketedBatches,
    CharacterVocabulary,
    SubwordVocabulary,
    TextBatch,
    Vocabulary,
    WordVocabulary,
)
from ostinato.errors import DataError
from ostinato.tasks.base.holding_out import Held, Shares, content_keys, drawn_groups, percent
from ostinato.tasks.translate.mix import Mix
from ostinato.tasks.translate.numbers import Numbers
from ostinato.tasks.translate.pairs import Pair
from ostinato.tasks.translate.parameters import TranslationParameters
from ostinato.tasks.translate.phrases.search import FEATURES, WEIGHTS
from ostinato.tasks.translate.phrases.table import PhraseTable, learn_phrases
from ostinato.tasks.translate.suiting import most_subwords, phrase_links, suited_dropout, suited_width

_FEWEST_SUBWORDS, _MOST_SUBWORDS = 500, 8000
_SENTENCE = 2.0  # words, on average
_LONGEST = {"subword": 250, "word": 250, "character": 1000}


@dataclass(frozen=True)
class Corpus:
    """Pairs of a source and its translation; `dropped` had no translation and are left out."""

    origin: str
    pairs: tuple[Pair, ...]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def links(self) -> int:
        """About how many pairs of a source and a target word there are, each in one pair."""
        return sum((ours.count(" ") + 2) * (theirs.count(" ") + 2) for ours, theirs in self.pairs)

    def take(self, rows: Sequence[int]) -> Corpus:
        """Return some of the pairs, those that have a translation; an empty source is a source."""
        chosen = [self.pairs[row] for row in rows]
        kept = tuple(pair for pair in chosen if pair[1])
        return Corpus(self.origin, kept, len(chosen) - len(kept))


@dataclass(frozen=True)
class Encoded:
    """Pairs as token numbers: sources end with the mark of the end, targets stand between both marks."""

    pairs: tuple[Pair, ...]
    sources: list[list[int]]
    targets: list[list[int]]

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: Sequence[int]) -> Encoded:
        """Return some of the pairs."""
        chosen = ([side[row] for row in rows] for side in (self.sources, self.targets))
        return Encoded(tuple(self.pairs[row] for row in rows), *chosen)

    @property
    def tokens(self) -> int:
        """How many target tokens are predicted, ends counted."""
        return sum(map(len, self.targets)) - len(self.targets)


@dataclass(frozen=True)
class TranslationEncoder:
    """The vocabularies of both sides.

    Args:
        source, target: `target` is `None` if one serves both sides.
        longest: the most tokens that are written, unless said otherwise.
        characters: those of the training sources, sorted.
        hidden_size, dropout: of the network: those that were asked for, or that suit the pairs and the time.
        phrases: what pairs say when their words are aligned; `None`: the network stands alone.
        weights: of what translations by phrases are judged by.
        mix: of both.
        numbers: what the pairs tell of numbers in figures.

    Raises:
        ValueError: the parts do not belong together, as in a file that was changed.
    """

    reading: ClassVar[bool] = True

    source: Vocabulary
    target: Vocabulary | None
    longest: int
    characters: str = ""
    hidden_size: int = 256
    dropout: float = 0.3
    phrases: PhraseTable | None = None
    weights: tuple[float, ...] = WEIGHTS
    mix: Mix = Mix()  # noqa: RUF009, it is frozen
    numbers: Numbers = Numbers()  # noqa: RUF009, likewise

    def __post_init__(self) -> None:
        """Hold the weights against what they are of."""
        if self.hidden_size < 1 or not 0 <= self.dropout < 1:
            raise ValueError("the network has no width, or its dropout is no share")
        if len(self.weights) != len(FEATURES) or not all(map(math.isfinite, self.weights)):
            raise ValueError("the weights of phrases are not as many as there are features")

    @property
    def written(self) -> Vocabulary:
        """The vocabulary of translations."""
        return self.source if self.target is None else self.target

    @classmethod
    def fit(cls, parameters: TranslationParameters, corpus: Corpus) -> TranslationEncoder:
        """Build the vocabularies.

        Raises:
            DataError: every source is empty, or every pair too long.
        """
        sources, targets = ([pair[side] for pair in corpus.pairs] for side in (0, 1))
        if parameters.shared_vocabulary:
            made = cls(_vocabulary(parameters, [*sources, *targets]), None, 0)
        elif any(sources):
            made = cls(_vocabulary(parameters, sources), _vocabulary(parameters, targets), 0)
        else:
            raise DataError("every source is empty; expected texts to translate")
        train, _ = fitting(made.encode(corpus), parameters)
        if not len(train):
            limit = limit_of(parameters)
            raise DataError(f"all {len(corpus)} pairs are longer than max_length, {limit}; raise max_length")
        longest = max(100, 2 * (max(map(len, train.targets)) - 2))
        characters = normalise("".join(sorted(set().union(*sources))), "NFC")
        width = parameters.hidden_size or suited_width(len(corpus), parameters.max_seconds)
        words = sum(text.count(" ") + 1 for text in targets)
        dropout = parameters.dropout
        if dropout is None:
            dropout = suited_dropout(words, width, parameters.max_seconds)
        return cls(
            made.source, made.target, longest, characters, width, dropout, _phrases(parameters, corpus),
            numbers=Numbers.fit(corpus.pairs),
        )  # fmt: skip

    def encode(self, corpus: Corpus) -> Encoded:
        """Return pairs as token numbers."""
        bos, eos = self.written.specials.bos, self.written.specials.eos
        sources = [[*self.source.encode(ours), eos] for ours, _ in corpus.pairs]
        targets = [[bos, *self.written.encode(theirs), eos] for _, theirs in corpus.pairs]
        return Encoded(corpus.pairs, sources, targets)


def hold_out_drawn(parameters: TranslationParameters, corpus: Corpus, shares: Shares) -> Held[Corpus]:
    """Hold out pairs drawn at random: the end of a corpus is often of another kind than the rest.

    All pairs of one source are on the same side: a source that was trained on with another translation is not unseen.
    """
    keys = content_keys(source for source, _ in corpus.pairs)
    rows = drawn_groups(keys, (shares.validation, shares.test), parameters.seed)
    train, validation, test = (corpus.take(row.tolist()) for row in rows)
    if not len(train):
        raise DataError(f"none of the {len(rows[0])} pairs of {corpus.origin} has a translation; check the file")
    words = f"{percent(shares.test)} of the pairs, drawn, all pairs of one source on one side"
    return Held(train, validation, test, words)


def limit_of(parameters: TranslationParameters) -> int:
    """Return how many tokens a side may have to be trained on."""
    return parameters.max_length or _LONGEST[parameters.level]


def fitting(pairs: Encoded, parameters: TranslationParameters) -> tuple[Encoded, int]:
    """Return pairs of which no side is longer than `max_length`, and how many were; marks are not counted."""
    limit = limit_of(parameters)
    short = [len(a) - 1 <= limit and len(b) - 2 <= limit for a, b in zip(pairs.sources, pairs.targets, strict=True)]
    if parameters.long_pairs == "cut":
        sources = [row if len(row) - 1 <= limit else [*row[:limit], row[-1]] for row in pairs.sources]
        targets = [row if len(row) - 2 <= limit else [*row[: limit + 1], row[-1]] for row in pairs.targets]
        return Encoded(pairs.pairs, sources, targets), len(pairs) - sum(short)
    kept = [number for number, value in enumerate(short) if value]
    return pairs.take(kept), len(pairs) - len(kept)


def _phrases(parameters: TranslationParameters, corpus: Corpus) -> PhraseTable | None:
    """Learn phrases, if they are wanted."""
    given = parameters
    if not given.phrases:
        return None
    words = sum(ours.count(" ") + 1 for ours, _ in corpus.pairs) / len(corpus)
    how = "whitespace" if given.split == "whitespace" else "word"
    if given.level == "character" and words < _SENTENCE:  # words by their letters, such as how they are spoken
        how = "character"
    return learn_phrases(corpus.pairs, how=how, lower=given.lower, links=phrase_links(given.max_seconds))


def _vocabulary(parameters: TranslationParameters, texts: list[str]) -> Vocabulary:
    given = parameters
    size, lower, count = given.vocabulary_size, given.lower, given.min_count
    if given.level == "subword":
        size = size or min(suited_subwords(texts), most_subwords(given.max_seconds) or _MOST_SUBWORDS)
        return SubwordVocabulary.build(texts, model=given.subwords, size=size, lower=lower)
    if given.level == "character":
        return CharacterVocabulary.build(texts, lower=lower, min_count=count, max_size=size)
    return WordVocabulary.build(texts, split=given.split, lower=lower, min_count=count, max_size=size)


def suited_subwords(texts: Sequence[str]) -> int:
    """Return how many subwords suit texts: fewer of few texts, in which long ones come too seldom to be learned.

    >>> suited_subwords(["one two three four"] * 10_000)
    1600
    """
    words = sum(text.count(" ") + 1 for text in texts)
    return min(max(100 * round(0.08 * math.sqrt(words)), _FEWEST_SUBWORDS), _MOST_SUBWORDS)


class TranslationBatch(NamedTuple):
    """What `TranslationNetwork.forward` takes."""

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor
    given: float


class TranslationBatches:
    """Pairs in batches of like length, with the share of target tokens that the decoder is given in an epoch.

    Args:
        pairs: as token numbers.
        batch_tokens: tokens a side, padding counted.
        given: the share in the last epoch; it falls evenly from 1 in the first (scheduled sampling; S. Bengio et al.,
            NeurIPS 2015).
        epochs: how many there are.
        shuffle: whether pairs are shuffled.
        seed: of the shuffling.
    """

    def __init__(
        self,
        pairs: Encoded,
        *,
        batch_tokens: int,
        given: float = 1.0,
        epochs: int = 1,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self.given, self.epochs = given, epochs
        self._buckets = BucketedBatches(
            pairs.sources, pairs.targets, batch_tokens=batch_tokens, shuffle=shuffle, seed=seed
        )

    def __len__(self) -> int:
        return len(self._buckets)

    def batches(self, epoch: int) -> Iterator[TextBatch]:
        """Return the batches of an epoch, counted from 0."""
        given = 1.0 - (1.0 - self.given) * min(1.0, epoch / max(1, self.epochs - 1))
        for batch in self._buckets.batches(epoch):
            pair: Any = batch.data
            data = TranslationBatch(pair.source, pair.source_lengths, pair.target, pair.target_lengths, given)
            yield TextBatch(data)
