"""Stick figures that walk, sit down, wave or fall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.made_clips.clip import MadeClip, counted, sized
from ostinato.data.made_clips.drawing import covered, finished, grid, paint, segment
from ostinato.errors import UsageError

ACTIONS: tuple[str, ...] = ("walk", "sit down", "wave", "fall")
JOINTS: tuple[str, ...] = (
    "head", "neck", "hip", "near elbow", "near hand", "far elbow", "far hand", "near knee", "near foot", "far knee",
    "far foot",
)  # fmt: skip
_BONES = (("neck", "hip"), ("neck", "near elbow"), ("near elbow", "near hand"), ("neck", "far elbow"),
          ("far elbow", "far hand"), ("hip", "near knee"), ("near knee", "near foot"), ("hip", "far knee"),
          ("far knee", "far foot"))  # fmt: skip
_SAID = {
    "walk": ("a person walks", "somebody is walking along"),
    "sit down": ("a person sits down", "somebody takes a seat"),
    "wave": ("a person waves", "somebody is waving a hand"),
    "fall": ("a person falls", "somebody falls to the ground"),
}
_HEAD, _TRUNK, _ARM, _LEG = 0.13, 0.32, 0.16, 0.25
"""Lengths as shares of the body: from neck to the middle of the head, of the trunk, of half an arm and half a leg."""
_LEAST = 24  # pixels
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Pose:
    """Angles over time, `(time,)`, in radians from hanging down (limbs) or upright (trunk), forward is more."""

    trunk: Floats
    arms: tuple[tuple[Floats, Floats], ...]
    """Upper and lower arm, the near one first."""
    legs: tuple[tuple[Floats, Floats], ...]
    """Thigh and shin, the near one first."""
    forward: Floats
    """How far the body has come, in bodies."""
    tipped: Floats
    """By how much all of it is tipped over its feet."""


def stick_figures(
    count: int,
    *,
    actions: Sequence[str] = ACTIONS,
    size: int | tuple[int, int] = 48,
    frames: int = 30,
    rate: float = 10.0,
    noise: float = 6.0,
    seed: int = 0,
) -> Iterator[MadeClip]:
    """Yield clips of a stick figure that does one thing, with where its joints are (`JOINTS`).

    Figures differ in size, place, speed, colour, build, in the way they face, and in when they begin (`onset`); before
    it they stand, or, some of those that fall, walk. Actions come in turn, so that there are about as many of each.

    Args:
        count: how many clips.
        actions: of `ACTIONS`.
        size: pixels of a frame: a side, or height and width.
        frames: of each clip.
        rate: frames a second.
        noise: levels, of 255, on each pixel of each frame.
        seed: the same clips come for the same one.

    Raises:
        UsageError: there is no such action, or there is no room.
    """
    height, width = sized(size, _LEAST)
    counted("frames", frames, 4)
    unknown = [each for each in actions if each not in ACTIONS]
    if unknown or not actions:
        named = f'there is no action "{unknown[0]}"' if unknown else "no action is given"
        raise UsageError(f"{named}; expected some of {', '.join(ACTIONS)}")
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield _filmed(actions[number % len(actions)], height, width, frames, rate, noise, rng)


def _filmed(
    action: str, height: int, width: int, frames: int, rate: float, noise: float, rng: np.random.Generator
) -> MadeClip:
    onset = 0 if action == "walk" else int(rng.uniform(0.1, 0.4) * frames)
    seconds = (np.arange(frames) - onset) / rate
    length = max((frames - onset) / rate, 1e-6)
    joints = _joints(_POSES[action](seconds, length, rng))
    body = rng.uniform(0.5, 0.62) * min(height, 1.3 * width)
    facing = rng.choice((-1.0, 1.0))
    ground, middle = rng.uniform(0.86, 0.95) * height, width * rng.uniform(0.44, 0.56)
    across = joints[..., 0] - (joints[..., 0].min() + joints[..., 0].max()) / 2
    places = np.stack([middle + facing * body * across, ground - body * joints[..., 1]], -1)
    picture = _pictured(places, body, height, width, rng)
    landmarks = (places / np.array([width, height])).astype(np.float32)
    return MadeClip(finished(picture, noise, rng), rate, action, _SAID[action], onset, landmarks)


def _pictured(places: Floats, body: float, height: int, width: int, rng: np.random.Generator) -> Floats:
    picture = np.empty((len(places), height, width, 3))
    back = rng.uniform(30, 100) + rng.uniform(-12, 12, 3)
    picture[:] = back + np.linspace(-15, 15, height)[:, None, None]
    colour = tuple(int(each) for each in np.clip(back + rng.uniform(90, 150) + rng.uniform(-30, 30, 3), 0, 255))
    thickness = max(1.2, 0.05 * body)
    at = {name: places[:, number] for number, name in enumerate(JOINTS)}
    for start, end in _BONES:
        paint(picture, segment(height, width, at[start], at[end], thickness), colour)  # type: ignore[arg-type]
    rows, columns = grid(height, width)
    head = at["head"]
    away = np.hypot(rows - head[:, 1, None, None], columns - head[:, 0, None, None])
    paint(picture, covered(away - 0.08 * body), colour)  # type: ignore[arg-type]
    return picture


def _smooth(share: Floats) -> Floats:
    """Return 0 before 0, 1 after 1, and a soft way between."""
    inside = np.clip(share, 0.0, 1.0)
    return inside**2 * (3 - 2 * inside)


def _standing(seconds: Floats, rng: np.random.Generator) -> _Pose:
    sway = 0.03 * np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * seconds + rng.uniform(0, 6))
    hang, nothing = 0.12 + sway, np.zeros_like(seconds)
    return _Pose(
        sway, ((hang, hang + 0.1), (-hang, -hang + 0.15)), ((nothing + 0.06, nothing), (nothing - 0.06, nothing)),
        nothing, nothing,
    )  # fmt: skip


def _walking(seconds: Floats, length: float, rng: np.random.Generator) -> _Pose:
    steps, swing = rng.uniform(0.7, 1.2), rng.uniform(0.4, 0.6)
    phase = 2 * np.pi * steps * seconds + rng.uniform(0, 6)
    near, far = swing * np.sin(phase), -swing * np.sin(phase)
    bent = tuple(0.5 * swing * (1 + np.cos(phase + turn)) for turn in (0.0, np.pi))
    speed = min(4 * steps * swing * 0.5, 0.7 / length)  # the frame is not left
    return _Pose(
        np.full_like(seconds, 0.05), ((0.8 * far, 0.8 * far + 0.3), (0.8 * near, 0.8 * near + 0.3)),
        ((near, near - bent[0]), (far, far - bent[1])), speed * seconds, np.zeros_like(seconds),
    )  # fmt: skip


def _sitting(seconds: Floats, length: float, rng: np.random.Generator) -> _Pose:
    down = _smooth(seconds / min(rng.uniform(0.7, 1.2), 0.9 * length))
    stands, thigh = _standing(seconds, rng), rng.uniform(1.3, 1.55) * down
    lean = stands.trunk + 0.55 * np.sin(np.pi * down)
    legs = ((thigh, -0.1 * down), (thigh - 0.06, -0.16 * down))
    arms = tuple((upper + 0.4 * down, lower + 0.7 * down) for upper, lower in stands.arms)
    return _Pose(lean, arms, legs, -0.35 * down, np.zeros_like(seconds))


def _waving(seconds: Floats, length: float, rng: np.random.Generator) -> _Pose:
    stands = _standing(seconds, rng)
    up = _smooth(seconds / min(0.5, 0.6 * length))
    swing = 0.6 * np.sin(2 * np.pi * rng.uniform(1.0, 1.8) * seconds) * up
    upper, lower = stands.arms[0]
    raised = (upper + (1.9 - upper) * up, lower + (2.9 - lower) * up + swing)
    return _Pose(stands.trunk, (raised, stands.arms[1]), stands.legs, stands.forward, stands.tipped)


def _falling(seconds: Floats, length: float, rng: np.random.Generator) -> _Pose:
    before = _walking if rng.random() < 0.5 else None
    start = _standing(seconds, rng) if before is None else _walking(np.minimum(seconds, 0.0), length, rng)
    share = np.clip(seconds / min(rng.uniform(0.5, 0.8), 0.8 * length), 0.0, 1.0)
    way = rng.choice((-1.0, 1.0))
    tipped = way * rng.uniform(1.4, 1.57) * share**2  # as a pole falls: ever faster
    flung = 1.2 * np.sin(np.pi * share) + 0.5 * share
    arms = tuple((upper + way * flung, lower + way * flung) for upper, lower in start.arms)
    bent = 0.4 * share
    legs = tuple((thigh + bent, shin - bent) for thigh, shin in start.legs)
    return _Pose(start.trunk + 0.2 * share, arms, legs, start.forward, tipped)


_POSES = {"walk": _walking, "sit down": _sitting, "wave": _waving, "fall": _falling}


def _joints(pose: _Pose) -> Floats:
    """Return where joints are, `(time, joints, 2)`: forward and up, in bodies; the lowest foot is on the ground."""

    def hanging(start: Floats, length: float, angle: Floats) -> Floats:
        return start + length * np.stack([np.sin(angle), -np.cos(angle)], -1)

    hip = np.zeros((len(pose.trunk), 2))
    upright = np.stack([np.sin(pose.trunk), np.cos(pose.trunk)], -1)
    neck = hip + _TRUNK * upright
    at = {"hip": hip, "neck": neck, "head": neck + _HEAD * upright}
    for side, (upper, lower), (thigh, shin) in zip(("near", "far"), pose.arms, pose.legs, strict=True):
        at[f"{side} elbow"] = hanging(neck, _ARM, upper)
        at[f"{side} hand"] = hanging(at[f"{side} elbow"], _ARM, lower)
        at[f"{side} knee"] = hanging(hip, _LEG, thigh)
        at[f"{side} foot"] = hanging(at[f"{side} knee"], _LEG, shin)
    found = np.stack([at[name] for name in JOINTS], 1)
    found = _tipped(found, pose.tipped)
    found[..., 1] -= found[..., 1].min(-1, keepdims=True)
    found[..., 0] += pose.forward[:, None]
    return found


def _tipped(joints: Floats, angle: Floats) -> Floats:
    """Turn bodies over their feet, forward for angles above 0."""
    feet = joints[:, [JOINTS.index("near foot"), JOINTS.index("far foot")]].mean(1, keepdims=True)
    away = joints - feet
    sine, cosine = np.sin(angle)[:, None], np.cos(angle)[:, None]
    turned = np.stack([cosine * away[..., 0] + sine * away[..., 1], -sine * away[..., 0] + cosine * away[..., 1]], -1)
    found: Floats = feet + turned
    return found
