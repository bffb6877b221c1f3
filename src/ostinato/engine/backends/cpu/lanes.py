"""`Lanes`: elementwise arithmetic on vectors, as LLVM instructions; what the kernels and `mathlib` are written in."""

from __future__ import annotations

from typing import Any, Literal

from llvmlite import ir

DType = Literal["float32", "float64"]
Value = Any  # an `llvmlite.ir.Value`; llvmlite carries no types


class Lanes:
    """Emits elementwise code on values of type `<width x float>` or `<width x double>`.

    Every method appends instructions at the builder's position and returns the new value. No fast-math flags are set:
    the results are those of IEEE 754 arithmetic, and the same at every width.

    Args:
        builder: where the instructions go.
        dtype: the type of one lane, `"float32"` or `"float64"`.
        width: the number of lanes; 1 gives vectors of one lane, not scalars.

    >>> function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), [ir.FloatType()]), "f")
    >>> lanes = Lanes(ir.IRBuilder(function.append_basic_block()), "float32", 16)
    >>> str(lanes.fma(lanes.splat(function.args[0]), lanes.const(2.0), lanes.const(1.0)).type)
    '<16 x float>'
    """

    def __init__(self, builder: Value, dtype: DType, width: int) -> None:
        single = dtype == "float32"
        self.builder = builder
        self.dtype = dtype
        self.width = width
        self.element: Any = ir.FloatType() if single else ir.DoubleType()
        self.type: Any = ir.VectorType(self.element, width)
        self.int_type: Any = ir.VectorType(ir.IntType(32 if single else 64), width)
        self.mask_type: Any = ir.VectorType(ir.IntType(1), width)

    # Constants and broadcasts

    def const(self, x: float) -> Value:
        """`x` in every lane, rounded to the lanes' type."""
        return ir.Constant(self.type, [float(x)] * self.width)

    def int_const(self, x: int) -> Value:
        """The whole number `x` in every lane, as wide as a lane; negative numbers in two's complement."""
        return ir.Constant(self.int_type, [x] * self.width)

    def splat(self, scalar: Value) -> Value:
        """A scalar (a lane's type, or any other first-class type) in every lane."""
        vector = ir.VectorType(scalar.type, self.width)
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), everywhere)

    # Arithmetic

    def add(self, a: Value, b: Value) -> Value:
        """`a + b`."""
        return self.builder.fadd(a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """`a - b`."""
        return self.builder.fsub(a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """`a * b`."""
        return self.builder.fmul(a, b)

    def div(self, a: Value, b: Value) -> Value:
        """`a / b`."""
        return self.builder.fdiv(a, b)

    def neg(self, a: Value) -> Value:
        """`-a`; flips the sign of zeros and NaNs too."""
        return self.builder.fneg(a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """`a * b + c`, rounded once."""
        return self.intrinsic("llvm.fma", a, b, c)

    def mul_add(self, a: Value, b: Value, c: Value, *, fused: bool) -> Value:
        """`a * b + c`, rounded once if `fused`, else twice."""
        return self.fma(a, b, c) if fused else self.add(self.mul(a, b), c)

    def sqrt(self, x: Value) -> Value:
        """The square root, correctly rounded; NaN below zero."""
        return self.intrinsic("llvm.sqrt", x)

    def abs(self, x: Value) -> Value:
        """`x` without its sign."""
        return self.intrinsic("llvm.fabs", x)

    def floor(self, x: Value) -> Value:
        """The largest whole number not above `x`."""
        return self.intrinsic("llvm.floor", x)

    def round_even(self, x: Value) -> Value:
        """The nearest whole number, ties to even, as `torch.round`."""
        return self.intrinsic("llvm.roundeven", x)

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller one; NaN where either is NaN, as `torch.minimum`. Of two zeros it returns `b`."""
        # Two selects rather than `llvm.minimum`, which takes three more instructions on x86-64 to order -0 and +0.
        return self.select(self.not_equal(a, a), a, self.select(self.less(a, b), a, b))

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger one; NaN where either is NaN, as `torch.maximum`. Of two zeros it returns `b`."""
        return self.select(self.not_equal(a, a), a, self.select(self.greater(a, b), a, b))

    # Comparisons: masks, false where a side is NaN (`not_equal`: true)

    def less(self, a: Value, b: Value) -> Value:
        """The mask `a < b`."""
        return self.builder.fcmp_ordered("<", a, b)

    def less_equal(self, a: Value, b: Value) -> Value:
        """The mask `a <= b`."""
        return self.builder.fcmp_ordered("<=", a, b)

    def greater(self, a: Value, b: Value) -> Value:
        """The mask `a > b`."""
        return self.builder.fcmp_ordered(">", a, b)

    def greater_equal(self, a: Value, b: Value) -> Value:
        """The mask `a >= b`."""
        return self.builder.fcmp_ordered(">=", a, b)

    def equal(self, a: Value, b: Value) -> Value:
        """The mask `a == b`."""
        return self.builder.fcmp_ordered("==", a, b)

    def not_equal(self, a: Value, b: Value) -> Value:
        """The mask `a != b`, true where either is NaN: `not_equal(x, x)` finds the NaNs."""
        return self.builder.fcmp_unordered("!=", a, b)

    # Masks

    def select(self, mask: Value, a: Value, b: Value) -> Value:
        """`a` in the lanes where the mask is set, `b` in the others."""
        return self.builder.select(mask, a, b)

    def logical_and(self, a: Value, b: Value) -> Value:
        """The lanes set in both masks."""
        return self.builder.and_(a, b)

    def logical_or(self, a: Value, b: Value) -> Value:
        """The lanes set in either mask."""
        return self.builder.or_(a, b)

    def logical_not(self, a: Value) -> Value:
        """The lanes not set in the mask."""
        return self.builder.xor(a, ir.Constant(self.mask_type, [1] * self.width))

    def logical_xor(self, a: Value, b: Value) -> Value:
        """The lanes set in one of the two masks."""
        return self.builder.xor(a, b)

    def any(self, mask: Value) -> Value:
        """A scalar `i1`: whether the mask is set in any lane."""
        signature = ir.FunctionType(ir.IntType(1), [self.mask_type])
        return self.builder.call(self._declared(f"llvm.vector.reduce.or.v{self.width}i1", signature), [mask])

    def first(self, count: Value) -> Value:
        """The mask of the first lanes, `count` of them, a whole number of 64 bits."""
        kind = ir.VectorType(ir.IntType(64), self.width)
        return self.builder.icmp_signed("<", ir.Constant(kind, list(range(self.width))), self.splat(count))

    # Whole numbers and bits

    def to_int(self, x: Value) -> Value:
        """Whole numbers as wide as a lane, towards zero; undefined for NaN and outside the integers' range."""
        return self.builder.fptosi(x, self.int_type)

    def from_int(self, i: Value) -> Value:
        """Signed whole numbers as floating point, rounded to the nearest."""
        return self.builder.sitofp(i, self.type)

    def bitcast_int(self, x: Value) -> Value:
        """The bits of each lane as a whole number."""
        return self.builder.bitcast(x, self.int_type)

    def bitcast_float(self, i: Value) -> Value:
        """Each whole number's bits as a lane."""
        return self.builder.bitcast(i, self.type)

    # Intrinsics

    def intrinsic(self, name: str, *operands: Value) -> Value:
        """Call an elementwise LLVM intrinsic whose operands and result are all of the lanes' type."""
        suffix = "f32" if self.dtype == "float32" else "f64"
        signature = ir.FunctionType(self.type, [self.type] * len(operands))
        return self.builder.call(self._declared(f"{name}.v{self.width}{suffix}", signature), operands)

    def _declared(self, name: str, signature: Any) -> Any:
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, signature, name)
