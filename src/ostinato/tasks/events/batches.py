"""Batches of cases of like length, and their loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ostinato.tasks.events.cases import Case
from ostinato.tasks.events.times import TimeScale
from ostinato.tasks.rows import RowBatches
from ostinato.training.objective import Carry, Step

NOTHING = -100


class EventBatch(NamedTuple):
    """Padded cases.

    Shapes: `kinds (time, batch)`, `features (time, batch, FEATURES)`, `lengths (batch,)`, `following (time, batch)`,
    -100 where there is nothing to foretell, `waits (time, batch, TIMES)` in the scales of the losses, NaN likewise.
    """

    kinds: Tensor
    features: Tensor
    lengths: Tensor
    following: Tensor
    waits: Tensor


def collate(cases: Sequence[Case], scales: Sequence[TimeScale], activities: int) -> EventBatch:
    """Return cases as one batch."""
    waits = [np.stack([scale.scaled(case.waits[:, place]) for place, scale in enumerate(scales)], -1) for case in cases]
    following = [np.where(case.following > activities, NOTHING, case.following) for case in cases]
    return EventBatch(
        _padded([case.kinds for case in cases]),
        _padded([case.features.astype(np.float32) for case in cases]),
        torch.tensor([len(case.kinds) for case in cases]),
        _padded(following, NOTHING),
        _padded([own.astype(np.float32) for own in waits], float("nan")),
    )


def event_batches(
    cases: Sequence[Case], scales: Sequence[TimeScale], activities: int, *, batch_size: int, shuffle: bool, seed: int
) -> RowBatches[EventBatch]:
    """Return batches of so many cases, of like length."""
    return RowBatches(
        [len(case.kinds) for case in cases],
        lambda rows: collate([cases[row] for row in rows], scales, activities),
        batch_size=batch_size, shuffle=shuffle, seed=seed,
    )  # fmt: skip


class EventObjective:
    """Cross-entropy of the next activity, and the losses of the times.

    Args:
        scales: of the times.
        weight: how much the times count.
    """

    def __init__(self, scales: Sequence[TimeScale], weight: float) -> None:
        self.scales, self.weight = scales, weight

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of cases."""
        own = EventBatch(*batch)
        scores, times = module(own.kinds, own.features, own.lengths)
        real = int((own.following != NOTHING).sum())
        loss = functional.cross_entropy(
            scores.flatten(0, 1), own.following.flatten(), ignore_index=NOTHING, reduction="sum"
        )
        loss = loss / max(real, 1)
        for place, scale in enumerate(self.scales):
            known = torch.isfinite(own.waits[..., place])
            if self.weight and bool(known.any()):
                raw, wanted = times[..., place, :][known], own.waits[..., place][known]
                loss = loss + self.weight * scale.losses(raw, wanted).mean()
        return Step(loss, real)


def _padded(arrays: Sequence[Any], value: float = 0.0) -> Tensor:
    return pad_sequence([torch.from_numpy(np.ascontiguousarray(own)) for own in arrays], padding_value=value)
