"""A dictionary learned from pairs, and translation word for word by it: what a translator has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import split_words
from ostinato.tasks.base.allowance import deadline

_MOST = 20_000_000
"""Pairs of a source and a target word in one sentence pair that are counted, at most."""


def learn_dictionary(pairs: Sequence[tuple[str, str]], *, iterations: int = 5) -> dict[str, str]:
    """Return the most likely translation of each source word, by IBM's model 1.

    Every target word of a pair comes from one of its source words, or from none of them (`""`); which, is found by
    expectation and maximisation over word translation probabilities `t(target | source)`.

    Args:
        pairs: texts and their translations; where there are very many, those at even distances.
        iterations: of expectation and maximisation.

    Source: P. Brown et al., "The mathematics of statistical machine translation", Computational Linguistics 1993.

    >>> learn_dictionary([("das Haus", "the house"), ("das Buch", "the book"), ("ein Buch", "a book")])
    {'Buch': 'book', 'Haus': 'house', 'das': 'the', 'ein': 'a'}
    """
    rows = [(split_words(ours, "words"), split_words(theirs, "words")) for ours, theirs in _some(pairs)]
    source_index, target_index = _index(ours for ours, _ in rows), _index(theirs for _, theirs in rows)
    links, counts = _links(rows, source_index, target_index)
    sources, targets = np.divmod(links.keys, max(1, len(target_index)))
    probabilities = np.ones(len(links.keys))
    for _ in range(iterations):
        deadline().check()
        shares = probabilities[links.entry]
        shares /= np.bincount(links.place, shares, minlength=counts)[links.place]
        expected = np.bincount(links.entry, shares, minlength=len(probabilities))
        probabilities = expected / np.bincount(sources, expected, minlength=len(source_index))[sources]
    order = np.lexsort((targets, -probabilities, sources))
    first = np.unique(sources[order], return_index=True)[1]
    known, words = list(source_index), list(target_index)
    best = {known[sources[entry]]: words[targets[entry]] for entry in order[first]}
    return {word: best[word] for word in sorted(best) if word}


def by_dictionary(text: str, dictionary: Mapping[str, str]) -> str:
    """Return a text translated word for word; unknown words stay as they are."""
    return " ".join(dictionary.get(word, word) for word in split_words(text, "words"))


class _Links:
    """Each pair of a source and a target word in a sentence pair.

    `place (links,)`: the target word, counted through the corpus; `entry (links,)`: which of `keys (entries,)`, the
    numbers `source * targets + target` of the pairs of words that there are.
    """

    def __init__(self, place: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
        self.place = place
        self.keys, self.entry = np.unique(keys, return_inverse=True)


def _links(
    rows: Sequence[tuple[list[str], list[str]]], source_index: Mapping[str, int], target_index: Mapping[str, int]
) -> tuple[_Links, int]:
    """Return all links, and how many target words there are; the source word "" is beside every sentence."""
    places, keys, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for ours, theirs in rows:
        left = np.array([source_index[""], *(source_index[word] for word in ours)], np.int64)
        right = np.array([target_index[word] for word in theirs], np.int64)
        keys.append((left[:, None] * len(target_index) + right).ravel())
        places.append(np.tile(np.arange(count, count + len(right)), len(left)))
        count += len(right)
    return _Links(np.concatenate(places), np.concatenate(keys)), count


def _index(rows: object) -> dict[str, int]:
    words = {"", *(word for row in rows for word in row)}  # type: ignore[attr-defined]
    return {word: number for number, word in enumerate(sorted(words))}


def _some(pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Return as many pairs as memory and time allow."""
    sizes = np.array([(ours.count(" ") + 2) * (theirs.count(" ") + 1) for ours, theirs in pairs], np.int64)
    stride = max(1, -(-int(sizes.sum()) // _MOST))
    return pairs[::stride]
