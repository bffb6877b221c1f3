"""Training examples of which each network leaves a fifth out, so that all can be judged on what they have not seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.tasks.classify.encoding import ExampleBatches, Part, padded
from ostinato.tasks.classify.examples import Integers
from ostinato.training import Batch, Step
from ostinato.training.objective import Carry


class FoldedBatch(NamedTuple):
    """Padded examples: `inputs (time, batch, features)`, and `lengths`, `targets` and `folds`, each `(batch,)`."""

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    folds: Tensor


class FoldedBatches(ExampleBatches):
    """Batches of examples with the fold of each; see `ExampleBatches`."""

    def __init__(self, part: Part, folds: Integers, *, batch_size: int, seed: int) -> None:
        super().__init__(part, batch_size=batch_size, seed=seed)
        self.folds = folds

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch."""
        for rows in self._plan(epoch):
            inputs, lengths = padded([self.part.arrays[row] for row in rows])
            targets, folds = (torch.from_numpy(each[rows]) for each in (self.part.targets, self.folds))
            yield Batch(FoldedBatch(inputs, lengths, targets, folds))


class FoldedObjective:
    """The mean cross-entropy of networks, each on the examples that it does not leave out; in evaluation of all.

    Args:
        weights: of classes, `(classes,)`, or `None`: all count alike.
        smoothing: share of the target given to all classes alike.
    """

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        self.weights, self.smoothing = weights, smoothing

    def __call__(self, module: nn.Module, batch: FoldedBatch, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch."""
        scores = module(batch.inputs, batch.lengths)
        if not module.training:
            return Step(functional.cross_entropy(scores, batch.targets), len(batch.targets))
        members = len(scores)
        taken = (batch.folds != torch.arange(members, device=scores.device)[:, None]).to(scores)
        if members == 1:  # it is judged on a validation part, if at all
            taken = torch.ones_like(taken)
        weight = None if self.weights is None else self.weights.to(scores.device)
        targets = batch.targets.expand(members, -1)
        losses = functional.cross_entropy(
            scores.transpose(1, 2), targets, weight=weight, label_smoothing=self.smoothing, reduction="none"
        )
        counts = taken if weight is None else taken * weight[targets]
        return Step((losses * taken).sum() / counts.sum().clamp_min(1e-9), len(batch.targets))
