"""Clips in batches, each with some of its captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.base.batches import RowBatches
from ostinato.tasks.captions.encoding import Shown
from ostinato.tasks.captions.frames import together
from ostinato.tasks.captions.network import CaptionBatch
from ostinato.tasks.captions.parameters import CaptionParameters
from ostinato.training.objective import Batch

_FEWEST, _MOST = 4, 16


def suited_batch(parameters: CaptionParameters, clips: int) -> int:
    """Return the clips of a batch: those asked for, or fewer of few clips, which else had few steps."""
    return parameters.batch_size or min(max(_FEWEST, clips // 8), _MOST)


def batch_of(shown: Shown, rows: Sequence[int], chosen: Sequence[Sequence[int]]) -> CaptionBatch:
    """Return clips as a batch, with some of the captions of each.

    Args:
        shown: the clips.
        rows: which of them.
        chosen: which captions of each.
    """
    frames, lengths = together([shown.frames(row) for row in rows])
    targets = [shown.targets[row][which] for row, group in zip(rows, chosen, strict=True) for which in group]
    owners = [place for place, group in enumerate(chosen) for _ in group]
    return CaptionBatch(
        torch.from_numpy(frames), torch.from_numpy(lengths), torch.tensor(owners), padded(targets),
        torch.tensor([len(tokens) for tokens in targets]),
    )  # fmt: skip


def padded(targets: Sequence[Sequence[int]]) -> Tensor:
    """Return tokens `(tokens, captions)`, zeros behind the shorter ones."""
    block = torch.zeros((max(map(len, targets)), len(targets)), dtype=torch.long)
    for column, tokens in enumerate(targets):
        block[: len(tokens), column] = torch.tensor(tokens)
    return block


@dataclass(frozen=True)
class _Drawn:
    """Rows of a batch, whose captions are drawn once the epoch is known."""

    rows: list[int]


class CaptionBatches:
    """Clips in batches of like length; in training with captions that are drawn in each epoch, else with all.

    Args:
        shown: the clips.
        parameters: sizes and seed.
        training: whether clips are shuffled and captions drawn.
    """

    def __init__(self, shown: Shown, parameters: CaptionParameters, *, training: bool) -> None:
        self._shown, self._each, self._training = shown, parameters.captions_each, training
        self._seed = parameters.seed
        self._plan: RowBatches[Any] = RowBatches(
            shown.lengths, _Drawn, batch_size=suited_batch(parameters, len(shown)), shuffle=training,
            seed=parameters.seed,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._plan)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch, the same ones each time."""
        for batch in self._plan.batches(epoch):
            rows: list[int] = batch.data.rows
            yield Batch(batch_of(self._shown, rows, [self._chosen(row, epoch) for row in rows]))

    def _chosen(self, row: int, epoch: int) -> list[int]:
        count = len(self._shown.targets[row])
        if not self._training or count <= self._each:
            return list(range(count))
        found: list[int] = np.random.default_rng([self._seed, epoch, row]).permutation(count)[: self._each].tolist()
        return found
