"""Series with one anomaly planted in each, of known kinds in known noise: what a detector of series is developed on.

`series` makes a normal one, or one with an anomaly of a kind after the rows to train on: all series of one base and
seed have the same rows to train on, and then go on in ways of their own. `BASES` are in two halves: defaults are chosen
on "chosen", and "rest" is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KINDS = ("spike", "shift", "drift", "stuck", "loud", "quiet", "no rhythm", "late rhythm", "decoupled", "few values",
         "outage")  # fmt: skip
"""One step 8 deviations off; 3 for 60 to 120 steps; 5 reached over 300 steps; one value for 40 to 120; noise three
times as large, and a quarter, for 80 to 150; the season gone for two of it, or half a season late for as long; one
channel that follows another by chance only, for 150 steps; 60 % of values missing for 80 steps; all, for 60."""


@dataclass(frozen=True)
class Base:
    """A kind of normal data: a season and noise, and how both become what is recorded.

    Args:
        noise: of standard normal numbers, `(rows, channels)`, likewise.
        season: of steps, likewise; `None`: there is none.
        length: of the season, steps.
        recorded: of season and noise together.
        missing: share of values that are missing at any time.
        mixed: `(factors, channels)`, where channels share factors.
    """

    noise: Callable[[Floats], Floats]
    season: Callable[[Floats], Floats] | None = None
    length: int = 1
    recorded: Callable[[Floats, np.random.Generator], Floats] = field(default=lambda values, _: values)
    missing: float = 0.0
    mixed: Any = None


def remembering(noise: Floats, share: float) -> Floats:
    """Return noise that keeps a share of what it was."""
    found = np.zeros_like(noise)
    for step in range(1, len(noise)):
        found[step] = share * found[step - 1] + noise[step]
    return found


def _wave(length: float, size: float) -> Callable[[Floats], Floats]:
    return lambda steps: size * np.sin(2 * np.pi * steps / length)


def _heavy(noise: Floats) -> Floats:
    from scipy import stats

    return np.asarray(stats.t.ppf(np.clip(stats.norm.cdf(noise), 1e-7, 1 - 1e-7), 3.5))


BASES: dict[str, dict[str, Base]] = {
    "chosen": {
        "noise": Base(lambda e: e),
        "season": Base(lambda e: remembering(e, 0.5), _wave(48, 4.0), 48, missing=0.01),
        "counts": Base(
            lambda e: 0.25 * e, _wave(48, 0.8), 48, lambda v, rng: rng.poisson(np.exp(2.0 + v)).astype(float)
        ),
        "wandering": Base(lambda e: remembering(0.3 * e, 0.98)),
        "coupled": Base(lambda e: e, mixed=((2.0, 3.0, 0.0), (0.0, 0.0, 1.0))),
    },
    "rest": {
        "heavy tails, season": Base(_heavy, _wave(24, 3.0), 24),
        "memory": Base(lambda e: remembering(e, 0.9), missing=0.02),
        "coarse": Base(lambda e: remembering(e, 0.8), None, 1, lambda v, _: np.round(v)),
        "two seasons": Base(
            lambda e: remembering(e, 0.7), lambda t: 3 * np.sin(np.pi * t / 12) + 1.5 * np.sin(np.pi * t / 84), 24
        ),
        "trend, season": Base(lambda e: remembering(e, 0.5), lambda t: 0.002 * t + 2 * np.sin(np.pi * t / 24), 48),
        "coupled, season": Base(
            lambda e: remembering(e, 0.6), _wave(36, 2.0), 36, mixed=((1.0, 2.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.5))
        ),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """Values `(rows, channels)`, NaN where missing, and the rows of the anomaly; none: `begin` is the last row."""

    values: Floats
    begin: int
    stop: int


def possible(base: Base, kind: str) -> bool:
    """Tell whether a kind of anomaly can be planted in a base."""
    return (base.season is not None or "rhythm" not in kind) and (base.mixed is not None or kind != "decoupled")


def series(base: Base, seed: int, kind: str | None, draw: int, trained: int, rows: int) -> Planted:
    """Return rows to train on, and others behind them, with an anomaly of a kind among these.

    Args:
        base: of `BASES`.
        seed: of the rows to train on.
        kind: of `KINDS`; `None`: nothing is strange.
        draw: of the rows behind them.
        trained: rows to train on.
        rows: behind them.
    """
    first, then = np.random.default_rng([seed, 1]), np.random.default_rng([seed, draw, 2])
    plan = np.random.default_rng([seed, draw, 3])
    total, sources = trained + rows, 1 if base.mixed is None else len(base.mixed)
    channels = 1 if base.mixed is None else len(base.mixed[0])
    drawn, own = (np.concatenate([rng.normal(size=(count, wide)) for rng, count in ((first, trained), (then, rows))])
                  for wide in (sources, channels))  # fmt: skip
    begin = trained + int(plan.integers(rows // 3, rows // 2)) if kind else total
    stop, steps = min(begin + _length(kind, base, plan), total), np.arange(total)[:, None].astype(np.float64)
    run = slice(begin, stop)
    noise = base.noise(drawn)
    if base.mixed is not None:
        noise = remembering(0.3 * drawn, 0.95) @ np.array(base.mixed) + 0.4 * base.noise(own)
        if kind == "decoupled":
            other = remembering(0.3 * plan.normal(size=(total, sources)), 0.95) @ np.array(base.mixed)
            noise[run, 1] = other[run, 1] + 0.4 * base.noise(own)[run, 1]
    spread, where = float(noise[:trained, 0].std()), 0 if channels == 1 else 1
    late = np.zeros_like(steps)
    if kind == "late rhythm":
        late[run] = base.length / 2
    season = np.zeros_like(steps) if base.season is None else base.season(steps - late)
    if kind == "no rhythm":
        season[run] = season[run].mean()
    if kind in ("loud", "quiet"):
        middle = noise[run, where].mean()
        noise[run, where] = middle + (noise[run, where] - middle) * (3.0 if kind == "loud" else 0.25)
    side = plan.choice([-1, 1])
    if kind == "spike":
        noise[begin, where] += 8 * spread * side
    elif kind == "shift":
        noise[run, where] += 3 * spread * side
    elif kind == "drift":
        noise[begin:, where] += 5 * spread * side * np.minimum(np.arange(total - begin) / 300, 1)
    recorded = np.random.default_rng([seed, 4]), np.random.default_rng([seed, draw, 5])
    both = season + noise
    values = np.concatenate([base.recorded(both[:trained], recorded[0]), base.recorded(both[trained:], recorded[1])])
    if kind == "stuck":
        values[run, where] = values[begin, where]
    gone = np.concatenate([rng.random((count, channels)) for rng, count in zip(recorded, (trained, rows), strict=True)])
    absent = gone < base.missing
    if kind in ("few values", "outage"):
        absent[run, where] = gone[run, where] < (0.6 if kind == "few values" else 2.0)
    return Planted(np.where(absent, np.nan, values), begin, stop)


def _length(kind: str | None, base: Base, plan: np.random.Generator) -> int:
    """Return how many steps an anomaly lasts."""
    if kind is None:
        return 0
    bounds = {"spike": (1, 1), "shift": (60, 120), "drift": (400, 400), "stuck": (40, 120), "loud": (80, 150),
              "quiet": (80, 150), "decoupled": (150, 150), "few values": (80, 80), "outage": (60, 60)}  # fmt: skip
    low, high = bounds.get(kind, (2 * base.length, 2 * base.length))
    return int(plan.integers(low, high + 1))
