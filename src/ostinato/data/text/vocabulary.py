"""Vocabularies: from texts to token numbers and back. Characters and words here, subwords in `subwords.py`.

A vocabulary normalises what it encodes as it was normalised when it was built, so that training and use agree. The
special tokens have the first numbers and are never found in a text, however it is spelled: a user's text cannot hold
an end of sentence. The one exception is the word `<unk>` in pre-tokenised corpora, which is the unknown token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ostinato.data.lines import NormalForm, check_normal_form, normalise
from ostinato.data.text.splitting import Split, split_words
from ostinato.errors import DataError, UsageError

UNKNOWN_WORD, UNKNOWN_CHARACTER = "<unk>", "\ufffd"


class Specials(NamedTuple):
    """The numbers of the special tokens: padding, unknown, beginning and end of a sentence."""

    pad: int = 0
    unk: int = 1
    bos: int = 2
    eos: int = 3


class Vocabulary(Protocol):
    """What a model knows of its vocabulary."""

    @property
    def specials(self) -> Specials:
        """The numbers of the special tokens."""

    def __len__(self) -> int:
        """Return how many numbers there are, the special ones among them."""

    def encode(self, text: str) -> list[int]:
        """Return the token numbers of a text, without a beginning or an end; any text has some."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token numbers.

        Padding, beginning and end are left out; an unknown token and a number out of range give the unknown mark.
        """

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data that `vocabulary_from_dict` makes the same vocabulary of."""


