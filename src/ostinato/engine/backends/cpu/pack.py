"""Laying a matrix of weights out as the product reads it: panels of a few vectors, line after line, or two together."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code
from ostinato.engine.backends.cpu.gemm import PANEL_VECTORS
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value
from ostinato.engine.backends.cpu.terms import Bytes, Pairs, Terms, terms_of

_i64 = ir.IntType(64)


def define_pack(module: ir.Module, name: str, dtype: DType, width: int, *, products: str = "full") -> Any:
    """Add `pack(depth, cols, w, depth_stride, col_stride, panels)`, strides in numbers; see `define_gemm`.

    Of pairs, a line has for each column two neighbours along the depth, the last with a zero if it has none. Of bytes,
    a line of scales stands before the others.
    """
    pointer = ir.PointerType()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_i64, _i64, pointer, _i64, _i64, pointer]), name)
    depth, cols, weights, depth_stride, col_stride, panels = function.args
    code = Code(ir.IRBuilder(function.append_basic_block("entry")))
    lanes = Lanes(code.builder, dtype, width)
    builder, element = code.builder, lanes.element
    terms = terms_of(lanes, products)
    size = PANEL_VECTORS * width
    count = builder.udiv(builder.add(cols, _i64(size - 1)), _i64(size))
    with code.loop(count, "panel") as index:
        first = builder.mul(index, _i64(size))
        left = builder.sub(cols, first)
        real = builder.select(builder.icmp_signed("<", left, _i64(size)), left, _i64(size))
        padded = builder.mul(builder.udiv(builder.add(real, _i64(width - 1)), _i64(width)), _i64(width))
        lines = builder.udiv(builder.add(depth, _i64(terms.each - 1)), _i64(terms.each))
        target = code.at(panels, builder.mul(first, builder.add(lines, _i64(terms.lead))), terms.element)
        source = code.at(weights, builder.mul(first, col_stride), element)
        panel = _panel_of(terms)(code, terms, depth, lines, real, padded, source, target)
        transposed = builder.icmp_signed("==", depth_stride, _i64(1))
        with builder.if_else(transposed) as (then, otherwise):
            with then:
                panel.transpose(col_stride)
            with otherwise:
                panel.copy(depth_stride, col_stride)
        panel.pad()
    builder.ret_void()
    return function


def _panel_of(terms: Terms) -> type[_Panel]:
    if isinstance(terms, Bytes):
        return _BytePanel
    return _PairPanel if isinstance(terms, Pairs) else _Panel


class _Panel:
    """Emits how one panel is filled: lines of `padded` numbers, the first `real` of them from the matrix."""

    def __init__(
        self, code: Code, terms: Any, depth: Value, lines: Value, real: Value, padded: Value, source: Value,
        target: Value,
    ) -> None:  # fmt: skip
        self.code, self.terms, self.lanes = code, terms, terms.lanes
        self.depth, self.lines, self.real, self.padded = depth, lines, real, padded
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
        self._turned(lines, start, column)

    def _turned(self, lines: list[Value], start: Value, column: Value) -> None:
        """Write the columns of a square as lines, from a line on."""
        code, builder, width = self.code, self.code.builder, self.lanes.width
        # interleaving the first half of the lines with the second, once for each bit of a place in a line
        half, step = width // 2, 1
        while step < width:
            pairs = [(lines[index], lines[index + half]) for index in range(half)]
            lines = [self._interleaved(a, b, part) for a, b in pairs for part in (0, half)]
            step *= 2
        for k, line in enumerate(lines):
            place = builder.add(builder.mul(builder.add(start, _i64(k)), self.padded), column)
            code.store_whole(line, code.at(self.target, place, self.terms.element))

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
        code, builder, element = self.code, self.code.builder, self.terms.element
        with code.loop(self.lines, "k") as k, code.loop(builder.sub(self.padded, self.real), "pad") as c:
            place = builder.add(builder.mul(k, self.padded), builder.add(self.real, c))
            builder.store(ir.Constant(element, 0), code.at(self.target, place, element))

    def _move(self, number: Value, base: Value, place: Value) -> None:
        value = self.code.builder.load(number, typ=self.lanes.element)
        self.code.builder.store(value, self.code.at(base, place, self.lanes.element))


class _PairPanel(_Panel):
    """Emits the same for pairs: a line for two neighbours along the depth."""

    terms: Pairs

    def copy(self, depth_stride: Value, col_stride: Value) -> None:
        """Fill line after line, by vectors where both of a pair's rows are dense."""
        builder = self.code.builder
        whole = builder.udiv(self.depth, _i64(2))
        with self.code.loop(whole, "k") as k:
            first = self._row(builder.mul(k, _i64(2)), depth_stride)
            self._line(k, first, self.code.at(first, depth_stride, self.lanes.element), col_stride)
        with builder.if_then(builder.icmp_signed("<", whole, self.lines)):
            self._line(whole, self._row(builder.mul(whole, _i64(2)), depth_stride), None, col_stride)

    def _row(self, k: Value, depth_stride: Value) -> Value:
        return self.code.at(self.source, self.code.builder.mul(k, depth_stride), self.lanes.element)

    def _line(self, k: Value, first: Value, second: Value | None, col_stride: Value) -> None:
        """Fill a line from two rows; the second may be missing."""
        code, builder, lanes, width = self.code, self.code.builder, self.lanes, self.lanes.width
        line = code.at(self.target, builder.mul(k, self.padded), self.terms.element)
        dense = builder.icmp_signed("==", col_stride, _i64(1))
        whole = builder.select(dense, builder.udiv(self.real, _i64(width)), _i64(0))
        with code.loop(whole, "vector") as vector:
            at = builder.mul(vector, _i64(width))
            low = code.load_vector(lanes, code.at(first, at, lanes.element))
            high = lanes.const(0.0)
            if second is not None:
                high = code.load_vector(lanes, code.at(second, at, lanes.element))
            code.store_whole(self.terms.paired(low, high), code.at(line, at, self.terms.element))
        copied = builder.mul(whole, _i64(width))
        with code.loop(builder.sub(self.real, copied), "c") as rest:
            c = builder.add(copied, rest)
            place = builder.mul(c, col_stride)
            high = ir.Constant(lanes.element, 0.0) if second is None else code.load(second, place, lanes.element)
            code.store(self.terms.pair(code.load(first, place, lanes.element), high), line, c)

    def transpose(self, col_stride: Value) -> None:
        """Read a matrix that lies the other way round along its own rows: squares of pairs, then what is left."""
        code, builder, width = self.code, self.code.builder, self.lanes.width
        across = builder.udiv(self.real, _i64(width))
        blocks = builder.udiv(self.depth, _i64(2 * width))
        with code.loop(blocks, "block") as block:
            with code.loop(across, "square") as index:
                self._square(builder.mul(index, _i64(width)), builder.mul(block, _i64(width)), col_stride)
            square = builder.mul(across, _i64(width))
            self._pairs(builder.mul(block, _i64(width)), _i64(width), square, col_stride)
        done = builder.mul(blocks, _i64(width))
        self._pairs(done, builder.sub(self.lines, done), _i64(0), col_stride)

    def _square(self, column: Value, start: Value, col_stride: Value) -> None:
        """Turn a square of pairs round in registers, from a line on."""
        code, builder, lanes, width = self.code, self.code.builder, self.lanes, self.lanes.width
        lines = []
        for c in range(width):
            place = builder.mul(builder.add(column, _i64(c)), col_stride)
            place = builder.add(place, builder.mul(start, _i64(2)))
            numbers = code.at(self.source, place, lanes.element)
            halves = [self.terms.rounded(code.load_vector(lanes, numbers, part)) for part in (0, width)]
            order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * width), list(range(2 * width)))
            lines.append(builder.bitcast(builder.shuffle_vector(*halves, order), self.terms.type))
        self._turned(lines, start, column)

    def _pairs(self, start: Value, count: Value, column: Value, col_stride: Value) -> None:
        """Move pairs one by one: so many lines from one on, of the columns from one on."""
        code, builder, element = self.code, self.code.builder, self.lanes.element
        with code.loop(builder.sub(self.real, column), "c") as index:
            c = builder.add(column, index)
            numbers = code.at(self.source, builder.mul(c, col_stride), element)
            with code.loop(count, "k") as step:
                k = builder.add(start, step)
                place = builder.mul(k, _i64(2))
                following = builder.add(place, _i64(1))
                real = builder.icmp_signed("<", following, self.depth)
                other = code.load(numbers, builder.select(real, following, place), element)
                high = builder.select(real, other, ir.Constant(element, 0.0))
                pair = self.terms.pair(code.load(numbers, place, element), high)
                code.store(pair, self.target, builder.add(builder.mul(k, self.padded), c))


