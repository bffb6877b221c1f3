"""The loop of exponential smoothing over the steps of a series, compiled: a step of eight candidates is a few vectors.

In NumPy each step is some twenty calls, whatever is in them: 15 ms for a window of 256 rows, which a live stream has
not. The arithmetic is NumPy's, operation by operation, so that its bits are too. A smoothed window cannot be carried
from one row to the next: where it starts, its season and its errors are of the rows that it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.engine.backends import compiled_loop

Floats = NDArray[np.float64]
_LANES = 8  # candidates that a step takes at once, on any processor
_LEAST = 0.05  # of a season that multiplies


@dataclass(frozen=True)
class Steps:
    """What is smoothed: `filled (rows, steps)`, which of it was `seen` and `begun`, and, of each row, the least level
    that the error of a season that multiplies is divided by.
    """

    filled: Floats
    seen: NDArray[np.bool_]
    begun: NDArray[np.bool_]
    floor: Floats


@dataclass(frozen=True)
class Walk:
    """Where candidates stand: level, trend and sum of squared errors `(rows, candidates)`, and the season of each step
    of a period `(rows, period, candidates)`.
    """

    level: Floats
    trend: Floats
    season: Floats
    errors: Floats


def walk(steps: Steps, weights: Floats, start: Walk, *, ratio: bool) -> Walk:
    """Return where candidates stand after all steps.

    Args:
        steps: of the series.
        weights: of the error in level and trend, the damping, and the weight of the error in the season,
            `(4, candidates)`.
        start: where they begin.
        ratio: whether the season multiplies.
    """
    count = weights.shape[1]
    state = [_padded(part) for part in (start.level, start.trend, start.season, start.errors)]
    y, seen, begun, floor = (
        np.ascontiguousarray(array) for array in (steps.filled, steps.seen, steps.begun, steps.floor)
    )
    arrays = (y, seen, begun, floor, _padded(weights), *state)
    sizes = (*y.shape, start.season.shape[1], state[0].shape[-1] // _LANES)
    _loop(ratio)(*sizes, *(array.ctypes.data for array in arrays))
    level, trend, season, errors = (part[..., :count] for part in state)
    return Walk(level, trend, season, errors)


def _padded(values: Floats) -> Floats:
    """Return a copy whose last axis is a whole number of vectors, its last candidate standing in for those missing."""
    short = -values.shape[-1] % _LANES
    wide = [values, *[values[..., -1:]] * short]
    return np.ascontiguousarray(np.concatenate(wide, -1), np.float64)


@cache
def _loop(ratio: bool) -> Callable[..., None]:
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    emit = _emit_ratio if ratio else _emit_sum
    return compiled_loop(f"smoothing_{'ratio' if ratio else 'sum'}", source, 4, 9, emit)


def _emit_ratio(code: Any, arguments: tuple[Any, ...]) -> None:
    _emit(code, arguments, ratio=True)


def _emit_sum(code: Any, arguments: tuple[Any, ...]) -> None:
    _emit(code, arguments, ratio=False)


def _emit(code: Any, arguments: tuple[Any, ...], *, ratio: bool) -> None:
    """Write the loops over rows, vectors of candidates, and steps."""
    vectors, weights = arguments[3], arguments[8]
    with code.loop(arguments[0], "row") as row, code.loop(vectors, "vector") as vector:
        _Series(code, arguments, weights, row, vector).emit(ratio)


class _Series:
    """The steps of one row for one vector of candidates.

    Args:
        code: where it is written.
        arguments: rows, steps, period, vectors; the series, what is seen and begun, the floors, the weights; level,
            trend, season, errors.
        weights: the address of the weights.
        row: which row.
        vector: which vector.
    """

    def __init__(self, code: Any, arguments: tuple[Any, ...], weights: Any, row: Any, vector: Any) -> None:
        from llvmlite import ir

        self.code, self.builder, self.ir = code, code.builder, ir
        self.kind = ir.VectorType(ir.DoubleType(), _LANES)
        _, self.steps, self.period, self.vectors = arguments[:4]
        first = self.builder.mul(row, self.steps)
        self.y = code.at(arguments[4], first, ir.DoubleType())
        self.seen, self.begun = (code.at(argument, first, ir.IntType(8)) for argument in arguments[5:7])
        self.floor = self._splat(code.load(arguments[7], row, ir.DoubleType()))
        self.weights = [self._vector(weights, self._place(ir.IntType(64)(i), vector)) for i in range(4)]
        place = self._place(row, vector)
        self.level, self.trend, self.errors = (self._at(arguments[i], place) for i in (9, 10, 12))
        self.season = self._at(arguments[11], self._place(self.builder.mul(row, self.period), vector))

    def emit(self, ratio: bool) -> None:
        """Write them."""
        code, builder, whole = self.code, self.builder, self.ir.IntType(64)
        state = [code.variable(self._load(place)) for place in (self.level, self.trend, self.errors)]
        phase = code.variable(whole(0))
        with code.loop(self.steps, "step") as step:
            now = builder.load(phase, typ=whole)
            place = self._at(self.season, builder.mul(now, self.vectors))
            values = [builder.load(variable, typ=self.kind) for variable in state]
            *after, season = self._step(step, values, self._load(place), ratio)
            for variable, value in zip(state, after, strict=True):
                builder.store(value, variable)
            self._save(season, place)
            following = builder.add(now, whole(1))
            again = builder.icmp_signed("==", following, self.period)
            builder.store(builder.select(again, whole(0), following), phase)
        for variable, place in zip(state, (self.level, self.trend, self.errors), strict=True):
            self._save(builder.load(variable, typ=self.kind), place)

    def _step(self, step: Any, state: list[Any], season: Any, ratio: bool) -> tuple[Any, Any, Any, Any]:
        """Return level, trend, sum of squared errors and season after one step."""
        b, code = self.builder, self.code
        level, trend, errors = state
        alpha, beta, phi, gamma = self.weights
        y = self._splat(code.load(self.y, step, self.ir.DoubleType()))
        mask = self._splat(b.uitofp(code.load(self.seen, step, self.ir.IntType(8)), self.ir.DoubleType()))
        begun = b.icmp_unsigned("!=", code.load(self.begun, step, self.ir.IntType(8)), self.ir.IntType(8)(0))
        fallen = b.fmul(phi, trend)
        moved = b.fadd(level, fallen)
        if ratio:
            error = b.fmul(b.fsub(y, b.fmul(moved, season)), mask)
            part = b.fdiv(error, season)
            moves = b.fdiv(b.fmul(gamma, error), self._larger(moved, self.floor))
            new = self._larger(b.fadd(season, moves), self._constant(_LEAST))
        else:
            error = part = b.fmul(b.fsub(b.fsub(y, moved), season), mask)
            new = b.fadd(season, b.fmul(gamma, error))
        level = b.select(begun, b.fadd(moved, b.fmul(alpha, part)), level)
        trend = b.select(begun, b.fadd(fallen, b.fmul(beta, part)), trend)
        return level, trend, b.fadd(errors, b.fmul(error, error)), new

    def _larger(self, one: Any, other: Any) -> Any:
        """Return the larger one, NaN where `one` is NaN."""
        return self.builder.select(self.builder.fcmp_unordered(">", one, other), one, other)

    def _constant(self, value: float) -> Any:
        return self.ir.Constant(self.kind, [value] * _LANES)

    def _splat(self, value: Any) -> Any:
        vector, zero = self.ir.VectorType(value.type, _LANES), self.ir.Constant(self.ir.IntType(32), 0)
        empty = self.ir.Constant(vector, self.ir.Undefined)
        one = self.builder.insert_element(empty, value, zero)
        places = self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), _LANES), [0] * _LANES)
        return self.builder.shuffle_vector(one, empty, places)

    def _place(self, row: Any, vector: Any) -> Any:
        return self.builder.add(self.builder.mul(row, self.vectors), vector)

    def _at(self, base: Any, place: Any) -> Any:
        return self.code.at(base, place, self.kind)

    def _vector(self, base: Any, place: Any) -> Any:
        return self._load(self._at(base, place))

    def _load(self, address: Any) -> Any:
        return self.builder.load(address, typ=self.kind, align=8)

    def _save(self, value: Any, address: Any) -> None:
        self.builder.store(value, address, align=8)
