"""What a tagger has to beat: the most frequent tag of each word, and a hidden Markov model of pairs of tags."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import TaggedSentence
from ostinato.tasks.tag.sentences import Examples

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tags:
    """Of one sentence: the class of each token's tag, `(tokens,)`, and, if there are any, the probabilities of all.

    Shape: `probabilities (tokens, tags)`.
    """

    found: NDArray[np.int64]
    probabilities: Floats | None = None


@dataclass(frozen=True)
class FrequentTags:
    """The most frequent tag of each word; of a word not seen, the most frequent of all."""

    names: tuple[str, ...]
    overall: str
    by_word: Mapping[str, str]

    @classmethod
    def fit(cls, sentences: Sequence[TaggedSentence], names: tuple[str, ...]) -> FrequentTags:
        """Count sentences; `names` are the tags in the order of their classes."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        whole: Counter[str] = Counter()
        for sentence in sentences:
            for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
                counts[token][tag] += 1
                whole[tag] += 1
        return cls(names, _first(whole), {word: _first(count) for word, count in counts.items()})

    def predict(self, examples: Examples) -> list[Tags]:
        """Return the tags of sentences."""
        return _numbered([self.tags(sentence.tokens) for sentence in examples.sentences], self.names)

    def tags(self, tokens: Sequence[str]) -> list[str]:
        """Return the tag of each token."""
        return [self.by_word.get(token, self.overall) for token in tokens]


@dataclass(frozen=True)
class HiddenMarkov:
    """A hidden Markov model of pairs of tags, its best path found by Viterbi's algorithm.

    Pairs of tags are mixed with single ones by Witten and Bell's rule. What is known of an unknown word is the tags of
    words that came once, and of those with its last letters where there are some.

    Args:
        names: the tags.
        suffix: letters of an unknown word's end that are looked at.
        moves: log-probabilities of a tag after each, `(tags + 1, tags + 1)`; the beginning is last, and the end.
        words, word_logs: log-likelihoods `(words, tags)` of words; ends, end_logs: of the ends of rare ones.

    Sources: L. Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989; words that came once
    for those that never did, T. Brants, "TnT", ANLP 2000, section 2.3, in a simple form.
    """

    names: tuple[str, ...]
    suffix: int
    moves: Floats
    words: tuple[str, ...]
    word_logs: Floats
    ends: tuple[str, ...]
    end_logs: Floats

    @classmethod
    def fit(cls, sentences: Sequence[TaggedSentence], names: tuple[str, ...], suffix: int = 3) -> HiddenMarkov:
        """Count sentences, whose tags are all among the names."""
        size, index = len(names), {name: number for number, name in enumerate(names)}
        pairs = np.zeros((size + 1, size + 1))  # the last row is the beginning, the last column the end
        words: dict[str, Any] = defaultdict(lambda: np.zeros(size))
        for sentence in sentences:
            numbers = [index[tag] for tag in sentence.tags]
            np.add.at(pairs, ([size, *numbers], [*numbers, size]), 1.0)
            for token, tag in zip(sentence.tokens, numbers, strict=True):
                words[token][tag] += 1
        shares = pairs.sum(0)[:size] / pairs.sum(0)[:size].sum()
        once = {word: value for word, value in words.items() if value.sum() == 1}
        ends: dict[str, Any] = defaultdict(lambda: np.zeros(size))
        for word, counts in (once or words).items():
            for length in range(min(suffix, len(word)) + 1):
                ends[word[len(word) - length :]] += counts
        word_logs = np.stack([_log_likelihood(each, shares) for each in words.values()])
        end_logs = np.stack([_log_likelihood(each + shares, shares) for each in ends.values()])
        return cls(names, suffix, np.log(_mixed(pairs)), tuple(words), word_logs, tuple(ends), end_logs)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def _end_place(self) -> dict[str, int]:
        return {end: row for row, end in enumerate(self.ends)}

    def predict(self, examples: Examples) -> list[Tags]:
        """Return the tags of sentences."""
        return _numbered([self.tags(sentence.tokens) for sentence in examples.sentences], self.names)

    def tags(self, tokens: Sequence[str]) -> list[str]:
        """Return the tags of the most probable path."""
        if not tokens:
            return []
        size = len(self.names)
        emitted = [self._logs(token) for token in tokens]
        best = self.moves[size, :size] + emitted[0]
        back = []
        for each in emitted[1:]:
            reached = best[:, None] + self.moves[:size, :size]
            back.append(reached.argmax(0))
            best = reached.max(0) + each
        path = [int((best + self.moves[:size, size]).argmax())]
        for moves in reversed(back):
            path.append(int(moves[path[-1]]))
        return [self.names[number] for number in reversed(path)]

    def _logs(self, token: str) -> Floats:
        if token in self._place:
            return np.asarray(self.word_logs[self._place[token]])
        ends = (token[len(token) - length :] for length in range(min(self.suffix, len(token)), -1, -1))
        return np.asarray(self.end_logs[next(self._end_place[end] for end in ends if end in self._end_place)])


def _numbered(found: Sequence[Sequence[str]], names: tuple[str, ...]) -> list[Tags]:
    index = {name: number for number, name in enumerate(names)}
    return [Tags(np.array([index[tag] for tag in tags], np.int64)) for tags in found]


def _first(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag)) if counts else ""


def _mixed(pairs: Floats) -> Floats:
    """Return the probability of each tag after each, mixed with that of the tag alone."""
    alone = (pairs.sum(0) + 1) / (pairs.sum() + pairs.shape[0])
    different = (pairs > 0).sum(1, keepdims=True)
    mixed: Floats = (pairs + different * alone) / np.maximum(pairs.sum(1, keepdims=True) + different, 1)
    return np.maximum(mixed, 1e-12)


def _log_likelihood(counts: Floats, shares: Floats) -> Floats:
    """Return the logarithm of what is proportional to the word's probability under each tag, by Bayes's rule."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Floats = np.log(np.maximum(np.nan_to_num((counts / counts.sum()) / shares), 1e-12))
    return logs
