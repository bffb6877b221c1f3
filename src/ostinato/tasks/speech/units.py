"""What a speech model writes: the blank, and characters, words or subwords, as the classes of its output."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ostinato.data.lines import normalise
from ostinato.data.text import CharacterVocabulary, Specials, SubwordVocabulary, Vocabulary, WordVocabulary

Level = Literal["character", "word", "subword"]
BLANK = 0
_FIRST = len(Specials()) - 1  # the blank stands where a vocabulary has the last of its special tokens
_WITHIN = "'’-"  # marks that belong to words
_FEWEST_SUBWORDS, _MOST_SUBWORDS = 300, 2000


@dataclass(frozen=True)
class SpeechUnits:
    """The classes of the output: 0 is the blank, from 1 on stand the units.

    Args:
        level: what a unit is.
        vocabulary: of the units.
        lower: whether texts are made lower-case.
        punctuation: whether marks of punctuation stay; apostrophes and hyphens within words always do.

    >>> units = SpeechUnits.build(["No, no!", "yes"], "character", lower=True, punctuation=False)
    >>> units.decode(units.encode("Yes  no?"))
    'yes no'
    >>> len(units), units.names[0]
    (7, '')
    """

    level: Level
    vocabulary: Vocabulary
    lower: bool = False
    punctuation: bool = True

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        level: Level,
        *,
        lower: bool = False,
        punctuation: bool = True,
        size: int | None = None,
        min_count: int = 1,
    ) -> SpeechUnits:
        """Find the units of texts.

        Args:
            texts: transcripts.
            level: what a unit is.
            lower: see the class.
            punctuation: see the class.
            size: units at most; `None`: all, of subwords 300 to 2,000 by the size of the texts.
            min_count: how often a character or word must occur.

        Raises:
            DataError: the texts hold nothing.
            MissingExtra: of subwords, the library is not installed.
        """
        whole = [prepared(text, lower=lower, punctuation=punctuation) for text in texts]
        most = None if size is None else size + len(Specials())
        made: Vocabulary
        if level == "subword":
            made = SubwordVocabulary.build(whole, size=max(most or _suited(whole), len(Specials()) + 257))
        elif level == "word":
            made = WordVocabulary.build(whole, min_count=min_count, max_size=most)
        else:
            # the space comes first between equally frequent ones: it is there where texts have several words
            made = CharacterVocabulary.build(whole, min_count=min_count, max_size=most)
        return cls(level, made, lower, punctuation)

    def __len__(self) -> int:
        """Return how many classes there are, the blank among them."""
        return len(self.vocabulary) - _FIRST

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The text of each class, that of the blank empty."""
        return ("", *(self.vocabulary.decode([number + _FIRST]) for number in range(1, len(self))))

    @property
    def separator(self) -> int | None:
        """The class of the space, where there is one by itself."""
        return self.names.index(" ") if self.level == "character" and " " in self.names else None

    def prepared(self, text: str) -> str:
        """Return a text as the units have it, with single spaces."""
        return prepared(text, lower=self.lower, punctuation=self.punctuation)

    def encode(self, text: str) -> list[int]:
        """Return the classes of a text; what is no unit is left out."""
        unknown = Specials().unk
        return [number - _FIRST for number in self.vocabulary.encode(self.prepared(text)) if number != unknown]

    def unknown(self, text: str) -> list[str]:
        """Return what of a text is no unit: characters, or whole words."""
        text = self.prepared(text)
        parts: Iterable[str] = text.split() if self.level == "word" else text
        return [part for part in parts if Specials().unk in self.vocabulary.encode(part)]

    def decode(self, classes: Iterable[int]) -> str:
        """Return the text of classes; blanks are left out."""
        return self.vocabulary.decode([number + _FIRST for number in classes if number != BLANK])


def prepared(text: str, *, lower: bool = False, punctuation: bool = True) -> str:
    """Return a transcript in composed characters and with single spaces, lower-case and without marks if wanted.

    >>> prepared("  Don't  stop, Mary-Ann! ", lower=True, punctuation=False)
    "don't stop mary-ann"
    """
    text = normalise(text, "NFC")
    text = text.lower() if lower else text
    if not punctuation:
        text = "".join(
            mark if mark in _WITHIN or not unicodedata.category(mark).startswith("P") else " " for mark in text
        )
        text = " ".join(word for word in text.split() if word.strip(_WITHIN))
    return " ".join(text.split())


def _suited(texts: Sequence[str]) -> int:
    """Return how many subwords suit texts: few of few, in which long ones come too seldom to be learned."""
    words = sum(len(text.split()) for text in texts)
    return min(max(100 * round(0.08 * math.sqrt(words)), _FEWEST_SUBWORDS), _MOST_SUBWORDS)
