"""From tagged files, or sentences in memory, to parts, vocabularies and numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.lines import is_blank, normalise
from ostinato.data.text import CharacterVocabulary, Specials, TaggedSentence, WordVocabulary, read_conllu, read_tagged
from ostinato.data.text.vocabulary import UNKNOWN_WORD, is_unicode
from ostinato.errors import DataError, UsageError

Tagged: TypeAlias = "str | Path | Sequence[tuple[Sequence[str], Sequence[str]]]"
"""A path, or sentences: pairs of tokens and as many tags."""
UNSEEN = "(not seen in training)"
NOTHING = -100
_CONLLU = (".conllu", ".conllu.gz")


@dataclass(frozen=True)
class Corpus:
    """Sentences in their parts."""

    origin: str
    train: list[TaggedSentence]
    validation: list[TaggedSentence]
    test: list[TaggedSentence]
    protocol: str

    @property
    def fingerprint(self) -> str:
        """A checksum of what is trained on."""
        return hashlib.sha256(repr((self.train, self.validation)).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Words:
    """How tokens become numbers: whole words, and their characters.

    Args:
        words: known whole words.
        characters: known characters.
        longest: characters of a token that are read, at most: its first and last halves of that.
    """

    words: WordVocabulary
    characters: CharacterVocabulary
    longest: int

    def numbers(self, tokens: Sequence[str]) -> list[int]:
        """Return the number of each token, that of the unknown word for one that is not known."""
        index, unknown = self.words.index, Specials().unk
        lower = self.words.lower
        own = (normalise(token, "NFC") for token in tokens)
        return [index.get(token.lower() if lower else token, unknown) for token in own]

    def spelled(self, token: str) -> list[int]:
        """Return the numbers of a token's characters, one or more."""
        half = self.longest // 2
        if len(token) > self.longest:
            token = token[: self.longest - half] + token[len(token) - half :]
        return self.characters.encode(token) or [Specials().unk]


def read_sentences(parameters: Mapping[str, Any], source: Tagged) -> list[TaggedSentence]:
    """Read tagged sentences by the columns that a `SequenceTagger` is told; those without tokens are left out.

    Raises:
        DataError: a file is wrong, or a sentence in memory has not as many tags as tokens.
    """
    if isinstance(source, (str, Path)):
        return list(_file(parameters, source))
    found = []
    for number, pair in enumerate(source, 1):
        tokens, tags = _checked(pair, number)
        if tokens:
            found.append(TaggedSentence(tokens, tags))
    return found


def read_corpus(parameters: Mapping[str, Any], data: Tagged, validation: Tagged | None, test: Tagged | None) -> Corpus:
    """Read sentences and hold out the last ones.

    Raises:
        DataError: a file cannot be read, or too little is left to train on.
        UsageError: a share is out of range.
    """
    train = read_sentences(parameters, data)
    origin = Path(data).name if isinstance(data, (str, Path)) else "the sentences"
    parts: dict[str, list[TaggedSentence]] = {}
    for name, given in (("test", test), ("validation", validation)):
        share = parameters[name]
        if not 0 <= share < 1:
            raise UsageError(f"{name} is {share}; expected a share from 0 to 1, 1 excluded")
        count = 0 if given is not None else round(len(train) * share)
        train, last = train[: len(train) - count], train[len(train) - count :]
        parts[name] = last if given is None else read_sentences(parameters, given)
    if not train:
        raise DataError(f"{origin} leaves no sentences to train on; give more, or hold fewer out")
    which = f"the last {100 * parameters['test']:.4g} % of sentences" if test is None else "a file of its own"
    return Corpus(origin, train, parts["validation"], parts["test"], f"test: {which}")


def build_words(parameters: Mapping[str, Any], sentences: Iterable[TaggedSentence], more: Iterable[str] = ()) -> Words:
    """Find the words and characters of sentences.

    Args:
        parameters: `lower` and `min_count` among them.
        sentences: to be trained on.
        more: words that are known besides, such as those with pretrained vectors.

    Raises:
        UsageError: `min_count` or `longest_word` is not positive.
    """
    for name in ("min_count", "longest_word"):
        if parameters[name] < 1:
            raise UsageError(f"{name} is {parameters[name]}; expected one or more")
    lower, least = parameters["lower"], parameters["min_count"]
    tokens = [normalise(token, "NFC") for sentence in sentences for token in sentence.tokens]
    counts = Counter(token.lower() if lower else token for token in tokens)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = dict.fromkeys(word for word, count in ordered if count >= least)
    words |= dict.fromkeys(word.lower() if lower else word for word in more)
    kept = tuple(word for word in words if word != UNKNOWN_WORD and is_unicode(word))
    return Words(WordVocabulary(kept, lower=lower), CharacterVocabulary.build(tokens), parameters["longest_word"])


def tags_of(sentences: Iterable[TaggedSentence]) -> tuple[str, ...]:
    """Return the different tags, sorted."""
    return tuple(sorted({tag for sentence in sentences for tag in sentence.tags}))


def numbered_tags(sentence: TaggedSentence, index: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the class of each tag; that of one not seen in training is `len(index)`."""
    return np.array([index.get(tag, len(index)) for tag in sentence.tags], np.int64)


def _file(parameters: Mapping[str, Any], path: str | Path) -> Iterable[TaggedSentence]:
    column = parameters["tag"]
    if str(path).lower().endswith(_CONLLU):
        return read_conllu(path, tag="upos" if column is None else str(column))
    try:
        place = -1 if column is None else int(column)
    except ValueError as error:
        raise UsageError(
            f'tag is "{column}", a column of CoNLL-U, but {Path(path).name} does not end in .conllu; expected the '
            "number of a column, from 0, or from the last: -1"
        ) from error
    return read_tagged(path, token=parameters["token"], tag=place)


def _checked(pair: Any, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        tokens, tags = pair
        own = tuple(tokens), tuple(tags)
    except (TypeError, ValueError) as error:
        raise DataError(f"sentence {number} is not a pair of tokens and tags ({error})") from error
    if isinstance(tokens, str) or not all(isinstance(word, str) for side in own for word in side):
        raise DataError(f"sentence {number}: expected a list of tokens and a list of tags, all of them texts")
    if "" in own[0] or any(map(is_blank, own[1])):
        empty = "token" if "" in own[0] else "tag"
        raise DataError(f"sentence {number} has an empty {empty}; expected a text for each")
    if len(own[0]) != len(own[1]):
        raise DataError(f"sentence {number} has {len(own[0])} tokens and {len(own[1])} tags; expected as many")
    return own