@dataclass(frozen=True)
class WordVocabulary:
    """Whole words.

    Args:
        words: in the order of their numbers, which begin behind the special ones.
        split: how a text is split, see `split_words`.
        lower: whether texts are made lower-case first.
        normal_form: the Unicode normal form that texts are brought into first.

    Raises:
        UsageError: a word occurs twice or is `<unk>`, or an option is not known.

    >>> vocabulary = WordVocabulary.build(["a cat and a dog", "a dog"])
    >>> vocabulary.words
    ('a', 'dog', 'and', 'cat')
    >>> vocabulary.encode("a big dog"), vocabulary.decode([4, 1, 5, 3, 999])
    ([4, 1, 5], 'a <unk> dog <unk>')
    """

    words: tuple[str, ...]
    split: Split = "whitespace"
    lower: bool = False
    normal_form: NormalForm = "NFC"
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_normal_form(self.normal_form)
        split_words("", self.split)
        object.__setattr__(self, "index", _numbered(self.words, "words") | {UNKNOWN_WORD: Specials().unk})

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        split: Split = "whitespace",
        lower: bool = False,
        normal_form: NormalForm = "NFC",
        min_count: int = 1,
        max_size: int | None = None,
    ) -> WordVocabulary:
        """Count the words of texts and keep the most frequent, ties in the order of their characters.

        Args:
            texts: read once.
            split: as for the class.
            lower: as for the class.
            normal_form: as for the class.
            min_count: how often a word must occur.
            max_size: how many numbers there may be, the special ones among them; `None`: any.

        Raises:
            DataError: the texts have no word that is frequent enough.
            UsageError: an option is not known or out of range.
        """
        empty = cls((), split, lower, normal_form)
        words = _most_frequent(map(empty.split_text, several(texts)), min_count, max_size)
        return cls(words, split, lower, normal_form)

    @property
    def specials(self) -> Specials:
        """The numbers of the special tokens."""
        return Specials()

    def __len__(self) -> int:
        return len(Specials()) + len(self.words)

    def split_text(self, text: str) -> list[str]:
        """Return the words of a text, as they are looked up."""
        text = normalise(text, self.normal_form)
        return split_words(text.lower() if self.lower else text, self.split)

    def encode(self, text: str) -> list[int]:
        """Return the number of each word."""
        index, unknown = self.index, Specials().unk
        return [index.get(word, unknown) for word in self.split_text(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words with spaces between."""
        return " ".join(_tokens(ids, self.words, UNKNOWN_WORD))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        options = {"split": self.split, "lower": self.lower, "normal_form": self.normal_form}
        return {"kind": "words", **options, "words": list(self.words)}


@dataclass(frozen=True)
class CharacterVocabulary:
    """Characters (code points), white space among them.

    Args:
        characters: in the order of their numbers, which begin behind the special ones.
        lower: whether texts are made lower-case first.
        normal_form: the Unicode normal form that texts are brought into first.

    Raises:
        UsageError: a character occurs twice or is more than one, or an option is not known.

    >>> vocabulary = CharacterVocabulary.build(["to be or not to be"])
    >>> vocabulary.decode(vocabulary.encode("be bold"))
    'be bo��'
    """

    characters: tuple[str, ...]
    lower: bool = False
    normal_form: NormalForm = "NFC"
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_normal_form(self.normal_form)
        if any(len(character) != 1 for character in self.characters):
            raise UsageError("characters holds a text that is not one character; expected single characters")
        object.__setattr__(self, "index", _numbered(self.characters, "characters"))

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        lower: bool = False,
        normal_form: NormalForm = "NFC",
        min_count: int = 1,
        max_size: int | None = None,
    ) -> CharacterVocabulary:
        """Count the characters of texts and keep the most frequent; arguments and errors as `WordVocabulary.build`."""
        empty = cls((), lower, normal_form)
        return cls(_most_frequent(map(empty._prepared, several(texts)), min_count, max_size), lower, normal_form)

    @property
    def specials(self) -> Specials:
        """The numbers of the special tokens."""
        return Specials()

    def __len__(self) -> int:
        return len(Specials()) + len(self.characters)

    def _prepared(self, text: str) -> str:
        text = normalise(text, self.normal_form)
        return text.lower() if self.lower else text

    def encode(self, text: str) -> list[int]:
        """Return the number of each character."""
        index, unknown = self.index, Specials().unk
        return [index.get(character, unknown) for character in self._prepared(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text; an unknown character is U+FFFD."""
        return "".join(_tokens(ids, self.characters, UNKNOWN_CHARACTER))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "kind": "characters",
            "lower": self.lower,
            "normal_form": self.normal_form,
            "characters": list(self.characters),
        }


def vocabulary_from_dict(data: Mapping[str, Any]) -> Vocabulary:
    """Make the vocabulary that `to_dict` was called on.

    Raises:
        DataError: the data is not what `to_dict` returned.
        MissingExtra: it is a subword vocabulary and the library for those is not installed.

    >>> vocabulary = WordVocabulary.build(["a cat"], lower=True)
    >>> vocabulary_from_dict(vocabulary.to_dict()) == vocabulary
    True
    """
    from ostinato.data.text.subwords import SubwordVocabulary

    try:
        options = dict(data)
        kind = options.pop("kind")
        if kind == "subwords":
            return SubwordVocabulary(**options)
        listed = "words" if kind == "words" else "characters"
        options[listed] = tuple(map(_text, options[listed]))
        return WordVocabulary(**options) if kind == "words" else CharacterVocabulary(**options)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the vocabulary cannot be read ({error}); save the model again with this version") from error


def several(texts: Iterable[str]) -> Iterable[str]:
    """Return texts as they are; raise `UsageError` where one text stands for several."""
    if isinstance(texts, str):
        raise UsageError("texts is one text; expected several, such as a list: its characters would be taken for texts")
    return texts


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _numbered(tokens: tuple[str, ...], what: str) -> dict[str, int]:
    index = {token: number for number, token in enumerate(tokens, len(Specials()))}
    if len(index) < len(tokens):
        doubled = next(token for number, token in enumerate(tokens, len(Specials())) if index[token] != number)
        raise UsageError(f"{what} holds {doubled!r} twice; expected each once")
    if UNKNOWN_WORD in index:
        raise UsageError(f"{what} holds {UNKNOWN_WORD!r}, which is the special unknown token; leave it out")
    return index


def _most_frequent(texts: Iterable[Iterable[str]], min_count: int, max_size: int | None) -> tuple[str, ...]:
    if min_count < 1:
        raise UsageError(f"min_count is {min_count}; expected at least 1")
    if max_size is not None and max_size <= len(Specials()):
        raise UsageError(f"max_size is {max_size}; expected more than the {len(Specials())} special tokens")
    counts: Counter[str] = Counter()
    for tokens in texts:
        counts.update(tokens)
    kept = [item for item in counts.items() if item[1] >= min_count and item[0] != UNKNOWN_WORD and is_unicode(item[0])]
    if not kept:
        raise DataError(f"the texts have no token that occurs {min_count} times; check the file, or lower min_count")
    kept.sort(key=lambda item: (-item[1], item[0]))
    return tuple(token for token, _ in kept[: None if max_size is None else max_size - len(Specials())])


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: a lone surrogate cannot, and is unknown to every vocabulary."""
    if text.isascii():
        return True
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _tokens(ids: Iterable[int], tokens: tuple[str, ...], unknown: str) -> Iterator[str]:
    first, silent = len(Specials()), {Specials().pad, Specials().bos, Specials().eos}
    for number in map(int, ids):
        if number not in silent:
            yield tokens[number - first] if first <= number < first + len(tokens) else unknown
