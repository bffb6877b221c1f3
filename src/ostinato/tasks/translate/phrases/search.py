"""A beam search over which words have been translated, for several sources at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.translate.numbers import Numbers
from ostinato.tasks.translate.phrases.alignment import Ints
from ostinato.tasks.translate.phrases.extraction import WIDEST
from ostinato.tasks.translate.phrases.options import options_of
from ostinato.tasks.translate.phrases.table import BOUND, STRANGE, PhraseTable
from ostinato.tasks.translate.phrases.words import GAP

Floats = NDArray[np.float64]
Found: TypeAlias = "list[tuple[list[str], Floats]]"
"""Translations of one source, words and features of each, the best first."""
FEATURES = ("phrase", "phrase turned round", "words", "words turned round", "n-grams", "length", "phrases", "distance")
WEIGHTS = (0.2, 0.2, 0.2, 0.2, 0.5, 0.9, -0.2, 0.3)
"""What is known to do for most languages; see `FEATURES`."""
_PHRASE, _NGRAMS, _LENGTH, _COUNT, _DISTANCE = slice(0, 4), 4, 5, 6, 7
_BEAM, _TRIED, _FURTHEST = 20, 50, 6
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Hypotheses:
    """Beginnings of translations, one a row."""

    sentence: Ints
    covered: Ints  # a bit for each word that is translated
    end: Ints  # place behind the last phrase
    context: Ints  # (rows, 2) last words
    text: NDArray[np.uint64]  # of all words, as one number
    features: Floats
    score: Floats
    future: Floats
    parent: Ints
    option: Ints

    def take(self, rows: Ints) -> _Hypotheses:
        return _Hypotheses(*(getattr(self, name)[rows] for name in _NAMES))


_NAMES = tuple(_Hypotheses.__dataclass_fields__)


def _joined(parts: Sequence[_Hypotheses]) -> _Hypotheses:
    return _Hypotheses(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))


class PhraseSearch:
    """One beam search for some sources; the stacks of all of them that have as many words translated go together.

    Args:
        table: of phrases.
        sources: words as they are looked up, none of them empty, 60 words at most.
        weights: `(8,)`, of `FEATURES`.
        numbers: those that translations keep; `None`: it does not matter.
    """

    def __init__(
        self, table: PhraseTable, sources: Sequence[Sequence[str]], weights: Floats, numbers: Numbers | None = None
    ) -> None:
        self.table, self.sources, self.weights = table, sources, weights
        self.lengths = np.array([len(source) for source in sources])
        self.options = options_of(table, sources, numbers)
        own = self.options
        self.static = own.scores @ weights[_PHRASE] + weights[_LENGTH] * own.size + weights[_COUNT]
        self.static += weights[_NGRAMS] * own.heads[:, 1]
        self.known = np.where(own.words < len(table.target), own.words, STRANGE)  # as n-grams know them
        self.costs = self._future_costs()
        self.parents, self.chosen = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.ended: list[list[tuple[float, int, Floats]]] = [[] for _ in sources]

    def found(self, best: int) -> list[Found]:
        """Search, and return the words and features of the best translations of each source."""
        count, longest = len(self.sources), int(self.lengths.max())
        every = np.arange(count)
        stacks: list[list[_Hypotheses]] = [[] for _ in range(longest + 1)]
        stacks[0].append(
            _Hypotheses(
                every, np.zeros(count, np.int64), np.zeros(count, np.int64), np.full((count, 2), BOUND),
                np.zeros(count, np.uint64), np.zeros((count, len(FEATURES))), np.zeros(count),
                self.costs[every, 0, self.lengths], np.full(count, -1), np.full(count, -1),
            )
        )  # fmt: skip
        for number, arrived in enumerate(stacks):
            if not arrived:
                continue
            own = self._pruned(_joined(arrived))
            base = len(self.parents)
            self.parents, self.chosen = np.append(self.parents, own.parent), np.append(self.chosen, own.option)
            done = self.lengths[own.sentence] == number
            self._end(own, base, np.flatnonzero(done))
            going = np.flatnonzero(~done)
            if len(going):
                for into, new in self._expanded(own.take(going), base + going, number):
                    stacks[into].append(new)
            stacks[number] = []
        return [
            [(self._words(row), features) for _, row, features in sorted(each, key=lambda one: -one[0])[:best]]
            for each in self.ended
        ]

    def _pruned(self, own: _Hypotheses) -> _Hypotheses:
        """Return the best of each source, each text once."""
        with np.errstate(over="ignore"):
            same = own.text ^ (own.covered.astype(np.uint64) * _MIX)
        value = own.score + own.future
        order = np.lexsort((-value, same, own.sentence))
        fresh = (np.diff(own.sentence[order], prepend=-1) != 0) | np.append(True, same[order][1:] != same[order][:-1])
        order = order[fresh]
        order = order[np.lexsort((-value[order], own.sentence[order]))]
        return own.take(order[_ranks(own.sentence[order]) < _BEAM])

    def _expanded(self, own: _Hypotheses, rows: Ints, number: int) -> list[tuple[int, _Hypotheses]]:
        """Translate one more phrase of each hypothesis, and return the best by how many words are translated then."""
        options, weights = self.options, self.weights
        counts = np.diff(options.starts)[own.sentence]
        of = np.repeat(np.arange(len(counts)), counts)
        option = np.arange(len(of)) + np.repeat(options.starts[own.sentence] - (np.cumsum(counts) - counts), counts)
        first, length = options.first[option], options.length[option]
        gap_starts, gap_ends, open_at = self._gaps(own)
        begin = gap_starts[of, first]
        fits = (own.covered[of] & options.mask[option]) == 0
        fits &= (np.abs(first - own.end[of]) <= _FURTHEST) | (first == open_at[of])
        fits &= (first == open_at[of]) | (first + length - open_at[of] <= _FURTHEST)
        of, option, first, length, begin = (each[fits] for each in (of, option, first, length, begin))
        sentence, stop = own.sentence[of], gap_ends[of, first]
        costs = self.costs
        future = own.future[of] - costs[sentence, begin, stop]
        future += costs[sentence, begin, first] + costs[sentence, first + length, stop]
        distance = -np.abs(first - own.end[of]).astype(float)
        score = own.score[of] + self.static[option] + weights[_DISTANCE] * distance
        guess = score + future + weights[_NGRAMS] * options.heads[option, 0]
        group = sentence * (self.lengths.max() + 1) + length
        order = np.lexsort((-guess, group))
        order = order[_ranks(group[order]) < _TRIED]
        of, option, length, score, future, distance = (
            each[order] for each in (of, option, length, score, future, distance)
        )
        logs = self._ngrams(own.context[of], option)
        features = own.features[of]
        features[:, _PHRASE] += options.scores[option]
        features[:, _NGRAMS] += logs + options.heads[option, 1]
        features[:, _LENGTH] += options.size[option]
        features[:, _COUNT] += 1
        features[:, _DISTANCE] += distance
        new = _Hypotheses(
            own.sentence[of], own.covered[of] | options.mask[option], options.first[option] + length,
            self._context(own.context[of], option), self._text(own.text[of], option), features,
            score + weights[_NGRAMS] * logs, future, rows[of], option,
        )  # fmt: skip
        return [(number + one, new.take(np.flatnonzero(length == one))) for one in np.unique(length).tolist()]

    def _end(self, own: _Hypotheses, base: int, rows: Ints) -> None:
        if not len(rows):
            return
        text = np.concatenate([own.context[rows], np.full((len(rows), 1), BOUND)], 1)
        text = np.where(text < len(self.table.target), text, STRANGE)
        logs = np.log(self.table.ngrams.read(text.ravel(), given=0).probabilities[-1]).reshape(text.shape)[:, -1]
        for row, log in zip(rows.tolist(), logs.tolist(), strict=True):
            features = own.features[row].copy()
            features[_NGRAMS] += log
            score = float(own.score[row] + self.weights[_NGRAMS] * log)
            self.ended[own.sentence[row]].append((score, base + row, features))

    def _gaps(self, own: _Hypotheses) -> tuple[Ints, Ints, Ints]:
        """Return of each word that is not translated where its gap begins and ends, and each first such word."""
        longest = int(self.lengths.max())
        lengths = self.lengths[own.sentence]
        is_open = (own.covered[:, None] >> np.arange(longest)) & 1 == 0
        starts, ends = np.zeros((2, len(lengths), longest), np.int64)
        begin = np.zeros(len(lengths), np.int64)
        for place in range(longest):
            begin = np.where(is_open[:, place], begin, place + 1)
            starts[:, place] = begin
        stop = lengths.copy()
        for place in range(longest - 1, -1, -1):
            stop = np.where(is_open[:, place], np.minimum(stop, lengths), place)
            ends[:, place] = stop
        return starts, ends, is_open.argmax(1)

    def _ngrams(self, context: Ints, option: Ints) -> Floats:
        """Return the log-probability of the first two words of phrases after contexts."""
        words = self.known[option, :2]
        text = np.concatenate([context, np.where(words < 0, STRANGE, words)], 1)
        read = self.table.ngrams.read(text.ravel(), given=0).probabilities[-1].reshape(text.shape)
        logs: Floats = np.log(read[:, 2]) + np.where(words[:, 1] >= 0, np.log(read[:, 3]), 0.0)
        return logs

    def _context(self, context: Ints, option: Ints) -> Ints:
        size = self.options.size[option]
        row = np.arange(len(option))
        last = self.known[option, size - 1]
        before = np.where(size > 1, self.known[option, np.maximum(size - 2, 0)], context[:, 1])
        return np.stack([before, last], 1) if len(row) else context

    def _text(self, text: NDArray[np.uint64], option: Ints) -> NDArray[np.uint64]:
        with np.errstate(over="ignore"):
            for place in range(WIDEST):
                word = self.options.words[option, place]
                moved = (text ^ (word.astype(np.uint64) + np.uint64(1))) * _MIX
                text = np.where(word >= 0, moved ^ (moved >> np.uint64(29)), text)
        return text

    def _future_costs(self) -> Floats:
        """Return what each span is translated by at best, `(sources, longest + 1, longest + 1)`, first and behind."""
        longest, own = int(self.lengths.max()), self.options
        costs = np.full((len(self.sources), longest + 1, longest + 1), -np.inf)
        sentence = np.repeat(np.arange(len(self.sources)), np.diff(own.starts))
        value = self.static + self.weights[_NGRAMS] * own.heads[:, 0]
        np.maximum.at(costs, (sentence, own.first, own.first + own.length), value)
        every = np.arange(longest + 1)
        costs[:, every, every] = 0.0
        for length in range(2, longest + 1):
            first = np.arange(longest + 1 - length)
            for cut in range(1, length):
                both = costs[:, first, first + cut] + costs[:, first + cut, first + length]
                costs[:, first, first + length] = np.maximum(costs[:, first, first + length], both)
        return np.where(np.isfinite(costs), costs, -1e9)

    def _words(self, row: int) -> list[str]:
        options: list[int] = []
        while self.parents[row] >= 0:
            options.append(int(self.chosen[row]))
            row = int(self.parents[row])
        numbers = [int(number) for option in reversed(options) for number in self.options.words[option] if number >= 0]
        target = self.table.target
        words = [
            target[number] if number < len(target) else self.options.copied[number - len(target)] for number in numbers
        ]
        return [word if place or word.startswith(GAP) else GAP + word for place, word in enumerate(words)]


def _ranks(groups: Ints) -> Ints:
    """Return the place of each row in its group; groups are next to each other."""
    firsts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(np.append(firsts, len(groups)))
    found: Ints = np.arange(len(groups)) - np.repeat(firsts, sizes)
    return found
