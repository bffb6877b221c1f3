"""The loss of a piece of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ostinato.data.text import ChunkedCorpus
from ostinato.errors import DataError
from ostinato.nn.losses import activation_regularisation, temporal_activation_regularisation
from ostinato.training.objective import Carry, Step


def corpus_batches(
    corpus: NDArray[np.int32], *, batch_size: int, steps: int, jitter: bool = False, seed: int = 0
) -> ChunkedCorpus:
    """Return a corpus in pieces, with fewer rows where it is short; see `ChunkedCorpus`.

    Raises:
        DataError: the corpus has fewer than two tokens.
    """
    if len(corpus) < 2:
        raise DataError(f"the corpus has {len(corpus)} tokens; expected two or more, to read and to foretell")
    rows = max(1, min(batch_size, (len(corpus) - 1) // 2))
    return ChunkedCorpus(corpus, batch_size=rows, steps=steps, varied=jitter, seed=seed)


class LanguageObjective:
    """Cross-entropy of the next token, and in training the penalties on activations.

    Args:
        activation: weight of the mean square of the stack's outputs.
        slowness: weight of the mean square of their change from step to step.
    """

    def __init__(self, activation: float = 0.0, slowness: float = 0.0) -> None:
        self.activation, self.slowness = activation, slowness

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:
        """Read a piece of the corpus."""
        tokens, targets = batch
        loss, ys, state = module(tokens, carry, targets)
        if module.training and self.activation:
            loss = loss + activation_regularisation(ys, scale=self.activation)
        if module.training and self.slowness:
            loss = loss + temporal_activation_regularisation(ys, scale=self.slowness)
        return Step(loss, int((targets >= 0).sum()), state)
