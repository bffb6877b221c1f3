"""A network and phrases as one translator: what either would say, in the order that both give it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.searching.search import Hypothesis, Search
from ostinato.tasks.translate.mix import NEVER, Mix
from ostinato.tasks.translate.numbers import Numbers, mended, replaced
from ostinato.tasks.translate.phrases.decoder import Candidate, decode
from ostinato.tasks.translate.phrases.table import PhraseTable
from ostinato.tasks.translate.phrases.tuning import bleu, bleu_parts
from ostinato.tasks.translate.translating import (
    Languages,
    Translation,
    log_probabilities,
    translate_texts,
    translated_pieces,
)

Floats = NDArray[np.float64]
_BEST = 8
_SHARES = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
_LENGTHS = (0.0, 0.3, 0.6, 1.0)
_BEHIND = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0)
_NEAR = 0.75
_FEW = 10
"""Held-out pairs by which nothing is told apart."""
_MISSING = 100.0  # of a score, each number that is lost: more than all else tells apart
_PIECES = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Together:
    """What translates: a network, and perhaps phrases.

    Args:
        languages: the network with its vocabularies.
        table: of phrases; `None`: the network alone.
        weights: of what phrases are judged by.
        mix: of both.
        numbers: what is known of those in figures.
    """

    languages: Languages
    table: PhraseTable | None = None
    weights: tuple[float, ...] = ()
    mix: Mix = Mix()  # noqa: RUF009, it is frozen
    numbers: Numbers = Numbers()  # noqa: RUF009, it is frozen

    def translate(self, texts: Sequence[str], search: Search) -> list[list[Translation]]:
        """Return translations of each text, the best first, as many as the search has hypotheses.

        Rare numbers are read as frequent ones, and written as they were.
        """
        read = [self.numbers.read_as(text) for text in texts]
        found = self._translated([text for text, _ in read], search)
        return [_written(each, back)[: search.beam_size] for each, (_, back) in zip(found, read, strict=True)]

    def _translated(self, texts: Sequence[str], search: Search) -> list[list[Translation]]:
        if self.table is None:
            return self._by_network(texts, search)
        if self.mix.alone:
            return self._with_numbers(texts, self._by_network(texts, search), search)
        said = [[] for _ in texts] if self.mix.is_phrases else self._by_network(texts, search)
        both = [
            list(theirs) if _too_long(theirs) else ordered(ours, theirs, source, self.mix, self.numbers)
            for source, ours, theirs in zip(texts, said, self._phrases(texts, search), strict=True)
        ]
        if self.mix.is_phrases:  # where no phrase may be said
            for place in [place for place, each in enumerate(both) if not each]:
                both[place] = self._by_network([texts[place]], search)[0]
        return both

    def _by_network(self, texts: Sequence[str], search: Search) -> list[list[Translation]]:
        """Return what the network says; a number that it made up gives way to one that it lost."""
        found = translate_texts(self.languages, texts, search)
        for place, source in enumerate(texts):
            if wanted := self.numbers.wanted(source):
                said = [replace(each, text=mended(each.text, source, wanted)) for each in found[place]]
                found[place] = self._by_score(source, said)
        return found

    def _by_score(self, source: str, found: Sequence[Translation]) -> list[Translation]:
        """Return translations with what their lost numbers cost, the best first."""
        costs = [_MISSING * self.numbers.missing(source, each.text) for each in found]
        less = [
            replace(each, score=each.score - cost) if cost else each for each, cost in zip(found, costs, strict=True)
        ]
        return sorted(less, key=lambda each: -each.score)

    def _with_numbers(
        self, texts: Sequence[str], said: list[list[Translation]], search: Search
    ) -> list[list[Translation]]:
        """Put what phrases say beside what a network says that has lost a number."""
        lost = [place for place, source in enumerate(texts) if self.numbers.missing(source, said[place][0].text)]
        for place, theirs in zip(lost, self._phrases([texts[place] for place in lost], search), strict=True):
            alike = [_as_by_network(each, search) for each in theirs]
            said[place] = self._by_score(texts[place], [*said[place], *alike])
        return said

    def pieces(self, text: str, search: Search) -> Iterator[str]:
        """Yield the translation of a text piece by piece; if phrases have a say, once it is there."""
        if (self.table is None or self.mix.alone) and not self.numbers.wanted(text):
            return translated_pieces(self.languages, text, search)
        return iter(_PIECES.findall(self.translate([text], replace(search, beam_size=1))[0][0].text))

    def _phrases(self, texts: Sequence[str], search: Search) -> list[list[Translation]]:
        """Return what phrases say, scored by them and by the network; longer than it ever writes, by them alone."""
        assert self.table is not None
        known = [bool(self.languages.source.encode(text.strip())) for text in texts]
        found = decode(
            self.table, [text if there else "" for text, there in zip(texts, known, strict=True)], self.weights, _BEST,
            self.numbers,
        )  # fmt: skip
        return self._scored(texts, found, search)

    def _scored(
        self, texts: Sequence[str], found: Sequence[Sequence[Candidate]], search: Search
    ) -> list[list[Translation]]:
        rows = [
            (place, each, tokens)
            for place, candidates in enumerate(found)
            for each in candidates
            if _may_be(tokens := tuple(self.languages.target.encode(each.text)), search)
        ]
        made: list[list[Translation]] = [[] for _ in texts]
        long = {place for place, _, tokens in rows if len(tokens) > self.languages.longest}
        asked = [(place, tokens) for place, _, tokens in rows if place not in long]
        sources = [self.languages.read(texts[place]) for place, _ in asked]
        logs = iter(log_probabilities(self.languages.network, sources, [tokens for _, tokens in asked]))
        for place, each, tokens in rows:
            log = math.nan if place in long else next(logs)
            made[place].append(Translation(each.text, each.score, log, Hypothesis(tokens, log, each.score)))
        return made

    def fitted(self, pairs: Sequence[tuple[str, str]], search: Search) -> Mix:
        """Return how both are mixed best, by BLEU of held-out pairs; with few, by how well the network knows them."""
        if not pairs or self.table is None:
            return Mix()
        if len(pairs) < _FEW:
            return Mix.by_loss(self._loss(pairs))
        sources, how = [source for source, _ in pairs], self.table.how
        ours, theirs = self._by_network(sources, search), self._phrases(sources, search)
        pools = [
            _Pool.of(own, other, source, reference, how, self.numbers)
            for own, other, (source, reference) in zip(ours, theirs, pairs, strict=True)
            if not _too_long(other)
        ]
        if not pools:
            return Mix()

        def value(mix: Mix) -> float:
            return bleu(np.sum([pool.parts[pool.best(mix)] for pool in pools], 0))

        ends = [Mix(alone=True), Mix(0.0, 0.0, NEVER)]
        alone, by_phrases = map(value, ends)
        # what only a much worse network says is not believed, however well it did on a few sentences
        behind = (*_BEHIND, NEVER) if alone >= _NEAR * by_phrases else (NEVER,)
        grid = np.array([[[value(Mix(x, y, z)) for z in behind] for y in _LENGTHS] for x in _SHARES])
        even = _smoothed(grid)
        x, y, z = np.unravel_index(even.argmax(), even.shape)
        found = (Mix(_SHARES[x], _LENGTHS[y], behind[z]), float(even.max()))
        return max((found, *zip(ends, (alone, by_phrases), strict=True)), key=lambda each: each[1])[0]

    def _loss(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Return the network's loss of a token of some translations, in nats."""
        targets = [self.languages.target.encode(text) for _, text in pairs]
        logs = log_probabilities(self.languages.network, [self.languages.read(text) for text, _ in pairs], targets)
        return -sum(logs) / sum(len(each) + 1 for each in targets)


