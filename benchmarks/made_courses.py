"""Patients whose hazards are known: markers that rise or fall with each one, visits at times, two events that compete.

`patients` draws them; `optimal` says what the best of all predictors says of them, which knows the laws by which they
were made and sees what was measured: a mean over many patients drawn alike, each as probable as the measurements and
the survival up to then make it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LAWS = ("value", "slope", "curved")
"""What the hazard follows: the logarithm is linear in a marker's true value; in its value and how fast it rises; it
rises where a marker is far from the middle on either side, and faster for some than for others."""
_NOISE, _LAST, _STEP = 0.5, 15.0, 0.05  # of a measurement; years to the end of the study; of an integral
_USUAL = {"value": 0.03, "slope": 0.03, "curved": 0.02}  # events a year, of a usual patient
_OTHER = 0.02


@dataclass(frozen=True)
class Made:
    """Patients: `effects (patients, 4)` (level, slope of two markers), `group (patients,)`, and what came of them."""

    effects: Floats
    group: Floats
    rows: list[dict[str, Any]]
    times: list[Floats]
    seen: list[Floats]
    end: Floats
    event: NDArray[np.int64]


def drawn(count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return levels and slopes of both markers, `(patients, 4)`, and the group of each patient."""
    return rng.normal(0, 1, (count, 4)) * [1.0, 0.35, 1.0, 0.35], rng.integers(0, 2, count).astype(np.float64)


def hazards(law: str, effects: Floats, group: Floats, times: Floats) -> Floats:
    """Return hazards a year of both events at times, `(patients, 2, times)`."""
    first = effects[:, :1] + effects[:, 1:2] * times
    second = effects[:, 2:3] + effects[:, 3:4] * times
    if law == "value":
        score = 0.8 * first + 0.5 * group[:, None]
    elif law == "slope":
        score = 0.5 * first + 2.5 * effects[:, 1:2] + 0.0 * times + 0.5 * group[:, None]
    else:
        score = 0.6 * np.minimum(first**2, 6.0) * (0.4 + 0.8 * group[:, None]) + 0.4 * second
    other = 0.4 * second + 0.0 * times
    return np.stack([_USUAL[law] * np.exp(np.clip(score, -6, 6)), _OTHER * np.exp(np.clip(other, -6, 6))], 1)


def patients(law: str, count: int, seed: int, *, between: float = 1.0) -> Made:
    """Return patients, as rows of visits.

    Args:
        law: one of `LAWS`.
        count: of them.
        seed: of the draw.
        between: years between two visits, on average.
    """
    rng = np.random.default_rng([seed, LAWS.index(law)])
    effects, group = drawn(count, rng)
    grid = np.arange(0, _LAST, _STEP) + _STEP / 2
    rates = hazards(law, effects, group, grid) * _STEP
    gone = np.cumsum(rates.sum(1), 1)
    at = np.array([np.searchsorted(row, need) for row, need in zip(gone, rng.exponential(1, count), strict=True)])
    censored = np.minimum(rng.uniform(3, _LAST, count), _LAST - _STEP)
    end = np.minimum((at + rng.random(count)) * _STEP, censored)
    rows, times, seen, event = [], [], [], np.zeros(count, np.int64)
    for one in range(count):
        if end[one] < censored[one]:
            share = rates[one, 0, min(at[one], len(grid) - 1)] / rates[one, :, min(at[one], len(grid) - 1)].sum()
            event[one] = 1 if rng.random() < share else 2
        gaps = rng.exponential(between, 60) * 0.7 + 0.3 * between
        visits = np.append(0.0, np.cumsum(gaps))
        visits = visits[visits < end[one]]
        level = effects[one, [0, 2]] + effects[one, [1, 3]] * visits[:, None]
        values = level + rng.normal(0, _NOISE, level.shape)
        for time, (first, second) in zip(visits, values, strict=True):
            rows.append({"id": f"{seed}-{one}", "years": round(float(time), 3), "first": first, "second": second,
                         "group": group[one], "event": int(event[one]), "until": float(end[one])})  # fmt: skip
        times.append(visits)
        seen.append(values)
    return Made(effects, group, rows, times, seen, end, event)


def optimal(law: str, made: Made, one: int, landmark: float, ends: Floats, particles: int = 4000) -> Floats:
    """Return the probability of each event by times behind a landmark, of a patient alive there, `(2, times)`."""
    rng = np.random.default_rng(one)
    effects, _ = drawn(particles, rng)
    group = np.full(particles, made.group[one])
    kept = made.times[one] <= landmark
    weight = np.zeros(particles)
    for level, slope, column in ((0, 1, 0), (2, 3, 1)):
        off = made.seen[one][kept, column] - effects[:, [level]] - effects[:, [slope]] * made.times[one][kept]
        weight -= 0.5 * ((off / _NOISE) ** 2).sum(1)
    grid = np.arange(0, landmark + ends[-1] + _STEP, _STEP) + _STEP / 2
    rates = hazards(law, effects, group, grid) * _STEP
    before = grid < landmark
    weight -= rates[:, :, before].sum((1, 2))
    weight = np.exp(weight - weight.max())
    behind = rates[:, :, ~before]
    total = behind.sum(1)
    lasting = np.exp(-np.cumsum(total, 1) + total / 2)
    incidence = np.cumsum(behind * lasting[:, None], -1)
    mean = (weight[:, None, None] * incidence).sum(0) / weight.sum()
    after = grid[~before] - landmark + _STEP / 2
    return np.stack([np.interp(ends, np.append(0, after), np.append(0, row)) for row in mean])
