"""Scorers of beam searches: functions, lists of words, and several together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.errors import UsageError
from ostinato.nn.losses.hypotheses import NEVER, Floats, LanguageModel, Scorer


@dataclass(frozen=True)
class CombinedScorer:
    """The weighed sum of several scorers, and a bonus for each label: language models wish for short texts.

    Args:
        classes: how many there are, the blank among them.
        parts: scorers with their weights; a scorer of weight 0 is not asked, even for what it forbids.
        bonus: added for each label.

    Source: C. Gulcehre et al., "On using monolingual corpora in neural machine translation", 2015 (shallow fusion); the
    bonus is that of Hannun et al., 2014.

    >>> words = WordScorer(WordList([[1, 2]], separator=3), classes=4)
    >>> both = CombinedScorer(4, ((words, 1.0),), bonus=0.5)
    >>> both.scores(both.start()).tolist()
    [-inf, 0.5, -inf, -inf]
    """

    classes: int
    parts: tuple[tuple[Scorer, float], ...] = ()
    bonus: float = 0.0

    def start(self) -> tuple[Any, ...]:
        """Return the states of all parts."""
        return tuple(scorer.start() if weight else None for scorer, weight in self.parts)

    def scores(self, state: tuple[Any, ...]) -> Floats:
        """Return the weighed sum, `(classes,)`."""
        found = np.full(self.classes, self.bonus)
        for (scorer, weight), one in zip(self.parts, state, strict=True):
            if weight:
                found += weight * scorer.scores(one)
        return found

    def advance(self, state: tuple[Any, ...], label: int) -> tuple[Any, ...]:
        """Advance all parts."""
        pairs = zip(self.parts, state, strict=True)
        return tuple(scorer.advance(one, label) if weight else None for (scorer, weight), one in pairs)

    def end(self, state: tuple[Any, ...]) -> float:
        """Return the weighed sum at the end."""
        pairs = zip(self.parts, state, strict=True)
        return sum(weight * scorer.end(one) for (scorer, weight), one in pairs if weight)


@dataclass(frozen=True)
class AskedScorer:
    """A function of the labels so far and the next one, as a scorer."""

    model: LanguageModel
    classes: int

    def start(self) -> tuple[int, ...]:
        """Return no labels."""
        return ()

    def scores(self, state: tuple[int, ...]) -> Floats:
        """Ask for each class."""
        return np.array([self.model(state, label) for label in range(self.classes)], np.float64)

    def advance(self, state: tuple[int, ...], label: int) -> tuple[int, ...]:
        """Return the labels with one more."""
        return (*state, label)

    def end(self, state: tuple[int, ...]) -> float:
        """Ask for the end."""
        return self.model(state, None)


class WordList:
    """The words a beam search may write, as labels: a tree of their beginnings.

    Args:
        words: each a sequence of labels.
        separator: the label between two words, such as that of the space.

    Raises:
        UsageError: a word is empty or contains the separator.

    >>> words = WordList([[1, 2], [1, 2, 3]], separator=9)
    >>> node = words.step(words.step(words.start, 1), 2)
    >>> words.ends(node), words.step(node, 3) is None, words.step(node, 9) == words.start
    (True, False, True)
    """

    start = 0

    def __init__(self, words: Iterable[Sequence[int]], separator: int) -> None:
        self.separator = separator
        self._children: list[dict[int, int]] = [{}]
        self._ends: set[int] = set()
        for word in words:
            self._add(word)

    def step(self, node: int, label: int) -> int | None:
        """Return the place in the tree after `label`, or `None` if no word continues so."""
        if label == self.separator:
            return self.start if node in self._ends else None
        return self._children[node].get(label)

    def ends(self, node: int) -> bool:
        """Return whether a text may end here: after a whole word, after a separator, or before any word."""
        return node == self.start or node in self._ends

    def allowed(self, node: int, classes: int) -> Floats:
        """Return 0 for the labels that may come after a place, -inf for the others, `(classes,)`."""
        found = np.full(classes, NEVER)
        found[[label for label in self._children[node] if 0 <= label < classes]] = 0.0
        if node in self._ends and 0 <= self.separator < classes:
            found[self.separator] = 0.0
        return found

    def _add(self, word: Sequence[int]) -> None:
        if not word or self.separator in word:
            raise UsageError(f"word {list(word)} is empty or contains the separator, {self.separator}")
        node = self.start
        for label in word:
            if label not in self._children[node]:
                self._children[node][label] = len(self._children)
                self._children.append({})
            node = self._children[node][label]
        self._ends.add(node)


@dataclass(frozen=True)
class WordScorer:
    """A list of words as a scorer: only its texts may be written.

    >>> scorer = WordScorer(WordList([[1, 2], [1]], separator=3), classes=4)
    >>> scorer.scores(scorer.advance(scorer.start(), 1)).tolist()
    [-inf, -inf, 0.0, 0.0]
    """

    words: WordList
    classes: int

    def start(self) -> int:
        """Return the place before any word."""
        return self.words.start

    def scores(self, state: int) -> Floats:
        """Return 0 for what may come next, else -inf."""
        return self.words.allowed(state, self.classes)

    def advance(self, state: int, label: int) -> int:
        """Return the place after one more label."""
        found = self.words.step(state, label)
        if found is None:
            raise UsageError(f"label {label} continues no word of the list")
        return found

    def end(self, state: int) -> float:
        """Return 0 after a whole word, else -inf."""
        return 0.0 if self.words.ends(state) else NEVER
