"""Tokens that were written as text, unknown words among them copied from the source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ostinato.data.text import Vocabulary, WordVocabulary

_CLOSING = re.compile(r" (?=[.,;:!?%…)\]}»”’](?: |$))")
_OPENING = re.compile(r"(?<=[(\[{«“‘]) ")


def as_text(tokens: Sequence[int], vocabulary: Vocabulary, words: Sequence[str | None] = ()) -> str:
    """Return tokens as a text.

    Args:
        tokens: of the text.
        vocabulary: of the target.
        words: for each token the source word that stands in its place if it is unknown, `None` for no such word;
            matters to whole words only.

    Whole words that were split from their punctuation (`split="words"`) are joined with it again.

    >>> vocabulary = WordVocabulary.build(["ein Hund , und"], split="words")
    >>> as_text([*vocabulary.encode("ein"), 1, *vocabulary.encode(", und")], vocabulary, [None, "Rex", None, None])
    'ein Rex, und'
    """
    if not isinstance(vocabulary, WordVocabulary):
        return vocabulary.decode(tokens)
    unknown = vocabulary.specials.unk
    spelled = []
    for place, token in enumerate(tokens):
        copied = words[place] if token == unknown and place < len(words) else None
        spelled.append(vocabulary.decode([token]) if copied is None else copied)
    text = " ".join(word for word in spelled if word)
    return text if vocabulary.split == "whitespace" else _OPENING.sub("", _CLOSING.sub("", text))


def source_words(text: str, vocabulary: Vocabulary) -> list[str]:
    """Return the words of a source as they were written, one for each token; empty for other vocabularies."""
    if not isinstance(vocabulary, WordVocabulary):
        return []
    kept = WordVocabulary((), vocabulary.split, False, vocabulary.normal_form)
    return kept.split_text(text)


def copied(looked: Sequence[int], words: Sequence[str]) -> list[str | None]:
    """Return the source words at places that were looked at; none for the end of the source."""
    return [words[place] if place < len(words) else None for place in looked]


def pieces(tokens: Iterable[tuple[int, int | None]], vocabulary: Vocabulary, words: Sequence[str]) -> Iterator[str]:
    """Yield what each token adds to the text, as soon as it is certain.

    Args:
        tokens: each with the source position it looked at most.
        vocabulary: of the target.
        words: of the source, if unknown words are copied from it.
    """
    known: list[int] = []
    originals: list[str | None] = []
    shown = ""
    for token, place in tokens:
        known.append(token)
        originals.append(None if place is None or place >= len(words) else words[place])
        whole = as_text(known, vocabulary, originals).rstrip("\ufffd")  # bytes of a character that has not ended
        if whole.startswith(shown) and len(whole) > len(shown):
            yield whole[len(shown) :]
            shown = whole


def token_names(tokens: Sequence[int], vocabulary: Vocabulary, level: str) -> tuple[str, ...]:
    """Return tokens one by one, as a figure shows them."""
    named = []
    for token in tokens:
        if token == vocabulary.specials.eos:
            named.append("</s>")
        else:
            text = vocabulary.decode([token])
            named.append(text.replace(" ", "␣") if level != "word" else text)
    return tuple(named)