def _smoothed(grid: Floats) -> Floats:
    """Return the mean of each value and those beside it: one that stands out is chance."""
    for axis in range(grid.ndim):
        wide = np.pad(grid, [(int(axis == each),) * 2 for each in range(grid.ndim)], mode="edge")
        count = grid.shape[axis]
        grid = np.mean([wide.take(range(first, first + count), axis) for first in range(3)], 0)
    return grid


@dataclass(frozen=True)
class _Pool:
    """The translations of one source that a mix chooses from, those of phrases first, and what each adds to BLEU."""

    by_phrases: int
    by_network: int  # the place of what the network says by itself
    scores: Floats  # by phrases
    logs: Floats
    tokens: Floats
    missing: Floats
    parts: Floats

    @classmethod
    def of(
        cls, ours: Sequence[Translation], theirs: Sequence[Translation], source: str, reference: str, how: str,
        numbers: Numbers = Numbers(),  # noqa: B008, it is frozen
    ) -> _Pool:  # fmt: skip
        every = list({each.text: each for each in (*ours, *theirs)}.values())  # of one text, what phrases have
        every.sort(key=lambda each: each.text not in {one.text for one in theirs})
        return cls(
            len(theirs),
            next(place for place, each in enumerate(every) if each.text == ours[0].text),
            np.array([each.score for each in every]),
            np.array([each.log_probability for each in every]),
            np.array([len(each.hypothesis.tokens) + 1.0 for each in every]),
            np.array([numbers.missing(source, each.text) for each in every], float),
            np.stack([bleu_parts(each.text, reference, how) for each in every]),
        )

    def best(self, mix: Mix) -> int:
        """Return which one a mix chooses."""
        if mix.alone or not self.by_phrases:
            return self.by_network
        scores = self.scores.copy()
        scores[self.by_phrases :] = scores[: self.by_phrases].max() - mix.behind
        return int((scores + mix.share * (self.logs + mix.length * self.tokens) - _MISSING * self.missing).argmax())


