"""Texts as the words that phrases are made of, and back: nothing of a text is lost but how wide its spaces are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

GAP = "▁"
"""Stands before a word that white space stands before."""
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = r"!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20"
_LETTER = rf"[^\s\d{_MARKS}{_SPACELESS}]"
_WORD = re.compile(rf"(\s*)([{_SPACELESS}]|\d+(?:[.,:/]\d+)*|{_LETTER}+(?:['’](?={_LETTER}))?|\S)")
_CHARACTER = re.compile(r"(\s*)(\S)")
_CHUNK = re.compile(r"(\s*)(\S+)")
_KINDS = {"word": _WORD, "character": _CHARACTER, "whitespace": _CHUNK}
_ENOUGH = 0.5


def words_of(text: str, how: str) -> list[str]:
    r"""Split a text into words, each with a mark before it where white space, or the beginning, is.

    Words are runs of letters, an inner apostrophe with what is before it; numbers; other characters one by one, and so
    those of scripts that write no spaces.

    Args:
        text: any.
        how: `"word"`; `"whitespace"`, at white space alone; `"character"`.

    >>> words_of('Er sagt: "l\'homme", 3.50!', "word")
    ['▁Er', '▁sagt', ':', '▁"', "l'", 'homme', '"', ',', '▁3.50', '!']
    >>> text_of(words_of("It's  10:30.", "word"))
    "It's 10:30."
    """
    found = _KINDS[how].findall(text.replace(GAP, "_"))
    return [GAP + word if space or not place else word for place, (space, word) in enumerate(found)]


def text_of(words: Iterable[str]) -> str:
    """Return words as a text."""
    return "".join(words).replace(GAP, " ").strip()


@dataclass(frozen=True)
class Casing:
    """What is made of letter case: a word is written as within a sentence, though it be the first of one.

    Args:
        lowered: first words, as they are written, that are written small elsewhere, of sources.
        capital: whether a translation begins with a capital, where its source does not, and where it does.
    """

    lowered: tuple[str, ...] = ()
    capital: tuple[bool, bool] = (False, False)

    def __post_init__(self) -> None:
        """Keep the words where they are found at once."""
        object.__setattr__(self, "_known", frozenset(self.lowered))

    @classmethod
    def fit(cls, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> Casing:
        """Learn from pairs as words."""
        counts = [[0, 0], [0, 0]]
        for ours, theirs in zip(sources, targets, strict=True):
            if theirs:
                row = counts[_is_capital(ours)]
                row[0] += _is_capital(theirs)
                row[1] += 1
        every = [sum(row[number] for row in counts) for number in (0, 1)]
        shares = [(capital + 1e-3 * every[0]) / max(count + 1e-3 * every[1], 1e-9) for capital, count in counts]
        return cls(tuple(sorted(lowered_words(sources))), (shares[0] > _ENOUGH, shares[1] > _ENOUGH))

    def source(self, words: Sequence[str]) -> list[str]:
        """Return a source as it is looked up."""
        return lowered_first(words, self._known)  # type: ignore[attr-defined]

    def target(self, text: str, source: Sequence[str]) -> str:
        """Return a translation as it is written: with a capital, if such ones begin so."""
        return text[:1].upper() + text[1:] if self.capital[_is_capital(source)] else text


def lowered_words(rows: Sequence[Sequence[str]]) -> set[str]:
    """Return the words that are capital at the beginning alone."""
    inner = Counter(word for row in rows for word in row[1:])
    firsts = {row[0] for row in rows if row}
    return {word for word in firsts if word != word.lower() and inner[word.lower()] > inner[word]}


def lowered_first(words: Sequence[str], known: Container[str]) -> list[str]:
    """Return words, the first one small if it is among some."""
    if words and words[0] in known:
        return [words[0].lower(), *words[1:]]
    return list(words)


def _is_capital(words: Sequence[str]) -> bool:
    return bool(words) and words[0].removeprefix(GAP)[:1].isupper()
