"""Drawing with smooth edges: how much of each pixel a shape covers, for all frames at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_EDGE = 0.75
"""Pixels over which an edge fades, half of them to each side."""


def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return the middles of pixels, rows `(height, 1)` and columns `(1, width)`."""
    rows, columns = (np.arange(size, dtype=np.float64) + 0.5 for size in (height, width))
    return rows[:, None], columns[None, :]


def covered(distance: Floats) -> Floats:
    """Return how much of each pixel is covered, of its distance from an edge (less than 0: inside), in pixels."""
    return np.clip(0.5 - distance / (2 * _EDGE), 0.0, 1.0)


def _circle(down: Floats, right: Floats, radius: float) -> Floats:
    return np.hypot(down, right) - radius


def _square(down: Floats, right: Floats, radius: float) -> Floats:
    return np.maximum(np.abs(down), np.abs(right)) - 0.88 * radius


def _triangle(down: Floats, right: Floats, radius: float) -> Floats:
    """One corner up; the sides are half-planes."""
    slanted = 0.866 * np.abs(right) - 0.5 * down - 0.55 * radius
    return np.maximum(slanted, down - 0.75 * radius)


def _cross(down: Floats, right: Floats, radius: float) -> Floats:
    a, b, arm = np.abs(down), np.abs(right), 0.36 * radius
    return np.minimum(np.maximum(a - radius, b - arm), np.maximum(b - radius, a - arm))


def _ring(down: Floats, right: Floats, radius: float) -> Floats:
    return np.abs(np.hypot(down, right) - 0.75 * radius) - 0.25 * radius


OUTLINES: Mapping[str, Callable[[Floats, Floats, float], Floats]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
}
"""Of how far below and right of its middle a pixel is, how far it is outside of a shape."""


def paint(frames: Floats, cover: Floats, colour: tuple[int, int, int]) -> None:
    """Lay a colour over frames `(time, height, width, 3)` where it covers them, `(time, height, width)`; in place."""
    frames += cover[..., None] * (np.array(colour, np.float64) - frames)


def segment(height: int, width: int, start: Floats, end: Floats, thickness: float) -> Floats:
    """Return how much of each pixel a line with round ends covers, `(time, height, width)`.

    Args:
        height: of frames.
        width: of frames.
        start: `(time, 2)`, right and down, in pixels.
        end: likewise.
        thickness: in pixels.
    """
    rows, columns = grid(height, width)
    along = end - start
    length = np.maximum((along**2).sum(-1), 1e-9)[:, None, None]
    right, down = columns - start[:, 0, None, None], rows - start[:, 1, None, None]
    share = np.clip((right * along[:, 0, None, None] + down * along[:, 1, None, None]) / length, 0.0, 1.0)
    away = np.hypot(right - share * along[:, 0, None, None], down - share * along[:, 1, None, None])
    return covered(away - thickness / 2)


def finished(frames: Floats, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return frames as pictures, with noise of so many levels on every pixel of every frame."""
    if noise:
        frames = frames + noise * rng.standard_normal(frames.shape, np.float32)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)
