"""A corpus in rows that go on from batch to batch, and the loss of a piece of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ostinato.errors import DataError
from ostinato.nn.losses import activation_penalty, slowness_penalty
from ostinato.training.objective import Batch, Carry, Step


class CorpusBatches:
    """A flat corpus cut into rows of equal length, read side by side in pieces: for truncated backpropagation.

    Args:
        corpus: token numbers `(tokens,)`.
        batch_size: rows; fewer where the corpus is short.
        steps: of a piece.
        jitter: draw the length of each piece around `steps` (S. Merity, N. Keskar and R. Socher, ICLR 2018, section 5),
            so that pieces begin elsewhere in each epoch; the same in the same epoch.
        seed: of that.

    Raises:
        DataError: the corpus has fewer than two tokens.
    """

    def __init__(
        self, corpus: NDArray[np.int32], *, batch_size: int, steps: int, jitter: bool = False, seed: int = 0
    ) -> None:
        if len(corpus) < 2:
            raise DataError(
                f"the corpus has {len(corpus)} tokens; expected two or more, one to read and one to foretell"
            )
        rows = max(1, min(batch_size, (len(corpus) - 1) // 2))
        length = (len(corpus) - 1) // rows
        whole = torch.from_numpy(np.asarray(corpus, np.int64))
        self.tokens = whole[: rows * length].view(rows, length).t().contiguous()
        self.targets = whole[1 : rows * length + 1].view(rows, length).t().contiguous()
        self.steps, self.jitter, self.seed = steps, jitter, seed

    def __len__(self) -> int:
        """Return how many pieces an epoch has, at least: with jitter, epochs differ a little."""
        return -(-len(self.tokens) // self.steps)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the pieces of an epoch."""
        bounds = self._bounds(epoch)
        for start, stop in pairwise(bounds):
            yield Batch((self.tokens[start:stop], self.targets[start:stop]), continues=start > 0)

    def _bounds(self, epoch: int) -> list[int]:
        total, count = len(self.tokens), len(self)
        even = np.minimum(np.arange(count + 1) * self.steps, total)
        if not self.jitter or count < 2:
            return [int(bound) for bound in even]
        # the same number of pieces, so that schedules know the end
        moved = np.random.default_rng((self.seed, epoch)).normal(0, self.steps / 8, count - 1)
        inner = np.clip(np.round(even[1:-1] + moved), 1, total - 1).astype(np.int64)
        return sorted({0, *inner.tolist(), total})


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
        scores, ys, state = module(tokens, carry)
        loss = functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
        if module.training and self.activation:
            loss = loss + self.activation * activation_penalty(ys)
        if module.training and self.slowness:
            loss = loss + self.slowness * slowness_penalty(ys)
        return Step(loss, tokens.numel(), state)
