"""Spans of BIO-like tags, and their precision, recall and F1 as the CoNLL shared tasks count them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_TAG = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
_SAME = {"L": "E", "U": "S"}


class Span(NamedTuple):
    """What stands from `first` up to `stop`, which is excluded, and is a `kind`."""

    kind: str
    first: int
    stop: int


@dataclass(frozen=True)
class SpanScores:
    """Shares of spans, whole and of the right kind: of those found, of those there are, and their harmonic mean."""

    precision: float
    recall: float
    f1: float
    there: int
    found: int
    right: int


def scheme_of(tags: Iterable[str]) -> str:
    """Return the scheme that the names of tags are of: `"BIO"`, `"IOBES"`, or `""` if they name no spans.

    >>> scheme_of(["O", "B-PER", "I-PER"]), scheme_of(["O", "S-PER"]), scheme_of(["NOUN", "O"])
    ('BIO', 'IOBES', '')
    """
    names = set(tags) - {"O"}
    letters = [_TAG.fullmatch(name) for name in names]
    if not names or not all(letters):
        return ""
    return "BIO" if {each[1] for each in letters if each} <= {"B", "I"} else "IOBES"


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Return the spans of one sentence, by the rules of the program `conlleval`.

    A span begins at `B` or `S`, and also at `I` or `E` where none of the same kind is open (as IOB1 writes them, and as
    a model may); it ends before what is not its inside, and after `E` or `S`. `L` and `U` are read as `E` and `S`.

    Source: E. Tjong Kim Sang and F. De Meulder, "Introduction to the CoNLL-2003 shared task", 2003, and the program.

    >>> spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [Span(kind='PER', first=0, stop=2), Span(kind='LOC', first=3, stop=4), Span(kind='LOC', first=4, stop=5)]
    """
    found: list[Span] = []
    kind, first = "", -1
    for place, (letter, value) in enumerate([*map(_parsed, tags), ("O", "")]):
        goes_on = first >= 0 and letter in "IE" and value == kind
        if first >= 0 and not goes_on:
            found.append(Span(kind, first, place))
            first = -1
        if first < 0 and letter != "O":
            kind, first = value, place
        if first >= 0 and letter in "ES":
            found.append(Span(kind, first, place + 1))
            first = -1
    return found


def span_scores(truth: Iterable[Sequence[str]], found: Iterable[Sequence[str]]) -> SpanScores:
    """Return how well the spans of sentences were found, all kinds together.

    >>> span_scores([["B-X", "I-X", "O", "B-Y"]], [["B-X", "I-X", "O", "O"]]).f1.__round__(3)
    0.667
    """
    there = chosen = right = 0
    for wanted, value in zip(truth, found, strict=True):
        real, said = set(spans_of(wanted)), set(spans_of(value))
        there, chosen, right = there + len(real), chosen + len(said), right + len(real & said)
    return SpanScores(
        right / chosen if chosen else 0.0,
        right / there if there else 0.0,
        2 * right / (there + chosen) if there + chosen else 0.0,
        there, chosen, right,
    )  # fmt: skip


def _parsed(tag: str) -> tuple[str, str]:
    parsed = _TAG.fullmatch(tag)
    return ("O", "") if parsed is None else (_SAME.get(parsed[1], parsed[1]), parsed[2])
