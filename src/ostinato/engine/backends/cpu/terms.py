"""What products of matrices multiply and add: numbers, pairs of bfloat16 with sums of float32, numbers by bytes.

A lane of pairs holds two neighbours along the index that is summed over, the first in its lower half. Operands are
rounded to the nearest, ties to even; their products are exact in float32; of a pair the second is added first, each sum
rounded once. That is what AVX-512's `vdpbf16ps` does, but for numbers below 2**-126, which it takes for zero (Intel 64
and IA-32 Architectures Software Developer's Manual, volume 2). Without it the same is done by shifts and additions.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.halves import i16, narrow
from ostinato.engine.backends.cpu.lanes import Lanes, Value

i8, i32 = ir.IntType(8), ir.IntType(32)


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite carries no types
    """LLVM's type, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"


_bfloat = _BFloat()


class Numbers:
    """Emits code on vectors of numbers, which are multiplied as they are.

    Args:
        lanes: vectors of them.
        fused: whether each product and its sum are rounded once; if not, both are.
    """

    each = 1
    """How many numbers of a row a term takes."""
    lead = 0
    """How many lines stand before those of the weights."""

    def __init__(self, lanes: Lanes, *, fused: bool) -> None:
        self.lanes, self.fused = lanes, fused
        self.element, self.type = lanes.element, lanes.type
        """Of weights as they lie."""
        self.row_element = lanes.element

    def column(self, value: Value) -> Value:
        """Return a vector of weights as `add` takes it."""
        return value

    def add(self, a: Value, b: Value, total: Value) -> Value:
        """Return `total` and the products of `a` and `b`."""
        return self.lanes.mul_add(a, b, total, fused=self.fused)


class Pairs:
    """Emits code on vectors of pairs, each pair a whole number of 32 bits.

    Args:
        lanes: vectors of float32, one for each pair.
        native: whether the processor has AVX-512's dot products of bfloat16; vectors are then 16 wide.
    """

    each, lead = 2, 0
    element: Any = i32
    row_element: Any = i32

    def __init__(self, lanes: Lanes, *, native: bool) -> None:
        self.lanes, self.native = lanes, native
        self.builder = lanes.builder
        self.type: Any = ir.VectorType(i32, lanes.width)

    def column(self, value: Value) -> Value:
        """Return a vector of weights as `add` takes it."""
        return value

    def rounded(self, value: Value) -> Value:
        """Return a vector of float32 as the 16 bits of the nearest bfloat16 each."""
        if not self.native:
            return narrow(self.builder, value)
        halves = ir.VectorType(_bfloat, self.lanes.width)
        function = self._intrinsic("llvm.x86.avx512bf16.cvtneps2bf16.512", halves, [self.lanes.type])
        return self.builder.bitcast(self.builder.call(function, [value]), ir.VectorType(i16, self.lanes.width))

    def paired(self, first: Value, second: Value) -> Value:
        """Return two vectors of float32, rounded, as one of pairs."""
        builder = self.builder
        low, high = (builder.zext(self.rounded(value), self.type) for value in (first, second))
        return builder.or_(low, builder.shl(high, self._all(16)))

    def pair(self, first: Value, second: Value) -> Value:
        """Return two numbers, rounded, as one pair."""
        builder = self.builder
        low, high = (builder.zext(narrow(builder, value), i32) for value in (first, second))
        return builder.or_(low, builder.shl(high, i32(16)))

    def add(self, a: Value, b: Value, total: Value) -> Value:
        """Return `total` and the products of both numbers of each pair."""
        builder, lanes = self.builder, self.lanes
        if self.native:
            halves = ir.VectorType(_bfloat, 2 * lanes.width)
            function = self._intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", lanes.type, [lanes.type, halves, halves])
            return builder.call(function, [total, builder.bitcast(a, halves), builder.bitcast(b, halves)])
        # the products are exact, so that nothing is to be fused
        total = lanes.add(total, lanes.mul(self._second(a), self._second(b)))
        return lanes.add(total, lanes.mul(self._first(a), self._first(b)))

    def _first(self, bits: Value) -> Value:
        return self.lanes.bitcast_float(self.builder.shl(bits, self._all(16)))

    def _second(self, bits: Value) -> Value:
        return self.lanes.bitcast_float(self.builder.and_(bits, self._all(0xFFFF0000)))

    def _all(self, number: int) -> Value:
        return ir.Constant(self.type, [number] * self.lanes.width)

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)


class Bytes(Numbers):
    """Emits code on vectors of numbers whose weights are whole numbers of 8 bits; a line of scales stands before them.

    The scale of an output is its largest weight over 127; the numbers of a row are not rounded.
    """

    lead = 4
    """A scale takes four bytes."""

    def __init__(self, lanes: Lanes, *, fused: bool) -> None:
        super().__init__(lanes, fused=fused)
        self.element, self.type = i8, ir.VectorType(i8, lanes.width)

    def column(self, value: Value) -> Value:
        """Return a vector of weights as `add` takes it."""
        lanes = self.lanes
        return lanes.from_int(lanes.builder.sext(value, lanes.int_type))


Terms = Numbers | Pairs


def terms_of(lanes: Lanes, products: str, *, fused: bool = True) -> Terms:
    """Return what products of a target are made of, see `Target.products`; those of float64 are always of float64."""
    if products == "full" or lanes.dtype == "float64":
        return Numbers(lanes, fused=fused)
    if products == "int8 weights":
        return Bytes(lanes, fused=fused)
    return Pairs(lanes, native=products == "bfloat16")
