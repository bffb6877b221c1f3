"""What decoding asks of the units of a model: how classes are written, and where words begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Spelling(Protocol):
    """The units of a model; class 0 is the blank."""

    @property
    def level(self) -> str:
        """`"character"`, `"word"` or `"subword"`."""

    @property
    def names(self) -> tuple[str, ...]:
        """What each class is in a text; `""` for the blank."""

    @property
    def separator(self) -> int | None:
        """The class of the space between words, if there is one."""

    def encode(self, text: str) -> list[int]:
        """Return the classes of a text."""

    def decode(self, classes: Iterable[int]) -> str:
        """Return the text of classes."""

    def __len__(self) -> int:
        """Return how many classes there are, the blank among them."""


_MARKS = (" ", "\u2581", "\u0120")
"""What a subword begins with that begins a word: a space, or what SentencePiece and byte-level BPE write for one."""


def plain_name(name: str) -> str:
    """Return a unit as it is in a text: with a space where a word begins."""
    return " " + name[1:] if name[:1] in _MARKS[1:] else name


def word_spans(classes: Sequence[int], units: Spelling) -> list[tuple[int, int]]:
    """Return where each word begins and ends among the units of a text, `[begin, end)`; spaces are of no word."""
    if units.level == "word":
        return [(place, place + 1) for place in range(len(classes))]
    spans: list[tuple[int, int]] = []
    begun: int | None = None
    for place, each in enumerate(classes):
        name = plain_name(units.names[each])
        if begun is not None and (each == units.separator or name[:1] == " "):
            spans.append((begun, place))
            begun = None
        if begun is None and each != units.separator and name.strip():
            begun = place
    return spans if begun is None else [*spans, (begun, len(classes))]
