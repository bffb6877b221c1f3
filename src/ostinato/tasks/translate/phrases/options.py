"""What words of sources may be translated by, by a table of phrases or as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.translate.numbers import Numbers
from ostinato.tasks.translate.phrases.alignment import Ints
from ostinato.tasks.translate.phrases.extraction import WIDEST
from ostinato.tasks.translate.phrases.table import STRANGE, PhraseTable

Floats = NDArray[np.float64]
_COPIED = -1.0


@dataclass(frozen=True)
class Options:
    """What words of some sources may be translated by, those of one source after the other."""

    first: Ints  # (options,) first word, counted in its source
    length: Ints
    mask: Ints
    words: Ints  # (options, WIDEST), those behind the last known one are copied
    size: Ints
    scores: Floats  # (options, 4)
    heads: Floats  # (options, 2)
    starts: Ints  # (sources + 1,)
    copied: list[str]

    def take(self, rows: Ints, starts: Ints) -> Options:
        """Return some of them in a given order, and where those of each source begin."""
        return replace(
            self,
            **{
                name: getattr(self, name)[rows]
                for name in ("first", "length", "mask", "words", "size", "scores", "heads")
            },
            starts=starts,
        )


def options_of(table: PhraseTable, sources: Sequence[Sequence[str]], numbers: Numbers | None = None) -> Options:
    """Return what words of sources may be translated by; words that nothing is known of, and numbers, as they are.

    A phrase whose translation lost a number that translations keep, as misaligned ones do, is none.
    """
    lengths = np.array([len(source) for source in sources])
    sentences = np.repeat(np.arange(len(sources)), lengths)
    places = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = [word for source in sources for word in source]
    known = np.array([table.numbers.get(word, -1) for word in flat], np.int64)
    entries, at, spans = [], [], []
    alone = np.ones(len(flat), bool)  # words that nothing is known of
    for length, (begins, firsts, stops) in enumerate(table.entries(known, sentences), 1):
        counts = stops - firsts
        every = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
        entries.append(every)
        at.append(np.repeat(begins, counts))
        spans.append(np.full(len(every), length))
        if length == 1:
            alone[begins[counts > 0]] = False
    chosen, begins, span = (np.concatenate(each) for each in (entries, at, spans))
    if numbers is not None:
        kept = _with_numbers(table, flat, chosen, begins, span, numbers)
        chosen, begins, span = chosen[kept], begins[kept], span[kept]
    copies = np.flatnonzero(alone | np.array([any(map(str.isdigit, word)) for word in flat], bool))
    words = np.full((len(copies), WIDEST), -1)
    words[:, 0] = len(table.target) + np.arange(len(copies))
    unseen = float(np.log(table.ngrams.floor[STRANGE] * 1e-2))
    begins = np.concatenate([begins, copies])
    span = np.concatenate([span, np.ones(len(copies), np.int64)])
    made = Options(
        places[begins],
        span,
        ((1 << span) - 1) << places[begins],
        np.concatenate([table.targets[chosen], words]),
        np.concatenate([table.sizes[chosen], np.ones(len(copies), np.int64)]),
        np.concatenate([table.scores[chosen].astype(float), np.full((len(copies), 4), _COPIED)]),
        np.concatenate([table.heads[chosen].astype(float), np.tile([unseen, 0.0], (len(copies), 1))]),
        np.zeros(0, np.int64),
        [flat[place] if numbers is None else numbers.written(flat[place]) for place in copies],
    )
    order = np.argsort(sentences[begins], kind="stable")
    return made.take(order, np.searchsorted(sentences[begins][order], np.arange(len(sources) + 1)))


def _with_numbers(
    table: PhraseTable, flat: Sequence[str], chosen: Ints, begins: Ints, span: Ints, numbers: Numbers
) -> NDArray[np.bool_]:
    """Return which translations of phrases have the numbers that they are to keep, `(entries,)`."""
    has = np.array([bool(numbers.wanted(word)) for word in flat])
    before = np.cumsum([0, *has])
    kept = np.ones(len(chosen), bool)
    for row in np.flatnonzero(before[begins + span] > before[begins]).tolist():
        source = "".join(flat[begins[row] : begins[row] + span[row]])
        target = "".join(table.target[word] for word in table.targets[chosen[row]] if word >= 0)
        kept[row] = not numbers.missing(source, target)
    return kept
