"""Simple detectors beside the model: what changed from frame to frame, and how far a patch is from the usual ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.tail import Tail
from ostinato.tasks.video_anomaly.encoder import VideoEncoder
from ostinato.tasks.video_anomaly.footage import Clipped, Footage
from ostinato.tasks.video_anomaly.judged import Judged
from ostinato.tasks.video_anomaly.patches import patch_means, smoothed

Floats = NDArray[np.float32]
_RIDGE = 0.05


@dataclass(frozen=True)
class FrameDifference:
    """The patch that changed most from the frame before; it predicts that what moves moves on as it did.

    Args:
        scale, motion: of brightness and of motion both ways, as the network has them.
        memory: of the running mean of a patch.
        threshold: from which on there is an alarm.
    """

    scale: float
    motion: NDArray[np.float32]
    memory: float
    threshold: float

    @classmethod
    def fit(cls, encoder: VideoEncoder, normal: Clipped, rate: float, gap: int) -> FrameDifference:
        """Set the threshold by normal clips."""
        open_ = cls(float(encoder.scales[0]), encoder.scales[1:], encoder.memory, np.inf)
        return replace(open_, threshold=threshold_of(open_.predict(normal), rate, gap))

    def predict(self, clips: Clipped) -> Judged:
        """Score frames."""
        scores, errors = [], []
        for clip in clips.clips:
            deadline().check()
            change = (np.diff(clip.frames.astype(np.float32), axis=0) / self.scale) ** 2
            moved = np.diff(clip.motion.astype(np.float32), axis=0) / self.motion
            errors += [np.nan, *(moved**2).mean((1, 2, 3)).tolist()]
            scores += [np.nan, *_highest((patch_means(frame) for frame in change), self.memory)]
        return _judged(scores, errors, self.threshold)


@dataclass(frozen=True)
class PatchDistance:
    """How far speed, change and texture of a patch are from the usual ones at its place, after Mahalanobis.

    It predicts that nothing will move.

    Args:
        mean: `(rows, columns, features)`; factor: `(rows, columns, features, features)`, a square root of the inverse
            of the covariance.
        frame: the mean frame; scale, motion: of brightness and of motion both ways, as the network has them.
        memory: of the running mean of a patch.
        threshold: from which on there is an alarm.
    """

    mean: Floats
    factor: Floats
    frame: Floats
    scale: float
    motion: Floats
    memory: float
    threshold: float

    @classmethod
    def fit(cls, encoder: VideoEncoder, train: Clipped, normal: Clipped, rate: float, gap: int) -> PatchDistance:
        """Find what is usual on training clips, and the threshold by normal ones."""
        scales = float(encoder.scales[0]), encoder.scales[1:]
        parts = [_features(clip, encoder.mean, *scales) for clip in train.clips]
        every = np.concatenate([part[1:] for part in parts if len(part) > 1] or parts)
        mean = every.mean(0)
        centred = (every - mean).transpose(1, 2, 0, 3)
        covariance = np.matmul(centred.transpose(0, 1, 3, 2), centred) / len(every)
        common = covariance.mean((0, 1))
        covariance = 0.7 * covariance + 0.3 * common + _RIDGE * np.eye(common.shape[0], dtype=np.float32)
        factor = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
        open_ = cls(mean.astype(np.float32), factor, encoder.mean, *scales, encoder.memory, np.inf)
        return replace(open_, threshold=threshold_of(open_.predict(normal), rate, gap))

    def predict(self, clips: Clipped) -> Judged:
        """Score frames."""
        scores, errors = [], []
        for clip in clips.clips:
            deadline().check()
            far = (_features(clip, self.frame, self.scale, self.motion) - self.mean).transpose(1, 2, 0, 3)
            distance = (np.matmul(far, self.factor) ** 2).sum(-1).transpose(2, 0, 1)
            scores += [np.nan, *_highest(distance[1:], self.memory)]
            errors += [np.nan, *(float(((moved / self.motion) ** 2).mean()) for moved in clip.motion[1:])]
        return _judged(scores, errors, self.threshold)


def _features(clip: Footage, mean: Floats, scale: float, motion: Floats) -> Floats:
    """Return logarithms of speed, change from the mean frame and texture, `(frames, rows, columns, 3)`."""
    found = []
    for frame, moved in zip(clip.frames, clip.motion, strict=True):
        away = (frame - mean) / scale
        edges = np.abs(np.diff(frame.astype(np.float32), axis=1, prepend=frame[:, :1].astype(np.float32))) / scale
        speed = ((moved.astype(np.float32) / motion) ** 2).sum(-1)
        found.append(np.stack([patch_means(values) for values in (speed, away**2, edges**2)], -1))
    logs: Floats = np.log(np.stack(found) + 1e-2)
    return logs


def _highest(patches: Iterable[Floats], memory: float) -> list[float]:
    """Return the highest running mean of each frame's patches."""
    running: Floats | None = None
    found = []
    for frame in patches:
        now = smoothed(frame)
        running = now if running is None else memory * running + (1 - memory) * now
        found.append(float(running.max()))
    return found


def threshold_of(found: Judged, rate: float, gap: int) -> float:
    """Return the score that normal frames reach at a rate of false alarms."""
    return float(Tail.fit(found.scores, gap=gap).threshold(rate))


def _judged(scores: list[float], errors: list[float], threshold: float) -> Judged:
    every = np.array(scores, np.float64)
    return Judged(every, np.greater_equal(every, threshold), np.array(errors, np.float64))
