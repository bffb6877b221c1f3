"""Random convolutions, compiled: nine taps over the steps of a sequence, and what is counted of their outputs.

A convolution with its thresholds, or a group of kernels with its comparison, goes over steps that lie in the nearest
cache, where PyTorch writes and reads every output several times. What a kernel gives at a step depends on the steps
that it sees and on nothing else: alone, among others and in a fit, its bits are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine.backends import compiled_loop

TAPS = 9
EACH = 8
"""Kernels of a group that compete."""
_LANES, _BESIDE = 16, 4  # steps of a vector, on any processor; vectors that are counted side by side
_NOTHING = 1e-5  # of standardised values: what rounding makes of steps that are all alike is no output
_NUMBERS, _ARRAYS = 7, 9  # that every loop takes


class Masks(NamedTuple):
    """Which channels each kernel, or group of kernels, sums up: their numbers `(kernels, most)`, and how many."""

    channels: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, masks: NDArray[Any]) -> Masks:
        """Return the channels that are not zero in `(kernels, channels)`."""
        counts = (masks != 0).sum(1).astype(np.int64)
        order = np.argsort(masks == 0, 1, kind="stable")[:, : max(int(counts.max(initial=1)), 1)]
        return cls(np.ascontiguousarray(order, np.int64), counts)


def convolved(block: Tensor, masks: Masks, taps: Tensor, dilation: int) -> Tensor:
    """Return the outputs of kernels over sums of channels, zeros past both ends, `(kernels, sequences, time)`.

    Args:
        block: `(sequences, channels, time)`, float32.
        masks: what each kernel sums up.
        taps: `(kernels, 9)`.
        dilation: steps from one tap to the next.
    """
    time = block.shape[2]
    found = _room(len(taps), len(block), -(-time // _LANES) * _LANES)  # vectors are written whole
    _run("outputs", block, masks, taps, dilation, found)
    return found[..., :time]


def shares_above(
    block: Tensor, masks: Masks, taps: Tensor, dilation: int, thresholds: Tensor, inside: NDArray[np.int64]
) -> Tensor:
    """Return at which share of steps each kernel's output is above thresholds, `(sequences, thresholds, kernels)`.

    Args:
        block: see `convolved`, as for the next three.
        masks: of each kernel.
        taps: of each.
        dilation: of all.
        thresholds: `(kernels, thresholds)`.
        inside: the first step that counts and the one after the last, of each kernel, `(kernels, 2)`.
    """
    found = _room(len(taps), len(block), thresholds.shape[1], dtype=torch.int32)
    outputs, levels = _room(block.shape[2] + _LANES), _as_read(thresholds)
    _run("shares", block, masks, taps, dilation, outputs, levels, inside, found, count=len(found[0, 0]))
    lengths = torch.from_numpy(inside[:, 1] - inside[:, 0])
    return (found / lengths[:, None, None]).permute(1, 2, 0)


def competed(block: Tensor, masks: Masks, taps: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    """Return what kernels win against the others of their group, as means over steps, `(sequences, groups, 8)` each.

    The first is the output where it is the largest of its group, the second how often it is the smallest.

    Args:
        block: see `convolved`.
        masks: what each group sums up.
        taps: `(groups, 8, 9)`.
        dilation: of all.
    """
    shape = (len(block), len(taps), EACH)
    strengths, counts = _room(*shape), _room(*shape, dtype=torch.int32)
    _run("competed", block, masks, taps, dilation, strengths, counts)
    return strengths / block.shape[2], counts / block.shape[2]


def _run(
    name: str, block: Tensor, masks: Masks, taps: Tensor, dilation: int, *others: Tensor | NDArray[Any], count: int = 0
) -> None:
    """Run a loop over all sequences and kernels; what else it reads and writes is in `others`."""
    block, taps = _as_read(block), _as_read(taps)
    room = _room(block.shape[2] + (TAPS - 1) * dilation + _LANES).zero_()  # a sequence between zeros
    arrays = (block, masks.channels, masks.counts, taps, room, *others)
    addresses = [each.data_ptr() if isinstance(each, Tensor) else each.ctypes.data for each in arrays]
    sizes = (len(taps), *block.shape, dilation, masks.channels.shape[1], count)
    _loop(name)(*sizes, *addresses, *[0] * (_ARRAYS - len(addresses)))


def _as_read(tensor: Tensor) -> Tensor:
    """Return numbers as loops read them: a module may be of another type, or on another device."""
    return tensor.detach().to("cpu", torch.float32).contiguous()


def _room(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return memory for loops to write, whatever type and device new tensors have by themselves."""
    return torch.empty(sizes, dtype=dtype, device="cpu")


