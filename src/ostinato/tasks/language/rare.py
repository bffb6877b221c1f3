"""Words that came once, read as unknown half of the time: so a model learns what comes around unknown words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import ChunkedCorpus
from ostinato.training.objective import Batch

_SHARE = 0.5
_LEAST = 1e-3


class RareAsUnknown:
    """A text in pieces, as `ChunkedCorpus` has them, of which some tokens are read as unknown, others in each epoch.

    A vocabulary that holds every word of the training text has no unknown word there, but every other text has: a
    model that never saw one gives it no chance, and does not know what to make of it when it reads on.

    Args:
        tokens: `(tokens,)`.
        once: `(tokens,)`, which tokens came once.
        unknown: the number of unknown tokens.
        seed: of the draw.
        options: of `ChunkedCorpus`.

    Source: C. Dyer, M. Ballesteros, W. Ling, A. Matthews and N. Smith, "Transition-based dependency parsing with stack
    long short-term memory", ACL 2015, section 3.2.
    """

    def __init__(
        self, tokens: NDArray[np.int32], once: NDArray[np.bool_], unknown: int, *, seed: int, **options: Any
    ) -> None:
        self._tokens, self._places, self._unknown, self._seed = tokens, np.flatnonzero(once), unknown, seed
        self._options = {**options, "seed": seed}
        self._count = len(ChunkedCorpus(tokens, **self._options))

    def __len__(self) -> int:
        return self._count

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the pieces of an epoch, in order; the same ones each time."""
        drawn = np.random.default_rng([self._seed, epoch]).random(len(self._places)) < _SHARE
        tokens = self._tokens.copy()
        tokens[self._places[drawn]] = self._unknown
        return ChunkedCorpus(tokens, **self._options).batches(epoch)  # type: ignore[return-value]


def came_once(tokens: NDArray[np.int32], unknown: int) -> NDArray[np.bool_] | None:
    """Return which tokens of a text came once, `(tokens,)`; `None` if those are few, or it has unknown ones itself."""
    once: NDArray[np.bool_] = np.bincount(tokens)[tokens] == 1
    return None if once.mean() < _LEAST or (tokens == unknown).any() else once
