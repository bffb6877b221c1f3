"""Laying a matrix of weights out as the product reads it: panels of a few vectors, line after line."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code
from ostinato.engine.backends.cpu.gemm import PANEL_VECTORS
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value

_i64 = ir.IntType(64)


def define_pack(module: ir.Module, name: str, dtype: DType, width: int) -> Any:
    """Add `pack(depth, cols, w, depth_stride, col_stride, panels)`, strides in numbers; see `define_gemm`."""
    pointer = ir.PointerType()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_i64, _i64, pointer, _i64, _i64, pointer]), name)
    depth, cols, weights, depth_stride, col_stride, panels = function.args
    code = Code(ir.IRBuilder(function.append_basic_block("entry")))
    lanes = Lanes(code.builder, dtype, width)
    builder, element = code.builder, lanes.element
    size = PANEL_VECTORS * width
    count = builder.udiv(builder.add(cols, _i64(size - 1)), _i64(size))
    with code.loop(count, "panel") as index:
        first = builder.mul(index, _i64(size))
        left = builder.sub(cols, first)
        real = builder.select(builder.icmp_signed("<", left, _i64(size)), left, _i64(size))
        padded = builder.mul(builder.udiv(builder.add(real, _i64(width - 1)), _i64(width)), _i64(width))
        target = code.at(panels, builder.mul(first, depth), element)
        source = code.at(weights, builder.mul(first, col_stride), element)
        panel = _Panel(code, lanes, depth, real, padded, source, target)
        transposed = builder.icmp_signed("==", depth_stride, _i64(1))
        with builder.if_else(transposed) as (then, otherwise):
            with then:
                panel.transpose(col_stride)
            with otherwise:
                panel.copy(depth_stride, col_stride)
        panel.pad()
    builder.ret_void()
    return function


class _Panel:
    """Emits how one panel is filled: `depth` lines of `padded` numbers, the first `real` of them from the matrix."""

    def __init__(
        self, code: Code, lanes: Lanes, depth: Value, real: Value, padded: Value, source: Value, target: Value
    ) -> None:
        self.code, self.lanes, self.depth, self.real, self.padded = code, lanes, depth, real, padded
        self.source, self.target = source, target

    def copy(self, depth_stride: Value, col_stride: Value) -> None:
        """Copy line after line, by vectors where a line is dense."""
        code, builder, lanes, width = self.code, self.code.builder, self.lanes, self.lanes.width
        dense = builder.icmp_signed("==", col_stride, _i64(1))
        whole = builder.select(dense, builder.udiv(self.real, _i64(width)), _i64(0))
        with code.loop(self.depth, "k") as k:
            line = code.at(self.target, builder.mul(k, self.padded), lanes.element)
            numbers = code.at(self.source, builder.mul(k, depth_stride), lanes.element)
            with code.loop(whole, "vector") as vector:
                at = builder.mul(vector, _i64(width))
                value = code.load_vector(lanes, code.at(numbers, at, lanes.element))
                code.store_vector(lanes, value, code.at(line, at, lanes.element))
            copied = builder.mul(whole, _i64(width))
            with code.loop(builder.sub(self.real, copied), "c") as rest:
                c = builder.add(copied, rest)
                self._move(code.at(numbers, builder.mul(c, col_stride), lanes.element), line, c)

    def transpose(self, col_stride: Value) -> None:
        """Read a matrix that lies the other way round along its own rows: squares of whole vectors, then what is left.

        Lines a power of two apart would drive each other out before their next number is wanted: 2,048 x 512 numbers
        took 2.3 ms down the columns, and take 0.5.
        """
        code, builder, width = self.code, self.code.builder, self.lanes.width
        size = _i64(width)
        across = builder.udiv(self.real, size)
        square = builder.mul(across, size)
        with code.loop(builder.udiv(self.depth, size), "block") as block:
            start = builder.mul(block, size)
            with code.loop(across, "square") as index:
                self._square(builder.mul(index, size), start, col_stride)
            self._numbers(start, size, square, builder.sub(self.real, square), col_stride)
        done = builder.mul(builder.udiv(self.depth, size), size)
        self._numbers(done, builder.sub(self.depth, done), _i64(0), self.real, col_stride)

    def _square(self, column: Value, start: Value, col_stride: Value) -> None:
        """Turn a square of numbers round in registers."""
        code, builder, lanes, width = self.code, self.code.builder, self.lanes, self.lanes.width
        lines = []
        for c in range(width):
            place = builder.add(builder.mul(builder.add(column, _i64(c)), col_stride), start)
            lines.append(code.load_vector(lanes, code.at(self.source, place, lanes.element)))
        # interleaving the first half of the lines with the second, once for each bit of a place in a line
        half, step = width // 2, 1
        while step < width:
            pairs = [(lines[index], lines[index + half]) for index in range(half)]
            lines = [self._interleaved(a, b, part) for a, b in pairs for part in (0, half)]
            step *= 2
        for k, line in enumerate(lines):
            place = builder.add(builder.mul(builder.add(start, _i64(k)), self.padded), column)
            code.store_vector(lanes, line, code.at(self.target, place, lanes.element))

    def _interleaved(self, a: Value, b: Value, first: int) -> Value:
        """Return half of two vectors, from a place on, their numbers in turns."""
        width = self.lanes.width
        places = [place for index in range(first, first + width // 2) for place in (index, width + index)]
        return self.code.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), width), places))

    def _numbers(self, start: Value, count: Value, column: Value, columns: Value, col_stride: Value) -> None:
        """Move numbers one by one."""
        code, builder, element = self.code, self.code.builder, self.lanes.element
        lines = code.at(self.target, builder.mul(start, self.padded), element)
        with code.loop(columns, "c") as index:
            c = builder.add(column, index)
            numbers = code.at(self.source, builder.add(builder.mul(c, col_stride), start), element)
            with code.loop(count, "k") as k:
                place = builder.add(builder.mul(k, self.padded), c)
                self._move(code.at(numbers, k, element), lines, place)

    def pad(self) -> None:
        """Put zeros at the end of each line."""
        code, builder, element = self.code, self.code.builder, self.lanes.element
        with code.loop(self.depth, "k") as k, code.loop(builder.sub(self.padded, self.real), "pad") as c:
            place = builder.add(builder.mul(k, self.padded), builder.add(self.real, c))
            builder.store(ir.Constant(element, 0.0), code.at(self.target, place, element))

    def _move(self, number: Value, base: Value, place: Value) -> None:
        value = self.code.builder.load(number, typ=self.lanes.element)
        self.code.builder.store(value, self.code.at(base, place, self.lanes.element))