class _BytePanel(_Panel):
    """Emits the same for weights of 8 bits, column after column: it is done once for many products."""

    terms: Bytes

    def copy(self, depth_stride: Value, col_stride: Value) -> None:
        """Scale and round each column."""
        code, builder, lanes = self.code, self.code.builder, Lanes(self.code.builder, self.lanes.dtype, 1)
        element, one = lanes.element, _i64(0)
        with code.loop(self.real, "c") as c:
            numbers = code.at(self.source, builder.mul(c, col_stride), element)
            largest = code.variable(lanes.const(0.0))

            def number(k: Value) -> Value:
                return lanes.splat(code.load(numbers, builder.mul(k, depth_stride), element))

            with code.loop(self.depth, "k") as k:
                builder.store(lanes.maximum(lanes.abs(number(k)), builder.load(largest, typ=lanes.type)), largest)
            scale = lanes.div(builder.load(largest, typ=lanes.type), lanes.const(127.0))
            code.store(builder.extract_element(scale, one), self.target, c)
            none = lanes.equal(scale, lanes.const(0.0))
            divisor = lanes.select(none, lanes.const(1.0), scale)
            with code.loop(self.depth, "k") as k:
                whole = lanes.to_int(lanes.round_even(lanes.div(number(k), divisor)))
                place = builder.add(builder.mul(builder.add(k, _i64(self.terms.lead)), self.padded), c)
                code.store(builder.trunc(builder.extract_element(whole, one), self.terms.element), self.target, place)

    def transpose(self, col_stride: Value) -> None:
        """Do the same: each column lies dense."""
        self.copy(_i64(1), col_stride)

    def pad(self) -> None:
        """Put zeros at the end of each line, that of the scales too."""
        code, builder, element = self.code, self.code.builder, self.terms.element
        with code.loop(builder.sub(self.padded, self.real), "pad") as index:
            c = builder.add(self.real, index)
            code.store(ir.Constant(self.lanes.element, 0.0), self.target, c)
            with code.loop(self.depth, "k") as k:
                place = builder.add(builder.mul(builder.add(k, _i64(self.terms.lead)), self.padded), c)
                code.store(ir.Constant(element, 0), self.target, place)
