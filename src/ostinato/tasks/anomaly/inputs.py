"""What a network of series reads at a step: values, changes, what came next a season ago, gaps, the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_BOUND = 8.0  # deviations, beyond which a network is told no more
_OF_CHANNEL = 5
_NEAR = 2  # places that a row a season ago may be early, where rows are not regular
_NEVER = -(1 << 62)


def features_of(channels: int, clock: int) -> int:
    """Return how many features a step has."""
    return _OF_CHANNEL * channels + clock


@dataclass(frozen=True)
class Inputs:
    """A piece of a series as the network reads it; row `t` of `season` is about the step after `t`.

    Args:
        features: `(steps, features)`, float32.
        values: the scaled values, `(steps, channels)`, NaN where missing.
        last: the last value there was.
        season: the value a season before the next step, or the last one.
        gap: `(steps,)`, places since the row before.
    """

    features: NDArray[np.float32]
    values: Floats
    last: Floats
    season: Floats
    gap: Ints


def series_inputs(values: Floats, places: Ints, step: Floats, season: int, clock: NDArray[np.float32]) -> Inputs:
    """Return a whole series as the network reads it.

    Args:
        values: scaled, `(steps, channels)`, NaN where missing.
        places: of the rows, `(steps,)`, rising.
        step: the usual size of a step, `(channels,)`.
        season: its steps; 1 for none.
        clock: `(steps, features)`, the calendar of the step after each.
    """
    seen = ~np.isnan(values)
    newest = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], -1), 0)
    last = np.where(newest >= 0, np.take_along_axis(values, np.maximum(newest, 0), 0), 0.0)
    before = np.concatenate([np.zeros_like(last[:1]), last[:-1]])
    begun = np.concatenate([np.zeros_like(newest[:1]) > 0, newest[:-1] >= 0])
    change = np.where(seen & begun, last - before, 0.0)
    ago = _at(values, places, places + 1 - season) if season > 1 else np.full_like(values, np.nan)
    known = ~np.isnan(ago)
    seasonal = np.where(known, ago, last)
    features = _together(last, change / step, (seasonal - last) / step, known, seen, clock)
    return Inputs(features, values, last, seasonal, np.diff(places, prepend=places[:1] - 1))


def _at(values: Floats, places: Ints, wanted: Ints) -> Floats:
    """Return the newest row at each wanted place, or a little before it; NaN where there is none."""
    rows = np.searchsorted(places, wanted, "right") - 1
    there = (rows >= 0) & (places[np.maximum(rows, 0)] >= wanted - _NEAR)
    return np.where(there[:, None], values[np.maximum(rows, 0)], np.nan)


def _together(
    last: Floats,
    change: Floats,
    ahead: Floats,
    known: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    clock: NDArray[np.float32],
) -> NDArray[np.float32]:
    bounded = [np.minimum(np.maximum(each, -_BOUND), _BOUND) for each in (last, change, ahead)]
    parts = [*bounded, known.astype(np.float64), (~seen).astype(np.float64), clock]
    return np.concatenate(parts, -1).astype(np.float32)


class RowInputs:
    """The same, a row at a time, for a stream.

    Args:
        step: the usual size of a step, `(channels,)`.
        season: its steps; 1 for none.
    """

    def __init__(self, step: Floats, season: int) -> None:
        self.step, self.season = step, season
        channels, slots = len(step), season + _NEAR if season > 1 else 0
        self.last = np.zeros(channels)
        self.begun = np.zeros(channels, np.bool_)
        self.place = -1
        self.ring = np.full((slots, channels), np.nan)  # the rows of one season and a little more, each at its place
        self.at = np.full(slots, _NEVER, np.int64)

    def push(self, values: Floats, place: int, clock: NDArray[np.float32]) -> Inputs:
        """Take in a row of scaled values, `(channels,)`; return the inputs of one step."""
        seen = values == values
        last = np.where(seen, values, self.last)
        change = np.where(seen & self.begun, last - self.last, 0.0)
        ago = np.full(len(values), np.nan)
        if self.season > 1:
            self.ring[place % len(self.ring)], self.at[place % len(self.ring)] = values, place
            ago = self._found(place + 1 - self.season)
        known = ago == ago
        seasonal = np.where(known, ago, last)
        features = _together(last, change / self.step, (seasonal - last) / self.step, known, seen, clock)
        gap = np.array(place - self.place)
        self.last, self.begun, self.place = last, self.begun | seen, place
        return Inputs(features, values, last, seasonal, gap)

    def _found(self, place: int) -> Floats:
        for near in range(place, place - _NEAR - 1, -1):
            if near >= 0 and self.at[near % len(self.ring)] == near:
                found: Floats = self.ring[near % len(self.ring)]
                return found
        return np.full(len(self.last), np.nan)

    def kept(self) -> tuple[Floats, Ints]:
        """Return the state: numbers `(2 + slots, channels)`, places `(1 + slots,)`."""
        numbers = np.concatenate([self.last[None], self.begun[None].astype(np.float64), self.ring])
        return numbers, np.append(np.int64(self.place), self.at)

    def accept(self, numbers: Floats, places: Ints) -> None:
        """Resume from a state."""
        self.last, self.begun, self.ring = numbers[0].copy(), numbers[1] > 0, numbers[2:].copy()
        self.place, self.at = int(places[0]), places[1:].copy()
