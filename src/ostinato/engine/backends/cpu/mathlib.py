"""Elementary functions on `Lanes`, as vector polynomials; the tables of those that take one argument and two.

The largest errors found, in units in the last place: float32 over every number between the function's linear and its
constant range (`log`, `log2`: from 1/8 to 8; `sin`, `cos`: up to 2^15) against the float64 functions here; float64 over
one to six million random numbers (`erf`: 19,000) against extended precision.

    function   exp   exp2  expm1  sigmoid  tanh  log   log1p  log2  softplus  sin   cos   erf
    float32    1.04  1.04  1.55   2.00     1.91  0.93  1.48   1.51  1.74      1.53  1.53  0.99
    float64    0.97  1.02  1.82   2.00     2.05  1.16  1.75   1.46  2.01      1.41  1.45  0.87

`sin`, `cos` and the float64 `power` can call libm: a kernel that uses them must not itself be named `sin` or `pow`.
"""

from __future__ import annotations

from collections.abc import Callable

from ostinato.engine.backends.cpu.lanes import Lanes, Value
from ostinato.engine.backends.cpu.mathlib_erf import erf
from ostinato.engine.backends.cpu.mathlib_exp import exp, exp2, expm1, sigmoid, tanh
from ostinato.engine.backends.cpu.mathlib_log import log, log1p, log2, softplus
from ostinato.engine.backends.cpu.mathlib_power import power
from ostinato.engine.backends.cpu.mathlib_trig import cos, sin

__all__ = [
    "BINARY",
    "UNARY",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "reciprocal_sqrt",
    "sigmoid",
    "softplus",
    "tanh",
]


def reciprocal_sqrt(lanes: Lanes, x: Value) -> Value:
    """`1 / sqrt(x)`: inf with the sign of `x` at zeros, NaN below zero."""
    return lanes.div(lanes.const(1.0), lanes.sqrt(x))


UNARY: dict[str, Callable[[Lanes, Value], Value]] = {
    "cos": cos,
    "erf": erf,
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "log2": log2,
    "reciprocal_sqrt": reciprocal_sqrt,
    "sigmoid": sigmoid,
    "sin": sin,
    "softplus": softplus,
    "tanh": tanh,
}
BINARY: dict[str, Callable[[Lanes, Value, Value], Value]] = {"power": power}
