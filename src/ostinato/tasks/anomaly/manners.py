"""What a channel has been doing up to a step, by which a reason is told: standing still, or not as a season ago.

This scores nothing: it says in words what the views have found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_STILL = 4  # steps without a change that are worth a word
_SHORT, _SHARE = 16, 0.5  # steps, and of a season, that likeness to a season ago is measured over
_USUAL, _LOST = 0.6, 0.35  # correlations: of what follows its season, and of what does so no longer
_TINY = 1e-12


class Manner:
    """The state of the channels of one series.

    Args:
        channels: of the series.
        season: steps; 1 for none.
    """

    def __init__(self, channels: int, season: int) -> None:
        self.rate = 2 / (1 + max(_SHORT, _SHARE * season)) if season > 1 else 0.0
        self.value = np.full(channels, np.nan)
        self.run = np.zeros(channels)  # steps at one value
        self.ago = np.full(channels, np.nan)  # the value a season before the next step
        # means of both, their squares and their product
        self.sums = np.zeros((5, channels))
        self.steps = np.zeros(channels)

    def push(self, values: Floats, last: Floats, season: Floats) -> None:
        """Take in a row of scaled values, and the last value and that of a season before the next step."""
        seen = values == values
        same = values == self.value
        self.run = np.where(seen, np.where(same, self.run + 1, 1.0), self.run)
        self.value = np.where(seen, values, self.value)
        if self.rate:
            both = seen & (self.ago == self.ago)
            x, y = np.where(both, values, 0.0), np.where(both, self.ago, 0.0)
            new = np.stack([x, y, x * x, y * y, x * y])
            rate = np.maximum(self.rate, 1 / (self.steps + 1))
            self.sums = np.where(both, self.sums + rate * (new - self.sums), self.sums)
            self.steps = self.steps + both
            self.ago = np.where(season != last, season, np.nan)

    @property
    def likeness(self) -> Floats:
        """The correlation of the newest values with those of a season ago, `(channels,)`; NaN: not known yet."""
        if not self.rate:
            return np.full(len(self.run), np.nan)
        x, y, xx, yy, xy = self.sums
        spread = np.sqrt(np.maximum(xx - x * x, 0.0) * np.maximum(yy - y * y, 0.0))
        found = np.where(spread > _TINY, (xy - x * y) / np.maximum(spread, _TINY), 0.0)
        return np.where(self.steps * self.rate >= 1, found, np.nan)

    def stuck(self, channel: int, longest: float) -> int:
        """Return for how many steps a channel has not moved, 0 where that is nothing new."""
        run = int(self.run[channel])
        return run if run >= FEWEST_STILL and run > longest else 0

    def astray(self, channel: int, usual: float) -> bool:
        """Tell whether a channel that usually follows its season does so no longer."""
        return bool(usual >= _USUAL and self.likeness[channel] < _LOST)

    def kept(self) -> Floats:
        """Return the state, `(9, channels)`."""
        return np.concatenate([self.value[None], self.run[None], self.ago[None], self.sums, self.steps[None]])

    def accept(self, kept: Floats) -> None:
        """Resume from a state."""
        self.value, self.run, self.ago, self.sums, self.steps = kept[0], kept[1], kept[2], kept[3:8], kept[8]


def usual_of(channels: int, season: int, series: list[tuple[Floats, Floats, Floats, NDArray[np.bool_]]]) -> Floats:
    """Return the longest stands and the usual likeness to a season ago of normal rows, `(2, channels)`.

    Args:
        channels: of the series.
        season: steps.
        series: values, last values, seasons and which rows are normal, of each.
    """
    longest, likeness = np.zeros(channels), []
    for values, last, ago, normal in series:
        manner = Manner(channels, season)
        for row in range(len(values)):
            manner.push(values[row], last[row], ago[row])
            if normal[row]:
                longest = np.maximum(longest, manner.run)
                if row % _SHORT == 0:
                    likeness.append(manner.likeness)
    every = np.stack(likeness) if likeness else np.zeros((0, channels))
    found = np.zeros(channels)
    for channel in range(channels):
        known = every[:, channel][np.isfinite(every[:, channel])]
        found[channel] = np.median(known) if len(known) else 0.0
    return np.stack([longest, found])
