"""What is fitted on normal video: how frames are read and scaled, what is usual at each place, where alarms begin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.motion import UNIT as MOTION_UNIT
from ostinato.data.video.motion import measured_motion
from ostinato.tasks.base.tail import Tail
from ostinato.tasks.video_anomaly.evidence import KINDS, MOVERS, Evidence, levelled, running
from ostinato.tasks.video_anomaly.footage import UNIT, Clipped, Footage, Reading
from ostinato.tasks.video_anomaly.movers import LONGEST, Scene
from ostinato.tasks.video_anomaly.patches import patch_means, smoothed

Floats = NDArray[np.float32]
CHANNELS = 3
VIEWS = ("next frame", "motion as seen", "speed", "change")
"""What is looked at in a patch: errors in predicting the next frame, and in reconstructing the motion that is
seen; how fast it moves as a whole, and how much it changed from the frame before."""
SPAN = 3
"""Frames over which the motion of a patch as a whole is measured: limbs swing within it, and what is slow has moved."""
WINDOWS = (1, 2)
"""How far the windows reach, in patches, in which the views are looked at together: 3 x 3, and 5 x 5."""
_HIGH = 0.98  # the share of normal frames in which a view stays below what it is measured in
_PLACE = 0.5  # how much the place itself counts in that, beside all places
_BELIEF = 50.0  # frames' worth of belief that a place is as all places are
_LEAST = 1e-3


@dataclass(frozen=True)
class Usual:
    """What is usual at each place: how high each view of a patch goes there on normal video, and all of them around it.

    That is the 98th percentile, drawn half way to that of all places: a place where little ever happened would else
    find everything strange. Views are divided by it, so that those of which normal video itself has a long tail count
    for less. Their sum is looked at in windows of two sizes, so that what is larger than all else is seen as a whole.

    Args:
        high: of each view, `(views, rows, columns)`.
        around: of the mean sum of views in each window, `(windows, rows, columns)`.
    """

    high: Floats
    around: Floats

    @classmethod
    def nothing(cls, grid: tuple[int, int]) -> Usual:
        """Return what stands for it before it is known."""
        return cls(np.ones((len(VIEWS), *grid), np.float32), np.ones((len(WINDOWS), *grid), np.float32))

    @classmethod
    def of(cls, views: Floats) -> Usual:
        """Find what is usual, of views `(frames, views, rows, columns)`; frames that lack a view do not count."""
        whole = views[np.isfinite(views).all((1, 2, 3))]
        if not len(whole):
            return cls.nothing((views.shape[2], views.shape[3]))
        first = replace(cls.nothing((views.shape[2], views.shape[3])), high=_high(whole))
        return replace(first, around=_high(np.stack([first.sums(each) for each in whole])))

    def shares(self, views: Floats) -> Floats:
        """Return how high each view is beside what is usual, `(views, rows, columns)`; 0 for one that is not there."""
        found: Floats = np.where(np.isfinite(views), views, 0.0).astype(np.float32) / self.high
        return found

    def sums(self, views: Floats) -> Floats:
        """Return the mean sum of views around each patch, `(windows, rows, columns)`."""
        total = self.shares(views).sum(0)
        return np.stack([smoothed(total, reach) for reach in WINDOWS])

    def scores(self, views: Floats) -> Floats:
        """Return how strange each patch is, `(rows, columns)`, from its views `(views, rows, columns)`."""
        found: Floats = (self.sums(views) / self.around).sum(0)
        return found


def _high(values: Floats) -> Floats:
    """Return what values `(frames, kinds, rows, columns)` reach, `(kinds, rows, columns)`; see `Usual`."""
    place = np.stack([smoothed(high) for high in np.quantile(values, _HIGH, axis=0).astype(np.float32)])
    common = np.quantile(values, _HIGH, axis=(0, 2, 3))[:, None, None]
    share = _PLACE * len(values) / (len(values) + _BELIEF)
    return np.maximum(share * place + (1 - share) * common, _LEAST).astype(np.float32)


@dataclass(frozen=True)
class VideoEncoder:
    """What is fitted on normal video.

    Args:
        reading: how frames are read.
        mean: the mean frame, `(height, width)`, 0 to 255.
        scales: the usual size of each channel, `(channels,)`: brightness beside the mean frame, motion two ways.
        usual: what is usual at each place.
        scene: without what moves in it.
        evidence: of several kinds, on one scale.
        memory: the share of the last frame's patches that stays in their running mean.
        tail: of frames' scores on normal video held out; threshold: of a frame's score, from which on there is an
            alarm; chosen: how it was found, in words; low: a frame's score as low as normal ones have it.
        fingerprint: of the clips that it was fitted on.
    """

    reading: Reading
    mean: NDArray[np.float32]
    scales: NDArray[np.float32]
    usual: Usual
    scene: Scene
    evidence: Evidence
    memory: float
    tail: Tail
    threshold: float
    chosen: str
    low: float = 0.0
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not go together, as a file may bring it.

        Raises:
            ValueError: shapes differ, or numbers are none.
        """
        size, views = (self.reading.height, self.reading.width), len(VIEWS)
        if min(size) < 2 * UNIT or any(each % UNIT for each in size):
            raise ValueError(f"frames of {size[0]} x {size[1]} pixels have no whole patches of {UNIT}")
        shapes = {"mean frame": (self.mean, size), "scales": (self.scales, (CHANNELS,)),
                  "usual": (self.usual.high, (views, *self.grid)),
                  "usual around": (self.usual.around, (len(WINDOWS), *self.grid)),
                  "empty scene": (self.scene.empty, size), "noise": (self.scene.noise, size),
                  "usual movers": (self.evidence.high, (len(MOVERS), *self.grid)),
                  "begins": (self.evidence.begins, (len(KINDS),)),
                  "tails": (self.evidence.scales, (len(KINDS),)),
                  "evidence": (self.evidence.taken, (len(KINDS),))}  # fmt: skip
        for name, (array, shape) in shapes.items():
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"its {name} is no array of numbers of the shape {shape}")
        if (
            (self.scales <= 0).any()
            or (self.usual.high <= 0).any()
            or (self.usual.around <= 0).any()
            or (self.scene.noise <= 0).any()
            or min(self.evidence.high.min(), self.evidence.begins.min(), self.evidence.scales.min()) <= 0
            or math.isnan(self.threshold)
        ):
            raise ValueError("a scale is not more than zero, or the threshold is no number")
        if not 1 <= self.scene.span <= LONGEST or not 0 < self.scene.pace < 1e6:
            raise ValueError("its motion is measured over no number of frames, or what moves has no speed")
        if not 0 <= self.memory < 1 or not math.isfinite(self.low):
            raise ValueError(f"its memory is {self.memory}; expected a share from 0 to 1")

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

    def views(
        self, seen: Floats, predicted: Floats | None, now: Floats, before: Floats | None, pace: Floats | None
    ) -> Floats:
        """Return the views of each patch, `(views, rows, columns)`, NaN where there is none.

        Args:
            seen: the frame, `(channels, height, width)`.
            predicted: what was predicted of it from the frame before; `None`: there was none.
            now: what is reconstructed of it once it is seen.
            before: the frame before; likewise.
            pace: the mean motion of each patch over the last frames, see `pace`; likewise.
        """
        found = np.full((len(VIEWS), *self.grid), np.nan, np.float32)
        moved = (seen[1:] - now[1:]) ** 2
        found[1] = patch_means(moved[0] + moved[1])
        if pace is not None:
            found[2] = pace[0] ** 2 + pace[1] ** 2
        if predicted is not None and before is not None:
            found[0] = patch_means((seen[0] - predicted[0]) ** 2)
            found[3] = patch_means((seen[0] - before[0]) ** 2)
        return found

    def pace(self, recent: NDArray[np.uint8], frame: NDArray[np.uint8]) -> Floats | None:
        """Return the mean motion a frame of each patch, `(2, rows, columns)`, over the last `SPAN` frames.

        Args:
            recent: the frames before, `(frames, height, width)`, the oldest first; fewer than `SPAN`: `None` is
                returned.
            frame: the frame, `(height, width)`.
        """
        if len(recent) < SPAN:
            return None
        moved = measured_motion(recent[-SPAN], frame, self.reading.motion) / (SPAN * self.scales[1:])
        found: Floats = np.stack([patch_means(moved[..., side]) for side in (0, 1)]).astype(np.float32)
        return found

    def movers(self, recent: NDArray[np.uint8], frame: NDArray[np.uint8]) -> Floats:
        """Return what moves, `(movers, rows, columns)`, see `Movers`; zeros while there are too few frames before."""
        if len(recent) < self.scene.span:
            return np.zeros((len(MOVERS), *self.grid), np.float32)
        return self.scene.measured(recent[-self.scene.span], frame, self.reading.motion, self.scene.span).by_patch()

    def with_usual(self, clips: Sequence[tuple[Floats, Floats]]) -> VideoEncoder:
        """Return it with what is usual, of the views and the movers of the frames of normal clips."""
        usual = Usual.of(np.concatenate([views for views, _ in clips]))
        evidence = self.evidence.with_high(np.concatenate([movers for _, movers in clips]))
        means = [_running_means(usual, evidence, self.memory, *clip) for clip in clips]
        return replace(self, usual=usual, evidence=evidence.with_tails(means))

    def scores_of(self, views: Floats, movers: Floats) -> NDArray[np.float64]:
        """Return how strange the frames of a clip are, `(frames,)`, from all of their views and movers."""
        level: Floats | None = None
        found = [np.nan]
        for means in _running_means(self.usual, self.evidence, self.memory, views, movers):
            level = levelled(level, self.evidence.nats(means))
            found.append(math.sqrt(level[0]))
        return np.array(found)

    def regularity(self, score: float) -> float:
        """Return how usual a frame is: 1 for the most usual frames of normal video, 0 where alarms begin, or less."""
        if not math.isfinite(score):
            return 1.0
        return float(np.clip((self.threshold - score) / max(self.threshold - self.low, 1e-9), -1.0, 1.0))


def _running_means(usual: Usual, evidence: Evidence, memory: float, views: Floats, movers: Floats) -> Floats:
    """Return the running means of a clip's frames but the first, `(frames, kinds, rows, columns)`."""
    means: Floats | None = None
    found = []
    for seen, moved in zip(views[1:], movers[1:], strict=True):
        now = np.concatenate([np.log1p(usual.scores(seen))[None], evidence.shares(moved)]).astype(np.float32)
        means = running(means, now, memory)
        found.append(means)
    return np.stack(found) if found else np.zeros((0, len(KINDS), *views.shape[2:]), np.float32)


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
