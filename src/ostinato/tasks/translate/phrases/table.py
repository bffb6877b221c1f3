"""A table of phrases with their translations, learned from pairs; it is saved with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ostinato.data.lines import normalise
from ostinato.tasks.base.kneser_ney import KneserNey, count
from ostinato.tasks.translate.phrases.alignment import Grid, Ints, Side, grown, learn
from ostinato.tasks.translate.phrases.extraction import LONGEST, WIDEST, Found, Grams, extract
from ostinato.tasks.translate.phrases.unknown import Stand, names_are_copied
from ostinato.tasks.translate.phrases.words import Casing, lowered_first, lowered_words, words_of

ORDER = 3
STRANGE, BOUND = 0, 1
"""Target words that are none: one that was never seen, and what stands between sentences."""
_MOST_ENTRIES, _OF_EACH = 300_000, 12
_LONG = 80  # words of a sentence that is not aligned: nobody knows what belongs to what


@dataclass(frozen=True)
class PhraseTable:
    """Phrases of up to five words with their translations, and n-grams of the target language.

    Args:
        how: how texts are split, see `words_of`; lower: whether they are made lower-case.
        casing: what is made of letter case.
        source, target: words by their numbers, sorted; the first two target words are none.
        often: how often each source word came, `(source words,)`.
        keys: source phrases by length, and all that one begins with: sorted, `number of the phrase without its last
            word * source words + last word`.
        starts: of each of them, where its translations begin, and one more.
        targets: `(entries, WIDEST)`, words of translations, -1 behind the end.
        scores: `(entries, 4)`, see `Found`.
        heads: `(entries, 2)`, log-probability of the first two words of a translation by n-grams, what is before them
            unknown, and of its other words.
        ngrams: of target words.
        names: whether words that are capital within a sentence are mostly names, which translations have as they are.

    Raises:
        ValueError: the parts do not belong together, as in a file that was changed.

    Source: P. Koehn, F. Och and D. Marcu, "Statistical phrase-based translation", NAACL 2003.
    """

    how: str
    lower: bool
    casing: Casing
    source: tuple[str, ...]
    target: tuple[str, ...]
    often: NDArray[np.int64]
    keys: tuple[NDArray[np.int64], ...]
    starts: tuple[NDArray[np.int64], ...]
    targets: NDArray[np.int32]
    scores: NDArray[np.float32]
    heads: NDArray[np.float32]
    ngrams: KneserNey
    names: bool = False
    sizes: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)
    stand: Stand = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hold the parts against each other, and look up what is looked up often."""
        self._check()
        object.__setattr__(self, "sizes", (self.targets >= 0).sum(1).astype(np.int64))
        object.__setattr__(self, "numbers", {word: number for number, word in enumerate(self.source)})
        object.__setattr__(self, "stand", Stand(self.source, self.often, names=self.names))

    def _check(self) -> None:
        entries, symbols, rows = len(self.targets), len(self.source), 1
        if self.how not in ("word", "whitespace", "character") or self.ngrams.symbols != len(self.target):
            raise ValueError("the n-grams of the phrases are of other words")
        if (
            self.often.shape != (symbols,)
            or self.often.dtype != np.int64
            or (self.often < 1).any()
            or list(self.source) != sorted(set(self.source))
        ):
            raise ValueError("the source words of the phrases are not in order")
        arrays = ((self.targets, np.int32, WIDEST), (self.scores, np.float32, 4), (self.heads, np.float32, 2))
        if any(each.shape != (entries, wide) or each.dtype != kind for each, kind, wide in arrays):
            raise ValueError("the phrases and their scores do not belong together")
        if not all(np.isfinite(each).all() and (each <= 1e-3).all() for each in (self.scores, self.heads)):
            raise ValueError("a score of a phrase is no logarithm of a probability")
        known = self.targets >= 0
        if entries and (self.targets.max() >= len(self.target) or (np.diff(known.astype(int), axis=1) > 0).any()):
            raise ValueError("a phrase has words that there are not")
        if len(self.keys) != len(self.starts) or len(self.keys) > LONGEST or not known.any(1).all():
            raise ValueError("the phrases are not all there")
        for keys, starts in zip(self.keys, self.starts, strict=True):
            if keys.dtype != np.int64 or starts.dtype != np.int64 or keys.ndim != 1 or starts.ndim != 1:
                raise ValueError("the phrases are not in order")
            if len(starts) != len(keys) + 1 or (np.diff(keys) <= 0).any() or (np.diff(starts) < 0).any():
                raise ValueError("the phrases are not in order")
            if len(keys) and (keys[0] < 0 or keys[-1] >= rows * symbols):
                raise ValueError("the phrases are not in order")
            if starts[0] < 0 or starts[-1] > entries:
                raise ValueError("the phrases are not all there")
            rows = len(keys)

    @property
    def size(self) -> int:
        """How many translations of phrases there are."""
        return len(self.targets)

    def words(self, text: str) -> list[str]:
        """Return a source as words, as it was written but for `lower`."""
        return _split(text, self.how, self.lower)

    def looked_up(self, words: Sequence[str], *, begins: bool = True) -> list[str]:
        """Return words of a source as they are looked up; `begins`: a sentence begins with them."""
        small = self.casing.source(words) if begins else list(words)
        return self.stand.known(small) if self.how == "word" else small

    def entries(self, words: Ints, sentences: Ints) -> list[tuple[Ints, Ints, Ints]]:
        """Return where the translations of phrases are, by length: for each word that one begins at, first and last.

        Args:
            words: of several sources one after the other, -1 where they are not known.
            sentences: which source each is of.

        Returns:
            For each length places of words, first entries, and those behind the last.
        """
        found, rows = [], np.zeros(len(words), np.int64)
        for length, (keys, starts) in enumerate(zip(self.keys, self.starts, strict=True), 1):
            last = np.arange(len(words)) + length - 1
            inside = last < len(words)
            last = np.where(inside, last, 0)
            fits = inside & (rows >= 0) & (words[last] >= 0) & (sentences[last] == sentences)
            wanted = np.where(fits, rows * len(self.source) + words[last], -1)
            at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
            there = fits & (keys[at] == wanted) if len(keys) else np.zeros(len(words), bool)
            rows = np.where(there, at, -1)
            places = np.flatnonzero(there)
            found.append((places, starts[at[places]], starts[at[places] + 1]))
        return found


