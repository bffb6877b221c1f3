"""Texts as counts: words, pairs of neighbouring words and parts of words, weighted as a linear layer likes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import WordVocabulary

Integers = NDArray[np.int64]
_SIZES = (1, 2, 3, 4, 5)  # of the parts of a word, its edges counted
_EDGE = " "
_LONGEST = 1000  # characters of a "word" whose parts are counted: a script without spaces, or a sequence of letters


@dataclass(frozen=True)
class _Counted:
    """Texts taken apart: `numbers` of the distinct `words` of all, one text behind the other, and each one's `rows`."""

    words: list[str]
    numbers: Integers
    rows: Integers
    texts: int


@dataclass(frozen=True)
class Terms:
    """The words, pairs and parts that are counted, and how much each counts.

    A part is one to five neighbouring characters of a word, its edges counted as characters; a script without spaces is
    read by its parts. A term counts `(1 + log times) idf`; in each text words with pairs, and parts, have the same
    length.

    Args:
        splitter: what splits texts, with no word of its own.
        words, parts: as UTF-8 with a line end behind each.
        pairs: `(pairs,)`, ascending: the number of the first word times the words there are, and that of the second.
        idf: `(terms,)`, of words, pairs and parts.

    Source: G. Salton and C. Buckley, "Term-weighting approaches in automatic text retrieval", 1988; P. Bojanowski et
    al., "Enriching word vectors with subword information", TACL 2017, for parts of words.
    """

    splitter: WordVocabulary
    words: NDArray[np.uint8]
    pairs: Integers
    parts: NDArray[np.uint8]
    idf: NDArray[np.float64]
    known: Any = field(init=False, repr=False, compare=False, metadata={"saved": False})

    def __post_init__(self) -> None:
        """Look up the terms; raise `ValueError` where they do not fit each other."""
        known = [{term: number for number, term in enumerate(_unpacked(each))} for each in (self.words, self.parts)]
        object.__setattr__(self, "known", known)
        if self.idf.shape != (len(self),) or (np.diff(self.pairs) <= 0).any():
            raise ValueError(f"there are {len(self)} terms and {self.idf.shape} weights of them")

    def __len__(self) -> int:
        return len(self.known[0]) + len(self.pairs) + len(self.known[1])

    @classmethod
    def of(cls, splitter: WordVocabulary, texts: Sequence[str], most: int) -> Terms:
        """Return the terms of training texts, of each kind so many at most: those that most texts have."""
        counted = _count(splitter, texts)
        found, often = _most(np.arange(len(counted.words)), _present(_words_in(counted)), most)
        words = [counted.words[number] for number in found]
        place = np.full(len(counted.words), -1, np.int64)
        place[found] = np.arange(len(found))
        codes, rows = _pairs(place[counted.numbers], counted.rows, len(found))
        pairs, number = np.unique(codes, return_inverse=True)
        shared = _sparse(np.ones(len(rows)), rows, number, (counted.texts, len(pairs)))
        pairs, pairs_often = _most(pairs, _present(shared), most)
        names: dict[str, int] = {}
        matrix = _parts(counted.words, names, grow=True)
        often_parts = _present(_words_in(counted) @ matrix)
        kept, parts_often = _most(np.arange(len(names)), often_parts, most)
        listed = list(names)
        idf = np.log((1 + counted.texts) / (1 + np.concatenate([often, pairs_often, parts_often]))) + 1
        return cls(splitter, _packed(words), pairs, _packed([listed[each] for each in kept]), idf)

    def weighted(self, texts: Sequence[str]) -> Any:
        """Return how much each term counts in each text, a sparse `(texts, terms)`."""
        from scipy.sparse import csr_matrix, hstack

        counted = _count(self.splitter, texts)
        words, parts = self.known
        place = np.array([words.get(word, -1) for word in counted.words], np.int64)
        numbers = place[counted.numbers] if len(counted.numbers) else counted.numbers
        there = numbers >= 0
        ones = np.ones(int(there.sum()))
        first = _sparse(ones, counted.rows[there], numbers[there], (counted.texts, len(words)))
        codes, rows = _pairs(numbers, counted.rows, len(words))
        spot = np.minimum(np.searchsorted(self.pairs, codes), max(len(self.pairs) - 1, 0))
        there = self.pairs[spot] == codes if len(self.pairs) else np.zeros(len(codes), bool)
        second = _sparse(np.ones(int(there.sum())), rows[there], spot[there], (counted.texts, len(self.pairs)))
        third = csr_matrix(_words_in(counted) @ _parts(counted.words, parts, grow=False))
        third.sort_indices()  # sums in one order, whatever words other texts have: a text alone is the text in a batch
        whole, cut = hstack([first, second], format="csr"), len(words) + len(self.pairs)
        return hstack([_scaled(whole, self.idf[:cut]), _scaled(third, self.idf[cut:])], format="csr")

    def names(self, places: Sequence[int]) -> list[str]:
        """Return terms in words: `good`, `not good`, and parts as `-ing_`, where `_` is the edge of a word."""
        words, parts = (list(each) for each in self.known)
        cuts = len(words), len(words) + len(self.pairs)
        found = []
        for place in places:
            if place < cuts[0]:
                found.append(words[place])
            elif place < cuts[1]:
                first, second = divmod(int(self.pairs[place - cuts[0]]), len(words))
                found.append(f"{words[first]} {words[second]}")
            else:
                found.append(f"-{parts[place - cuts[1]].replace(_EDGE, '_')}-")
        return found


