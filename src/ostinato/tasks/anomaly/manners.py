"""What channels have been doing up to a step, beside what was expected of it: standing still, leaving their season,
missing.

A forecaster that follows a series closely is surprised by none of these at any one step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.views import Pace

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
STILL, KNOWN, LIKENESS, ABSENT = range(4)  # what `Manner.found` returns
FEWEST_STILL = 4  # steps without a change that are worth a word
_USUAL, _LOST = 0.6, 0.35  # correlations: of what follows its season, and of what does so no longer
_BRIEF, _AGAIN = 2.5, 0.9  # strange steps, near each other, that are but a spike; what is left of one at the next step
_TINY = 1e-12


class Manner:
    """The state of the channels of one series.

    Args:
        channels: of the series.
        pace: how many steps are looked at.
    """

    def __init__(self, channels: int, pace: Pace) -> None:
        self.rate = 2 / (1 + pace.rhythm) if pace.season > 1 else 0.0
        self.missed = 2 / (1 + pace.long)
        self.value = np.full(channels, np.nan)
        self.run = np.zeros(channels)  # steps at one value
        self.ago = np.full(channels, np.nan)  # the value a season before the next step
        # means of both, their squares and their product
        self.sums = np.zeros((5, channels))
        self.steps = np.zeros(channels)
        self.stands = np.zeros((2, channels))  # the longest stand that is over, and the next longest
        self.absent = np.zeros(channels)  # share of the newest steps that are missing
        self.strange = np.zeros(channels)  # how many of the newest steps were

    def push(
        self, values: Floats, last: Floats, season: Floats, then: Floats | None = None, strange: Marks | None = None
    ) -> None:
        """Take in a row of scaled values.

        A spike tells nothing of a season: what is strange counts there from the third such step on.

        Args:
            values: `(channels,)`, NaN where missing.
            last: the last value there was.
            season: the value a season before the next step.
            then: what was expected a season before this one, where something strange came; NaN elsewhere.
            strange: `(channels,)`, which values are far from what was expected.
        """
        seen = values == values
        same = values == self.value
        self._over(np.where(seen & ~same, self.run - 1, 0.0))
        self.run = np.where(seen, np.where(same, self.run + 1, 1.0), self.run)
        self.value = np.where(seen, values, self.value)
        told = seen
        if strange is not None:
            self.strange = _AGAIN * self.strange + strange
            told = seen & ~(strange & (self.strange < _BRIEF))
        self.absent = self.absent + self.missed * (~seen - self.absent)
        if self.rate:
            ago = self.ago if then is None else np.where(then == then, then, self.ago)
            both = told & (ago == ago)
            x, y = np.where(both, values, 0.0), np.where(both, ago, 0.0)
            new = np.stack([x, y, x * x, y * y, x * y])
            rate = np.maximum(self.rate, 1 / (self.steps + 1))
            self.sums = np.where(both, self.sums + rate * (new - self.sums), self.sums)
            self.steps = self.steps + both
            self.ago = np.where(season != last, season, np.nan)

    def _over(self, stand: Floats) -> None:
        """Take in the stands that are over, `(channels,)`, 0 where none is."""
        longest, next_longest = self.stands
        self.stands = np.stack([
            np.maximum(longest, stand), np.maximum(next_longest, np.minimum(longest, stand))
        ])  # fmt: skip

    @property
    def likeness(self) -> Floats:
        """The correlation of the newest values with those of a season ago, `(channels,)`; NaN: not known yet."""
        if not self.rate:
            return np.full(len(self.run), np.nan)
        x, y, xx, yy, xy = self.sums
        spread = np.sqrt(np.maximum(xx - x * x, 0.0) * np.maximum(yy - y * y, 0.0))
        found = np.where(spread > _TINY, (xy - x * y) / np.maximum(spread, _TINY), 0.0)
        return np.where(self.steps * self.rate >= 1, found, np.nan)

    @property
    def found(self) -> Floats:
        """Steps at one value, a stand that is known, likeness to a season ago, share of missing steps: `(4, channels)`.

        A stand is known that came twice: one that came once may have been an anomaly.
        """
        return np.stack([self.run, self.stands[1], self.likeness, self.absent])

    def stuck(self, channel: int, longest: float) -> int:
        """Return for how many steps a channel has not moved, 0 where that is nothing new."""
        run = int(self.run[channel])
        return run if run >= FEWEST_STILL and run > longest else 0

    def astray(self, channel: int, usual: float) -> bool:
        """Tell whether a channel that usually follows its season does so no longer."""
        return bool(usual >= _USUAL and self.likeness[channel] < _LOST)

    def kept(self) -> Floats:
        """Return the state, `(ROWS, channels)`."""
        return np.concatenate([
            self.value[None], self.run[None], self.ago[None], self.sums, self.steps[None], self.stands,
            self.absent[None], self.strange[None],
        ])  # fmt: skip

    def accept(self, kept: Floats) -> None:
        """Resume from a state."""
        self.value, self.run, self.ago, self.sums, self.steps = kept[0], kept[1], kept[2], kept[3:8], kept[8]
        self.stands, self.absent, self.strange = kept[9:11], kept[11], kept[12]


ROWS = 13  # of the state


def usual_of(found: Floats) -> Floats:
    """Return the longest stands and the usual likeness to a season ago of normal rows, `(2, channels)`.

    Args:
        found: of normal rows, `(rows, 4, channels)`, see `Manner.found`.
    """
    channels = found.shape[2]
    longest, usual = np.zeros(channels), np.zeros(channels)
    for channel in range(channels):
        if len(found):
            longest[channel] = found[:, STILL, channel].max()
        known = found[:, LIKENESS, channel][np.isfinite(found[:, LIKENESS, channel])]
        usual[channel] = np.median(known) if len(known) else 0.0
    return np.stack([longest, usual])
