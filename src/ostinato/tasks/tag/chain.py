"""Tags in a row: how well one follows another, learned together with what speaks for each at its token.

Source: J. Lafferty, A. McCallum and F. Pereira, "Conditional random fields", ICML 2001; sums over all rows of tags are
of probabilities, scaled at each token, rather than of logarithms: L. Rabiner, "A tutorial on hidden Markov models",
Proceedings of the IEEE 77, 1989, section V.A.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.linear import Linear
from ostinato.tasks.tag.adagrad import AdaGrad

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_LEAST = 1e-30
_EPOCHS, _MOST, _STEPS = 6, 20, 1000  # passes: more of few tokens, so that there are some steps
_BATCH, _SMALL, _FEW = 128, 64, 20_000  # tokens of a batch, and of one where there are few tokens
_NEAR = 16  # batches among which sentences of like length are put
_WORK = 1e10  # tokens times squared tags, above which a fit would take long


@dataclass(frozen=True)
class Chain:
    """Scores of a tag after another: `moves (tags, tags)`; at the beginning and at the end: `first`, `last (tags,)`.

    Raises:
        ValueError: the shapes do not fit each other, or a score is no number, as in a file that was changed.
    """

    moves: NDArray[np.float32]
    first: NDArray[np.float32]
    last: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Hold the parts against each other."""
        tags = len(self.first)
        if self.moves.shape != (tags, tags) or self.first.shape != (tags,) or self.last.shape != (tags,):
            raise ValueError(f"scores of tags in a row have the shapes {self.moves.shape}, {self.first.shape}")
        if not all(np.isfinite(each).all() for each in (self.moves, self.first, self.last)):
            raise ValueError("a score of tags in a row is no number")

    def log_marginals(self, scores: Floats) -> Floats:
        """Return the logarithm of each tag's probability at each token of one sentence, `(tokens, tags)`."""
        found = summed(scores[:, None], np.array([len(scores)]), self)
        logs: Floats = np.log(np.maximum(found.marginals[:, 0], _LEAST))
        return logs


class Summed(NamedTuple):
    """Over all rows of tags: `marginals (time, batch, tags)`, and `pairs (tags, tags)`, expected counts of moves."""

    marginals: Floats
    pairs: Floats


def summed(scores: NDArray[Any], lengths: Integers, chain: Chain, *, pairs: bool = False) -> Summed:
    """Return the probabilities of tags and, if they are wanted, of pairs of them, summed over all tokens.

    Args:
        scores: of the tags of each token, `(time, batch, tags)`; what is behind a sentence's end counts nowhere.
        lengths: `(batch,)`, one or more each.
        chain: how well tags follow each other.
        pairs: whether these are wanted.
    """
    time, _, tags = scores.shape
    moves = np.exp(chain.moves - chain.moves.max()).astype(scores.dtype)
    begin, end = (np.exp(each - each.max()).astype(scores.dtype) for each in (chain.first, chain.last))
    said = np.exp(scores - scores.max(-1, keepdims=True))
    inside = np.arange(time)[:, None] < lengths
    ahead, back = np.empty_like(said), np.empty_like(said)
    ahead[0] = _scaled(begin * said[0])
    for place in range(1, time):
        ahead[place] = _scaled((ahead[place - 1] @ moves) * said[place])
    back[-1] = end
    for place in range(time - 2, -1, -1):
        reached = _scaled((said[place + 1] * back[place + 1]) @ moves.T)
        back[place] = np.where(inside[place + 1][:, None], reached, end)
    marginals = _scaled(ahead * back)
    counts = np.zeros((tags, tags))
    for place in range(1, time) if pairs else ():
        rows = np.flatnonzero(inside[place])
        left, right = ahead[place - 1, rows], said[place, rows] * back[place, rows]
        whole = ((left @ moves) * right).sum(-1, keepdims=True)
        counts += left.T @ (right / np.maximum(whole, _LEAST))
    return Summed(marginals, counts * moves)


def _scaled(values: Floats) -> Floats:
    scaled: Floats = values / np.maximum(values.sum(-1, keepdims=True), _LEAST)
    return scaled


def is_quick(tokens: int, tags: int) -> bool:
    """Tell whether a chain is fitted in some seconds."""
    return tokens * tags**2 <= _WORK


def fit_chain(
    numbers: Any, sizes: Integers, targets: Integers, tags: int, seed: int, until: float
) -> tuple[Linear, Chain]:
    """Return scores of tags by the numbers of each token, and of tags after each other, after some passes of AdaGrad.

    What is made large is the probability of the tags of whole sentences.

    Args:
        numbers: sparse `(tokens, numbers)`, of one sentence behind the other.
        sizes: tokens of each sentence, one or more.
        targets: the class of each token's tag.
        tags: how many there are, two or more.
        seed: of the order of sentences.
        until: on the clock of `time.monotonic`, after which no step is taken.
    """
    from scipy.sparse import csr_matrix

    columns, rng = 1 if tags == 2 else tags, np.random.default_rng(seed)
    layer, moves, edges = AdaGrad(numbers.shape[1] + 1, columns), AdaGrad(tags, tags), AdaGrad(2, tags)
    starts = np.cumsum(sizes) - sizes
    count = max(1, round((_SMALL if sizes.sum() < _FEW else _BATCH) / sizes.mean()))
    for _ in range(min(max(_EPOCHS, math.ceil(_STEPS * count / len(sizes))), _MOST)):
        for rows in _batches(sizes, count, rng):
            if time.monotonic() > until:
                break
            lengths = sizes[rows]
            column = np.repeat(np.arange(len(rows)), lengths)
            place = np.arange(len(column)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            tokens = np.repeat(starts[rows], lengths) + place
            part = numbers[tokens]
            used, at = np.unique(part.indices, return_inverse=True)
            compact = csr_matrix((part.data, at, part.indptr), shape=(len(tokens), len(used)))
            scores = np.zeros((int(lengths.max()), len(rows), tags), np.float32)
            scores[place, column, -columns:] = compact @ layer.values[used] + layer.values[-1]
            found = summed(scores, lengths, Chain(moves.values, *edges.values), pairs=True)
            true = targets[tokens]
            error = found.marginals[place, column]
            error[np.arange(len(tokens)), true] -= 1
            inner = np.flatnonzero(place)
            np.subtract.at(found.pairs, (true[inner - 1], true[inner]), 1)
            ends = np.cumsum(lengths) - 1
            edges.move(np.stack([error[ends - lengths + 1].sum(0), error[ends].sum(0)]))
            moves.move(found.pairs)
            layer.move(compact.T @ error[:, -columns:], used)
            layer.move(error[:, -columns:].sum(0), -1)
    linear = Linear(layer.values[:-1], layer.values[-1].astype(np.float64))
    return linear, Chain(moves.values, *edges.values)


def _batches(sizes: Integers, count: int, rng: np.random.Generator) -> Iterator[Integers]:
    """Yield the rows of so many sentences of like length at a time, in random order."""
    order = rng.permutation(len(sizes))
    parts = np.split(order, range(count * _NEAR, len(order), count * _NEAR))
    order = np.concatenate([part[np.argsort(sizes[part], kind="stable")] for part in parts])
    batches = np.split(order, range(count, len(order), count))
    for each in rng.permutation(len(batches)):
        yield batches[each]
