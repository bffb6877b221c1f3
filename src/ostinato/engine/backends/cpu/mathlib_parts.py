"""Pieces that the math functions share: polynomials and bounds that let NaN through.

The coefficients in the `mathlib_*` files are our own: Remez exchange at 50 digits for the smallest weighted error on
the reduced interval, then rounded to the lanes' type one at a time from the lowest power, the rest fitted again each
time. Each table names its interval, its weight and what is left of the error, in units of `u`, half an ulp of 1
(2^-24 for float32, 2^-53 for float64).
"""

from __future__ import annotations

from collections.abc import Sequence

from ostinato.engine.backends.cpu.lanes import Lanes, Value


def horner(lanes: Lanes, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, lowest power first: one FMA per power, the fewest instructions."""
    *lower, highest = coefficients
    total = lanes.const(highest)
    for coefficient in reversed(lower):
        total = lanes.fma(total, x, lanes.const(coefficient))
    return total


def at_most(lanes: Lanes, x: Value, bound: float) -> Value:
    """`min(x, bound)`, NaN staying NaN; written so that x86 needs a single `vmin`."""
    limit = lanes.const(bound)
    return lanes.select(lanes.less(limit, x), limit, x)


def at_least(lanes: Lanes, x: Value, bound: float) -> Value:
    """`max(x, bound)`, NaN staying NaN."""
    limit = lanes.const(bound)
    return lanes.select(lanes.greater(limit, x), limit, x)


def copy_sign(lanes: Lanes, magnitude: Value, sign: Value) -> Value:
    """`magnitude` with the sign of `sign`."""
    return lanes.intrinsic("llvm.copysign", magnitude, sign)
