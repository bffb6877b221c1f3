"""Logarithms and what is made of them: `log`, `log2`, `log1p`, `softplus`.

`log(x) = k ln 2 + log(1 + f)` with `x = 2^k (1 + f)` and `1 + f` between `sqrt(1/2)` and `sqrt(2)`.
"""

from __future__ import annotations

import math

import numpy as np

from ostinato.engine.backends.cpu.lanes import Lanes, Value
from ostinato.engine.backends.cpu.mathlib_exp import exp
from ostinato.engine.backends.cpu.mathlib_parts import at_least, at_most, horner

_MANTISSA_BITS = {"float32": 23, "float64": 52}
_LN_2 = {"float32": (0.693147182464599609375, -1.9046542e-09), "float64": (0.6931471805599453, 2.3190468138462996e-17)}
_LOG2_E = {"float32": (1.442695, 1.925963e-08), "float64": (1.4426950408889634, 2.0355273740931033e-17)}
# log(1 + f) = f - f^2 / 2 + f^3 P(f), fitted for its relative error: 0.10 u left.
_SINGLE = (0.3333333, -0.25000823, 0.20001261, -0.16623326, 0.14200915, -0.13159639, 0.12767656, -0.07643893)
# With s = f / (2 + f): log(1 + f) = 2 atanh(s) = 2 s + s^3 P(s^2), fitted likewise: 0.011 u left.
_DOUBLE = (
    0.6666666666666734,
    0.3999999999941686,
    0.28571428741964777,
    0.22222198611823546,
    0.18183562518244578,
    0.153140924412552,
    0.14795569032403177,
)


def log(lanes: Lanes, x: Value) -> Value:
    """The natural logarithm: -inf at zeros, NaN below."""
    k, f = _reduced(lanes, *_without_denormals(lanes, x))
    return _with_limits(lanes, x, _times_ln2(lanes, k, _log1p_near_zero(lanes, f)))


def log2(lanes: Lanes, x: Value) -> Value:
    """The logarithm to base 2; exact at powers of two."""
    k, f = _reduced(lanes, *_without_denormals(lanes, x))
    high, low = (lanes.const(part) for part in _LOG2_E[lanes.dtype])
    y = _log1p_near_zero(lanes, f)
    return _with_limits(lanes, x, lanes.add(k, lanes.fma(y, high, lanes.mul(y, low))))


def log1p(lanes: Lanes, x: Value) -> Value:
    """`log(1 + x)`, accurate near zero."""
    bits = _MANTISSA_BITS[lanes.dtype]
    y = _with_limits(lanes, lanes.add(x, lanes.const(1.0)), _log1p_inside(lanes, x))
    return lanes.select(lanes.less(lanes.abs(x), lanes.const(2.0 ** -(bits + 2))), x, y)


def softplus(lanes: Lanes, x: Value) -> Value:
    """`log(1 + e^x)` as `max(x, 0) + log1p(e^-|x|)`, which neither overflows nor cancels."""
    small = exp(lanes, lanes.neg(lanes.abs(x)))
    tail = lanes.select(lanes.less(small, lanes.const(2.0**-60)), small, _log1p_inside(lanes, small))
    return lanes.add(at_least(lanes, x, 0.0), tail)


def _log1p_inside(lanes: Lanes, x: Value) -> Value:
    """`log1p` for `-1 < x < inf`. What `1 + x` loses to rounding is added to `f` again."""
    larger, smaller = at_least(lanes, x, 1.0), at_most(lanes, x, 1.0)
    total = lanes.add(larger, smaller)
    lost = lanes.sub(smaller, lanes.sub(total, larger))
    k, f, shrink = _reduced_with_scale(lanes, total)
    f = lanes.fma(lanes.mul(lost, lanes.const(0.25)), shrink, f)
    return _times_ln2(lanes, k, _log1p_near_zero(lanes, f))


