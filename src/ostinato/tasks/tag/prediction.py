"""What a fitted network says of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.tasks.tag.batches import collate_words
from ostinato.tasks.tag.corpus import Words
from ostinato.tasks.tag.network import TagNetwork

_SENTENCES = 64


@dataclass(frozen=True)
class Tags:
    """Of one sentence: the class of each token's tag, `(tokens,)`, and the chances of all, `(tokens, tags)`."""

    found: NDArray[np.int64]
    chances: NDArray[np.float64]


@dataclass(frozen=True)
class Tagger:
    """A network in evaluation mode, with the words that it knows."""

    network: TagNetwork
    words: Words

    @property
    def names(self) -> tuple[str, ...]:
        """The tags, in the order of their classes."""
        return self.network.settings.tags

    def read(self, sentences: Sequence[Sequence[str]]) -> list[Tags]:
        """Return the tags of each sentence; one without tokens has none."""
        empty = Tags(np.zeros(0, np.int64), np.zeros((0, len(self.names))))
        found = [empty] * len(sentences)
        order = sorted((row for row, own in enumerate(sentences) if own), key=lambda row: len(sentences[row]))
        for first in range(0, len(order), _SENTENCES):
            rows = order[first : first + _SENTENCES]
            for row, tags in zip(rows, self._batch([sentences[row] for row in rows]), strict=True):
                found[row] = tags
        return found

    def named(self, tags: Tags) -> list[str]:
        """Return the names of a sentence's tags."""
        return [self.names[number] for number in tags.found]

    def _batch(self, sentences: Sequence[Sequence[str]]) -> list[Tags]:
        batch = collate_words(self.words, sentences)
        with torch.no_grad():
            tags, chances = self.network.decode(self.network(batch), batch.lengths)
        return [
            Tags(tags[:length, row].numpy(), chances[:length, row].numpy())
            for row, length in enumerate(batch.lengths.tolist())
        ]
