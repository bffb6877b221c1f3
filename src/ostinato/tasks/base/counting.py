"""What followed what: distributions over the next symbol by how often each came after the last few ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Table:
    """What followed contexts of one length: `contexts` sorted, how often each came and how many kinds followed it.

    `pairs` are contexts with a follower, sorted, and how often each came.
    """

    contexts: Ints
    counts: Ints
    kinds: Ints
    pairs: Ints
    pair_counts: Ints

    def __post_init__(self) -> None:
        """Raise `ValueError` where the parts do not belong together, as in a changed file."""
        ordered = ((self.contexts, (self.counts, self.kinds)), (self.pairs, (self.pair_counts,)))
        if any(keys.ndim != 1 or any(each.shape != keys.shape for each in others) for keys, others in ordered):
            raise ValueError("a context and how often it came do not belong together")


@dataclass(frozen=True)
class FollowerCounts:
    """The distribution after the longest context that was seen, mixed with those after shorter ones.

    Contexts of all lengths up to `order` are mixed by Witten and Bell's rule: a context that was followed by `d`
    different symbols in `n` places leaves `d / (n + d)` to the next shorter one, the empty one to all alike.

    Args:
        symbols: how many a context may have; followers: how many may follow.
        tables: of each length, the shortest first.

    Source: I. Witten and T. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991.

    >>> counts = FollowerCounts.of([[0, 1, 0, 1, 0]], 2, order=1)
    >>> counts.distribution(counts.contexts([[0, 1]]))[0].round(3).tolist()
    [0.19, 0.81]
    """

    symbols: int
    followers: int
    tables: tuple[_Table, ...]

    @property
    def order(self) -> int:
        """Symbols of a context, at most."""
        return len(self.tables) - 1

    @classmethod
    def of(
        cls,
        sequences: Sequence[Sequence[int] | Ints],
        symbols: int,
        *,
        order: int,
        following: Sequence[Ints] | None = None,
        followers: int | None = None,
        begins: bool = False,
    ) -> FollowerCounts:
        """Count sequences.

        Args:
            sequences: of symbols from 0.
            symbols: how many there are.
            order: symbols of a context, at most; fewer if numbers of 64 bits do not hold so many.
            following: of each sequence, what came after each symbol, where that is not the next one; what is not from
                0 to `followers` is not counted.
            followers: how many may follow; `None`: as many as there are symbols.
            begins: whether the beginning of a sequence is a symbol too.
        """
        followers = symbols if followers is None else followers
        made = cls(symbols, followers, tuple(_EMPTY for _ in range(1 + largest_order(symbols, followers, order))))
        contexts = made.contexts(sequences, begins=begins)
        given = following or [np.append(np.asarray(sequence)[1:], -1) for sequence in sequences]
        after = _joined(given)
        known = (after >= 0) & (after < followers)
        tables = [_table(context[known], after[known], followers) for context in contexts]
        if following is None:  # the first symbols come after nothing, and count there
            whole = _joined(sequences)
            tables[0] = _table(np.zeros(len(whole), np.int64), whole, followers)
        return cls(symbols, followers, tuple(tables))

    def contexts(self, sequences: Sequence[Sequence[int] | Ints], *, begins: bool = False) -> list[Ints]:
        """Return, for each length, the number of the context up to each symbol, -1 where there are too few before it.

        Args:
            sequences: of symbols.
            begins: see `of`.
        """
        arrays = [np.asarray(sequence, np.int64) + 1 for sequence in sequences]
        found = []
        for length in range(self.order + 1):
            found.append(_joined([self._keys(array, length, begins) for array in arrays]))
        return found

    def _keys(self, ints: Ints, length: int, begins: bool) -> Ints:
        before = np.concatenate([np.zeros(length, np.int64), ints])
        keys = np.zeros(len(ints), np.int64)
        for back in range(length, 0, -1):
            keys = keys * (self.symbols + 1) + before[length - back + 1 : length - back + 1 + len(ints)]
        if not begins:
            keys[: max(0, length - 1)] = -1
        return keys

    def distribution(self, contexts: Sequence[Ints]) -> Floats:
        """Return the distribution after each context, `(contexts, followers)`."""
        distinct, place = np.unique(contexts[-1] if self.order else contexts[0], return_inverse=True)
        rows = np.zeros(len(distinct), np.int64)
        rows[place] = np.arange(len(place))  # one place of each: the longest context tells all shorter ones
        mixed = np.full((len(distinct), self.followers), 1.0 / self.followers)
        for table, keys in zip(self.tables, contexts, strict=True):
            at, known = find_sorted(table.contexts, keys[rows])
            seen = np.zeros(mixed.shape)
            first = np.searchsorted(table.pairs, keys[rows] * self.followers)
            stop = np.searchsorted(table.pairs, (keys[rows] + 1) * self.followers)
            for row in np.flatnonzero(known):
                part = slice(first[row], stop[row])
                seen[row, table.pairs[part] % self.followers] = table.pair_counts[part]
            kinds = np.where(known, table.kinds[at], 0)[:, None] if len(table.kinds) else np.zeros((len(rows), 1))
            new = (seen + kinds * mixed) / np.maximum(seen.sum(1, keepdims=True) + kinds, 1)
            mixed = np.where(known[:, None], new, mixed)
        return mixed[place]

    def probabilities(self, contexts: Sequence[Ints], following: Ints) -> Floats:
        """Return the probability of what followed each context, `(contexts,)`."""
        mixed = np.full(len(following), 1.0 / self.followers)
        for table, keys in zip(self.tables, contexts, strict=True):
            at, known = find_sorted(table.contexts, keys)
            at_pair, there = find_sorted(table.pairs, keys * self.followers + following)
            if not len(table.contexts):
                continue
            n, d = np.where(known, table.counts[at], 0), np.where(known, table.kinds[at], 0)
            count = np.where(there & known, table.pair_counts[at_pair], 0)
            mixed = np.where(n > 0, (count + d * mixed) / np.maximum(n + d, 1), mixed)
        return mixed


def largest_order(symbols: int, followers: int, most: int) -> int:
    """Return up to which length contexts with a follower fit into whole numbers of 64 bits, `most` at most."""
    room = 62 - math.log2(max(followers, 2))
    return max(0, min(most, int(room / math.log2(max(symbols + 1, 2)))))


_EMPTY = _Table(*(np.zeros(0, np.int64) for _ in range(5)))


def _joined(arrays: Sequence[Sequence[int] | Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *(np.asarray(array, np.int64) for array in arrays)])


def _table(contexts: Ints, following: Ints, followers: int) -> _Table:
    there = contexts >= 0
    keys, counts = np.unique(contexts[there], return_counts=True)
    pairs, pair_counts = np.unique(contexts[there] * followers + following[there], return_counts=True)
    kinds = np.bincount(np.searchsorted(keys, pairs // followers), minlength=len(keys)) if len(keys) else counts
    return _Table(keys, counts.astype(np.int64), kinds.astype(np.int64), pairs, pair_counts.astype(np.int64))


def find_sorted(ordered: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return where each wanted number would be among sorted ones, and whether it is there."""
    if not len(ordered):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return at, ordered[at] == wanted
