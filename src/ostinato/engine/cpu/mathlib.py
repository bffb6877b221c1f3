"""Elementary functions on `Lanes`, as vector polynomials; the table of those that take one argument."""

from __future__ import annotations

from collections.abc import Callable

from ostinato.engine.cpu.lanes import Lanes, Value
from ostinato.engine.cpu.mathlib_erf import erf
from ostinato.engine.cpu.mathlib_exp import exp, exp2, expm1, sigmoid, tanh
from ostinato.engine.cpu.mathlib_log import log, log1p, log2, softplus
from ostinato.engine.cpu.mathlib_power import power
from ostinato.engine.cpu.mathlib_trig import cos, sin

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
