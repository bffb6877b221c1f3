"""From tagged files, or sentences in memory, to words, tags and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.lines import is_blank, normalise
from ostinato.data.text import CharacterVocabulary, Specials, TaggedSentence, WordVocabulary, read_conllu, read_tagged
from ostinato.data.text.vocabulary import UNKNOWN_WORD, is_unicode
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.vectors import Vectors
from ostinato.tasks.tag.wide import Wide

UNSEEN = "(not seen in training)"
NOTHING = -100
_HEAD = 20  # sentences that show what a file holds
_AT_HAND = 100_000  # tokens whose numbers are kept, at most
_CONLLU = (".conllu", ".conllu.gz")


@dataclass(frozen=True)
class Corpus:
    """Tagged sentences, and what they are called."""

    origin: str
    sentences: tuple[TaggedSentence, ...]

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def tokens(self) -> int:
        """How many tokens there are."""
        return sum(len(sentence.tokens) for sentence in self.sentences)

    def take(self, rows: slice) -> Corpus:
        """Return some of the sentences."""
        return Corpus(self.origin, self.sentences[rows])


@dataclass(frozen=True)
class TagEncoder:
    """How tokens and tags become numbers.

    Args:
        words: known whole words.
        characters: known characters.
        longest: characters of a token that are read, at most: its first and last halves of that.
        tags: in the order of their classes.
        scheme: that a CRF is held to, "" for none.
        width: features of a word.
        output: what judges the tags, where that was left open.
        wide: the part beside the network, and mix: how much each says; `None`: there is none.
        vectors: to start from, while a model is fitted.
    """

    words: WordVocabulary
    characters: CharacterVocabulary
    longest: int
    tags: tuple[str, ...]
    scheme: str
    width: int
    output: str = "softmax"
    wide: Wide | None = None
    mix: Mix | None = None
    vectors: Vectors | None = field(default=None, metadata={"saved": False}, compare=False)

    @property
    def index(self) -> dict[str, int]:
        """The class of each tag."""
        return {name: number for number, name in enumerate(self.tags)}

    @cached_property
    def _seen(self) -> dict[str, tuple[int, list[int]]]:
        return {}

    def known(self, token: str) -> tuple[int, list[int]]:
        """Return the number of a token and those of its characters; of one that came before they are at hand."""
        found = self._seen.get(token)
        if found is None:
            if len(self._seen) >= _AT_HAND:
                self._seen.clear()
            found = self._seen[token] = self.numbers([token])[0], self.spelled(token)
        return found

    def numbers(self, tokens: Sequence[str]) -> list[int]:
        """Return the number of each token, that of the unknown word for one that is not known."""
        index, unknown, lower = self.words.index, Specials().unk, self.words.lower
        found = (normalise(token, "NFC") for token in tokens)
        return [index.get(token.lower() if lower else token, unknown) for token in found]

    def spelled(self, token: str) -> list[int]:
        """Return the numbers of a token's characters, one or more."""
        half = self.longest // 2
        if len(token) > self.longest:
            token = token[: self.longest - half] + token[len(token) - half :]
        return self.characters.encode(token) or [Specials().unk]


@dataclass(frozen=True)
class Examples:
    """Tagged sentences with the class of each tag, `(tokens,)`; that of one not seen in training is `len(tags)`."""

    sentences: tuple[TaggedSentence, ...]
    classes: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def truth(self) -> NDArray[np.int64]:
        """The classes of all tokens, one sentence behind the other."""
        return np.concatenate(self.classes)


def read_sentences(parameters: TagParameters, source: Any) -> Corpus:
    """Read tagged sentences by their columns; those without tokens are left out.

    Args:
        parameters: of the tagger.
        source: a path, or pairs of tokens and as many tags.

    Raises:
        DataError: a file is wrong, or a sentence in memory has not as many tags as tokens.
    """
    if isinstance(source, Corpus):
        return source
    if isinstance(source, (str, Path)):
        return Corpus(Path(source).name, tuple(_file(parameters, source)))
    pairs = [_checked(pair, number) for number, pair in enumerate(source, 1)]
    return Corpus("the sentences", tuple(TaggedSentence(*pair) for pair in pairs if pair[0]))


def is_tagged(parameters: TagParameters, path: str | Path, tags: Sequence[str]) -> bool:
    """Tell whether a file is of the kind that a tagger is trained on: a token and one of its tags a line.

    Args:
        parameters: of the tagger.
        path: the file.
        tags: that it knows.
    """
    if str(path).lower().endswith(_CONLLU):
        return True
    try:
        head = list(islice(_file(parameters, path), _HEAD))
    except (DataError, UsageError):
        return False
    seen = [tag for sentence in head for tag in sentence.tags]
    known = set(tags)
    return bool(seen) and sum(tag in known for tag in seen) >= 0.8 * len(seen)


def known_words(parameters: TagParameters, sentences: Iterable[TaggedSentence], more: Iterable[str]) -> WordVocabulary:
    """Find the words of sentences; `more` are known besides, such as those with pretrained vectors."""
    lower = parameters.lower
    tokens = (normalise(token, "NFC") for sentence in sentences for token in sentence.tokens)
    counts = Counter(token.lower() if lower else token for token in tokens)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = dict.fromkeys(word for word, count in ordered if count >= parameters.min_count)
    words |= dict.fromkeys(word.lower() if lower else word for word in more)
    kept = tuple(word for word in words if word != UNKNOWN_WORD and is_unicode(word))
    return WordVocabulary(kept, lower=lower)


def known_characters(sentences: Iterable[TaggedSentence]) -> CharacterVocabulary:
    """Find the characters of sentences."""
    return CharacterVocabulary.build([normalise(token, "NFC") for sentence in sentences for token in sentence.tokens])


def numbered_tags(sentence: TaggedSentence, index: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the class of each tag; that of one not seen in training is `len(index)`."""
    return np.array([index.get(tag, len(index)) for tag in sentence.tags], np.int64)


def _file(parameters: TagParameters, path: str | Path) -> Iterable[TaggedSentence]:
    column = parameters.tag
    if str(path).lower().endswith(_CONLLU):
        return read_conllu(path, tag="upos" if column is None else str(column))
    try:
        place = -1 if column is None else int(column)
    except ValueError as error:
        raise UsageError(
            f'tag is "{column}", a column of CoNLL-U, but {Path(path).name} does not end in .conllu; expected the '
            "number of a column, from 0, or from the last: -1"
        ) from error
    return read_tagged(path, token=parameters.token, tag=place)


def _checked(pair: Any, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        tokens, tags = pair
        sentence = tuple(tokens), tuple(tags)
    except (TypeError, ValueError) as error:
        raise DataError(f"sentence {number} is not a pair of tokens and tags ({error})") from error
    if isinstance(tokens, str) or not all(isinstance(word, str) for side in sentence for word in side):
        raise DataError(f"sentence {number}: expected a list of tokens and a list of tags, all of them texts")
    if "" in sentence[0] or any(map(is_blank, sentence[1])):
        empty = "token" if "" in sentence[0] else "tag"
        raise DataError(f"sentence {number} has an empty {empty}; expected a text for each")
    if len(sentence[0]) != len(sentence[1]):
        raise DataError(
            f"sentence {number} has {len(sentence[0])} tokens and {len(sentence[1])} tags; expected as many"
        )
    return sentence
