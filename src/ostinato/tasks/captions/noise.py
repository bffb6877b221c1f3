"""What the decoder is shown of the words before, in training: some are hidden, some are others of their kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ostinato.data.text import Specials
from ostinato.tasks.captions.habits import Habits
from ostinato.tasks.captions.parameters import CaptionParameters


@dataclass(frozen=True)
class Noise:
    """How much of it there is: see `CaptionParameters`."""

    word_swap: float
    look_first: float

    @classmethod
    def of(cls, parameters: CaptionParameters, habits: Habits) -> Noise:
        """Return what was asked for; else much where captions are of few words, of which a network learns the order.

        Where most words are seen a few times, as in what people say of films, an order that is hidden and disturbed as
        much is not learned in the time that there is, its end least of all.
        """
        usual = cls(0.5, 0.3) if habits.closed else cls(0.2, 0.1)
        swap, first = parameters.word_swap, parameters.look_first
        return cls(usual.word_swap if swap is None else swap, usual.look_first if first is None else first)


class WordSwaps:
    """Tokens of the same kind: those that stand between the same neighbours as ones that stand where it does.

    `red` stands between `a` and `circle`, `green` too, and `green` also between `a` and `cross`, where `blue` does. A
    token is exchanged for another by going from it to a place where it stands, from there to what else stands between
    the same neighbours, and the same way once more. What is learned with such words before does not trust them: that
    a certain word never follows on another is not learned, while what kind of word follows is.

    Args:
        captions: their tokens, between the marks of beginning and end.

    Source: Z. Xie et al., "Data noising as smoothing in neural network language models", ICLR 2017, where words are
    exchanged by their frequency; the kinds are the distributional ones of Z. Harris, "Distributional structure", 1954.
    """

    def __init__(self, captions: Iterable[Sequence[int]]) -> None:
        triples = np.array(
            [three for each in captions for three in zip(each, each[1:], each[2:], strict=False)], np.int64
        ).reshape(-1, 3)
        _, contexts = np.unique(triples[:, [0, 2]], axis=0, return_inverse=True)
        contexts, words = contexts.reshape(-1), triples[:, 1]
        self._context_of, self._by_word = _grouped(words, contexts)
        self._word_of, self._by_context = _grouped(contexts, words)

    def __call__(self, tokens: Tensor, share: float) -> Tensor:
        """Return tokens of which a share, drawn, is exchanged for others of their kind."""
        if not share or not len(self._word_of):
            return tokens
        found = tokens
        for _ in range(2):
            contexts = _drawn(found, self._by_word, self._context_of)
            others = _drawn(contexts, self._by_context, self._word_of)
            found = torch.where(contexts >= 0, others, found)
        return torch.where(torch.rand(tokens.shape) < share, found, tokens)


def hidden(tokens: Tensor, share: float) -> Tensor:
    """Return tokens `(time, captions)` of which a share is hidden, but for the marks of the beginning."""
    if not share:
        return tokens
    drawn = torch.rand(tokens.shape, device=tokens.device) < share
    drawn[0] = False
    return tokens.masked_fill(drawn, Specials().unk)


def _grouped(keys: np.ndarray, values: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return values in the order of their keys, and of each key where its values begin and how many there are."""
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys) if len(keys) else np.zeros(1, np.int64)
    bounds = np.stack([np.cumsum(counts) - counts, counts], -1)
    return torch.from_numpy(values[order]), torch.from_numpy(bounds)


def _drawn(keys: Tensor, bounds: Tensor, values: Tensor) -> Tensor:
    """Return for each key one of its values, drawn; -1 where it has none."""
    known = (keys >= 0) & (keys < len(bounds))
    start, count = bounds[keys.where(known, torch.zeros_like(keys))].unbind(-1)
    count = count * known
    places = start + (torch.rand(keys.shape) * count).long().clamp(max=(count - 1).clamp(min=0))
    return torch.where(count > 0, values[places.clamp(max=len(values) - 1)], -1)