def _count(splitter: WordVocabulary, texts: Sequence[str]) -> _Counted:
    words: dict[str, int] = {}
    found = [[words.setdefault(word, len(words)) for word in splitter.split_text(text)] for text in texts]
    rows = np.repeat(np.arange(len(found)), [len(each) for each in found])
    return _Counted(list(words), np.array([one for each in found for one in each], np.int64), rows, len(found))


def _pairs(numbers: Integers, rows: Integers, words: int) -> tuple[Integers, Integers]:
    """Return the codes of neighbouring words that are both known, and the text of each."""
    there = (rows[:-1] == rows[1:]) & (numbers[:-1] >= 0) & (numbers[1:] >= 0)
    return (numbers[:-1] * words + numbers[1:])[there], rows[:-1][there]


def _parts(words: Sequence[str], names: dict[str, int], *, grow: bool) -> Any:
    """Return which parts each word has, how often, a sparse `(words, parts)`; new parts are numbered if it may grow."""
    numbers, ends = list[int](), [0]
    for word in words:
        text = f"{_EDGE}{word[:_LONGEST]}{_EDGE}"
        parts = [text[i : i + size] for size in _SIZES for i in range(len(text) - size + 1)]
        if grow:
            numbers += [names.setdefault(part, len(names)) for part in parts if part != _EDGE]
        else:
            numbers += [names[part] for part in parts if part in names]
        ends.append(len(numbers))
    from scipy.sparse import csr_matrix

    found = csr_matrix((np.ones(len(numbers)), numbers, ends), shape=(len(words), len(names)))
    found.sum_duplicates()
    return found


def _words_in(counted: _Counted) -> Any:
    return _sparse(np.ones(len(counted.rows)), counted.rows, counted.numbers, (counted.texts, len(counted.words)))


def _sparse(values: Any, rows: Integers, columns: Integers, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_matrix

    found = csr_matrix((values, (rows, columns)), shape=shape)
    found.sum_duplicates()
    return found


def _present(matrix: Any) -> Integers:
    """Return in how many rows each column is."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)


def _most(terms: Integers, often: Integers, most: int) -> tuple[Integers, Integers]:
    """Return the terms that are in most texts, in their order; and in how many each is."""
    kept = np.sort(np.argsort(-often, kind="stable")[:most])
    return terms[kept], often[kept]


def _scaled(block: Any, idf: NDArray[np.float64]) -> Any:
    """Weigh counts, and give each row that is not empty the same length."""
    if not block.nnz:
        return block
    values = (1 + np.log(block.data)) * idf[block.indices]
    sums = np.bincount(np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), values**2, block.shape[0])
    block.data = values / np.repeat(np.sqrt(2 * np.maximum(sums, 1e-30)), np.diff(block.indptr))
    return block


def _packed(terms: Sequence[str]) -> NDArray[np.uint8]:
    """Return terms as bytes; no word has a line end in it."""
    return np.frombuffer("".join(f"{term}\n" for term in terms).encode("utf-8", "surrogatepass"), np.uint8)


def _unpacked(terms: NDArray[np.uint8]) -> list[str]:
    return terms.tobytes().decode("utf-8", "surrogatepass").split("\n")[:-1]