@cache
def _loop(name: str) -> Callable[..., None]:
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    emit = {"outputs": _emit_outputs, "shares": _emit_shares, "competed": _emit_competed}[name]
    return compiled_loop(f"kernels_{name}", source, _NUMBERS, _ARRAYS, emit)


def _emit_outputs(code: Any, arguments: tuple[Any, ...]) -> None:
    loop = _Loop(code, arguments)
    with loop.kernels() as (row, kernel):
        place = loop.builder.mul(loop.place(kernel, row), loop.vectors())
        loop.convolve(kernel, loop.at(loop.others[0], loop.builder.mul(place, loop.whole(_LANES))))


def _emit_shares(code: Any, arguments: tuple[Any, ...]) -> None:
    loop = _Loop(code, arguments)
    outputs, thresholds, inside, found = loop.others
    count, builder = arguments[6], loop.builder
    with loop.kernels() as (row, kernel):
        loop.convolve(kernel, outputs)
        first, stop = (
            code.load(inside, builder.add(builder.mul(kernel, loop.whole(2)), loop.whole(end)), loop.whole)
            for end in (0, 1)
        )
        steps, base = builder.sub(stop, first), loop.at(outputs, first)
        with code.loop(count, "threshold") as number:
            level = code.load(thresholds, builder.add(builder.mul(kernel, count), number), loop.float)
            place = builder.add(builder.mul(loop.place(kernel, row), count), number)
            code.store(loop.above(base, steps, loop.splat(level)), found, place)


def _emit_competed(code: Any, arguments: tuple[Any, ...]) -> None:
    loop = _Loop(code, arguments)
    strengths, counts = loop.others[:2]
    builder = loop.builder
    with loop.kernels() as (row, group):
        won, least = loop.compete(group)
        first = builder.mul(builder.add(builder.mul(row, arguments[0]), group), loop.whole(EACH))
        for kernel in range(EACH):
            place = builder.add(first, loop.whole(kernel))
            code.store(loop.total(won[kernel]), strengths, place)
            code.store(loop.total(least[kernel]), counts, place)


