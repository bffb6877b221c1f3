"""Vectors of numbers in LLVM code: a thin layer over llvmlite's builder, one method an instruction."""

from __future__ import annotations

from typing import Any, Literal

from llvmlite import ir

Dtype = Literal["float32", "float64"]
Value = Any
"""An `llvmlite.ir.Value`; llvmlite has no types of its own for a checker."""


class Lanes:
    """Emits elementwise code on vectors of `width` floats or doubles."""

    def __init__(self, builder: Any, dtype: Dtype, width: int) -> None:
        self.builder, self.dtype, self.width = builder, dtype, width
        single = dtype == "float32"
        self.element = ir.FloatType() if single else ir.DoubleType()
        self.type = ir.VectorType(self.element, width)
        self.integer = ir.IntType(32 if single else 64)
        self.int_type = ir.VectorType(self.integer, width)
        self.mask_type = ir.VectorType(ir.IntType(1), width)

    def const(self, value: float) -> Value:
        """Return a number in every lane."""
        return ir.Constant(self.type, [float(value)] * self.width)

    def int_const(self, value: int) -> Value:
        """Return a whole number in every lane."""
        return ir.Constant(self.int_type, [value] * self.width)

    def splat(self, scalar: Value) -> Value:
        """Return a scalar in every lane."""
        return self._splat(scalar, self.type)

    def int_splat(self, scalar: Value) -> Value:
        """Return a whole number in every lane."""
        return self._splat(scalar, self.int_type)

    def _splat(self, scalar: Value, kind: Any) -> Value:
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return self.builder.fadd(a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """Return a - b."""
        return self.builder.fsub(a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """Return a * b."""
        return self.builder.fmul(a, b)

    def div(self, a: Value, b: Value) -> Value:
        """Return a / b."""
        return self.builder.fdiv(a, b)

    def neg(self, a: Value) -> Value:
        """Return -a."""
        return self.builder.fneg(a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a * b + c, rounded once."""
        return self.call("fma", a, b, c)

    def sqrt(self, a: Value) -> Value:
        """Return the square root."""
        return self.call("sqrt", a)

    def abs(self, a: Value) -> Value:
        """Return the magnitude."""
        return self.call("fabs", a)

    def floor(self, a: Value) -> Value:
        """Return the whole number below."""
        return self.call("floor", a)

    def ceil(self, a: Value) -> Value:
        """Return the whole number above."""
        return self.call("ceil", a)

    def trunc(self, a: Value) -> Value:
        """Return the whole number towards zero."""
        return self.call("trunc", a)

    def round_even(self, a: Value) -> Value:
        """Return the nearest whole number, the even one of two."""
        return self.call("rint", a)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        """Return the magnitude of one with the sign of the other."""
        return self.call("copysign", magnitude, sign)

    def minimum(self, a: Value, b: Value) -> Value:
        """Return the smaller; NaN if either is, as `torch.minimum`."""
        smaller = self.select(self.builder.fcmp_ordered("<", a, b), a, b)
        return self.select(self.not_equal(a, a), a, smaller)

    def maximum(self, a: Value, b: Value) -> Value:
        """Return the larger; NaN if either is, as `torch.maximum`."""
        larger = self.select(self.builder.fcmp_ordered(">", a, b), a, b)
        return self.select(self.not_equal(a, a), a, larger)

    def less(self, a: Value, b: Value) -> Value:
        """Return the mask a < b."""
        return self.builder.fcmp_ordered("<", a, b)

    def less_equal(self, a: Value, b: Value) -> Value:
        """Return the mask a <= b."""
        return self.builder.fcmp_ordered("<=", a, b)

    def greater(self, a: Value, b: Value) -> Value:
        """Return the mask a > b."""
        return self.builder.fcmp_ordered(">", a, b)

    def greater_equal(self, a: Value, b: Value) -> Value:
        """Return the mask a >= b."""
        return self.builder.fcmp_ordered(">=", a, b)

    def equal(self, a: Value, b: Value) -> Value:
        """Return the mask a == b."""
        return self.builder.fcmp_ordered("==", a, b)

    def not_equal(self, a: Value, b: Value) -> Value:
        """Return the mask a != b, true for NaN."""
        return self.builder.fcmp_unordered("!=", a, b)

    def select(self, mask: Value, a: Value, b: Value) -> Value:
        """Return a where the mask is true, b elsewhere."""
        return self.builder.select(mask, a, b)

    def logical_and(self, a: Value, b: Value) -> Value:
        """Return both masks."""
        return self.builder.and_(a, b)

    def logical_or(self, a: Value, b: Value) -> Value:
        """Return either mask."""
        return self.builder.or_(a, b)

    def logical_xor(self, a: Value, b: Value) -> Value:
        """Return where the masks differ."""
        return self.builder.xor(a, b)

    def logical_not(self, a: Value) -> Value:
        """Return the opposite mask."""
        return self.builder.xor(a, ir.Constant(self.mask_type, [1] * self.width))

    def to_int(self, a: Value) -> Value:
        """Return whole numbers of the same size, towards zero."""
        return self.builder.fptosi(a, self.int_type)

    def from_int(self, a: Value) -> Value:
        """Return floats from whole numbers."""
        return self.builder.sitofp(a, self.type)

    def bitcast_int(self, a: Value) -> Value:
        """Return the bits as whole numbers."""
        return self.builder.bitcast(a, self.int_type)

    def bitcast_float(self, a: Value) -> Value:
        """Return bits as floats."""
        return self.builder.bitcast(a, self.type)

    def shift_left(self, a: Value, count: int) -> Value:
        """Shift whole numbers left."""
        return self.builder.shl(a, self.int_const(count))

    def call(self, name: str, *values: Value) -> Value:
        """Call one of LLVM's own functions, such as `fma`, on vectors."""
        suffix = f"v{self.width}f{32 if self.dtype == 'float32' else 64}"
        kind = ir.FunctionType(self.type, [self.type] * len(values))
        full = f"llvm.{name}.{suffix}"
        module = self.builder.module
        function = module.globals.get(full) or ir.Function(module, kind, full)
        return self.builder.call(function, values)

    def lane_by_lane(self, name: str, *values: Value) -> Value:
        """Call a function of the C library on each lane: right, and slow."""
        module = self.builder.module
        full = name + ("f" if self.dtype == "float32" else "")
        kind = ir.FunctionType(self.element, [self.element] * len(values))
        function = module.globals.get(full) or ir.Function(module, kind, full)
        result = ir.Constant(self.type, ir.Undefined)
        for lane in range(self.width):
            index = ir.IntType(32)(lane)
            scalars = [self.builder.extract_element(value, index) for value in values]
            result = self.builder.insert_element(result, self.builder.call(function, scalars), index)
        return result
