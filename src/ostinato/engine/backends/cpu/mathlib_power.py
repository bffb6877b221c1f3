"""`power`: `x` to the `y`, with the special cases of IEEE 754's `pow`."""

from __future__ import annotations

import math

from ostinato.engine.backends.cpu.lanes import Lanes, Value
from ostinato.engine.backends.cpu.mathlib_exp import exp2
from ostinato.engine.backends.cpu.mathlib_log import log2
from ostinato.engine.backends.cpu.mathlib_parts import copy_sign


def power(lanes: Lanes, x: Value, y: Value) -> Value:
    """`x^y`. float32 goes through float64, which leaves half an ulp; float64 through libm, lane by lane."""
    if lanes.dtype == "float64":
        return lanes.intrinsic("llvm.pow", x, y)
    size = _without_nan(lanes, x, y, _power_of_size(lanes, lanes.abs(x), y))
    return _with_sign(lanes, x, y, size)


def _power_of_size(lanes: Lanes, size: Value, y: Value) -> Value:
    """`size^y` for `size >= 0`: eight bits of the logarithm's 53 go to its whole part and to `y`'s rounding."""
    wide = Lanes(lanes.builder, "float64", lanes.width)
    size, y = (lanes.builder.fpext(value, wide.type) for value in (size, y))
    return lanes.builder.fptrunc(exp2(wide, wide.mul(y, log2(wide, size))), lanes.type)


def _without_nan(lanes: Lanes, x: Value, y: Value, size: Value) -> Value:
    """1 where the product was 0 times inf or NaN but the answer is 1: `x^0`, `1^y` and `(-1)^inf`."""
    one = lanes.const(1.0)
    unit = lanes.logical_and(lanes.equal(lanes.abs(x), one), lanes.equal(lanes.abs(y), lanes.const(math.inf)))
    certain = lanes.logical_or(lanes.equal(y, lanes.const(0.0)), lanes.equal(x, one))
    return lanes.select(lanes.logical_or(certain, unit), one, size)


def _with_sign(lanes: Lanes, x: Value, y: Value, size: Value) -> Value:
    """Minus where `x` is negative (or -0) and `y` odd; NaN where `x` is negative and finite and `y` not whole."""
    half = lanes.mul(y, lanes.const(0.5))
    whole = lanes.equal(lanes.floor(y), y)
    odd = lanes.logical_and(whole, lanes.not_equal(lanes.floor(half), half))
    negative = lanes.logical_and(lanes.less(x, lanes.const(0.0)), lanes.greater(x, lanes.const(-math.inf)))
    undefined = lanes.logical_and(negative, lanes.logical_not(whole))
    signed = lanes.select(odd, copy_sign(lanes, size, x), size)
    return lanes.select(undefined, lanes.const(math.nan), signed)
