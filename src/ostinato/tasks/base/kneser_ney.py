"""Interpolated Kneser-Ney n-grams with modified discounts, counted and looked up without a loop over tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.counting import find_sorted

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_NGRAMS = 3_000_000
"""N-grams that are kept, at most: 12 bytes each, 36 MB; those that came once, of the highest orders, go first."""
MOST_TOKENS = 10_000_000
"""Tokens that are counted, at most: the last ones of a longer text."""
_PIECE = 100_000


@dataclass(frozen=True)
class Level:
    """The n-grams of one length.

    Args:
        keys: sorted, `row * symbols + symbol`: the row of an n-gram's first symbols in the level below, and its last.
        shares: of the same n-grams, the discounted count over that of the context.
    """

    keys: Ints
    shares: NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """What n-grams say at some places.

    Args:
        probabilities: `(orders, places)`, of the symbol that came, by n-grams up to each length.
        left: `(orders, places)`, what a context of each length leaves to shorter ones; 1 where it was never seen.
    """

    probabilities: Floats
    left: Floats


@dataclass(frozen=True)
class KneserNey:
    """The probabilities of the next symbol by what followed the last few ones, contexts of all lengths interpolated.

        p(w | context) = max(count - D(count), 0) / total + left(context) * p(w | shorter context)

    Counts of the longest n-grams are those of the text; of shorter ones, how many different symbols came before them.
    `D` is one of three discounts, for counts of 1, 2 and more. What the shortest context leaves is given to all alike,
    but for the share of the symbol that stands for unknown ones: as much as came once in the text (Good and Turing).

    Args:
        symbols: how many there are.
        levels: from single symbols up.
        floor: `(symbols,)`, what each has of the rest of the shortest context.

    Raises:
        ValueError: the levels do not belong together, as in a file that was changed.

    Sources: R. Kneser and H. Ney, "Improved backing-off for m-gram language modeling", ICASSP 1995; S. Chen and J.
    Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech and Language 13, 1999.

    >>> model = count(np.array([0, 1, 0, 1, 0, 2, 0, 1]), symbols=3, order=2).of_order(2)
    >>> model.distribution([0]).round(2).tolist(), float(model.distribution([0]).sum())
    ([0.19, 0.59, 0.22], 1.0)
    """

    symbols: int
    levels: tuple[Level, ...]
    floor: Floats
    _rests: tuple[Floats, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Add up what each context leaves."""
        if not self.levels or self.symbols < 1:
            raise ValueError("n-grams have no level or no symbols")
        if self.floor.shape != (self.symbols,) or not (self.floor >= 0).all() or abs(self.floor.sum() - 1) > 1e-6:
            raise ValueError("the shares of the shortest context are no shares")
        rests, rows = [], 1
        for level in self.levels:
            keys, shares = level.keys, level.shares
            if keys.ndim != 1 or keys.shape != shares.shape or keys.dtype != np.int64:
                raise ValueError("a level's n-grams and shares are not of one length")
            if len(keys) and (keys[0] < 0 or keys[-1] >= rows * self.symbols or (np.diff(keys) <= 0).any()):
                raise ValueError("a level's n-grams are not in order")
            if not (np.isfinite(shares).all() and (shares >= 0).all()):
                raise ValueError("a level's shares are no shares")
            given = np.bincount(keys // self.symbols, shares.astype(np.float64), minlength=rows)
            if (given > 1 + 1e-4).any():
                raise ValueError("a context's shares are more than 1")
            rests.append(np.maximum(1.0 - given, 0.0))
            rows = len(keys)
        object.__setattr__(self, "_rests", tuple(rests))

    @property
    def order(self) -> int:
        """Symbols of the longest n-gram."""
        return len(self.levels)

    @property
    def size(self) -> int:
        """How many n-grams there are, of all lengths."""
        return sum(len(level.keys) for level in self.levels)

    def read(self, symbols: Sequence[int] | NDArray[np.integer], *, given: int = 1) -> Reading:
        """Return what n-grams say of the symbols of a text, but for the first `given`, which are context alone."""
        text = np.asarray(symbols, np.int64)
        probabilities, left = np.empty((2, self.order, len(text)))
        rows = np.zeros(len(text), np.int64)  # of the context before each symbol: the empty one is row 0
        mixed = self.floor[text]
        for number, (level, rests) in enumerate(zip(self.levels, self._rests, strict=True)):
            at, there = find_sorted(level.keys, np.where(rows >= 0, rows * self.symbols + text, -1))
            rest = np.where(rows >= 0, rests[rows], 1.0)
            # a context that was seen but leaves all is pruned: it says nothing
            mixed = np.where(there, level.shares[at], 0.0) + rest * mixed
            probabilities[number], left[number] = mixed, rest
            rows = np.concatenate([[-1], np.where(there, at, -1)[:-1]])[: len(text)]
        return Reading(probabilities[:, given:], left[:, given:])

    def losses(self, text: NDArray[np.integer]) -> Floats:
        """Return the loss of each symbol of a text but the first, in nats, `(symbols - 1,)`."""
        found = [np.zeros(0)]
        for first in range(1, len(text), _PIECE):
            begin = max(0, first - self.order + 1)
            found.append(-np.log(self.read(text[begin : first + _PIECE], given=first - begin).probabilities[-1]))
        return np.concatenate(found)

    def distributions(self, context: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the probability of each symbol after a context by n-grams up to each length, and what contexts leave.

        Returns:
            `(orders, symbols)` and `(orders,)`, see `Reading`.
        """
        probabilities, left = np.empty((self.order, self.symbols)), np.ones(self.order)
        mixed = self.floor
        for number, (level, rests) in enumerate(zip(self.levels, self._rests, strict=True)):
            row = self._row(context[len(context) - number :]) if number <= len(context) else -1
            if row >= 0:
                first, stop = np.searchsorted(level.keys, [row * self.symbols, (row + 1) * self.symbols])
                left[number] = rests[row]
                mixed = left[number] * mixed
                mixed[level.keys[first:stop] - row * self.symbols] += level.shares[first:stop]
            probabilities[number] = mixed
        return probabilities, left

    def distribution(self, context: Sequence[int]) -> Floats:
        """Return the probabilities of each symbol after a context, `(symbols,)`."""
        found: Floats = self.distributions(context)[0][-1]
        return found

    def _row(self, ngram: Sequence[int]) -> int:
        """Return the row of an n-gram in its level, -1 if it was never seen."""
        row = 0
        for level, symbol in zip(self.levels, ngram, strict=False):
            key = row * self.symbols + int(symbol)
            row = int(np.searchsorted(level.keys, key))
            if row == len(level.keys) or level.keys[row] != key:
                return -1
        return row


@dataclass(frozen=True)
class _Counts:
    """The n-grams of one length: see `Level`; how often each came, and after how many different symbols."""

    keys: Ints
    often: Ints
    kinds: Ints


@dataclass(frozen=True)
class Counted:
    """The n-grams of a text up to some length, of which models of any order up to it are made.

    Args:
        symbols: how many there are.
        tables: from single symbols up.
        unknown: the symbol that stands for unknown ones.
    """

    symbols: int
    tables: tuple[_Counts, ...]
    unknown: int | None

    @property
    def most(self) -> int:
        """The highest order."""
        return len(self.tables)

    def of_order(self, order: int, *, most: int = MOST_NGRAMS) -> KneserNey:
        """Return the model of an order, of `most` n-grams."""
        tables = self.tables[:order]
        least = _least_counts([table.often for table in tables], most)
        levels: list[Level] = []
        renamed = np.zeros(1, np.int64)  # rows of the level below as they are kept, -1 for those that are not
        for number, table in enumerate(tables):
            counts = table.often if number == len(tables) - 1 else table.kinds
            context = table.keys // self.symbols
            totals = np.bincount(context, counts, minlength=len(renamed))
            shares = np.maximum(counts - discounts(counts)[np.minimum(counts, 3)], 0.0) / totals[context]
            kept = (table.often >= least[number]) & (renamed[context] >= 0)
            keys = renamed[context[kept]] * self.symbols + table.keys[kept] % self.symbols
            levels.append(Level(keys, shares[kept].astype(np.float32)))
            renamed = np.where(kept, np.cumsum(kept) - 1, -1)
        while len(levels) > 1 and not len(levels[-1].keys):
            levels.pop()
        return KneserNey(self.symbols, tuple(levels), self._floor(levels[0]))

    def _floor(self, level: Level) -> Floats:
        floor = np.full(self.symbols, 1.0 / self.symbols)
        often = self.tables[0].often
        left = 1.0 - float(level.shares.sum(dtype=np.float64))
        if self.unknown is None or left <= 0:
            return floor
        share = min(0.99, float((often == 1).sum()) / float(often.sum()) / left)
        floor *= 1.0 - share
        floor[self.unknown] += share
        return floor


def count(text: NDArray[np.integer], symbols: int, order: int, unknown: int | None = None) -> Counted:
    """Return the n-grams of a text, up to a length; of a very long text, of its end."""
    numbers = np.asarray(text, np.int64)[-MOST_TOKENS:]
    ends = np.zeros(len(numbers) + 1, np.int64)  # row of the n-gram that ends before each symbol, in its table
    tables: list[_Counts] = []
    for length in range(min(order, len(numbers))):
        keys, rows, often = np.unique(
            ends[length:-1] * symbols + numbers[length:], return_inverse=True, return_counts=True
        )
        if tables:
            # each n-gram is one symbol before the n-gram without it: how many such there are
            shorter = np.empty(len(keys), np.int64)
            shorter[rows] = ends[length + 1 :]
            kinds = np.bincount(shorter, minlength=len(tables[-1].keys))
            tables[-1] = replace(tables[-1], kinds=np.maximum(kinds, 1))
        tables.append(_Counts(keys, often.astype(np.int64), np.ones(len(keys), np.int64)))
        ends[length + 1 :] = rows
    return Counted(symbols, tuple(tables), unknown)


def discounts(counts: Ints) -> Floats:
    """Return what is taken off counts of 0, 1, 2, and 3 or more, `(4,)`.

    Chen and Goodman's estimates, from how many n-grams came once to four times; where there are none of these, as
    with characters, whose pairs are all frequent, each is held within what a discount can be.
    """
    n1, n2, n3, n4 = (max(int((counts == k).sum()), 1) for k in (1, 2, 3, 4))
    share = n1 / (n1 + 2 * n2)
    found = np.array([1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3])
    one, two, three = np.clip(found, 0.05, [0.95, 1.8, 2.7])
    return np.array([0.0, one, max(one, two), max(one, two, three)])


def _least_counts(often: Sequence[Ints], most: int) -> list[int]:
    """Return how often n-grams of each length must have come to be kept: those that came once go, the longest first."""
    least = [1] * len(often)
    sizes = [len(each) for each in often]
    for count_wanted in (2, 3, 4, 8, 16, 1 << 62):
        for number in range(len(often) - 1, 0, -1):
            if sum(sizes) <= most:
                return least
            least[number] = count_wanted
            sizes[number] = int((often[number] >= count_wanted).sum())
    return least
