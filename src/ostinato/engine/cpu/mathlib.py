"""Elementary functions on vectors, as polynomials without branches.

Arguments are reduced as usual (W. J. Cody and W. Waite, "Software manual for the elementary functions", 1980), and the
polynomials interpolate at Chebyshev nodes in 50 digits: `(exp(r) - 1 - r) / r**2` on |r| <= log(2) / 2, and
`(log((1 + s) / (1 - s)) / s - 2) / s**2` over s**2 for the logarithm. What is rare calls the C library lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ostinato.engine.cpu.lanes import Lanes, Value


@dataclass(frozen=True)
class _Format:
    """What the functions need to know of a number format."""

    mantissa: int
    bias: int
    lowest: float
    """Below this, exp is zero; above `highest`, infinite."""
    highest: float
    saturated: float
    """tanh is one from here on."""
    ln2: tuple[float, float]
    """log(2) as a part with few digits and the rest."""
    exp: tuple[float, ...]
    log: tuple[float, ...]
    smallest_normal: float
    half_root: int
    """The bits of sqrt(1/2)."""


_FORMATS = {
    "float32": _Format(
        23, 127, -104.0, 89.0, 9.2, (0.693359375, -2.12194440054690583e-4),
        (0.5, 0.1666657667, 0.04166655421, 0.008363232884, 0.001392625083),
        (0.666666665540420124, 0.400001222118106494, 0.285507786331919654, 0.233316144718434992),
        1.1754943508222875e-38, 0x3F3504F3,
    ),
    "float64": _Format(
        52, 1023, -746.0, 710.0, 19.2, (0.693147180369123816490, 1.90821492927058770002e-10),
        (0.5, 0.16666666666666671, 0.0416666666666666698, 0.00833333333332608312, 0.00138888888888837112,
         0.000198412698750022788, 2.48015873256774619e-5, 2.75572551700008874e-6, 2.75572734787185805e-7,
         2.51053127296221018e-8, 2.09147553258932022e-9),
        (0.666666666666666971, 0.399999999998988905, 0.285714286262538376, 0.222222110893794962,
         0.181828924325368712, 0.153316117220550079, 0.14617807153417325),
        2.2250738585072014e-308, 0x3FE6A09E667F3BCD,
    ),
}  # fmt: skip


def _polynomial(lanes: Lanes, x: Value, coefficients: tuple[float, ...]) -> Value:
    """Return the polynomial by Horner's rule, the constant term first in `coefficients`."""
    result = lanes.const(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = lanes.fma(result, x, lanes.const(coefficient))
    return result


def _clamped(lanes: Lanes, x: Value, low: float, high: float) -> Value:
    """Return x within bounds; NaN stays."""
    x = lanes.select(lanes.less(x, lanes.const(low)), lanes.const(low), x)
    return lanes.select(lanes.greater(x, lanes.const(high)), lanes.const(high), x)


def _power_of_two(lanes: Lanes, exponent: Value) -> Value:
    """Return 2 to a whole number that leads to a normal number."""
    form = _FORMATS[lanes.dtype]
    biased = lanes.builder.add(exponent, lanes.int_const(form.bias))
    return lanes.bitcast_float(lanes.shift_left(biased, form.mantissa))


def _reduced(lanes: Lanes, x: Value) -> tuple[Value, Value]:
    """Return n and exp(r) - 1 where x = n log(2) + r."""
    form = _FORMATS[lanes.dtype]
    n = lanes.round_even(lanes.mul(x, lanes.const(1.0 / math.log(2.0))))
    r = lanes.fma(n, lanes.const(-form.ln2[0]), x)
    r = lanes.fma(n, lanes.const(-form.ln2[1]), r)
    return n, lanes.fma(lanes.mul(r, r), _polynomial(lanes, r, form.exp), r)


def _scaled(lanes: Lanes, x: Value, n: Value) -> Value:
    """Return x times 2 to the n, in two steps so that neither factor leaves the range of the format."""
    whole = lanes.to_int(n)
    half = lanes.builder.ashr(whole, lanes.int_const(1))
    rest = lanes.builder.sub(whole, half)
    return lanes.mul(lanes.mul(x, _power_of_two(lanes, half)), _power_of_two(lanes, rest))


def exp(lanes: Lanes, x: Value) -> Value:
    """Return e to the x."""
    form = _FORMATS[lanes.dtype]
    n, less_one = _reduced(lanes, _clamped(lanes, x, form.lowest, form.highest))
    return _scaled(lanes, lanes.add(less_one, lanes.const(1.0)), n)


def exp2(lanes: Lanes, x: Value) -> Value:
    """Return 2 to the x."""
    form = _FORMATS[lanes.dtype]
    x = _clamped(lanes, x, form.lowest / math.log(2.0), form.highest / math.log(2.0))
    n = lanes.round_even(x)
    r = lanes.mul(lanes.sub(x, n), lanes.const(math.log(2.0)))
    less_one = lanes.fma(lanes.mul(r, r), _polynomial(lanes, r, form.exp), r)
    return _scaled(lanes, lanes.add(less_one, lanes.const(1.0)), n)


def _expm1_within(lanes: Lanes, x: Value) -> Value:
    """Return exp(x) - 1 for x whose exponential is a normal number."""
    n, less_one = _reduced(lanes, x)
    # twice with half the power, as 2**128 is no float although exp(88.7) is
    power = _power_of_two(lanes, lanes.builder.sub(lanes.to_int(n), lanes.int_const(1)))
    half = lanes.fma(power, less_one, lanes.sub(power, lanes.const(0.5)))
    return lanes.add(half, half)


def expm1(lanes: Lanes, x: Value) -> Value:
    """Return exp(x) - 1 without losing small x."""
    form = _FORMATS[lanes.dtype]
    low = -40.0 if lanes.dtype == "float64" else -20.0
    return lanes.copysign(_expm1_within(lanes, _clamped(lanes, x, low, form.highest)), x)


def tanh(lanes: Lanes, x: Value) -> Value:
    """Return the hyperbolic tangent, `e / (e + 2)` with `e = exp(2 x) - 1`."""
    bound = _FORMATS[lanes.dtype].saturated
    x = _clamped(lanes, x, -bound, bound)
    n, less_one = _reduced(lanes, lanes.add(x, x))
    power = _power_of_two(lanes, lanes.to_int(n))
    e = lanes.fma(power, less_one, lanes.sub(power, lanes.const(1.0)))
    return lanes.copysign(lanes.div(e, lanes.add(e, lanes.const(2.0))), x)


def sigmoid(lanes: Lanes, x: Value) -> Value:
    """Return `1 / (1 + exp(-x))`."""
    one = lanes.const(1.0)
    return lanes.div(one, lanes.add(one, exp(lanes, lanes.neg(x))))


def log(lanes: Lanes, x: Value) -> Value:
    """Return the natural logarithm."""
    form = _FORMATS[lanes.dtype]
    tiny = lanes.less(x, lanes.const(form.smallest_normal))
    lifted = lanes.select(tiny, lanes.mul(x, lanes.const(2.0 ** (form.mantissa + 1))), x)
    bits = lanes.bitcast_int(lifted)
    exponent = lanes.builder.ashr(
        lanes.builder.sub(bits, lanes.int_const(form.half_root)), lanes.int_const(form.mantissa)
    )
    f = lanes.sub(
        lanes.bitcast_float(lanes.builder.sub(bits, lanes.shift_left(exponent, form.mantissa))), lanes.const(1.0)
    )
    n = lanes.from_int(exponent)
    n = lanes.select(tiny, lanes.sub(n, lanes.const(float(form.mantissa + 1))), n)
    s = lanes.div(f, lanes.add(f, lanes.const(2.0)))
    z = lanes.mul(s, s)
    series = lanes.mul(z, _polynomial(lanes, z, form.log))
    half_square = lanes.mul(lanes.mul(f, f), lanes.const(0.5))
    # f - f**2/2 + s (f**2/2 + series): the leading terms are exact in f
    small = lanes.fma(s, lanes.add(half_square, series), lanes.mul(n, lanes.const(form.ln2[1])))
    result = lanes.fma(n, lanes.const(form.ln2[0]), lanes.sub(f, lanes.sub(half_square, small)))
    result = lanes.select(lanes.equal(x, lanes.const(math.inf)), x, result)
    result = lanes.select(lanes.equal(x, lanes.const(0.0)), lanes.const(-math.inf), result)
    valid = lanes.greater_equal(x, lanes.const(0.0))
    return lanes.select(valid, result, lanes.const(math.nan))


def log2(lanes: Lanes, x: Value) -> Value:
    """Return the logarithm to base 2."""
    return lanes.mul(log(lanes, x), lanes.const(1.0 / math.log(2.0)))


def log1p(lanes: Lanes, x: Value) -> Value:
    """Return log(1 + x) without losing small x: the rounding of 1 + x is divided out (W. Kahan)."""
    one = lanes.const(1.0)
    u = lanes.add(one, x)
    ratio = lanes.mul(log(lanes, u), lanes.div(x, lanes.sub(u, one)))
    ratio = lanes.select(lanes.equal(u, one), x, ratio)
    return lanes.select(lanes.equal(x, lanes.const(math.inf)), x, ratio)


def relu(lanes: Lanes, x: Value) -> Value:
    """Return x where it is positive or NaN, else zero."""
    return lanes.select(lanes.less_equal(x, lanes.const(0.0)), lanes.const(0.0), x)


def sign(lanes: Lanes, x: Value) -> Value:
    """Return -1, 0 or 1; zero for NaN, as `torch.sign`."""
    zero = lanes.const(0.0)
    positive = lanes.select(lanes.greater(x, zero), lanes.const(1.0), zero)
    return lanes.select(lanes.less(x, zero), lanes.const(-1.0), positive)


def _library(name: str) -> Callable[[Lanes, Value], Value]:
    return lambda lanes, x: lanes.lane_by_lane(name, x)


UNARY: dict[str, Callable[[Lanes, Value], Value]] = {
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log2": log2,
    "log1p": log1p,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "sign": sign,
    "sin": _library("sin"),
    "cos": _library("cos"),
    "erf": _library("erf"),
    "neg": Lanes.neg,
    "abs": Lanes.abs,
    "sqrt": Lanes.sqrt,
    "rsqrt": lambda lanes, x: lanes.div(lanes.const(1.0), lanes.sqrt(x)),
    "reciprocal": lambda lanes, x: lanes.div(lanes.const(1.0), x),
    "floor": Lanes.floor,
    "ceil": Lanes.ceil,
    "trunc": Lanes.trunc,
    "round": Lanes.round_even,
    "copy": lambda lanes, x: x,  # noqa: ARG005
}

BINARY: dict[str, Callable[[Lanes, Value, Value], Value]] = {
    "add": Lanes.add,
    "sub": Lanes.sub,
    "mul": Lanes.mul,
    "div": Lanes.div,
    "maximum": Lanes.maximum,
    "minimum": Lanes.minimum,
    "pow": lambda lanes, x, y: lanes.lane_by_lane("pow", x, y),
    "atan2": lambda lanes, x, y: lanes.lane_by_lane("atan2", x, y),
    "fmod": lambda lanes, x, y: lanes.lane_by_lane("fmod", x, y),
    "eq": Lanes.equal,
    "ne": Lanes.not_equal,
    "lt": Lanes.less,
    "le": Lanes.less_equal,
    "gt": Lanes.greater,
    "ge": Lanes.greater_equal,
    "logical_and": Lanes.logical_and,
    "logical_or": Lanes.logical_or,
    "logical_xor": Lanes.logical_xor,
}