def _too_long(theirs: Sequence[Translation]) -> bool:
    """Tell whether what phrases say is longer than what a network ever writes, and so was not asked of it."""
    return bool(theirs) and math.isnan(theirs[0].log_probability)


def ordered(
    ours: Sequence[Translation],
    theirs: Sequence[Translation],
    source: str,
    mix: Mix,
    numbers: Numbers = Numbers(),  # noqa: B008, it is frozen
) -> list[Translation]:
    """Return the translations of a network and of phrases, the best by both first, each text once."""
    if not theirs:
        return list(ours)
    by_phrases = {each.text: each.score for each in theirs}
    best = max(by_phrases.values())
    found: dict[str, Translation] = {}
    for each in (*theirs, *ours):
        score = by_phrases.get(each.text, best - mix.behind)
        score += mix.share * (each.log_probability + mix.length * (len(each.hypothesis.tokens) + 1))
        score -= _MISSING * numbers.missing(source, each.text)
        found.setdefault(each.text, replace(each, score=score, hypothesis=replace(each.hypothesis, score=score)))
    return sorted(found.values(), key=lambda one: -one.score)


def _written(found: Sequence[Translation], back: Mapping[str, str]) -> list[Translation]:
    """Return translations with the numbers of their source, each text once."""
    made: dict[str, Translation] = {}
    for each in found:
        text = replaced(each.text, back)
        made.setdefault(text, each if text == each.text else replace(each, text=text))
    return list(made.values())


def _as_by_network(each: Translation, search: Search) -> Translation:
    """Return a translation by phrases with the score that a search gives it."""
    if math.isnan(each.log_probability):
        return each
    return replace(each, score=each.log_probability / search.scale(len(each.hypothesis.tokens) + 1))


def _may_be(tokens: tuple[int, ...], search: Search) -> bool:
    """Tell whether a search would have let a text of some tokens be."""
    if len(tokens) < search.min_length or (search.max_length is not None and len(tokens) > search.max_length):
        return False
    if tokens and tokens[-1] in search.open_tokens:
        return False
    size = search.block_ngrams
    if size:
        grams = [tokens[i : i + size] for i in range(len(tokens) - size + 1)]
        if len(set(grams)) < len(grams):
            return False
    near = search.spaced
    return not any(token in tokens[max(0, i - near) : i] for i, token in enumerate(tokens)) if near else True
