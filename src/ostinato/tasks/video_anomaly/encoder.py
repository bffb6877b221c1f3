"""What is fitted on normal video: how frames are read and scaled, what is usual at each place, where alarms begin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.motion import UNIT as MOTION_UNIT
from ostinato.tasks.base.tail import Tail
from ostinato.tasks.video_anomaly.footage import UNIT, Clipped, Footage, Reading

Floats = NDArray[np.float32]
CHANNELS = 3
VIEWS = ("next frame", "next motion", "picture", "motion as seen", "speed", "change")
"""What is looked at in a patch: errors in telling the next frame and its motion, in telling what is seen, and how fast
and how different from the mean frame it is."""
_FLOOR = 1e-4
_SHRINK = 200.0  # frames' worth of belief that a place is as all places are
_MOST = 60.0  # spreads


@dataclass(frozen=True)
class Usual:
    """What is usual at each place: logarithms of views of a patch on normal video.

    Args:
        mean, spread: `(views, rows, columns)`.
        weights: of each view, `(views,)`, 0 for one that is not used.
    """

    mean: Floats
    spread: Floats
    weights: Floats

    @classmethod
    def of(cls, views: NDArray[np.float32], weights: Floats) -> Usual:
        """Find what is usual.

        Args:
            views: `(frames, views, rows, columns)`, NaN where there is none.
            weights: of each view.
        """
        known = np.isfinite(views)
        count = known.sum(0).astype(np.float64)
        flat = np.where(known, views, 0.0).astype(np.float64)
        mean = flat.sum(0) / np.maximum(count, 1)
        square = (np.where(known, views - mean, 0.0) ** 2).sum(0)
        whole = np.maximum(count.sum((1, 2), keepdims=True), 1)
        common = flat.sum((0, 2, 3))[:, None, None] / whole
        # a place where nothing happened in training is taken to be as others are, the less the more was seen of it
        between = square.sum((1, 2), keepdims=True) / whole
        spread = np.sqrt((square + _SHRINK * between) / (count + _SHRINK))
        middle = (flat.sum(0) + 0.1 * _SHRINK * common) / (count + 0.1 * _SHRINK)
        return cls(middle.astype(np.float32), np.maximum(spread, 1e-3).astype(np.float32), weights)

    def scores(self, views: Floats) -> Floats:
        """Return how strange each patch is, `(rows, columns)`, from its views `(views, rows, columns)`."""
        z = np.clip((views - self.mean) / self.spread, 0.0, _MOST)
        z = np.where(np.isfinite(z), z, 0.0)
        found: Floats = np.tensordot(self.weights, z, 1).astype(np.float32)
        return found


@dataclass(frozen=True)
class VideoEncoder:
    """What is fitted on normal video.

    Args:
        reading: how frames are read.
        mean: the mean frame, `(height, width)`, 0 to 255.
        scales: the usual size of each channel, `(channels,)`: brightness beside the mean frame, motion two ways.
        usual: what is usual at each place.
        memory: the share of the last frame's patches that stays in their running mean.
        tail: of frames' scores on normal video held out; threshold: of a frame's score, from which on there is an
            alarm; chosen: how it was found, in words; low: a frame's score as low as normal ones have it.
        fingerprint: of the clips that it was fitted on.
    """

    reading: Reading
    mean: NDArray[np.float32]
    scales: NDArray[np.float32]
    usual: Usual
    memory: float
    tail: Tail
    threshold: float
    chosen: str
    low: float = 0.0
    fingerprint: str = ""

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches a frame has, in rows and columns."""
        return self.reading.height // UNIT, self.reading.width // UNIT

    @property
    def sizes(self) -> dict[str, int]:
        """Nothing that the network is made of."""
        return {}

    def inputs(self, frames: NDArray[np.uint8], motion: NDArray[np.int8]) -> Floats:
        """Return what the network reads, `(frames, channels, height, width)`."""
        found = np.empty((len(frames), CHANNELS, *frames.shape[1:]), np.float32)
        np.subtract(frames, self.mean, out=found[:, 0])
        found[:, 1:] = motion.transpose(0, 3, 1, 2)
        found /= self.scales[:, None, None]
        return np.clip(found, -20.0, 20.0, out=found)

    def views(self, seen: Floats, told: Floats | None, now: Floats) -> Floats:
        """Return the views of each patch, `(views, rows, columns)`.

        Args:
            seen: the frame, `(channels, height, width)`.
            told: what the frame before had told of it; `None`: there was none.
            now: what is told of it once it is seen.
        """
        found = np.full((len(VIEWS), *self.grid), np.nan, np.float32)
        for place, other in ((0, told), (2, now)):
            if other is not None:
                error = (seen - other) ** 2
                found[place], found[place + 1] = _patches(error[0]), _patches(error[1] + error[2])
        found[4], found[5] = _patches(seen[1] ** 2 + seen[2] ** 2), _patches(seen[0] ** 2)
        logs: Floats = np.log(found + _FLOOR)
        return logs

    def regularity(self, score: float) -> float:
        """Return how usual a frame is: 1 for the most usual frames of normal video, 0 where alarms begin, or less."""
        if not math.isfinite(score):
            return 1.0
        return float(np.clip((self.threshold - score) / max(self.threshold - self.low, 1e-9), -1.0, 1.0))


def fitted_scales(clips: Clipped) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean frame and the usual size of each channel."""
    total = np.zeros((clips.reading.height, clips.reading.width))
    for clip in clips.clips:
        total += clip.frames.sum(0, dtype=np.float64)
    mean = (total / len(clips)).astype(np.float32)
    squares = np.zeros(CHANNELS)
    for clip in clips.clips:
        squares += _squares(clip, mean)
    size = np.sqrt(squares / max(len(clips) * mean.size, 1))
    least = np.array([2.0, 0.1 * MOTION_UNIT, 0.1 * MOTION_UNIT])
    return mean, np.maximum(size, least).astype(np.float32)


def _squares(clip: Footage, mean: NDArray[np.float32]) -> NDArray[np.float64]:
    brightness = sum(float(((frame - mean) ** 2).sum(dtype=np.float64)) for frame in clip.frames)
    moved = [float((clip.motion[..., side].astype(np.float32) ** 2).sum(dtype=np.float64)) for side in (0, 1)]
    return np.array([brightness, *moved])


def _patches(values: Floats) -> Floats:
    high, wide = values.shape
    found: Floats = values.reshape(high // UNIT, UNIT, wide // UNIT, UNIT).mean((1, 3))
    return found
