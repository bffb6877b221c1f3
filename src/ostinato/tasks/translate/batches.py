"""Batches of pairs, and the loss of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from ostinato.data.text import BucketedBatches, TextBatch
from ostinato.tasks.translate.corpus import Encoded
from ostinato.training.objective import Carry, Step


class TranslationBatch(NamedTuple):
    """What `TranslationNetwork.forward` takes."""

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor
    given: float


class TranslationBatches:
    """Pairs in batches of like length, with the share of target tokens that the decoder is given in an epoch.

    Args:
        pairs: as token numbers.
        batch_tokens: tokens a side, padding counted.
        given: the share in the last epoch; it falls evenly from 1 in the first (scheduled sampling; S. Bengio et al.,
            NeurIPS 2015).
        epochs: how many there are.
        shuffle: whether pairs are shuffled.
        seed: of the shuffling.
    """

    def __init__(
        self,
        pairs: Encoded,
        *,
        batch_tokens: int,
        given: float = 1.0,
        epochs: int = 1,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self.given, self.epochs = given, epochs
        self._buckets = BucketedBatches(
            pairs.sources, pairs.targets, batch_tokens=batch_tokens, shuffle=shuffle, seed=seed
        )

    def __len__(self) -> int:
        return len(self._buckets)

    def batches(self, epoch: int) -> Iterator[TextBatch]:
        """Return the batches of an epoch, counted from 0."""
        given = 1.0 - (1.0 - self.given) * min(1.0, epoch / max(1, self.epochs - 1))
        for batch in self._buckets.batches(epoch):
            pair = batch.data
            data = TranslationBatch(pair.source, pair.source_lengths, pair.target, pair.target_lengths, given)
            yield TextBatch(data)


class TranslationObjective:
    """Cross-entropy of a translation's tokens, in training with smoothed labels.

    Args:
        label_smoothing: the share of each target that goes to all tokens alike (C. Szegedy et al., 2016, section 7).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch."""
        loss, tokens = module(*batch, label_smoothing=self.label_smoothing if module.training else 0.0)
        return Step(loss, tokens)
