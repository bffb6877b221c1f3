"""Numeric sequences as they were read, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ostinato.data.audio.features import FeatureSettings
from ostinato.data.times import ANY, TimeFormat


class Steps(NamedTuple):
    """A numeric sequence: `values (time, channels)`, NaN where missing, and `times (time,)`, or `None`."""

    values: NDArray[Any]
    """Float32, or float64 where values differ little from one another and lie far from zero."""
    times: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class SequenceReading:
    """How sequences were read, which holds for all later ones.

    Args:
        channels: their names.
        time_format: how times are written.
        decimal: the mark before decimals, if it was found.
        sound: how sounds became frames; `None`: they are no sounds.
    """

    channels: tuple[str, ...]
    time_format: TimeFormat = ANY
    decimal: str | None = None
    sound: FeatureSettings | None = None
