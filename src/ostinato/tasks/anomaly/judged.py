"""What is found of rows: scores, alarms, what was expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """What a model, or a baseline, says of rows.

    Args:
        scores: `(rows,)`, higher is stranger; NaN where nothing can be said.
        alarms: `(rows,)`.
        expected: `(rows, channels)`, in the units of the data; `None`: it expects nothing.
        why: `(rows, 3)`, the view, side and channel that the score is from; `None`: it does not say.
        spread: `(rows, channels)`, of what was expected, likewise in the units of the data.
        begins: `(rows,)`, where an alarm begins; `None`: it does not say.
    """

    scores: Floats
    alarms: Marks
    expected: Floats | None = None
    why: NDArray[np.int64] | None = None
    spread: Floats | None = None
    begins: Marks | None = None
