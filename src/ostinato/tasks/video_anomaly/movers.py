"""What moves in a scene, and how: the foreground, how fast it is over several frames, how large, and what stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.motion import UNIT as MOTION_UNIT
from ostinato.data.video.motion import Motion, fine_motion
from ostinato.tasks.video_anomaly.footage import UNIT, Footage
from ostinato.tasks.video_anomaly.patches import patch_means, smoothed

Floats = NDArray[np.float32]
Grey = NDArray[np.uint8]
LONGEST = 8
"""Frames over which the motion of what moves is measured, at most."""
_CELL = UNIT // 2  # pixels: what moves is looked at in windows of 3 x 3 such cells, and its size in 7 x 7
_NEAR, _WIDE = 1, 3  # cells that these reach
_LOOKED_AT, _PAIRS = 240, 40  # frames, and pairs of them, that the empty scene and the usual motion are found on
_FEWEST, _PIXELS = 24, 1 << 24  # such frames at least, and pixels of them at most
_REACH = 2.5  # pixels that what moves comes forward in the frames over which its motion is measured
_BEGINS, _SURE = 3.0, 4.0  # scales of noise from which on a pixel is of the foreground, and that make it surely so
_LEAST = 0.2  # share of foreground from which on a window has something in it
_NOISE, _SLOWEST = 2.0, 0.02  # least noise, of 255; pixels a frame below which nothing moves
_SLOW = 0.25  # of the usual motion: what is slower stands


@dataclass(frozen=True)
class Scene:
    """The scene without what moves in it.

    Args:
        empty: the brightness that each pixel usually has, `(height, width)`.
        noise: how far it strays from that, likewise.
        span: frames over which motion is measured, so that what moves has come forward by some pixels; limbs swing
            within them.
        pace: how fast what moves usually is, in pixels a frame.
    """

    empty: Floats
    noise: Floats
    span: int
    pace: float

    @classmethod
    def fit(cls, clips: tuple[Footage, ...], by: Motion) -> Scene:
        """Find it on training clips."""
        sampled = _sampled(clips)
        empty = np.median(sampled, axis=0).astype(np.float32)
        away = sampled - empty
        away -= np.median(away, axis=(1, 2), keepdims=True)
        noise = np.maximum(1.4826 * np.median(np.abs(away), axis=0), _NOISE).astype(np.float32)
        scene = cls(empty, noise, 1, 1.0)
        speeds = [scene.measured(before, after, by, 2).speed for before, after in _pairs(clips, 2)]
        moving = np.concatenate([np.zeros(0, np.float32), *(each[each > _SLOWEST] for each in speeds)])
        if not len(moving):
            return scene
        pace = float(np.median(moving))
        return cls(empty, noise, int(np.clip(round(_REACH / pace), 1, LONGEST)), pace)

    def foreground(self, frame: Grey) -> Floats:
        """Return how surely each pixel is of something that is not of the scene, 0 to 1, `(height, width)`."""
        away = frame - self.empty
        away -= np.median(away)  # the light changes everywhere alike
        found: Floats = np.clip((np.abs(away) / self.noise - _BEGINS) / _SURE, 0.0, 1.0)
        return found

    def measured(self, before: Grey, after: Grey, by: Motion, span: int) -> Movers:
        """Return what moves between two frames that are so many apart."""
        moved = fine_motion(before, after, by) / np.float32(MOTION_UNIT * span)
        there, now = self.foreground(before), self.foreground(after)
        weight = _means(there, _NEAR)
        sides = [_means(there * moved[..., side], _NEAR) for side in (0, 1)]
        held = np.maximum(weight, 1e-3)
        speed = np.where(weight > _LEAST, np.hypot(sides[0] / held, sides[1] / held), 0.0).astype(np.float32)
        standing = _means(np.minimum(there, now), _NEAR) * (speed < _SLOW * self.pace)
        return Movers(speed, _means(now, _WIDE), standing)


@dataclass(frozen=True)
class Movers:
    """What moves in a frame, in windows around cells of half a patch, `(2 rows, 2 columns)` each.

    Args:
        speed: of what moves as a whole, in pixels a frame; 0 where there is nothing.
        size: share of the foreground in a large window.
        standing: share of the foreground that does not move, in a small one.
    """

    speed: Floats
    size: Floats
    standing: Floats

    def by_patch(self) -> Floats:
        """Return all three as the highest of each patch's cells, `(3, rows, columns)`."""
        every = np.stack([self.speed, self.size, self.standing])
        kinds, high, wide = every.shape
        found: Floats = every.reshape(kinds, high // 2, 2, wide // 2, 2).max((2, 4))
        return found


def _means(pixels: Floats, reach: int) -> Floats:
    """Return the mean of the window around each cell."""
    return smoothed(patch_means(pixels, _CELL), reach)


def _sampled(clips: tuple[Footage, ...]) -> Floats:
    """Return frames at even distances, `(frames, height, width)`, so many that they take little memory."""
    places = [(clip, at) for clip in clips for at in range(len(clip))]
    most = max(_FEWEST, min(_LOOKED_AT, _PIXELS // clips[0].frames[0].size))
    chosen = places[:: max(1, -(-len(places) // most))]
    return np.stack([clip.frames[at] for clip, at in chosen]).astype(np.float32)


def _pairs(clips: tuple[Footage, ...], apart: int) -> list[tuple[Grey, Grey]]:
    """Return pairs of frames so many apart."""
    places = [(clip, at) for clip in clips for at in range(apart, len(clip))]
    chosen = places[:: max(1, len(places) // _PAIRS)]
    return [(clip.frames[at - apart], clip.frames[at]) for clip, at in chosen]
