"""Sequences made so that only one thing tells their classes apart, each kind a function that `KINDS` names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS = 120


def made(kind: str, seed: int, count: int) -> tuple[list[Floats], list[str]]:
    """Return sequences `(time, channels)` and their classes, in turn."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    make, classes = KINDS[kind]
    targets = [number % classes if kind != "one class of ten" else int(number % 10 == 0) for number in range(count)]
    return [make(target, rng) for target in targets], [f"c{target}" for target in targets]


def _noise(rng: np.random.Generator, steps: int = STEPS, channels: int = 1) -> Floats:
    return rng.normal(size=(steps, channels))


def _wave(target: int, rng: np.random.Generator, steps: int = STEPS, apart: float = 0.03) -> Floats:
    return np.sin(np.arange(steps) * (0.2 + apart * target) + rng.uniform(0, 6))[:, None]


def _bump(sequence: Floats, first: int, height: float) -> None:
    sequence[first : first + 12, 0] += height * np.hanning(12)


def _unequal(target: int, rng: np.random.Generator) -> Floats:
    steps = int(rng.integers(30, 200))
    return _wave(target, rng, steps) + 0.6 * _noise(rng, steps)


def _length(target: int, rng: np.random.Generator) -> Floats:
    return _noise(rng, max(int(60 + 25 * target + 12 * rng.normal()), 5))


def _gaps(target: int, rng: np.random.Generator) -> Floats:
    sequence = _wave(target, rng) + 0.5 * _noise(rng)
    return np.where(rng.random(sequence.shape) < 0.4, np.nan, sequence)


def _missing(target: int, rng: np.random.Generator) -> Floats:
    return np.where(rng.random((STEPS, 1)) < 0.1 + 0.1 * target, np.nan, 0.5 * _noise(rng))


def _channels(target: int, rng: np.random.Generator) -> Floats:
    sequence = _noise(rng, channels=24)
    sequence[:, [5, 17]] += 0.7 * np.hstack([_wave(target, rng), _wave(target, rng)])
    return sequence


def _constant(target: int, rng: np.random.Generator) -> Floats:
    return np.hstack([0.5 * _noise(rng) + 0.25 * target, np.full((STEPS, 1), 7.0), np.zeros((STEPS, 1))])


def _short(target: int, rng: np.random.Generator) -> Floats:
    steps = int(rng.integers(3, 9))
    sequence = 0.7 * _noise(rng, steps, 2)
    sequence[:, 0] += np.linspace(0, 1.5, steps) * (target - 1)
    sequence[-1, 1] += target - 1
    return sequence


def _both(target: int, rng: np.random.Generator) -> Floats:
    shape = _wave(target, rng) + 0.5 * _noise(rng)
    return shape * 10 ** rng.uniform(-3, 3) + 10 ** rng.uniform(0, 3) * rng.normal()


def _position(target: int, rng: np.random.Generator) -> Floats:
    sequence = 0.5 * _noise(rng)
    _bump(sequence, int(np.clip(STEPS * (0.2 + 0.25 * target) + 9 * rng.normal(), 0, STEPS - 13)), 2.5)
    return sequence


def _order(target: int, rng: np.random.Generator) -> Floats:
    sequence, sign = 0.5 * _noise(rng), 2 * target - 1
    first, second = sorted(rng.choice(np.arange(STEPS - 13), 2, replace=False).tolist())
    _bump(sequence, first, 3.0 * sign)
    _bump(sequence, max(second, min(first + 14, STEPS - 13)), -3.0 * sign)
    return sequence


def _parity(target: int, rng: np.random.Generator) -> Floats:
    sequence, pulses = 0.5 * _noise(rng), rng.choice([1, 3] if target else [2, 4])
    for place in rng.choice(np.arange(0, STEPS - 8, 8), pulses, replace=False):
        sequence[place : place + 3, 0] += 4
    return sequence


def _correlation(target: int, rng: np.random.Generator) -> Floats:
    sequence, shared = _noise(rng, channels=2), 0.5 * (target - 1)
    sequence[:, 1] = shared * sequence[:, 0] + np.sqrt(1 - shared**2) * sequence[:, 1]
    return sequence


def _plain(target: int, rng: np.random.Generator) -> Floats:
    return _wave(target, rng) + 0.5 * _noise(rng)


KINDS: dict[str, tuple[Callable[[int, np.random.Generator], Floats], int]] = {
    "speed": (lambda target, rng: 0.8 * _wave(target, rng, apart=0.02) + 0.5 * _noise(rng), 3),
    "speed, lengths differ": (_unequal, 3),
    "speed, 40 % missing": (_gaps, 3),
    "speed, each of another size": (lambda target, rng: _plain(target, rng) * np.exp(1.2 * rng.normal()), 3),
    "speed, each at another level": (lambda target, rng: _plain(target, rng) + 30 * rng.normal(), 3),
    "speed, both": (_both, 3),
    "speed, upon 1e9": (lambda target, rng: _plain(target, rng) + 1e9, 3),
    "two of 24 channels": (_channels, 3),
    "level": (lambda target, rng: 0.5 * _noise(rng) + 0.08 * target, 3),
    "level, upon 1e6": (lambda target, rng: 0.5 * _noise(rng) + 0.15 * target + 1e6, 3),
    "level, spreads differ": (lambda target, rng: 0.5 * _noise(rng) * np.exp(0.5 * rng.normal()) + 0.25 * target, 3),
    "level, constant channels": (_constant, 2),
    "spread": (lambda target, rng: 0.5 * _noise(rng) * (1 + 0.12 * target), 3),
    "trend": (lambda target, rng: 0.5 * _noise(rng) + 0.35 * (target - 1) * np.linspace(-1, 1, STEPS)[:, None], 3),
    "correlation": (_correlation, 3),
    "where a bump is": (_position, 3),
    "which of two bumps is first": (_order, 2),
    "odd or even pulses": (_parity, 2),
    "length": (_length, 3),
    "what is missing": (_missing, 2),
    "3 to 8 steps": (_short, 3),
    "one class of ten": (lambda target, rng: 0.8 * _wave(target, rng) + 0.5 * _noise(rng), 2),
}
