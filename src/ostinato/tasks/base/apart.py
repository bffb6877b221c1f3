"""Whether training and validation went apart: overfitting, read from the history of a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_RISE = 1.05  # of the best validation loss
_LAST = 3  # epochs, whose middle counts, so that one bad epoch is no verdict


@dataclass(frozen=True)
class Overfitting:
    """Since which epoch the validation loss rose while the training loss fell, and to how much of its best."""

    since: float
    rise: float
    epochs: int


def overfitting(rows: Sequence[Mapping[str, float]]) -> Overfitting | None:
    """Return since when a fit overfitted; `None`: it did not.

    It did if after the best epoch the validation loss rose by a twentieth and more, and stayed there for the last
    epochs, while the training loss fell.

    Args:
        rows: one an epoch, with `epoch`, `loss` and `validation_loss`.
    """
    known = [row for row in rows if math.isfinite(row["validation_loss"]) and math.isfinite(row["loss"])]
    if len(known) < 3:
        return None
    best = int(np.argmin([row["validation_loss"] for row in known]))
    last = known[best + 1 :][-_LAST:]
    if len(last) < 2:
        return None
    least = known[best]["validation_loss"]
    now, fitted = (float(np.median([row[name] for row in last])) for name in ("validation_loss", "loss"))
    if now - least <= (_RISE - 1) * abs(least) or fitted >= known[best]["loss"]:
        return None
    return Overfitting(known[best]["epoch"], now / least if least > 0 else math.inf, len(known) - 1 - best)
