"""Dynamic time warping, compiled: the distances of a sequence to many others, sixteen of them in a vector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.engine.backends import compiled_loop

LANES = 16
"""Sequences of a group, whose tables are filled side by side."""
_NUMBERS, _ARRAYS = 5, 5
_FAR = float(np.finfo(np.float32).max)
Values = NDArray[np.float32]


def grouped(sequences: Values) -> Values:
    """Return sequences `(sequences, steps, channels)` as loops read them, `(groups, channels, steps, 16)`.

    >>> grouped(np.zeros((17, 5, 2), np.float32)).shape
    (2, 2, 5, 16)
    """
    count, steps, channels = sequences.shape
    groups = max(-(-count // LANES), 1)
    block = np.zeros((groups * LANES, steps, channels), np.float32)
    block[:count] = sequences
    return np.ascontiguousarray(block.reshape(groups, LANES, steps, channels).transpose(0, 3, 2, 1))


def warped_distances(sequence: Values, groups: Values, lengths: NDArray[np.int64], band: int | None = None) -> Values:
    """Return the distance of a sequence to each of others under dynamic time warping, `(sequences,)`.

    It is the sum of the squared differences of all channels along the path on which that sum is least.

    Args:
        sequence: `(time, channels)`.
        groups: see `grouped`.
        lengths: steps of each of the others that count, `(sequences,)`.
        band: how many steps the path may stray from the diagonal; `None`: any. The end must be within it.

    Source: H. Sakoe and S. Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE
    Transactions on Acoustics, Speech, and Signal Processing 26, 1978.

    >>> near = grouped(np.array([[[0.0], [1.0], [1.0]], [[2.0], [2.0], [0.0]]], np.float32))
    >>> warped_distances(np.array([[0.0], [0.0], [1.0]], np.float32), near, np.array([3, 2])).tolist()
    [0.0, 9.0]
    """
    read = np.ascontiguousarray(sequence, np.float32)
    count, channels, steps, _ = groups.shape
    table, costs = (np.empty((steps + extra, LANES), np.float32) for extra in (1, 0))
    ends = np.empty((count, steps, LANES), np.float32)
    arrays = (groups, read, table, costs, ends)
    sizes = (count, steps, channels, len(read), max(len(read), steps) if band is None else band)
    _loop()(*sizes, *[each.ctypes.data for each in arrays])
    rows = np.arange(len(lengths))
    found: Values = ends[rows // LANES, lengths - 1, rows % LANES]
    return found


@cache
def _loop() -> Callable[..., None]:
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return compiled_loop("warped", source, _NUMBERS, _ARRAYS, _emit)


def _emit(code: Any, arguments: tuple[Any, ...]) -> None:
    """Fill the table of each group row by row; what is kept of it is one row, a border before it."""
    loop = _Loop(code, arguments)
    with code.loop(loop.groups, "group") as group:
        loop.begin()
        with code.loop(loop.time, "step") as step:
            loop.fill_row(group, step)
        loop.keep(group)


class _Loop:
    """What the loop is written with.

    Args:
        code: where it is written.
        arguments: groups, steps, channels, steps of the sequence, band; the groups, the sequence, a row of the table
            and of costs, and the last rows of all.
    """

    def __init__(self, code: Any, arguments: tuple[Any, ...]) -> None:
        from llvmlite import ir

        self.code, self.b, self.ir = code, code.builder, ir
        self.float, self.whole = ir.FloatType(), ir.IntType(64)
        self.vector = ir.VectorType(self.float, LANES)
        self.groups, self.steps, self.channels, self.time, self.band = arguments[:_NUMBERS]
        self.block, self.sequence, self.table, self.costs, self.ends = arguments[_NUMBERS:]
        self.far = ir.Constant(self.vector, [_FAR] * LANES)
        self.nothing = ir.Constant(self.vector, [0.0] * LANES)

    def begin(self) -> None:
        """Set the row before the first: nothing at the border, all else out of reach."""
        with self.code.loop(self.b.add(self.steps, self.whole(1)), "border") as place:
            self.save(self.far, self.table, place)
        self.save(self.nothing, self.table, self.whole(0))

    def fill_row(self, group: Any, step: Any) -> None:
        """Set the row to that of a step of the sequence, within the band."""
        b, one = self.b, self.whole(1)
        first = self.larger(b.sub(step, self.band), self.whole(0))
        count = b.sub(self.smaller(b.add(b.add(step, self.band), one), self.steps), first)
        self.measure(group, step, first, count)
        corner, left = self.code.variable(self.load(self.table, first)), self.code.variable(self.far)
        self.save(self.far, self.table, first)  # the border, or what the band leaves behind
        with self.code.loop(count, "cell") as number:
            here = b.add(b.add(first, number), one)
            above = self.load(self.table, here)
            beside = self.least(above, b.load(corner, typ=self.vector))  # what does not wait for the cell before
            found = b.fadd(self.least(b.load(left, typ=self.vector), beside), self.load(self.costs, number))
            self.save(found, self.table, here)
            b.store(above, corner)
            b.store(found, left)

    def measure(self, group: Any, step: Any, first: Any, count: Any) -> None:
        """Set the costs of a row's cells: squared differences of all channels, which wait for no other."""
        b, ours = self.b, self.b.mul(step, self.channels)
        with self.code.loop(self.channels, "channel") as channel:
            value = self.splat(self.code.load(self.sequence, b.add(ours, channel), self.float))
            begins = b.icmp_signed("==", channel, self.whole(0))
            theirs = b.add(b.mul(b.add(b.mul(group, self.channels), channel), self.steps), first)
            with self.code.loop(count, "cost") as number:
                apart = b.fsub(self.load(self.block, b.add(theirs, number)), value)
                before = b.select(begins, self.nothing, self.load(self.costs, number))
                self.save(b.fadd(before, b.fmul(apart, apart)), self.costs, number)

    def keep(self, group: Any) -> None:
        """Write the last row of a group."""
        with self.code.loop(self.steps, "kept") as place:
            value = self.load(self.table, self.b.add(place, self.whole(1)))
            self.save(value, self.ends, self.b.add(self.b.mul(group, self.steps), place))

    def least(self, one: Any, other: Any) -> Any:
        """Return the smaller of each two numbers."""
        return self.b.select(self.b.fcmp_ordered("<", one, other), one, other)

    def larger(self, one: Any, other: Any) -> Any:
        """Return the larger of two whole numbers."""
        return self.b.select(self.b.icmp_signed(">", one, other), one, other)

    def smaller(self, one: Any, other: Any) -> Any:
        """Return the smaller of two whole numbers."""
        return self.b.select(self.b.icmp_signed("<", one, other), one, other)

    def splat(self, value: Any) -> Any:
        """Return a number in all places of a vector."""
        one = self.b.insert_element(self.ir.Constant(self.vector, self.ir.Undefined), value, self.whole(0))
        everywhere = self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), LANES), [0] * LANES)
        return self.b.shuffle_vector(one, self.ir.Constant(self.vector, self.ir.Undefined), everywhere)

    def load(self, base: Any, place: Any) -> Any:
        """Return a vector of the sixteen numbers at a place."""
        return self.b.load(self.at(base, place), typ=self.vector, align=4)

    def save(self, vector: Any, base: Any, place: Any) -> None:
        """Write a vector to a place."""
        self.b.store(vector, self.at(base, place), align=4)

    def at(self, base: Any, place: Any) -> Any:
        """Return the address of a place."""
        return self.code.at(base, self.b.mul(place, self.whole(LANES)), self.float)
