"""What all kernels share on the device: functions that Triton has not, random numbers, waiting for one another.

Importing this file needs Triton.
"""

# Triton reads these functions as source: its arguments have no types that a checker knows
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import os
from typing import Any

import triton
import triton.language as tl
from triton.language.extra import libdevice

jit: Any = triton.jit
_INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET", "") == "1")
"""Whether Triton interprets: it would reduce several tiles number by number, and runs programs one after the other."""


@jit
def _exp(x):
    """Return exp(x), in float32 zero where it has no normal number."""
    if x.dtype == tl.float64:  # noqa: SIM108 - Triton has no such expression
        result = tl.exp(x)
    else:
        result = tl.exp2(x * 1.4426950408889634)
    return result


@jit
def _inverse(x):
    """Return 1 / x, in float32 to one unit of the last place; x is not below 1."""
    if _INTERPRETED or x.dtype == tl.float64:  # noqa: SIM108 - Triton has no such expression
        result = 1.0 / x
    else:
        result = libdevice.fast_dividef(1.0, x)
    return result


@jit
def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return _inverse(1.0 + _exp(-x))


@jit
def tanh(x):
    """Return the hyperbolic tangent."""
    # near zero by its series: 1 - 2 / (exp(2x) + 1) would lose all digits there
    square = x * x
    series = x * (
        1.0
        + square
        * (
            -0.3333333333333333
            + square
            * (
                0.13333333333333333
                + square * (-0.05396825396825397 + square * (0.021869488536155203 - square * 0.008863235529902197))
            )
        )
    )
    far = 1.0 - 2.0 * _inverse(_exp(2.0 * tl.abs(x)) + 1.0)
    return tl.where(tl.abs(x) < 0.25, series, tl.where(x < 0, -far, far))


@jit
def root(x):
    """Return the square root, correctly rounded."""
    if x.dtype == tl.float64:  # noqa: SIM108 - Triton has no such expression
        result = tl.sqrt(x)
    else:
        result = tl.sqrt_rn(x)
    return result


@jit
def expm1(x):
    """Return exp(x) - 1."""
    # W. Kahan's way: the rounding of exp is divided out again
    u = tl.exp(x)
    known = (u - 1.0) * x / tl.log(u)
    result = tl.where(u == 1.0, x, tl.where(u - 1.0 == -1.0, -1.0, known))
    return tl.where(u == float("inf"), u, result)


@jit
def log1p(x):
    """Return log(1 + x)."""
    u = 1.0 + x
    known = tl.log(u) * x / (u - 1.0)
    return tl.where(u == 1.0, x, tl.where(u == float("inf"), u, known))


