"""More made kinds of sequences, beside those of `made_sequences`: ten to choose defaults by, ten to look at once.

`CHOSEN` and `UNSEEN` name them; each makes the sequence of a class, of which there are so many, and says how many
examples of a class there are to learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Part = tuple[list[Floats], list[str]]
STEPS = 100


class Kind(NamedTuple):
    """What makes a sequence of a class, how many classes there are, and how many examples of each."""

    make: Callable[[int, np.random.Generator], Floats]
    classes: int
    each: int
    wrong: float = 0.0


def made(name: str, seed: int, judged: int = 200) -> tuple[Part, Part]:
    """Return sequences to learn from with their labels, and to be judged on with theirs."""
    kind = {**CHOSEN, **UNSEEN}[name]
    rng = np.random.default_rng([seed, *map(ord, name)])
    learned = [number % kind.classes for number in range(kind.classes * kind.each)]
    tested = [number % kind.classes for number in range(max(judged, kind.classes))]
    first, second = ([kind.make(target, rng) for target in each] for each in (learned, tested))
    labels = [rng.integers(kind.classes) if rng.random() < kind.wrong else target for target in learned]
    return (first, [f"c{label}" for label in labels]), (second, [f"c{target}" for target in tested])


def _noise(rng: np.random.Generator, steps: int = STEPS, channels: int = 1) -> Floats:
    return rng.normal(size=(steps, channels))


def _sine(rate: float, phase: float = 0.0, steps: int = STEPS) -> Floats:
    return np.sin(rate * np.arange(steps) + phase)[:, None]


def _bump(sequence: Floats, first: float, height: float, size: int = 10, channel: int = 0) -> None:
    at = int(np.clip(first, 0, len(sequence) - size))
    sequence[at : at + size, channel] += height * np.hanning(size)


def _template(target: int, kind: int, steps: int = STEPS) -> Floats:
    """Return a smooth curve that is of a class."""
    own = np.random.default_rng([kind, target])
    knots = np.linspace(0, 1, steps) * 9
    waves = [own.normal() / (1 + n) * np.sin(knots * (0.5 + n / 2) + own.uniform(0, 6)) for n in range(8)]
    return np.sum(waves, 0)[:, None]


def _warped(curve: Floats, rng: np.random.Generator, strength: float, steps: int | None = None) -> Floats:
    """Return a curve at a speed that changes."""
    knots = np.interp(np.linspace(0, 4, steps or len(curve)), range(5), rng.normal(size=5))
    walked = np.cumsum(np.exp(strength * knots))
    places = (walked - walked[0]) / (walked[-1] - walked[0]) * (len(curve) - 1)
    return np.interp(places, range(len(curve)), curve[:, 0])[:, None]


def _speed(target: int, rng: np.random.Generator) -> Floats:
    return _sine(0.2 + 0.05 * target, rng.uniform(0, 6)) + 0.5 * _noise(rng)


def _chirp(target: int, rng: np.random.Generator) -> Floats:
    rate = 0.3 + 0.25 * (target - 1) * np.linspace(-1, 1, STEPS)
    return np.sin(np.cumsum(rate) + rng.uniform(0, 6))[:, None] + 0.7 * _noise(rng)


def _lag(target: int, rng: np.random.Generator) -> Floats:
    base = np.convolve(rng.normal(size=STEPS + 40), np.hanning(9) / 2, "same")
    return np.stack([base[20 : 20 + STEPS], base[20 + 3 * (target - 1) :][:STEPS]], 1) + 0.4 * _noise(rng, channels=2)


def _many(target: int, rng: np.random.Generator) -> Floats:
    return _warped(_template(target, 1), rng, 0.5) + 0.15 * _noise(rng)


def _one_channel(target: int, rng: np.random.Generator) -> Floats:
    sequence = 0.7 * _noise(rng, channels=20)
    _bump(sequence, STEPS * (0.2 + 0.3 * target) + 5 * rng.normal(), 2.5, channel=13)
    return sequence


def _three(target: int, rng: np.random.Generator) -> Floats:
    sequence, places = 0.4 * _noise(rng), np.sort(rng.choice(8, 3, replace=False)) * 12 + 2
    for place, height in zip(places, ((3, -3, 5), (-3, 5, 3), (5, 3, -3))[target], strict=True):
        _bump(sequence, place, height)
    return sequence


def _plateau(target: int, rng: np.random.Generator) -> Floats:
    sequence, size = 0.5 * _noise(rng), int(12 + 9 * target + 3 * rng.normal())
    first = rng.integers(STEPS - 45)
    sequence[first : first + max(size, 3)] += 2
    return sequence


def _colour(target: int, rng: np.random.Generator) -> Floats:
    found, now = np.zeros(STEPS), 0.0
    for step, value in enumerate(rng.normal(size=STEPS)):
        found[step] = now = (0.2, 0.5, 0.8)[target] * now + value
    return (found / found.std())[:, None]


def _pulses(target: int, rng: np.random.Generator) -> Floats:
    sequence = 0.4 * _noise(rng)
    for place in rng.choice(np.arange(0, STEPS - 8, 8), target + 2, replace=False):
        sequence[place : place + 3] += 4
    return sequence


def _walks(target: int, rng: np.random.Generator) -> Floats:
    own = np.random.default_rng([7, target]).normal(size=(STEPS, 2)).cumsum(0)
    return np.hstack([_warped(own[:, [c]], rng, 0.4) for c in (0, 1)]) / 5 + 0.2 * _noise(rng, channels=2)


def _twelve(target: int, rng: np.random.Generator) -> Floats:
    sequence = _noise(rng, channels=12)
    sequence[:, [4]] += _sine(0.25 + 0.12 * target, rng.uniform(0, 6))
    return sequence


def _modulated(target: int, rng: np.random.Generator) -> Floats:
    return (1 + 0.9 * _sine(0.1 + 0.1 * target, rng.uniform(0, 6))) * _noise(rng)


def _skewed(target: int, rng: np.random.Generator) -> Floats:
    drawn = rng.gamma(2.0, size=(STEPS, 1)) - 2
    return (drawn if target == 0 else -drawn if target == 1 else 1.4 * _noise(rng)) / 1.4


def _change(target: int, rng: np.random.Generator) -> Floats:
    at = int(np.clip(STEPS * (0.3 + 0.2 * target) + 5 * rng.normal(), 1, STEPS - 1))
    return _noise(rng) * np.where(np.arange(STEPS) < at, 0.6, 1.3)[:, None]


def _signs(target: int, rng: np.random.Generator) -> Floats:
    sign, sequence = rng.choice([-1, 1]), 0.5 * _noise(rng, channels=2)
    _bump(sequence, rng.integers(STEPS - 10), 3 * sign, channel=0)
    _bump(sequence, rng.integers(STEPS - 10), 3 * sign * (2 * target - 1), channel=1)
    return sequence


def _motif(target: int, rng: np.random.Generator) -> Floats:
    sequence = np.convolve(rng.normal(size=STEPS + 8), np.hanning(9), "valid")[:, None] / 1.7
    if target:
        at = rng.integers(STEPS - 16)
        sequence[at : at + 16, 0] = 1.2 * np.sin(np.arange(16) * 1.2) + 0.3 * rng.normal(size=16)
    return sequence


def _apart(target: int, rng: np.random.Generator) -> Floats:
    sequence, first = 0.4 * _noise(rng), rng.integers(10, 40)
    second = first + rng.integers(12, 22)
    third = second + (second - first if target else (second - first) + rng.choice([-9, 9]))
    for place in (first, second, max(third, second + 4)):
        sequence[place : place + 3] += 4
    return sequence


def _unequal(target: int, rng: np.random.Generator) -> Floats:
    steps = int(rng.integers(60, 140))
    return _warped(_template(target, 3), rng, 0.5, steps) + 0.4 * _noise(rng, steps)


CHOSEN: dict[str, Kind] = {
    "phase": Kind(lambda target, rng: _sine(0.2, target * 0.7 + 0.3 * rng.normal()) + 0.8 * _noise(rng), 3, 20),
    "chirp": Kind(_chirp, 3, 20),
    "lag": Kind(_lag, 3, 20),
    "40 classes": Kind(_many, 40, 4),
    "wrong labels": Kind(_speed, 3, 30, 0.2),
    "one of 20 channels": Kind(_one_channel, 3, 20),
    "order of three": Kind(_three, 3, 20),
    "duration": Kind(_plateau, 3, 20),
    "colour of noise": Kind(_colour, 3, 20),
    "phase, many": Kind(lambda target, rng: _sine(0.2, target * 0.5 + 0.4 * rng.normal()) + _noise(rng), 3, 200),
}
UNSEEN: dict[str, Kind] = {
    "pulses, 2 to 5": Kind(_pulses, 4, 15),
    "60 walks": Kind(_walks, 60, 3),
    "one of 12 channels": Kind(_twelve, 3, 20),
    "modulated": Kind(_modulated, 3, 20),
    "skewed": Kind(_skewed, 3, 20),
    "change of spread": Kind(_change, 3, 20),
    "signs of two channels": Kind(_signs, 2, 30),
    "motif": Kind(_motif, 2, 30),
    "pulses alike apart": Kind(_apart, 2, 30),
    "templates, lengths differ": Kind(_unequal, 10, 5),
}
