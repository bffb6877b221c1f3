"""Scenes that a camera might watch, drawn: walkers as large as perspective has them, and what is out of the ordinary.

They are the second set that a detector of anomalies is developed on, beside a real one: three layouts (people who walk
to both sides; towards the camera; in two lanes of opposite directions), each with its own background, light and crowd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 96, 144
LAYOUTS = 3
KINDS = ("fast", "brisk", "gliding", "large", "against", "standing", "vehicle", "loitering", "parcel", "shake", "light")
"""Twice as fast and more, half as fast again, without moving legs, larger, against the flow, where nobody stands, a
box on wheels; somebody who stops on the way, something left behind, a camera that shakes, light that changes."""
_OF_ALL = ("shake", "light")  # kinds that are of the whole picture
_BEGINS, _LEAVES = 35, 85  # frames at which what is strange comes, and at which what stands goes
_SHAKEN, _LIGHTER = 2.0, 35.0  # pixels; brightness
_PACE, _LEAST = 1.15, 15  # pixels a frame of a walker of size one; pixels that must be seen
Picture = NDArray[np.float64]


def background(layout: int) -> Picture:
    """Return the empty scene of a layout."""
    rng = np.random.default_rng([99, layout])
    coarse = rng.normal(0, 1, (13, 19))
    ys, xs = np.linspace(0, 11.99, HEIGHT), np.linspace(0, 17.99, WIDTH)
    y, x = ys.astype(int), xs.astype(int)
    down, right = (ys - y)[:, None], (xs - x)[None]
    top = coarse[y][:, x] * (1 - right) + coarse[y][:, x + 1] * right
    below = coarse[y + 1][:, x] * (1 - right) + coarse[y + 1][:, x + 1] * right
    found: Picture = 120 + 14 * (top * (1 - down) + below * down) + rng.normal(0, 4, (HEIGHT, WIDTH))
    if layout == 2:
        found[46:50] += 25
    return found


class Walker:
    """One who walks through a scene, or does what nobody else does there."""

    def __init__(self, rng: np.random.Generator, layout: int, kind: str | None = None) -> None:
        self.kind, self.layout = kind, layout
        self.shade = float(rng.choice([-1, 1]) * rng.uniform(35, 80))
        self.trousers = self.shade * rng.uniform(0.4, 1.0)
        self.speed = rng.normal(1.0, 0.12) * {"fast": 2.2, "brisk": 1.6, "gliding": 1.5}.get(kind or "", 1.0)
        self.size = np.exp(rng.normal(0, 0.08)) * (1.8 if kind == "large" else 1.0)
        self.phase = rng.uniform(0, 6.28)
        self.x, self.feet, self.across, self.down = self._placed(rng)
        if kind == "standing":
            places = {
                0: (rng.uniform(20, WIDTH - 20), 26.0),
                1: (float(rng.choice([18.0, WIDTH - 18.0])), rng.uniform(50, 90)),
                2: (rng.uniform(20, WIDTH - 20), 57.0),
            }
            (self.x, self.feet), self.across, self.down = places[layout], 0.0, 0.0
        if kind in ("loitering", "parcel"):  # in the middle of where others walk
            self.x, self.feet, self.across, self.down = rng.uniform(40, WIDTH - 40), rng.uniform(66, 88), 0.0, 0.0

    def _placed(self, rng: np.random.Generator) -> tuple[float, float, float, float]:
        """Return where the feet are, and how far they go to the right and down in a frame."""
        against = self.kind == "against"
        if self.layout == 1:  # towards the camera, down the middle
            return rng.uniform(45, 100), 95.0 if against else 24.0, rng.normal(0, 0.1), -0.8 if against else 0.8
        if self.layout == 0 and against:  # away from the camera, where all others walk to the sides
            return rng.uniform(30, WIDTH - 30), 94.0, 0.0, -1.0
        if self.layout == 0:
            feet, across = rng.uniform(40, 92), float(rng.choice([-1, 1]))
        else:
            first = rng.random() < 0.5
            feet = rng.uniform(34, 46) if first else rng.uniform(66, 92)
            across = 1.0 if first != against else -1.0
        return (-8.0 if across > 0 else WIDTH + 8.0), feet, across, rng.normal(0, 0.04)

    @property
    def scale(self) -> float:
        """How large one is, where the feet are."""
        return float(0.45 + 0.65 * self.feet / HEIGHT)

    def step(self) -> None:
        """Go on by a frame."""
        pace = _PACE * self.scale * self.speed
        self.x, self.feet = self.x + pace * self.across, self.feet + pace * self.down
        if self.kind != "gliding":
            self.phase += 0.55 * self.speed

    @property
    def gone(self) -> bool:
        """Whether one has left the scene."""
        return not (-14 <= self.x <= WIDTH + 14 and 15 <= self.feet <= HEIGHT + 30)

    def draw(self, canvas: Picture, y: Picture, x: Picture) -> NDArray[np.bool_]:
        """Draw on a frame, and return where."""
        s = self.scale * self.size
        right, up = x - self.x, self.feet - y
        if self.kind == "parcel":
            box = (np.abs(right) < 4 * s) & (up > 0) & (up < 6 * s)
            canvas[box] = 120 + self.shade
            return box
        if self.kind == "vehicle":
            box = (np.abs(right) < 11 * s) & (up > 2 * s) & (up < 11 * s)
            wheels = np.minimum((right + 6 * s) ** 2, (right - 6 * s) ** 2) + (up - 2 * s) ** 2 < (2.5 * s) ** 2
            canvas[box], canvas[wheels] = 120 + self.shade, 40
            return box | wheels
        torso = (right / (3.2 * s)) ** 2 + ((up - 14 * s) / (6.5 * s)) ** 2 < 1
        head = right**2 + (up - 22 * s) ** 2 < (2.3 * s) ** 2
        stride = 3 * s * np.sin(self.phase) if self.kind not in ("standing", "loitering") else 1.5 * s
        along = np.clip(1 - up / (9 * s), 0, 1) * stride
        legs = (np.minimum(np.abs(right - along), np.abs(right + along)) < 1.4 * s) & (up > 0) & (up < 9 * s)
        canvas[legs], canvas[torso], canvas[head] = 120 + self.trousers, 120 + self.shade, 165
        return torso | head | legs


def scene(seed: int, layout: int, kind: str | None = None, frames: int = 110) -> tuple[Any, NDArray[np.bool_]]:
    """Return the frames of a clip, `(frames, 96, 144)`, and in which of them something strange is seen.

    Args:
        seed: of who walks there.
        layout: 0, 1 or 2.
        kind: what is strange, see `KINDS`; `None`: nothing.
        frames: of the clip.
    """
    rng = np.random.default_rng([seed, layout, KINDS.index(kind) + 1 if kind else 0])
    empty = background(layout) + rng.normal(0, 3)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    often = 0.05 * rng.uniform(0.6, 1.6)
    walkers: list[Walker] = []
    found, labels = np.empty((frames, HEIGHT, WIDTH), np.uint8), np.zeros(frames, bool)
    for time in range(-90, frames):
        if rng.random() < often:
            walkers.append(Walker(rng, layout))
        if kind and kind not in _OF_ALL and time == _BEGINS:
            walkers.append(Walker(rng, layout, kind))
        for walker in walkers:
            walker.step()
        walkers = [one for one in walkers if not one.gone and (one.across or one.down or time <= _LEAVES)]
        if time < 0:
            continue
        canvas = empty.copy()
        for walker in sorted(walkers, key=lambda one: one.feet):
            seen = walker.draw(canvas, y, x)
            labels[time] |= walker.kind is not None and seen.sum() > _LEAST
        if kind in _OF_ALL and _BEGINS <= time <= _LEAVES:
            labels[time] = True
            if kind == "shake":
                canvas = np.roll(canvas, np.rint(rng.normal(0, _SHAKEN, 2)).astype(int), (0, 1))
            else:
                canvas = canvas + _LIGHTER * min((time - _BEGINS) / 5, 1.0)
        found[time] = np.clip(canvas + rng.normal(0, 2.0, canvas.shape), 0, 255)
    return found, labels