@jit
def sign(x):
    """Return -1, 0 or 1; 0 for NaN."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0)).to(x.dtype)


@jit
def relu(x):
    """Return x, or zero below zero; -0.0 and NaN stay."""
    return tl.where(x < 0, 0.0, x)


@jit
def trunc(x):
    """Round towards zero."""
    return tl.where(x < 0, tl.ceil(x), tl.floor(x))


@jit
def round_even(x):
    """Round to the nearest whole number, halves to the even one."""
    low = tl.floor(x)
    rest = x - low
    odd = low - 2.0 * tl.floor(low * 0.5)
    return tl.where((rest > 0.5) | ((rest == 0.5) & (odd == 1.0)), low + 1.0, low)


@jit
def maximum(a, b):
    """Return the larger, NaN if one is."""
    return tl.where(a != a, a, tl.where(b != b, b, tl.maximum(a, b)))


@jit
def minimum(a, b):
    """Return the smaller, NaN if one is."""
    return tl.where(a != a, a, tl.where(b != b, b, tl.minimum(a, b)))


@jit
def power(a, b):
    """Return a to the power of b."""
    # in double: the rounding of the logarithm is multiplied by its size
    base, exponent = tl.abs(a).to(tl.float64), b.to(tl.float64)
    size = tl.exp2(exponent * tl.log2(base))
    whole = tl.floor(exponent) == exponent
    odd = whole & (exponent - 2.0 * tl.floor(exponent * 0.5) == 1.0)
    size = tl.where((exponent == 0.0) | (base == 1.0), 1.0, size)
    signed = tl.where((a < 0) & odd, -size, size)
    return tl.where((a < 0) & (whole == 0) & (base != float("inf")), float("nan"), signed).to(a.dtype)


@jit
def row_sum(x):
    """Sum the columns of `(rows, columns)`."""
    return tl.sum(x, 1, keep_dims=True)


@jit
def _add_2(a, b, x, y):
    return a + x, b + y


@jit
def _add_3(a, b, c, x, y, z):
    return a + x, b + y, c + z


@jit
def _add_4(a, b, c, d, x, y, z, w):
    return a + x, b + y, c + z, d + w


@jit
def sums_2(a, b, axis: tl.constexpr, keep: tl.constexpr):
    """Sum two tiles at a time: threads exchange what both need at once."""
    if _INTERPRETED:
        return tl.sum(a, axis, keep_dims=keep), tl.sum(b, axis, keep_dims=keep)
    return tl.reduce((a, b), axis, _add_2, keep_dims=keep)


@jit
def sums_3(a, b, c, axis: tl.constexpr, keep: tl.constexpr):
    """Sum three tiles at a time."""
    if _INTERPRETED:
        return tl.sum(a, axis, keep_dims=keep), tl.sum(b, axis, keep_dims=keep), tl.sum(c, axis, keep_dims=keep)
    return tl.reduce((a, b, c), axis, _add_3, keep_dims=keep)


@jit
def sums_4(a, b, c, d, axis: tl.constexpr, keep: tl.constexpr):
    """Sum four tiles at a time."""
    if _INTERPRETED:
        return (
            tl.sum(a, axis, keep_dims=keep),
            tl.sum(b, axis, keep_dims=keep),
            tl.sum(c, axis, keep_dims=keep),
            tl.sum(d, axis, keep_dims=keep),
        )
    return tl.reduce((a, b, c, d), axis, _add_4, keep_dims=keep)


@jit
def row_max(x):
    """Return the largest column, NaN if one is."""
    missing = tl.max((x != x).to(tl.int32), 1, keep_dims=True)
    return tl.where(missing > 0, float("nan"), tl.max(x, 1, keep_dims=True))


@jit
def row_min(x):
    """Return the smallest column, NaN if one is."""
    missing = tl.max((x != x).to(tl.int32), 1, keep_dims=True)
    return tl.where(missing > 0, float("nan"), tl.min(x, 1, keep_dims=True))


@jit
def row_sum_last(x):
    """Sum the last axis of `(rows, columns, length)`."""
    return tl.sum(x, 2)


@jit
def row_max_last(x):
    """Return the largest of the last axis, NaN if one is."""
    return tl.where(tl.max((x != x).to(tl.int32), 2) > 0, float("nan"), tl.max(x, 2))


@jit
def row_min_last(x):
    """Return the smallest of the last axis, NaN if one is."""
    return tl.where(tl.max((x != x).to(tl.int32), 2) > 0, float("nan"), tl.min(x, 2))


@jit
def _mixed(value):
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB
    return value ^ (value >> 31)


@jit
def _finalised(bits):
    bits = (bits ^ (bits >> 16)) * 0x85EBCA6B
    bits = (bits ^ (bits >> 13)) * 0xC2B2AE35
    return bits ^ (bits >> 16)


@jit
def uniform(seed, stream: tl.constexpr, row, time, feature):
    """Return numbers in [0, 1) from a counter, the same ones as on the CPU; `stream` comes multiplied by `golden`."""
    golden = tl.full([1, 1], 0x9E3779B97F4A7C15, tl.uint64)
    key = seed.to(tl.uint64) + tl.full([1, 1], stream, tl.uint64)
    key = _mixed((key ^ row.to(tl.uint64)) + golden)
    key = _mixed((key ^ time.to(tl.uint64)) + golden)
    low, high = key.to(tl.uint32), (key >> 32).to(tl.uint32)
    first = tl.full([1, 1], 0x9E3779B1, tl.uint32)
    bits = _finalised(feature.to(tl.uint32) * first + low)
    bits = _finalised(bits ^ high)
    return (bits >> 8).to(tl.float32) * 5.9604644775390625e-08


@jit
def pack_half(x, tag, kind: tl.constexpr):
    """Return halves of type `kind` in the upper bits, `tag` in the 16 lower ones."""
    return (x.to(kind).to(tl.int16, bitcast=True).to(tl.int32) << 16) | (tag & 0xFFFF)


@jit
def unpack_half(word, tag, kind: tl.constexpr):
    """Return what `pack_half` has packed."""
    found = (word >> 16).to(tl.int16).to(kind, bitcast=True)
    if _INTERPRETED:
        found = tl.where((word & 0xFFFF) == (tag & 0xFFFF), found, float("nan"))
    return found


@jit
def pack_tf32(x, tag):
    """Return float32 rounded to the 10 bits of TF32, `tag` in the others."""
    bits = x.to(tl.float32).to(tl.int32, bitcast=True)
    rounded = tl.where(
        (bits & 0x7F800000) == 0x7F800000, bits | ((bits & 0x1FFF) != 0).to(tl.int32) << 22, bits + 0x1000
    )
    return (rounded & -0x2000) | (tag & 0x1FFF)


@jit
def unpack_tf32(word, tag):
    """Return what `pack_tf32` has packed."""
    found = (word & -0x2000).to(tl.float32, bitcast=True)
    if _INTERPRETED:
        found = tl.where((word & 0x1FFF) == (tag & 0x1FFF), found, float("nan"))
    return found


@jit
def pack_f32(x, tag):
    """Return float32 in the upper half of 64 bits, `tag` in the lower one."""
    return (x.to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64) << 32) | tag


@jit
def unpack_f32(word, tag):
    """Return what `pack_f32` has packed."""
    found = (word >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    if _INTERPRETED:
        found = tl.where((word & 0xFFFFFFFF) == tag, found, float("nan"))
    return found


@jit
def high_word(x, tag):
    """Return the upper half of a float64 in the upper half of 64 bits, `tag` in the lower one."""
    return (x.to(tl.float64).to(tl.int64, bitcast=True) >> 32 << 32) | tag


@jit
def low_word(x, tag):
    """Return the lower half of a float64 in the upper half of 64 bits, `tag` in the lower one."""
    return (x.to(tl.float64).to(tl.int64, bitcast=True) << 32) | tag


@jit
def unpack_f64(high, low, tag):
    """Return a float64 of its two words."""
    found = ((high >> 32 << 32) | ((low >> 32) & 0xFFFFFFFF)).to(tl.float64, bitcast=True)
    if _INTERPRETED:
        found = tl.where((high & 0xFFFFFFFF == tag) & (low & 0xFFFFFFFF == tag), found, float("nan"))
    return found


@jit
def barrier(flags, group, pid, value, count: tl.constexpr, width: tl.constexpr):
    """Wait until all `count` programs of a group have come so far; what they wrote before is seen after."""
    tl.debug_barrier()
    tl.atomic_xchg(flags + group * count + pid, value, sem="release", scope="gpu")
    where = flags + group * count + tl.minimum(tl.arange(0, width), count - 1)
    # each thread looks at flags of its own: a loop of Triton's would have all threads agree each time
    tl.inline_asm_elementwise(
        "{ .reg .pred p; AGAIN: ld.acquire.gpu.global.b32 $0, [$1]; setp.lt.s32 p, $0, $2; @p bra AGAIN; }",
        "=&r,l,r",
        [where.to(tl.int64), value],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
    tl.debug_barrier()
