"""Made series of ten ordinary kinds, each normal at first, then with faults of its kind: what is found, what is false.

    python benchmarks/anomaly.py made [--seeds 2]

A kind is a series as monitoring has it (a load by day and week, counters, the temperature of a machine, latencies, a
price, jobs that come in a rhythm), and two kinds of fault that such a series has. Some faults are contextual: their
values are ordinary, but not at that hour. They are no part of any published benchmark; defaults are chosen on them,
beside files of real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROWS, TRAINED, DAY = 6000, 2000, 96
_PLACES = (2900, 3700, 4500, 5300)  # where faults begin, about


@dataclass(frozen=True)
class Made:
    """A series, and its faults as first and last row, each by a name."""

    values: Floats
    faults: list[tuple[str, int, int]] = field(default_factory=list)


def _day(steps: Floats, sharp: float = 1.0) -> Floats:
    wave = np.sin(2 * np.pi * steps / DAY) + 0.4 * np.sin(4 * np.pi * steps / DAY + 1)
    return np.tanh(sharp * wave) / np.tanh(sharp)


def _memory(rng: np.random.Generator, rows: int, keep: float) -> Floats:
    noise, found = rng.normal(size=rows), np.zeros(rows)
    for row in range(1, rows):
        found[row] = keep * found[row - 1] + noise[row]
    return found * np.sqrt(1 - keep**2)


def _places(rng: np.random.Generator) -> list[int]:
    return [place + int(rng.integers(-150, 150)) for place in _PLACES]


def load(rng: np.random.Generator) -> Made:
    """Load by day and week; spikes, and a day that goes as a night."""
    steps = np.arange(ROWS)
    weekend = (steps // DAY) % 7 >= 5
    values = 50 + 12 * _day(steps) * np.where(weekend, 0.6, 1.0) + 1.2 * _memory(rng, ROWS, 0.6)
    faults = []
    for number, place in enumerate(_places(rng)):
        if number % 2:
            values[place : place + 2] += 11
            faults.append(("spike", place, place + 1))
        else:
            noon = place // DAY * DAY + DAY // 4 - 12
            values[noon : noon + 24] = 42 + 1.2 * _memory(rng, 24, 0.6)
            faults.append(("contextual dip", noon, noon + 23))
    return Made(values, faults)


def shifted(rng: np.random.Generator) -> Made:
    """A season with shifts of level that stay: each is one event, and then the new normal."""
    values = 20 + 4 * _day(np.arange(ROWS)) + 0.6 * _memory(rng, ROWS, 0.3)
    faults = []
    for number, place in enumerate(_places(rng)[::2]):
        values[place:] += (6, -4)[number]
        faults.append(("shift that stays", place, place + 60))
    return Made(values, faults)


def counter(rng: np.random.Generator) -> Made:
    """Requests in a quarter of an hour; an outage at noon, a burst at night."""
    mean = 8 * np.exp(1.2 * _day(np.arange(ROWS)))
    faults = []
    for number, place in enumerate(_places(rng)):
        if number % 2:
            first = place // DAY * DAY + DAY // 4 - 8
            mean[first : first + 16] = 0.3
            faults.append(("outage", first, first + 15))
        else:
            first = place // DAY * DAY + 3 * DAY // 4
            mean[first : first + 12] *= 7
            faults.append(("burst at night", first, first + 11))
    return Made(rng.poisson(mean).astype(float), faults)


def machine(rng: np.random.Generator) -> Made:
    """The temperature of a machine that is on or off for hours, and lags; overheating, a sudden stop."""
    wanted, row = np.zeros(ROWS), 0
    while row < ROWS:
        length = int(rng.integers(60, 240))
        wanted[row : row + length] = rng.choice([70.0, 80.0, 90.0])
        row += length
    faults = []
    for number, place in enumerate(_places(rng)):
        length = 50
        wanted[place : place + length] = 104 if number % 2 else 40
        faults.append((("sudden stop", "overheating")[number % 2], place, place + length + 20))
    values, held = np.zeros(ROWS), 80.0
    noise = 0.5 * _memory(rng, ROWS, 0.8)
    for row in range(ROWS):
        held += 0.12 * (wanted[row] - held)
        values[row] = held + noise[row]
    return Made(values, faults)


def latency(rng: np.random.Generator) -> Made:
    """Latencies with a heavy tail; slower for a while, and much more spread for a while."""
    values = 40 * np.exp(0.25 * rng.standard_t(5, ROWS))
    faults = []
    for number, place in enumerate(_places(rng)):
        if number % 2:
            values[place : place + 40] *= 1.8
            faults.append(("slower", place, place + 39))
        else:
            values[place : place + 40] *= np.exp(0.9 * rng.standard_t(5, 40))
            faults.append(("unsteady", place, place + 39))
    return Made(values, faults)


def sensor(rng: np.random.Generator) -> Made:
    """A sensor of pressure with noise; it hangs, or jitters."""
    values = 5 + _day(np.arange(ROWS), 0.5) + 0.15 * _memory(rng, ROWS, 0.5)
    faults = []
    for number, place in enumerate(_places(rng)):
        if number % 2:
            values[place : place + 50] = values[place]
            faults.append(("hangs", place, place + 49))
        else:
            values[place : place + 40] += 0.6 * rng.normal(size=40)
            faults.append(("jitters", place, place + 39))
    return Made(values, faults)


def waves(rng: np.random.Generator) -> Made:
    """A fast wave, as of a pump; another period, a beat that is left out."""
    period, steps = 32, np.arange(ROWS)
    wave = np.sin(2 * np.pi * steps / period)
    faults = []
    for number, place in enumerate(_places(rng)):
        if number % 2:
            wave[place : place + 96] = np.sin(2 * np.pi * steps[:96] / 20)
            faults.append(("another period", place, place + 95))
        else:
            first = place // period * period
            wave[first : first + period] *= 0.1
            faults.append(("beat left out", first, first + period - 1))
    return Made(10 + 3 * wave + 0.25 * rng.normal(size=ROWS), faults)


def jobs(rng: np.random.Generator) -> Made:
    """A processor that a job loads every hour; a job that never ends, one that does not come."""
    period, length = 48, 10
    values = 5 + rng.gamma(2.0, 1.0, ROWS)
    starts = [row + int(rng.integers(0, 3)) for row in range(6, ROWS - length, period)]
    skipped, faults = set(), []
    for number, place in enumerate(_places(rng)):
        at = int(np.searchsorted(starts, place))
        if number % 2:
            values[starts[at] : starts[at] + 45] += 60
            faults.append(("never ends", starts[at] + length, starts[at] + 45))
        else:
            skipped.add(starts[at])
            faults.append(("does not come", starts[at], starts[at] + period))
    for start in starts:
        if start not in skipped:
            values[start : start + length] += 60 + rng.normal(0, 3, len(values[start : start + length]))
    return Made(np.minimum(values, 100), faults)


def price(rng: np.random.Generator) -> Made:
    """A walk, as of a price; a crash in a few steps."""
    steps = 0.4 * rng.standard_t(5, ROWS)
    faults = []
    for place in _places(rng)[::2]:
        steps[place : place + 3] -= 5
        faults.append(("crash", place, place + 10))
    return Made(200 + np.cumsum(steps), faults)


def drift(rng: np.random.Generator) -> Made:
    """A level that is held, with noise; a slow drift away from it and back."""
    values = 100 + 2 * _memory(rng, ROWS, 0.7)
    faults = []
    for place in _places(rng)[::2]:
        values[place : place + 200] += 9 * np.sin(np.pi * np.arange(200) / 200)
        faults.append(("slow drift", place, place + 199))
    return Made(values, faults)


KINDS: dict[str, Callable[[np.random.Generator], Made]] = {
    made.__name__: made
    for made in (load, shifted, counter, machine, latency, sensor, waves, jobs, price, drift)
}
