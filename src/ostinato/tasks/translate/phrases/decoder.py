"""The best translations by phrases of many texts: sentence by sentence, those of like length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.translate.numbers import Numbers
from ostinato.tasks.translate.phrases.search import FEATURES, Found, PhraseSearch
from ostinato.tasks.translate.phrases.table import PhraseTable
from ostinato.tasks.translate.phrases.words import GAP, text_of

Floats = NDArray[np.float64]
_Chunk: TypeAlias = "tuple[Sequence[str], bool]"
_CHUNK, _TOGETHER, _WORDS = 40, 48, 800
_ENDS, _WIDE_ENDS, _PAUSES = (*".!?", *"。！？"), (*"。！？",), (*",;:", *"、，；")
_LEAST, _SHORT = 6, 3


@dataclass(frozen=True)
class Candidate:
    """A translation, `features (8,)` of it in the order of `FEATURES`, and its score."""

    text: str
    features: Floats
    score: float


def decode(
    table: PhraseTable, texts: Sequence[str], weights: Sequence[float], best: int, numbers: Numbers | None = None
) -> list[list[Candidate]]:
    """Return the best translations of each text, up to so many, the best first; none of one without words.

    Args:
        table: of phrases.
        texts: sources.
        weights: of the features.
        best: how many.
        numbers: those that translations keep; `None`: it does not matter.
    """
    chunks: list[tuple[int, _Chunk]] = []
    known: list[Sequence[str]] = []
    for number, text in enumerate(texts):
        for words, begins in _chunks(table.words(text)):
            whole = table.looked_up(words, begins=begins)
            # compounds are looked up in parts, and may be more than there were
            for first in range(0, len(whole), _CHUNK):
                chunks.append((number, (words, begins) if not first else (whole[first:], False)))
                known.append(whole[first : first + _CHUNK])
    order = sorted(range(len(chunks)), key=lambda place: len(known[place]))
    found: list[Found] = [[] for _ in chunks]
    while order:
        rows = order[: max(1, min(_TOGETHER, _WORDS // len(known[order[min(_TOGETHER, len(order)) - 1]])))]
        order = order[len(rows) :]
        search = PhraseSearch(table, [known[row] for row in rows], np.asarray(weights, float), numbers)
        for row, each in zip(rows, search.found(best), strict=True):
            found[row] = each
    parts: list[list[tuple[_Chunk, Found]]] = [[] for _ in texts]
    for (number, chunk), each in zip(chunks, found, strict=True):
        parts[number].append((chunk, each))
    return [_whole(table, each, np.asarray(weights, float)) for each in parts]


def _chunks(words: Sequence[str]) -> Iterator[_Chunk]:
    """Yield a source sentence by sentence, long ones in pieces; each with whether a sentence begins there."""
    begins = True
    while words:
        ends = [place + 1 for place in range(_LEAST - 1, len(words) - 1) if _ends(words, place)]
        pauses = [place + 1 for place, word in enumerate(words[:_CHUNK]) if word.removeprefix(GAP) in _PAUSES]
        cut = len(words) if len(words) <= _CHUNK else pauses[-1] if pauses else _CHUNK
        ends_here = bool(ends) and ends[0] <= min(cut, _CHUNK)
        cut = ends[0] if ends_here else cut
        yield words[:cut], begins
        words, begins = words[cut:], ends_here


def _ends(words: Sequence[str], place: int) -> bool:
    """Tell whether a sentence ends with a word: not where a number or an abbreviation does."""
    before, after = words[place - 1].removeprefix(GAP), words[place + 1]
    if words[place] not in _ENDS or before.isdigit() or (len(before) < _SHORT and before.isascii()):
        return False
    return words[place] in _WIDE_ENDS or (after.startswith(GAP) and not after[1:2].islower())


def _whole(table: PhraseTable, parts: Sequence[tuple[_Chunk, Found]], weights: Floats) -> list[Candidate]:
    """Put the pieces of a source together: the best of each, the second of each, ..."""
    made: dict[str, Candidate] = {}
    for rank in range(max((len(each) for _, each in parts), default=0)):
        text, features = "", np.zeros(len(FEATURES))
        for (source, begins), each in parts:
            words, own = each[min(rank, len(each) - 1)]
            said = text_of(words)
            text += " " if text and source[0].startswith(GAP) else ""
            text += table.casing.target(said, source) if begins else said
            features = features + own
        made.setdefault(text, Candidate(text, features, float(features @ weights)))
    return sorted(made.values(), key=lambda one: -one.score)
