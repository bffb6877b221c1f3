"""Utterances in batches, for training and to be heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ostinato.data.notes import note
from ostinato.data.text import BucketedBatches
from ostinato.errors import DataError
from ostinato.tasks.speech.choices import suited_batch
from ostinato.tasks.speech.encoding import Spoken, padded
from ostinato.tasks.speech.network import SpeechBatch
from ostinato.tasks.speech.parameters import SpeechParameters
from ostinato.training.objective import Batch

_SHOWN = 3


def together(spoken: Spoken, rows: Sequence[int]) -> SpeechBatch:
    """Return utterances as one batch, padded with zeros."""
    parts = [torch.from_numpy(np.ascontiguousarray(spoken.frames(row))) for row in rows]
    targets = [spoken.targets[row] for row in rows]
    return SpeechBatch(
        torch.nn.utils.rnn.pad_sequence(parts),
        torch.tensor([len(frames) for frames in parts]),
        padded(targets),
        torch.tensor([len(units) for units in targets]),
    )


class SpeechBatches:
    """Utterances that can be learned from, in batches of like length.

    Args:
        spoken: as the network reads them.
        parameters: sizes of a batch.
        shuffle: whether each epoch has its own order.
    """

    def __init__(self, spoken: Spoken, parameters: SpeechParameters, *, shuffle: bool) -> None:
        self._spoken = spoken
        self._rows = np.flatnonzero(spoken.fits(parameters))
        lengths = spoken.lengths[self._rows].tolist()
        frames = max(1, round(parameters.batch_seconds / spoken.encoder.step))
        size = suited_batch(parameters, len(lengths))
        self._plan = BucketedBatches(
            ([0] * length for length in lengths), batch_tokens=frames, max_batch=size, window=20 * size,
            shuffle=shuffle, seed=parameters.seed,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._plan)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch, the same ones each time."""
        for batch in self._plan.batches(epoch):
            yield Batch(together(self._spoken, self._rows[batch.data.rows.numpy()].tolist()))


def batches_of(spoken: Spoken, parameters: SpeechParameters, *, training: bool) -> SpeechBatches | None:
    """Return batches; `None` where there is nothing to learn from.

    Utterances that CTC cannot write are left out, counted, and the first of them are named.

    Raises:
        DataError: of training data, all are such.
    """
    left_out = spoken.too_long(parameters)
    if training and left_out:
        named = ", ".join(left_out[:_SHOWN]) + (", ..." if len(left_out) > _SHOWN else "")
        said = (
            f"{len(left_out):,} of {len(spoken):,} training utterances have transcripts longer than CTC can write in "
            f"their frames ({named})"
        )
        if len(left_out) == len(spoken):
            raise DataError(
                f"{said}; take subsampling=1 and pyramid=0 (--subsampling 1), larger units, or loss='transducer'"
            )
        note(
            f"{said}; they are left out: a subsampling of less than {spoken.encoder.choices.subsampling} would have "
            "room for more"
        )
    return SpeechBatches(spoken, parameters, shuffle=training) if len(left_out) < len(spoken) else None
