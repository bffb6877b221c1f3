"""What a tagger has to beat: the most frequent tag of each word, and a hidden Markov model of pairs of tags."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import TaggedSentence


class FrequentTags:
    """The most frequent tag of each word; of a word not seen, the most frequent of all."""

    def __init__(self, sentences: Sequence[TaggedSentence]) -> None:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        whole: Counter[str] = Counter()
        for sentence in sentences:
            for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
                counts[token][tag] += 1
                whole[tag] += 1
        self.overall = _first(whole)
        self.by_word = {word: _first(own) for word, own in counts.items()}

    def tags(self, tokens: Sequence[str]) -> list[str]:
        """Return the tag of each token."""
        return [self.by_word.get(token, self.overall) for token in tokens]


class HiddenMarkov:
    """A hidden Markov model of pairs of tags, its best path found by Viterbi's algorithm.

    Pairs of tags are mixed with single ones by Witten and Bell's rule. What is known of an unknown word is the tags of
    words that came once, and of those with its last letters where there are some.

    Args:
        sentences: to count.
        suffix: letters of an unknown word's end that are looked at.

    Sources: L. Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989; words that came once
    for those that never did, T. Brants, "TnT", ANLP 2000, section 2.3, in a simple form.
    """

    def __init__(self, sentences: Sequence[TaggedSentence], suffix: int = 3) -> None:
        self.names = sorted({tag for sentence in sentences for tag in sentence.tags})
        self.suffix = suffix
        index = {name: number for number, name in enumerate(self.names)}
        size = len(self.names)
        pairs = np.zeros((size + 1, size + 1))  # the last row is the beginning, the last column the end
        words: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(size))
        for sentence in sentences:
            own = [index[tag] for tag in sentence.tags]
            np.add.at(pairs, ([size, *own], [*own, size]), 1.0)
            for token, tag in zip(sentence.tokens, own, strict=True):
                words[token][tag] += 1
        self.shares = pairs.sum(0)[:size] / pairs.sum(0)[:size].sum()
        self.moves = np.log(_mixed(pairs))
        self.words = {word: _log_likelihood(own, self.shares) for word, own in words.items()}
        once = {word: own for word, own in words.items() if own.sum() == 1}
        self.rare = self._ends(once or words)

    def tags(self, tokens: Sequence[str]) -> list[str]:
        """Return the tags of the most probable path."""
        if not tokens:
            return []
        size = len(self.names)
        emitted = [self.words.get(token, self._unknown(token)) for token in tokens]
        best = self.moves[size, :size] + emitted[0]
        back = []
        for own in emitted[1:]:
            reached = best[:, None] + self.moves[:size, :size]
            back.append(reached.argmax(0))
            best = reached.max(0) + own
        path = [int((best + self.moves[:size, size]).argmax())]
        for moves in reversed(back):
            path.append(int(moves[path[-1]]))
        return [self.names[number] for number in reversed(path)]

    def _unknown(self, token: str) -> NDArray[np.float64]:
        ends = (token[len(token) - length :] for length in range(min(self.suffix, len(token)), -1, -1))
        return next(self.rare[end] for end in ends if end in self.rare)

    def _ends(self, words: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """Return the likelihood of each end of the given words, the empty one among them."""
        ends: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(self.names)))
        for word, counts in words.items():
            for length in range(min(self.suffix, len(word)) + 1):
                ends[word[len(word) - length :]] += counts
        return {end: _log_likelihood(own + self.shares, self.shares) for end, own in ends.items()}


def _first(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag)) if counts else ""


def _mixed(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance of each tag after each, mixed with that of the tag alone."""
    alone = (pairs.sum(0) + 1) / (pairs.sum() + pairs.shape[0])
    different = (pairs > 0).sum(1, keepdims=True)
    mixed: NDArray[np.float64] = (pairs + different * alone) / np.maximum(pairs.sum(1, keepdims=True) + different, 1)
    return np.maximum(mixed, 1e-12)


def _log_likelihood(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of what is proportional to the word's probability under each tag, by Bayes's rule."""
    own = counts / counts.sum()
    logs: NDArray[np.float64] = np.log(np.maximum(own / shares, 1e-12))
    return logs
