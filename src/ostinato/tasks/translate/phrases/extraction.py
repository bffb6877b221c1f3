"""Phrases and their translations, out of pairs whose words are aligned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.translate.phrases.alignment import Grid, Ints, Lexicon, Side

LONGEST = 5
"""Words of a phrase, at most; of its translation, one more."""
WIDEST = LONGEST + 1
_DISCOUNT = 0.5
_LEAST = 1e-7
_FAR = 1 << 40


@dataclass(frozen=True)
class Found:
    """Phrase pairs, each once.

    Args:
        ours: `(entries,)` the number of the source phrase among those of its length, see `Grams`.
        lengths: `(entries,)` words of the source phrase.
        targets: `(entries, WIDEST)` words of the target phrase, -1 behind its end.
        scores: `(entries, 4)` logarithms: of the target phrase given the source phrase and turned round, and of both
            by their words.
        often: `(entries,)` how often it came.
    """

    ours: Ints
    lengths: Ints
    targets: NDArray[np.int32]
    scores: NDArray[np.float32]
    often: Ints


class Grams:
    """The sequences of up to some words of one side, numbered by length.

    `rows[n] (words,)` is the number of that of `n + 1` words which begins at each word, -1 where the sentence ends
    before; `keys[n]` are sorted, `number of the sequence without its last word * symbols + last word`.
    """

    def __init__(self, side: Side, longest: int) -> None:
        left = np.repeat(side.lengths, side.lengths) - side.places
        self.rows: list[Ints] = []
        self.keys: list[Ints] = []
        before = np.zeros(len(side.words), np.int64)
        for length in range(1, longest + 1):
            fits = np.flatnonzero(left >= length)
            keys, numbers = np.unique(before[fits] * side.symbols + side.words[fits + length - 1], return_inverse=True)
            rows = np.full(len(side.words), -1)
            rows[fits] = numbers
            self.rows.append(rows)
            self.keys.append(keys)
            before = rows


def extract(grid: Grid, links: NDArray[np.bool_], lexicons: tuple[Lexicon, Lexicon], ours: Grams) -> Found:
    """Return all phrase pairs: none of the words of either side is linked to a word outside.

    Args:
        grid: of all pairs.
        links: of aligned words.
        lexicons: of target words given source words, and turned round.
        ours: of the sources.
    """
    spans = _spans(grid, links)
    theirs = Grams(grid.theirs, WIDEST)
    begins, lengths, firsts, sizes = spans
    source_rows = np.stack(ours.rows)[lengths - 1, begins]
    target_rows = np.stack(theirs.rows)[sizes - 1, firsts]
    source_offsets = np.cumsum([0, *(len(keys) for keys in ours.keys)])
    target_offsets = np.cumsum([0, *(len(keys) for keys in theirs.keys)])
    source_numbers = source_rows + source_offsets[lengths - 1]
    target_numbers = target_rows + target_offsets[sizes - 1]
    _, one, often = np.unique(
        source_numbers * int(target_offsets[-1]) + target_numbers, return_index=True, return_counts=True
    )
    source_numbers, target_numbers = source_numbers[one], target_numbers[one]
    begins, lengths, firsts, sizes = (each[one] for each in (begins, lengths, firsts, sizes))
    less = np.log(np.maximum(often - _DISCOUNT, 1e-9))
    of_source = np.log(np.bincount(source_numbers, often)[source_numbers])
    of_target = np.log(np.bincount(target_numbers, often)[target_numbers])
    by_words = _by_words(grid, lexicons, begins, lengths, firsts, sizes)
    places = np.arange(WIDEST)
    inside = places < sizes[:, None]
    words = grid.theirs.words[np.where(inside, firsts[:, None] + places, 0)]
    scores = np.stack([less - of_source, less - of_target, *by_words], 1).astype(np.float32)
    targets = np.where(inside, words, -1).astype(np.int32)
    return Found(source_rows[one], lengths, targets, scores, often.astype(np.int64))


def _spans(grid: Grid, links: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Ints]:
    """Return source spans with each target span that goes with them: first words and lengths, `(spans,)` each."""
    ours, theirs = grid.ours, grid.theirs
    chosen = np.flatnonzero(links)
    low, high = _reach(grid.source[chosen], grid.target[chosen], len(ours.words))
    target_low, target_high = _reach(grid.target[chosen], grid.source[chosen], len(theirs.words))
    lows, highs = _windows(target_low, target_high)
    free = target_high < 0
    left_of, right_of = _neighbours_free(theirs, free)
    found: list[tuple[Ints, Ints, Ints, Ints]] = []
    most, least = np.full(len(ours.words), -1), np.full(len(ours.words), _FAR)
    left = np.repeat(ours.lengths, ours.lengths) - ours.places
    every = np.arange(len(ours.words))
    for length in range(1, LONGEST + 1):
        fits = every[left >= length]
        least[fits] = np.minimum(least[fits], low[fits + length - 1])
        most[fits] = np.maximum(most[fits], high[fits + length - 1])
        begins = fits[(most[fits] >= 0) & (most[fits] - least[fits] < WIDEST)]
        firsts, sizes = least[begins], most[begins] - least[begins] + 1
        closed = (lows[sizes - 1, firsts] >= begins) & (highs[sizes - 1, firsts] < begins + length)
        begins, firsts, sizes = begins[closed], firsts[closed], sizes[closed]
        # words that nothing is linked to may go with the phrase beside them
        for before in (0, 1):
            for after in (0, 1):
                fine = sizes + before + after <= WIDEST
                if before:
                    fine &= left_of[firsts]
                if after:
                    fine &= right_of[firsts + sizes - 1]
                found.append(
                    (
                        begins[fine], np.full(int(fine.sum()), length), firsts[fine] - before,
                        sizes[fine] + before + after,
                    )
                )  # fmt: skip
    parts = [np.concatenate(each) for each in zip(*found, strict=True)]
    return parts[0], parts[1], parts[2], parts[3]


def _reach(at: Ints, other: Ints, count: int) -> tuple[Ints, Ints]:
    """Return the least and the greatest place that each word is linked to; far away and -1 where there is none."""
    low, high = np.full(count, _FAR), np.full(count, -1)
    if len(at):
        order = np.lexsort((other, at))
        at, other = at[order], other[order]
        firsts = np.flatnonzero(np.diff(at, prepend=-1))
        low[at[firsts]] = other[firsts]
        high[at[firsts]] = other[np.append(firsts[1:], len(at)) - 1]
    return low, high


def _windows(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return the least and the greatest of windows of 1, 2, ... words that begin at each, `(WIDEST, words)`."""
    lows, highs = [low], [high]
    for length in range(1, WIDEST):
        shifted_low = np.append(low[length:], np.full(min(length, len(low)), _FAR))
        shifted_high = np.append(high[length:], np.full(min(length, len(high)), -1))
        lows.append(np.minimum(lows[-1], shifted_low))
        highs.append(np.maximum(highs[-1], shifted_high))
    return np.stack(lows), np.stack(highs)


