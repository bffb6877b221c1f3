"""Tokens as text, piece by piece, as they are generated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ostinato.data.text import Vocabulary
from ostinato.tasks.language.corpus import Level


def spelled(tokens: Iterable[int], vocabulary: Vocabulary, level: Level) -> Iterator[str]:
    """Yield the text that each token adds; the end of a line is a new line."""
    end = vocabulary.specials.eos
    if level == "subword":
        yield from _grown(tokens, vocabulary, end)
        return
    between = "" if level == "character" else " "
    for token in tokens:
        yield "\n" if token == end and level == "word" else vocabulary.decode([token]) + between


def _grown(tokens: Iterable[int], vocabulary: Vocabulary, end: int) -> Iterator[str]:
    """Yield what each subword adds to the text of its line: the bytes of a character may be in several."""
    line: list[int] = []
    shown = ""
    for token in tokens:
        if token == end:
            line, shown = [], ""
            yield "\n"
            continue
        line.append(token)
        whole = vocabulary.decode(line).rstrip("\ufffd")  # of a character that has not ended
        yield whole[len(shown) :]
        shown = whole


def beginning(prompt: str, vocabulary: Vocabulary, level: Level) -> list[int]:
    """Return the tokens that a model reads before it writes: the prompt, or what a line begins after."""
    tokens = vocabulary.encode(prompt)
    if tokens:
        return tokens
    if level != "character":
        return [vocabulary.specials.eos]
    line_end = vocabulary.encode("\n")[0]
    return [line_end if line_end != vocabulary.specials.unk else len(vocabulary.specials)]


def never_drawn(vocabulary: Vocabulary, level: Level) -> list[int]:
    """Return the tokens that are not text."""
    specials = vocabulary.specials
    return [specials.pad, specials.unk, specials.bos, *([specials.eos] if level == "character" else [])]