def learn_phrases(pairs: Sequence[tuple[str, str]], *, how: str, lower: bool, links: int) -> PhraseTable | None:
    """Return the phrases of pairs of texts; `None` if there are none.

    Args:
        pairs: texts and their translations.
        how: how they are split, see `words_of`.
        lower: whether they are made lower-case.
        links: pairs of a source and a target word in one pair that are looked at, at most; where there are more, pairs
            at even distances are taken.
    """
    guessed = sum((ours.count(" ") + 1) * (theirs.count(" ") + 1) for ours, theirs in pairs)
    pairs = pairs[:: max(1, guessed // max(links, 1))]  # before they are split, which takes its time too
    made = [[_split(text, how, lower) for text in side] for side in zip(*pairs, strict=True)]
    if not made:
        return None
    casing = Casing.fit(made[0], made[1])
    for number, rows in enumerate(made):
        small = lowered_words(rows)
        made[number] = [lowered_first(row, small) for row in rows]
    source = sorted({word for row in made[0] for word in row})
    target = ["", "\n", *sorted({word for row in made[1] for word in row})]
    numbers = [{word: number for number, word in enumerate(names)} for names in (source, target)]
    ours, theirs = ([[known[word] for word in row] for row in rows] for known, rows in zip(numbers, made, strict=True))
    text = [number for row in theirs for number in (*row, BOUND, BOUND)]
    ngrams = count(np.array([BOUND, BOUND, *text]), len(target), ORDER, STRANGE).of_order(ORDER)
    chosen = _chosen(ours, theirs, links)
    if not chosen:
        return None
    grid = Grid(*(Side.of([rows[i] for i in chosen], len(names)) for rows, names in ((ours, source), (theirs, target))))
    (forward, ahead), (backward, back) = learn(grid), learn(grid, turned=True)
    grams = Grams(grid.ours, LONGEST)
    found = extract(grid, grown(grid, ahead, back), (forward, backward), grams)
    if not len(found.ours):
        return None
    often = np.bincount([number for row in ours for number in row], minlength=len(source))
    named = names_are_copied(*made)
    return _table(found, grams, how, lower, casing, tuple(source), tuple(target), often, ngrams, named)


def _split(text: str, how: str, lower: bool) -> list[str]:
    text = normalise(text, "NFC")
    return words_of(text.lower() if lower else text, how)


def _chosen(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]], links: int) -> list[int]:
    """Return which pairs are aligned."""
    fine = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if 0 < len(a) <= _LONG and 0 < len(b) <= _LONG]
    whole = sum(len(ours[i]) * len(theirs[i]) for i in fine)
    return fine[:: max(1, -(-whole // links))]


def _table(
    found: Found,
    grams: Grams,
    how: str,
    lower: bool,
    casing: Casing,
    source: tuple[str, ...],
    target: tuple[str, ...],
    often: Ints,
    ngrams: KneserNey,
    names: bool,
) -> PhraseTable:
    """Keep the best translations of each phrase, and number phrases again."""
    value = found.scores.sum(1)
    order = np.lexsort((-value, found.ours, found.lengths))
    if len(order) > _MOST_ENTRIES:  # what came once, of long phrases, is the least loss
        rank = np.lexsort((found.lengths[order], -np.minimum(found.often[order], 2)))
        order = order[np.sort(rank[:_MOST_ENTRIES])]
    lengths, numbers = found.lengths[order], found.ours[order]
    first = np.flatnonzero((np.diff(numbers, prepend=-1) != 0) | (np.diff(lengths, prepend=0) != 0))
    sizes = np.diff(np.append(first, len(order)))
    order = order[np.arange(len(order)) - np.repeat(first, sizes) < _OF_EACH]
    lengths, numbers = found.lengths[order], found.ours[order]
    needed: list[Ints] = []
    for length in range(LONGEST, 0, -1):  # a phrase needs those that it begins with
        own = numbers[lengths == length]
        longer = grams.keys[length][needed[-1]] // len(source) if needed else np.zeros(0, np.int64)
        needed.append(np.unique(np.concatenate([own, longer])))
    keys, starts, renamed, begin = [], [], np.zeros(1, np.int64), 0
    for length, kept in enumerate(reversed(needed), 1):
        whole = grams.keys[length - 1][kept]
        keys.append(renamed[whole // len(source)] * len(source) + whole % len(source))
        own = numbers[lengths == length]
        starts.append(begin + np.searchsorted(own, np.append(kept, np.iinfo(np.int64).max)))
        renamed = np.full(len(grams.keys[length - 1]), -1)
        renamed[kept] = np.arange(len(kept))
        begin += len(own)
    return PhraseTable(
        how, lower, casing, source, target, often, tuple(keys), tuple(starts), found.targets[order],
        np.minimum(found.scores[order], 0.0), _heads(ngrams, found.targets[order]), ngrams, names,
    )  # fmt: skip


def _heads(ngrams: KneserNey, targets: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the log-probability of the first two words of phrases, as if nothing stood before, and of the others."""
    # a word that was never seen keeps what is before a phrase out of it
    text = np.concatenate([np.full((len(targets), 1), STRANGE), np.where(targets < 0, STRANGE, targets)], 1)
    logs = np.empty(text.shape)
    for first in range(0, len(text), 50_000):
        piece = text[first : first + 50_000]
        read = ngrams.read(piece.ravel(), given=0).probabilities[-1]
        logs[first : first + len(piece)] = np.log(read).reshape(piece.shape)
    logs = np.where(targets >= 0, logs[:, 1:], 0.0)
    return np.stack([logs[:, : ORDER - 1].sum(1), logs[:, ORDER - 1 :].sum(1)], 1).astype(np.float32)
