"""Means of patches of a frame, and of the patches around each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.video_anomaly.footage import UNIT

Floats = NDArray[np.float32]


def patch_means(values: Floats, size: int = UNIT) -> Floats:
    """Return the mean of each patch of a frame, `(rows, columns)`; of `size` pixels, which divides its sides."""
    high, wide = values.shape
    found: Floats = values.reshape(high // size, size, wide // size, size).mean((1, 3), dtype=np.float32)
    return found


def smoothed(patches: Floats, reach: int = 1) -> Floats:
    """Return the mean of each patch and those around it, as far as `reach`; those of the frame's edge count again."""
    padded, size = np.pad(patches, reach, mode="edge"), 2 * reach + 1
    high, wide = patches.shape
    rows, found = np.zeros((high, wide + 2 * reach), np.float32), np.zeros((high, wide), np.float32)
    for first in range(size):
        rows += padded[first : first + high]
    for first in range(size):
        found += rows[:, first : first + wide]
    found /= np.float32(size**2)
    return found
