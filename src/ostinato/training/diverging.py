"""Telling a run that went astray from one that learned little: by how its best loss stands to that before training."""

from __future__ import annotations

import math

_TIMES = 3.0  # a best loss this many times that of the untrained model is no bad luck of a draw
_NATS = 10.0  # for losses that may be below zero, which have no ratio


def has_diverged(start: float | None, best: float) -> bool:
    """Tell whether the best loss of a run is far above that of the untrained model.

    Args:
        start: the loss before the first step; `None`, NaN or infinite: not known.
        best: the lowest loss of an epoch.

    >>> has_diverged(0.7, 0.6), has_diverged(0.7, 1.2), has_diverged(0.7, 900.0)
    (False, False, True)
    """
    if start is None or not math.isfinite(start):
        return False
    if not math.isfinite(best):
        return True
    if start > 0 and best > 0:
        return best > _TIMES * start
    return best - start > _NATS * max(1.0, abs(start))
