"""Sequences of frames to train on, at random places of clips; and those of held-out clips, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.tasks.video_anomaly.encoder import VideoEncoder
from ostinato.tasks.video_anomaly.footage import Clipped
from ostinato.training.objective import Batch, Step

_SHORTEST = 2


class Sequences:
    """Batches of sequences; those with an anomaly that is known are left out.

    Args:
        encoder: makes of frames what the network reads.
        clips: where they are from.
        steps: frames of a sequence; one more is predicted.
        batch_size: sequences in a batch.
        training: whether sequences begin at random places, another one each epoch.
        seed: of the places.
    """

    def __init__(
        self, encoder: VideoEncoder, clips: Clipped, *, steps: int, batch_size: int, training: bool, seed: int
    ) -> None:
        self.encoder, self.clips, self.batch_size = encoder, clips.clips, batch_size
        self.training, self.seed = training, seed
        longest = max((len(clip) for clip in clips.clips), default=0)
        self.length = min(steps + 1, max(longest, _SHORTEST))
        self.places = [
            (number, start)
            for number, clip in enumerate(clips.clips)
            for start in range(0, len(clip) - self.length + 1, max(self.length - 1, 1))
            if clip.labels is None or not clip.labels[start : start + self.length].any()
        ]

    def __len__(self) -> int:
        return -(-len(self.places) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch: `(steps, batch, channels, height, width)`."""
        places = list(self.places)
        if self.training:
            rng = np.random.default_rng([self.seed, epoch])
            drawn = [places[at] for at in rng.permutation(len(places)).tolist()]
            places = [self._moved(number, start, rng) for number, start in drawn]
        for first in range(0, len(places), self.batch_size):
            rows = [self._inputs(*place) for place in places[first : first + self.batch_size]]
            yield Batch(torch.from_numpy(np.stack(rows, 1)))

    def _moved(self, number: int, start: int, rng: np.random.Generator) -> tuple[int, int]:
        """Return another beginning, less than a sequence away, where that is as normal."""
        clip = self.clips[number]
        other = int(np.clip(start + rng.integers(1 - self.length, self.length), 0, len(clip) - self.length))
        anomalous = clip.labels is not None and clip.labels[other : other + self.length].any()
        return (number, start if anomalous else other)

    def _inputs(self, number: int, start: int) -> NDArray[np.float32]:
        part = slice(start, start + self.length)
        clip = self.clips[number]
        return self.encoder.inputs(clip.frames[part], clip.motion[part])


def predicted_and_seen(module: nn.Module, batch: Tensor, carry: Any) -> Step:  # noqa: ARG001
    """Return the loss: mean squares of the next frame and of the frame that is seen, in all channels alike."""
    predicted, _ = module(batch[:-1])
    following = (predicted[:, :, 0] - batch[1:]).square().mean()
    now = (predicted[:, :, 1] - batch[:-1]).square().mean()
    return Step(following + now, batch.shape[0] * batch.shape[1])