def _log1p_near_zero(lanes: Lanes, f: Value) -> Value:
    """`log(1 + f)` for `sqrt(1/2) <= 1 + f < sqrt(2)`."""
    square = lanes.mul(f, f)
    if lanes.dtype == "float32":
        return lanes.fma(square, horner(lanes, f, (-0.5, *_SINGLE)), f)
    # A polynomial in f alone would take 20 terms in float64. The order of this sum is that of Sun's fdlibm (e_log.c).
    s = lanes.div(f, lanes.add(f, lanes.const(2.0)))
    z = lanes.mul(s, s)
    half = lanes.mul(square, lanes.const(0.5))
    correction = lanes.fma(lanes.neg(s), lanes.fma(z, horner(lanes, z, _DOUBLE), half), half)
    return lanes.sub(f, correction)


def _times_ln2(lanes: Lanes, k: Value, y: Value) -> Value:
    high, low = (lanes.const(part) for part in _LN_2[lanes.dtype])
    return lanes.fma(k, high, lanes.fma(k, low, y))


def _without_denormals(lanes: Lanes, x: Value) -> tuple[Value, Value]:
    """`x`, its denormals scaled up, and the power of two to add to its logarithm's `k`."""
    bits = _MANTISSA_BITS[lanes.dtype]
    denormal = lanes.less(x, lanes.const(float(np.finfo(lanes.dtype).tiny)))
    scaled = lanes.select(denormal, lanes.mul(x, lanes.const(2.0**bits)), x)
    return scaled, lanes.select(denormal, lanes.const(-float(bits)), lanes.const(0.0))


def _reduced(lanes: Lanes, x: Value, offset: Value) -> tuple[Value, Value]:
    k, f, _ = _reduced_with_scale(lanes, x)
    return lanes.add(k, offset), f


def _reduced_with_scale(lanes: Lanes, x: Value) -> tuple[Value, Value, Value]:
    """`k`, `f` and `2^(2 - k)` for a positive normal `x`; the 2 keeps the last one normal for every `k`."""
    builder, bits = lanes.builder, _MANTISSA_BITS[lanes.dtype]
    least = lanes.int_const(_bits(lanes, math.sqrt(0.5)))
    from_least = builder.sub(lanes.bitcast_int(x), least)
    mantissa = builder.and_(from_least, lanes.int_const((1 << bits) - 1))
    exponent = builder.sub(from_least, mantissa)
    k = _small_whole_number(lanes, builder.ashr(exponent, lanes.int_const(bits)))
    f = lanes.sub(lanes.bitcast_float(builder.add(mantissa, least)), lanes.const(1.0))
    return k, f, lanes.bitcast_float(builder.sub(lanes.int_const(_bits(lanes, 4.0)), exponent))


def _small_whole_number(lanes: Lanes, i: Value) -> Value:
    """A whole number below 2^22 as a float, without the conversion that few CPUs have for 64 bits."""
    shifter = 1.5 * 2.0 ** _MANTISSA_BITS[lanes.dtype]
    shifted = lanes.builder.add(i, lanes.int_const(_bits(lanes, shifter)))
    return lanes.sub(lanes.bitcast_float(shifted), lanes.const(shifter))


def _bits(lanes: Lanes, x: float) -> int:
    single = lanes.dtype == "float32"
    return int(np.array(x, lanes.dtype).view(np.int32 if single else np.int64))


def _with_limits(lanes: Lanes, x: Value, y: Value) -> Value:
    """`y`, but the logarithm's values at zero, below it, at inf and at NaN where `x` is there."""
    zero, infinity = lanes.const(0.0), lanes.const(math.inf)
    below = lanes.select(lanes.less(x, zero), lanes.const(math.nan), x)
    limits = lanes.select(lanes.equal(x, zero), lanes.const(-math.inf), below)
    usual = lanes.logical_and(lanes.greater(x, zero), lanes.less(x, infinity))
    return lanes.select(usual, y, limits)
