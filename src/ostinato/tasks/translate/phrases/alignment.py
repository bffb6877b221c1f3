"""Which word of a sentence stands for which of its translation, without a loop over sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_NOTHING, _TENSION, _ITERATIONS = 0.08, 4.0, 5
_GROWN = 6


@dataclass(frozen=True)
class Side:
    """The sentences of one language: `words (words,)` one after the other, `lengths (sentences,)`."""

    words: Ints
    lengths: Ints
    symbols: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], symbols: int) -> Side:
        """Put sentences together."""
        lengths = np.array([len(row) for row in rows], np.int64)
        return cls(np.array([word for row in rows for word in row], np.int64), lengths, symbols)

    @property
    def starts(self) -> Ints:
        """Where each sentence begins, `(sentences,)`."""
        found: Ints = np.cumsum(self.lengths) - self.lengths
        return found

    @property
    def sentences(self) -> Ints:
        """The sentence of each word, `(words,)`."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def places(self) -> Ints:
        """The place of each word in its sentence, `(words,)`."""
        found: Ints = np.arange(len(self.words)) - np.repeat(self.starts, self.lengths)
        return found


class Grid:
    """Every source word beside every target word of its pair: by pair, then target word, then source word.

    `source (links,)` and `target (links,)` are their places among all words; `starts (pairs,)` where those of a pair
    begin; `entry (links,)` which two words they are.
    """

    def __init__(self, ours: Side, theirs: Side) -> None:
        self.ours, self.theirs = ours, theirs
        wide = ours.lengths[theirs.sentences]  # of each target word: links
        self.target = np.repeat(np.arange(len(theirs.words)), wide)
        self.rows = np.cumsum(wide) - wide  # where the links of a target word begin
        within = np.arange(len(self.target)) - np.repeat(self.rows, wide)
        self.source = np.repeat(ours.starts[theirs.sentences], wide) + within
        sizes = ours.lengths * theirs.lengths
        self.starts = np.cumsum(sizes) - sizes
        keys = ours.words[self.source] * theirs.symbols + theirs.words[self.target]
        self.keys, self.entry = np.unique(keys, return_inverse=True)
        self.by_source = np.argsort(self.source, kind="stable")

    def diagonal(self) -> Floats:
        """Return how far each link is from the diagonal of its pair, `(links,)`, 0 to 1."""
        ours, theirs = self.ours, self.theirs
        ahead = (ours.places + 0.5) / np.maximum(ours.lengths, 1)[ours.sentences]
        beside = (theirs.places + 0.5) / np.maximum(theirs.lengths, 1)[theirs.sentences]
        found: Floats = np.abs(ahead[self.source] - beside[self.target])
        return found


@dataclass(frozen=True)
class Lexicon:
    """The chances of words: `given (entries,)` of the one of a link by the other, `nothing (symbols,)` by no word."""

    given: Floats
    nothing: Floats


def learn(grid: Grid, *, turned: bool = False) -> tuple[Lexicon, NDArray[np.bool_]]:
    """Return the chances of target words given source words, and which link is the best of each target word.

    The model is IBM's second, its alignments drawn towards the diagonal by one number; its chances are found by
    expectation and maximisation.

    Args:
        grid: of all pairs.
        turned: of source words given target words instead.

    Source: C. Dyer, V. Chahuneau and N. Smith, "A simple, fast, and effective reparameterization of IBM model 2",
    NAACL 2013.
    """
    side, at = (grid.ours, grid.source) if turned else (grid.theirs, grid.target)
    by_given, by_said = np.divmod(grid.keys, grid.theirs.symbols)
    if turned:
        by_given, by_said = by_said, by_given
    count = len(side.words)
    prior = np.exp(-_TENSION * grid.diagonal())
    prior *= (1.0 - _NOTHING) / np.maximum(np.bincount(at, prior, minlength=count), 1e-12)[at]
    given, nothing = np.ones(len(grid.keys)), np.full(side.symbols, 1.0)
    shares, none = prior, np.full(count, _NOTHING)
    for _ in range(_ITERATIONS):
        shares, none = prior * given[grid.entry], _NOTHING * nothing[side.words]
        whole = np.bincount(at, shares, minlength=count) + none
        shares, none = shares / whole[at], none / whole
        expected = np.bincount(grid.entry, shares, minlength=len(given))
        given = expected / np.maximum(np.bincount(by_given, expected), 1e-12)[by_given]
        alone = np.bincount(side.words, none, minlength=side.symbols)
        nothing = alone / max(float(alone.sum()), 1e-12)
    if not len(at):
        return Lexicon(given, nothing), np.zeros(0, bool)
    order = grid.by_source if turned else slice(None)
    sorted_at = at[order]
    firsts = np.flatnonzero(np.diff(sorted_at, prepend=-1))
    best = np.zeros(count)
    best[sorted_at[firsts]] = np.maximum.reduceat(shares[order], firsts)
    return Lexicon(given, nothing), (shares >= best[at]) & (shares > none[at])


def grown(grid: Grid, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the links that both directions have, with neighbours of these that one of them has, `(links,)`.

    A neighbour is taken in where one of its words has no link yet; at the end, so is what links two such words.

    Source: P. Koehn, F. Och and D. Marcu, "Statistical phrase-based translation", NAACL 2003 ("grow-diag-final-and").
    """
    found, union = one & other, one | other
    wide = grid.ours.lengths[grid.ours.sentences][grid.source]
    across = grid.ours.places[grid.source]
    down, deep = grid.theirs.places[grid.target], grid.theirs.lengths[grid.theirs.sentences][grid.target]
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    for _ in range(_GROWN):
        left = np.flatnonzero(union & ~found & _free(grid, found, both=False))
        beside = np.zeros(len(left), bool)
        for i, j in steps:
            x, y = across[left] + j, down[left] + i
            there = (x >= 0) & (x < wide[left]) & (y >= 0) & (y < deep[left])
            beside |= there & found[np.where(there, left + i * wide[left] + j, 0)]
        if not beside.any():
            break
        found[left[beside]] = True
    for each in (one, other):
        found |= each & _free(grid, found, both=True)
    return found


def _free(grid: Grid, links: NDArray[np.bool_], *, both: bool) -> NDArray[np.bool_]:
    """Return of each link whether one of its words, or both, has none among some links."""
    ours = np.bincount(grid.source[links], minlength=len(grid.ours.words)) == 0
    theirs = np.bincount(grid.target[links], minlength=len(grid.theirs.words)) == 0
    a, b = ours[grid.source], theirs[grid.target]
    found: NDArray[np.bool_] = a & b if both else a | b
    return found
