"""What a language model has to beat: counts of tokens, and of the few tokens before each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def unigram_loss(corpus: NDArray[np.int32], test: NDArray[np.int32], vocabulary_size: int) -> float:
    """Return the mean negative log-likelihood, in nats, by shares of the corpus, each token counted once more."""
    counts = np.bincount(corpus, minlength=vocabulary_size) + 1.0
    return float(-np.log(counts[test[1:]] / counts.sum()).mean())


def ngram_loss(corpus: NDArray[np.int32], test: NDArray[np.int32], vocabulary_size: int, order: int) -> float:
    """Return the mean negative log-likelihood, in nats, of an n-gram model.

    Contexts of all lengths below `order` are mixed by Witten and Bell's rule: a context that was followed by `d`
    different tokens in `n` places leaves `d / (n + d)` to the next shorter one, the shortest to all tokens alike.

    Source: I. Witten and T. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991.
    """
    chances = np.full(len(test) - 1, 1.0 / vocabulary_size)
    for length in range(min(order, len(corpus))):
        keys, test_keys = _contexts(corpus, length, vocabulary_size), _contexts(test, length, vocabulary_size)
        followers, test_followers = corpus[length:], test[length:]
        seen, places = np.unique(keys, return_counts=True)
        pairs = keys * vocabulary_size + followers
        pair, pair_places = np.unique(pairs, return_counts=True)
        different = np.bincount(np.searchsorted(seen, pair // vocabulary_size), minlength=len(seen))
        at, known = _find(seen, test_keys)
        at_pair, pair_known = _find(pair, test_keys * vocabulary_size + test_followers)
        n = np.where(known, places[at], 0)
        d = np.where(known, different[at], 0)
        count = np.where(pair_known, pair_places[at_pair], 0)
        # the first tokens have fewer before them; the first of all is not foretold
        skip = max(length, 1) - 1
        rows = slice(max(0, 1 - length), None)
        mixed = (count[rows] + d[rows] * chances[skip:]) / np.maximum(n[rows] + d[rows], 1)
        chances[skip:] = np.where(n[rows] > 0, mixed, chances[skip:])
    return float(-np.log(chances).mean())


def largest_order(vocabulary_size: int) -> int:
    """Return up to which order n-grams fit into whole numbers of 64 bits: five at most."""
    return min(5, int(62 / math.log2(max(vocabulary_size, 2))))


def _contexts(tokens: NDArray[np.int32], length: int, vocabulary_size: int) -> NDArray[np.int64]:
    """Return a number for the `length` tokens before each token that has so many."""
    keys = np.zeros(max(len(tokens) - length, 0), np.int64)
    for back in range(length):
        keys = keys * vocabulary_size + tokens[back : len(tokens) - length + back]
    return keys


def _find(ordered: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return at, ordered[at] == wanted