def _neighbours_free(side: Side, free: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each word whether the one before it, and the one after it, is in its sentence and has no link."""
    before = np.append(False, free[:-1])[: len(free)] & (side.places > 0)
    ends = side.places == np.repeat(side.lengths, side.lengths) - 1
    after = np.append(free[1:], False)[: len(free)] & ~ends
    return before, after


def _by_words(
    grid: Grid, lexicons: tuple[Lexicon, Lexicon], begins: Ints, lengths: Ints, firsts: Ints, sizes: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithms of target phrases given source phrases by their words, and turned round.

    Each word counts with the best one of the other side, or with none.
    """
    forward, backward = lexicons
    count = len(begins)
    said = np.full((count, WIDEST), 0.0)
    meant = np.full((count, LONGEST), 0.0)
    sentence = grid.ours.sentences[begins]
    across = begins - grid.ours.starts[sentence]
    down = firsts - grid.theirs.starts[sentence]
    wide = grid.ours.lengths[sentence]
    for i in range(WIDEST):
        for j in range(LONGEST):
            rows = np.flatnonzero((i < sizes) & (j < lengths))
            at = grid.starts[sentence[rows]] + (down[rows] + i) * wide[rows] + across[rows] + j
            entry = grid.entry[at]
            said[rows, i] = np.maximum(said[rows, i], forward.given[entry])
            meant[rows, j] = np.maximum(meant[rows, j], backward.given[entry])
    for i in range(WIDEST):
        rows = np.flatnonzero(i < sizes)
        none = forward.nothing[grid.theirs.words[firsts[rows] + i]]
        said[rows, i] = np.maximum(said[rows, i], none)
    for j in range(LONGEST):
        rows = np.flatnonzero(j < lengths)
        meant[rows, j] = np.maximum(meant[rows, j], backward.nothing[grid.ours.words[begins[rows] + j]])
    inside, within = np.arange(WIDEST) < sizes[:, None], np.arange(LONGEST) < lengths[:, None]
    return (
        np.where(inside, np.log(np.maximum(said, _LEAST)), 0.0).sum(1),
        np.where(within, np.log(np.maximum(meant, _LEAST)), 0.0).sum(1),
    )
