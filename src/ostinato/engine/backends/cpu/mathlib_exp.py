"""The exponential and what is made of it: `exp`, `exp2`, `expm1`, `sigmoid`, `tanh`.

All start from `exp(x) = 2^n exp(r)` with `n` the whole number nearest to `x / ln 2` and `|r| <= ln 2 / 2`
(W. J. Cody and W. Waite, Software Manual for the Elementary Functions, 1980, chapter 6). `sigmoid` and `tanh` run in
every step of an LSTM or GRU, so they are short: no branch, no conversion between integer and float, one division.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.engine.backends.cpu.lanes import Lanes, Value
from ostinato.engine.backends.cpu.mathlib_parts import at_least, at_most, copy_sign, horner


@dataclass(frozen=True)
class _Format:
    """What the reduction needs to know of a floating-point type; `expm1(r) = r + r^2 polynomial(r)`."""

    mantissa_bits: int
    bias: int
    ln2_high: float
    ln2_low: float
    polynomial: tuple[float, ...]
    overflow: float  # exp is inf from here on
    underflow: float  # exp is 0 below
    denormal: float  # exp is normal above
    flush: float  # the power of two in exp is one below the least normal number, so that its bits say 0
    saturation: float  # tanh is 1 from here on


_LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453
# Fitted on |r| <= ln 2 / 2 for the relative error of expm1: 0.24 u left in float32, 0.003 u in float64.
_FORMATS = {
    "float32": _Format(
        mantissa_bits=23,
        bias=127,
        ln2_high=0.693145751953125,
        ln2_low=1.4286068e-06,
        polynomial=(0.49999997, 0.16666539, 0.041667752, 0.008367126, 0.0013836037),
        overflow=89.0,
        underflow=-104.0,
        denormal=-86.0,
        flush=-88.0,
        saturation=10.0,
    ),
    "float64": _Format(
        mantissa_bits=52,
        bias=1023,
        ln2_high=0.693147180559663,
        ln2_low=2.8235290563031577e-13,
        polynomial=(
            0.5,
            0.16666666666666677,
            0.04166666666666669,
            0.008333333333321749,
            0.001388888888888518,
            0.00019841269885414317,
            2.480158729940081e-05,
            2.7557245149093385e-06,
            2.755731155555574e-07,
            2.510866595048918e-08,
            2.089930321029567e-09,
        ),
        overflow=710.0,
        underflow=-746.0,
        denormal=-707.0,
        flush=-709.0,
        saturation=20.0,
    ),
}


def exp(lanes: Lanes, x: Value) -> Value:
    """`e^x`: inf above the range, 0 below, denormals between."""
    form = _FORMATS[lanes.dtype]
    x = at_least(lanes, at_most(lanes, x, form.overflow), form.underflow)
    shifter, undo = _shifter_for_denormals(lanes, lanes.less(x, lanes.const(form.denormal)))
    r, scale = _reduced(lanes, x, shifter)
    return lanes.mul(lanes.fma(scale, _expm1_polynomial(lanes, r), scale), undo)


def exp2(lanes: Lanes, x: Value) -> Value:
    """`2^x`, with the limits of `exp`; exact at whole numbers."""
    form = _FORMATS[lanes.dtype]
    least = 1.0 - form.bias
    x = at_least(lanes, at_most(lanes, x, form.bias + 1.0), least - form.mantissa_bits - 2.0)
    shifter, undo = _shifter_for_denormals(lanes, lanes.less(x, lanes.const(least + 2.0)))
    shifted = lanes.add(x, shifter)
    r = lanes.mul(lanes.sub(x, lanes.sub(shifted, shifter)), lanes.const(_LN_2))
    scale = _power_of_two(lanes, shifted)
    return lanes.mul(lanes.fma(scale, _expm1_polynomial(lanes, r), scale), undo)


def expm1(lanes: Lanes, x: Value) -> Value:
    """`e^x - 1`, accurate near zero."""
    form = _FORMATS[lanes.dtype]
    bounded = at_least(lanes, at_most(lanes, x, form.overflow), form.underflow / 2)
    r, half_scale = _reduced(lanes, bounded, _shifter(lanes, -1))
    half = lanes.fma(half_scale, _expm1_polynomial(lanes, r), lanes.sub(half_scale, lanes.const(0.5)))
    # Below half an ulp of 1 the result is x itself; taken by halves it would lose a denormal's last bit, and -0.
    tiny = lanes.less(lanes.abs(x), lanes.const(2.0 ** -(form.mantissa_bits + 2)))
    return lanes.select(tiny, x, lanes.add(half, half))


def sigmoid(lanes: Lanes, x: Value) -> Value:
    """`1 / (1 + e^-x)`, as `2^n / (2^n + e^-r)`; 0 where the power of two is denormal (below -87.7 in float32)."""
    form = _FORMATS[lanes.dtype]
    bounded = at_most(lanes, at_least(lanes, x, form.flush), -form.denormal)
    r, scale = _reduced(lanes, bounded, _shifter(lanes, 0))
    q, one = _expm1_polynomial(lanes, lanes.neg(r)), lanes.const(1.0)
    # Of the three orders of this sum only this one stays below 2 ulp on both sides of zero.
    return lanes.div(scale, lanes.add(lanes.add(q, scale), one))


def tanh(lanes: Lanes, x: Value) -> Value:
    """`(1 - e) / (1 + e)` with `e = e^(-2 |x|)` and the sign of `x`, also of -0."""
    magnitude = at_most(lanes, lanes.abs(x), _FORMATS[lanes.dtype].saturation)
    doubled = lanes.neg(lanes.add(magnitude, magnitude))
    r, scale = _reduced(lanes, doubled, _shifter(lanes, 0), rough=lanes.dtype == "float32")
    q, one = _expm1_polynomial(lanes, r), lanes.const(1.0)
    numerator = lanes.fma(lanes.neg(scale), q, lanes.sub(one, scale))
    denominator = lanes.fma(scale, q, lanes.add(one, scale))
    return copy_sign(lanes, lanes.div(numerator, denominator), x)


def one_minus_exp(lanes: Lanes, x: Value) -> Value:
    """`1 - e^x` for `x` between -60 and 0."""
    r, scale = _reduced(lanes, x, _shifter(lanes, 0))
    return lanes.fma(lanes.neg(scale), _expm1_polynomial(lanes, r), lanes.sub(lanes.const(1.0), scale))


def _reduced(lanes: Lanes, x: Value, shifter: Value, *, rough: bool = False) -> tuple[Value, Value]:
    """`r` and `2^(n + offset)` such that `e^x = 2^n e^r`; `rough` leaves out the second half of ln 2."""
    form = _FORMATS[lanes.dtype]
    shifted = lanes.fma(x, lanes.const(_LOG2_E), shifter)
    n = lanes.sub(shifted, shifter)
    if rough:
        return lanes.fma(n, lanes.const(-_LN_2), x), _power_of_two(lanes, shifted)
    r = lanes.fma(n, lanes.const(-form.ln2_low), lanes.fma(n, lanes.const(-form.ln2_high), x))
    return r, _power_of_two(lanes, shifted)


def _shifter(lanes: Lanes, offset: int) -> Value:
    """The number that, added to `x`, leaves its nearest whole number plus the biased exponent `offset` in the low bits.

    The sum lies where an ulp is 1, so the addition itself rounds, and the low bits shifted to the exponent's place
    are the power of two: no conversion is needed. `offset` is -1 where `n` can be one above the largest exponent.
    """
    form = _FORMATS[lanes.dtype]
    return lanes.const(1.5 * 2.0**form.mantissa_bits + form.bias + offset)


def _shifter_for_denormals(lanes: Lanes, denormal: Value) -> tuple[Value, Value]:
    """A shifter that keeps the power of two a normal number in every lane, and the factor that takes it back."""
    shifter = lanes.select(denormal, _shifter(lanes, 63), _shifter(lanes, -1))
    return shifter, lanes.select(denormal, lanes.const(2.0**-63), lanes.const(2.0))


def _power_of_two(lanes: Lanes, shifted: Value) -> Value:
    places = lanes.int_const(_FORMATS[lanes.dtype].mantissa_bits)
    return lanes.bitcast_float(lanes.builder.shl(lanes.bitcast_int(shifted), places))


def _expm1_polynomial(lanes: Lanes, r: Value) -> Value:
    return lanes.fma(lanes.mul(r, r), horner(lanes, r, _FORMATS[lanes.dtype].polynomial), r)
