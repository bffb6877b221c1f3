"""Anomalies planted in real clips of a camera that does not move: people of one clip, changed, pasted into another.

What a detector is developed on where labelled clips are kept for the test: `walkers` cuts people out of clips by what
differs from the empty scene and follows them; `planted` pastes one of them into a clip, where he does what nobody does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

KINDS = ("glides", "hurries", "bicycle", "cart", "large", "stands")
"""On legs that do not move, 1.5 to 2 times as fast; walking as fast as that; on two wheels, 1.7 to 2.5 times as fast; a
box on wheels, 1.3 to 2 times as fast; 1.6 times as large; in one place, on the lawn or in front of all others."""
FACTORS = {"glides": (1.5, 2.0), "hurries": (1.5, 2.0), "bicycle": (1.7, 2.5), "cart": (1.3, 2.0),
           "large": (1.0, 1.0), "stands": (0.0, 0.0)}  # fmt: skip
_FOREGROUND, _FEWEST, _NEAR, _SLOWEST = 18, 20, 3.5, 0.3  # brightness; frames of a walker; pixels; pixels a frame
_AREA, _HEIGHT, _WIDTH = (45, 190), (12, 23), (4, 13)  # pixels of somebody in frames 120 pixels high
_SEEN = 0.35  # the share of what is planted that must be seen to count
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Walker:
    """Somebody who was followed: places of the middle, `(frames, 2)`, and pictures with his share of each pixel."""

    places: NDArray[np.float64]
    pictures: Sequence[tuple[Picture, Picture]]

    @property
    def pace(self) -> float:
        """Pixels to the right in a frame."""
        return float(np.polyfit(np.arange(len(self.places)), self.places[:, 0], 1)[0])


def walkers(frames: NDArray[np.uint8]) -> list[Walker]:
    """Return those who walk alone through a clip `(frames, height, width)` for a while."""
    empty, found, live = np.median(frames, axis=0), list[Any](), list[Any]()
    for frame in frames.astype(np.float32):
        there = _people(frame, empty)
        followed = []
        for track in live:
            best = min(there, key=lambda one: float(np.hypot(*(one[0] - track[-1][0]))), default=None)
            if best is not None and np.hypot(*(best[0] - track[-1][0])) < _NEAR:
                followed.append([*track, best])
                there = [one for one in there if one is not best]
            else:
                found.append(track)
        live = followed + [[one] for one in there]
    whole = [Walker(np.array([one[0] for one in track]), [one[1] for one in track])
             for track in (*found, *live) if len(track) >= _FEWEST]  # fmt: skip
    return [one for one in whole if abs(one.pace) > _SLOWEST]


def _people(frame: Picture, empty: NDArray[Any]) -> list[tuple[NDArray[np.float64], tuple[Picture, Picture]]]:
    away = (np.abs(frame - empty) > _FOREGROUND).astype(np.uint8)
    away = cv2.morphologyEx(away, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, parts, boxes, middles = cv2.connectedComponentsWithStats(away)
    found = []
    for part in range(1, count):
        x, y, wide, high, area = boxes[part].tolist()
        fits = all(low <= value <= most for value, (low, most) in ((area, _AREA), (high, _HEIGHT), (wide, _WIDTH)))
        if fits and 1 < x < frame.shape[1] - wide - 1:
            inside = slice(max(y - 2, 0), y + high + 2), slice(max(x - 2, 0), x + wide + 2)
            share: Any = cv2.GaussianBlur(cv2.dilate((parts == part).astype(np.float32), np.ones((2, 2))), (3, 3), 0)
            found.append((middles[part], (frame[inside], share[inside])))
    return found


def planted(
    frames: NDArray[np.uint8], walker: Walker, kind: str, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a clip with a walker in it who does what nobody does, and the frames in which he is seen.

    Args:
        frames: of the clip, `(frames, height, width)`.
        walker: of another clip of the same scene.
        kind: one of `KINDS`.
        rng: of what is drawn.
    """
    found, (high, wide) = frames.astype(np.float32), frames.shape[1:]
    marks, side, begins = np.zeros(len(frames), bool), int(rng.choice([-1, 1])), int(rng.integers(10, 35))
    pace = side * max(abs(walker.pace), 0.5) * rng.uniform(*FACTORS[kind])
    x, y = (-4.0 if side > 0 else wide + 4.0), float(np.median(walker.places[:, 1]))
    if kind == "stands":
        x, y = rng.uniform(0.17, 0.85) * wide, rng.choice([rng.uniform(0.3, 0.4), rng.uniform(0.73, 0.9)]) * high
    still = int(rng.integers(len(walker.pictures)))
    for time in range(begins, min(len(frames), begins + 55) if kind == "stands" else len(frames)):
        step = int((time - begins) * max(abs(pace / walker.pace), 1.0)) % len(walker.pictures)
        picture, share = walker.pictures[step if kind in ("hurries", "large") else still]
        if (walker.pace > 0) != (side > 0):
            picture, share = picture[:, ::-1], share[:, ::-1]
        picture, share = _changed(picture, share, kind)
        seen = _paste(found[time], picture, share, x + pace * (time - begins), y - (4 if kind == "large" else 0))
        marks[time] = seen > _SEEN * share.sum()
    return np.clip(np.rint(found), 0, 255).astype(np.uint8), marks


def _changed(picture: Picture, share: Picture, kind: str) -> tuple[Picture, Picture]:
    picture, share = np.ascontiguousarray(picture), np.ascontiguousarray(share)
    if kind == "large":
        larger: list[Any] = [
            cv2.resize(one, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_LINEAR) for one in (picture, share)
        ]
        return larger[0], larger[1]
    if kind == "cart":
        box = np.full((18, 26), 200, np.float32)
        box[2:8, 3:23], box[12:16] = 110, 90
        for middle in (5, 20):
            cv2.circle(box, (middle, 15), 3, 30, -1)
        return box, np.ones_like(box)
    if kind == "bicycle":
        high, wide = picture.shape
        ridden = np.full((high + 2, max(wide, 20)), 60, np.float32)
        there, wheels, first, legs = (
            np.zeros_like(ridden),
            np.zeros_like(ridden),
            (max(wide, 20) - wide) // 2,
            high * 3 // 4,
        )
        ridden[:legs, first : first + wide], there[:legs, first : first + wide] = picture[:legs], share[:legs]
        ends = 5, ridden.shape[1] - 6
        for middle in ends:
            cv2.circle(wheels, (middle, high - 4), 4, 1.0, 1, cv2.LINE_AA)
        cv2.line(wheels, (ends[0], high - 5), (ends[1], high - 5), 1.0, 1, cv2.LINE_AA)
        ridden[wheels > 0.05] = 50
        return ridden, np.maximum(there, 0.9 * wheels)
    return picture, share


def _paste(frame: Picture, picture: Picture, share: Picture, x: float, y: float) -> float:
    """Paste a picture with its middle at a place; return how much of it is seen."""
    high, wide = picture.shape
    moved = np.array([[1, 0, x - (wide - 1) / 2], [0, 1, y - (high - 1) / 2]], np.float32)
    size = frame.shape[::-1]
    over = cv2.warpAffine(picture, moved, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = cv2.warpAffine(share, moved, size)
    frame[:] = frame * (1 - there) + over * there
    return float(there.sum())