class _Loop:
    """What all loops are written with.

    Args:
        code: where it is written.
        arguments: kernels or groups, sequences, channels, steps, dilation, columns of the channels that are summed,
            thresholds; the sequences, the channels and how many of them, the taps, room for a sequence between zeros,
            and what else a loop reads and writes.
    """

    def __init__(self, code: Any, arguments: tuple[Any, ...]) -> None:
        from llvmlite import ir

        self.code, self.builder, self.ir = code, code.builder, ir
        self.float, self.int, self.whole = ir.FloatType(), ir.IntType(32), ir.IntType(64)
        self.vector, self.ints = ir.VectorType(self.float, _LANES), ir.VectorType(self.int, _LANES)
        self.count, self.rows, self.channels, self.time, self.dilation, self.most = arguments[:6]
        self.block, self.chosen, self.counts, self.taps, self.room, *self.others = arguments[_NUMBERS:]
        self.margin = self.builder.mul(self.dilation, self.whole(TAPS // 2))

    @contextmanager
    def kernels(self) -> Iterator[tuple[Any, Any]]:
        """Give each sequence and, for each, every kernel, whose channels are summed up in the room."""
        builder = self.builder
        with self.code.loop(self.rows, "row") as row, self.code.loop(self.count, "kernel") as kernel:
            first = builder.icmp_signed("==", kernel, self.whole(0))
            several = builder.icmp_signed(">", self.channels, self.whole(1))
            with builder.if_then(builder.or_(first, several)):  # of one channel all kernels read the same
                self._sum(row, kernel)
            yield row, kernel

    def _sum(self, row: Any, kernel: Any) -> None:
        """Set the room to the sum of a kernel's channels."""
        b, code = self.builder, self.code
        target, first = self.at(self.room, self.margin), b.mul(kernel, self.most)
        with code.loop(code.load(self.counts, kernel, self.whole), "channel") as place:
            channel = code.load(self.chosen, b.add(first, place), self.whole)
            source = self.at(self.block, b.mul(b.add(b.mul(row, self.channels), channel), self.time))
            again = b.icmp_signed(">", place, self.whole(0))
            nothing = self.ir.Constant(self.vector, [0.0] * _LANES)
            vectors = b.sdiv(self.time, self.whole(_LANES))
            with code.loop(vectors, "sum") as vector:
                step = b.mul(vector, self.whole(_LANES))
                before = b.select(again, self.load(target, step), nothing)
                self.save(b.fadd(before, self.load(source, step)), target, step)
            done = b.mul(vectors, self.whole(_LANES))
            with code.loop(b.sub(self.time, done), "rest") as number:
                step = b.add(done, number)
                before = b.select(again, code.load(target, step, self.float), self.float(0.0))
                code.store(b.fadd(before, code.load(source, step, self.float)), target, step)

    def convolve(self, kernel: Any, outputs: Any) -> None:
        """Write the outputs of a kernel, in whole vectors."""
        taps = self._taps(self.builder.mul(kernel, self.whole(TAPS)))
        with self.code.loop(self.vectors(), "step") as vector:
            step = self.builder.mul(vector, self.whole(_LANES))
            self.save(self._product(self._window(step), taps), outputs, step)

    def above(self, base: Any, steps: Any, level: Any) -> Any:
        """Return at how many steps outputs are above a level."""
        b, code, size = self.builder, self.code, self.whole(_LANES)
        sums = [code.variable(self.ir.Constant(self.ints, [0] * _LANES)) for _ in range(_BESIDE)]

        def count(step: Any, total: Any, mask: Any = None) -> None:
            above = b.fcmp_ordered(">", self.load(base, step), level)
            above = above if mask is None else b.and_(above, mask)
            b.store(b.add(b.load(total, typ=self.ints), b.zext(above, self.ints)), total)

        together = self.whole(_LANES * _BESIDE)
        blocks = b.sdiv(steps, together)
        with code.loop(blocks, "count") as block:
            first = b.mul(block, together)
            for number, total in enumerate(sums):
                count(b.add(first, self.whole(_LANES * number)), total)
        done = b.mul(blocks, together)
        with code.loop(b.sdiv(b.add(b.sub(steps, done), self.whole(_LANES - 1)), size), "counted") as vector:
            step = b.add(done, b.mul(vector, size))
            count(step, sums[0], self._first(b.sub(steps, step)))
        one, *others = (b.load(total, typ=self.ints) for total in sums)
        for other in others:
            one = b.add(one, other)
        return self.total(one)

    def compete(self, group: Any) -> tuple[list[Any], list[Any]]:
        """Return what each kernel of a group won, and how often it was the least, each a vector of sums."""
        b, code = self.builder, self.code
        first = b.mul(group, self.whole(EACH * TAPS))
        taps = [self._taps(b.add(first, self.whole(TAPS * kernel))) for kernel in range(EACH)]
        won, least = (
            [code.variable(self.ir.Constant(kind, [0] * _LANES)) for _ in range(EACH)]
            for kind in (self.vector, self.ints)
        )
        with code.loop(self.vectors(), "step") as vector:
            step = b.mul(vector, self.whole(_LANES))
            there, window = self._first(b.sub(self.time, step)), self._window(step)
            outputs = [self._product(window, each) for each in taps]
            largest, smallest = outputs[0], outputs[0]
            for output in outputs[1:]:
                largest = b.select(b.fcmp_ordered(">", output, largest), output, largest)
                smallest = b.select(b.fcmp_ordered("<", output, smallest), output, smallest)
            for output, strength, count in zip(outputs, won, least, strict=True):
                wins = b.and_(b.fcmp_ordered("==", output, largest), there)
                sums = b.load(strength, typ=self.vector)
                b.store(b.select(wins, b.fadd(sums, largest), sums), strength)
                loses = b.and_(b.fcmp_ordered("==", output, smallest), there)
                b.store(b.add(b.load(count, typ=self.ints), b.zext(loses, self.ints)), count)
        return (
            [b.load(each, typ=self.vector) for each in won],
            [b.load(each, typ=self.ints) for each in least],
        )

    def _taps(self, first: Any) -> list[Any]:
        places = (self.builder.add(first, self.whole(tap)) for tap in range(TAPS))
        return [self.splat(self.code.load(self.taps, place, self.float)) for place in places]

    def _window(self, step: Any) -> list[Any]:
        """Return what each tap reads at the steps of a vector."""
        b = self.builder
        return [self.load(self.room, b.add(step, b.mul(self.dilation, self.whole(tap)))) for tap in range(TAPS)]

    def _product(self, window: list[Any], taps: list[Any]) -> Any:
        b = self.builder
        found = b.fmul(window[0], taps[0])
        for values, tap in zip(window[1:], taps[1:], strict=True):
            found = self._call(f"llvm.fmuladd.v{_LANES}f32", self.vector, values, tap, found)
        size = self._call(f"llvm.fabs.v{_LANES}f32", self.vector, found)
        some = b.fcmp_ordered(">", size, self.ir.Constant(self.vector, [_NOTHING] * _LANES))
        return b.select(some, found, self.ir.Constant(self.vector, [0.0] * _LANES))

    def total(self, vector: Any) -> Any:
        """Return the sum of a vector's numbers."""
        if vector.type == self.ints:
            return self._call(f"llvm.vector.reduce.add.v{_LANES}i32", self.int, vector)
        return self._call(f"llvm.vector.reduce.fadd.v{_LANES}f32", self.float, self.float(0.0), vector)

    def _first(self, count: Any) -> Any:
        """Return the mask of so many of a vector's numbers."""
        wide = self.ir.VectorType(self.whole, _LANES)
        return self.builder.icmp_signed("<", self.ir.Constant(wide, list(range(_LANES))), self.splat(count))

    def vectors(self) -> Any:
        """Return how many vectors hold all steps."""
        b = self.builder
        return b.sdiv(b.add(self.time, self.whole(_LANES - 1)), self.whole(_LANES))

    def splat(self, value: Any) -> Any:
        """Return a number in all places of a vector."""
        vector = self.ir.VectorType(value.type, _LANES)
        nothing = self.ir.Constant(vector, self.ir.Undefined)
        one = self.builder.insert_element(nothing, value, self.int(0))
        everywhere = self.ir.Constant(self.ir.VectorType(self.int, _LANES), [0] * _LANES)
        return self.builder.shuffle_vector(one, nothing, everywhere)

    def place(self, kernel: Any, row: Any) -> Any:
        """Return the place of a sequence among those of all kernels."""
        return self.builder.add(self.builder.mul(kernel, self.rows), row)

    def at(self, base: Any, step: Any) -> Any:
        """Return the address of a step."""
        return self.code.at(base, step, self.float)

    def load(self, base: Any, step: Any) -> Any:
        """Return the vector that begins at a step."""
        return self.builder.load(self.at(base, step), typ=self.vector, align=4)

    def save(self, vector: Any, base: Any, step: Any) -> None:
        """Write a vector from a step on."""
        self.builder.store(vector, self.at(base, step), align=4)

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        module = self.builder.module
        kind = self.ir.FunctionType(result, [each.type for each in arguments])
        function = module.globals.get(name) or self.ir.Function(module, kind, name)
        return self.builder.call(function, arguments)
