"""Tokens as text, piece by piece, as they are generated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ostinato.data.notes import note
from ostinato.data.text import Vocabulary
from ostinato.tasks.language.texts import Level

_NAMED = 5


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


def say_unknown(prompt: str, vocabulary: Vocabulary, level: Level) -> None:
    """Say which tokens of a prompt a model has never seen: it reads all of them as the same unknown one."""
    unknown = vocabulary.specials.unk
    tokens = vocabulary.encode(prompt)
    count = tokens.count(unknown)
    if not count:
        return
    words = dict.fromkeys(prompt.split() if level == "word" else prompt)
    strange = [word for word in words if unknown in vocabulary.encode(word)][:_NAMED]
    shown = " ".join(f'"{word[:40]}"' for word in strange)
    note(
        f"{count} of the {len(tokens)} {level}s of the prompt are not in the model's vocabulary ({shown}); each is "
        "read as unknown"
    )


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


def named(tokens: Iterable[int], vocabulary: Vocabulary, level: Level) -> tuple[str, ...]:
    """Return each token as text by itself; the end of a line and unknown tokens have names."""
    specials = vocabulary.specials
    names = {specials.eos: "\n" if level == "character" else "<eos>", specials.unk: "<unk>"}
    return tuple(names.get(token) or vocabulary.decode([token]) for token in map(int, tokens))


def until(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield text up to where one of some texts comes, which is left out; what may become one is held back.

    >>> list(until(["a c", "at", " or a d", "og"], ["dog", "cow"]))
    ['a ', 'cat', ' or a ']
    """
    held = ""
    for piece in pieces:
        held += piece
        ends = [held.find(stop) for stop in stops if stop in held]
        if ends:
            if min(ends):
                yield held[: min(ends)]
            return
        sure = len(held) - max((_begun(held, stop) for stop in stops), default=0)
        if sure:
            yield held[:sure]
        held = held[sure:]
    if held:
        yield held


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text are the beginning of another."""
    return next((count for count in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:count])), 0)
