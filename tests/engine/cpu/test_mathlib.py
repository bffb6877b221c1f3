"""The vector math library against NumPy's extended precision, over the whole range of each type."""

import functools
import platform

import mpmath
import numpy as np
import pytest
import torch
from compiled import Compiled

from ostinato.engine.backends.cpu.mathlib import BINARY, UNARY

WIDTHS = {"float32": (16, 8, 4, 1), "float64": (8, 4, 2, 1)}
CASES = [(dtype, width) for dtype, widths in WIDTHS.items() for width in widths]
WIDEST = [(dtype, widths[0]) for dtype, widths in WIDTHS.items()]
INT = {"float32": np.int32, "float64": np.int64}


def erf(x):
    with mpmath.workprec(90):
        return np.array([np.longdouble(mpmath.nstr(mpmath.erf(mpmath.mpf(float(v))), 25)) for v in x])


REFERENCE = {
    "cos": np.cos,
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "reciprocal_sqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sin": np.sin,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "tanh": np.tanh,
}
# The largest error allowed, in units in the last place.
BOUND = {
    "cos": 1.6,
    "erf": 1.1,
    "exp": 1.1,
    "exp2": 1.1,
    "expm1": 2.0,
    "log": 1.3,
    "log1p": 2.0,
    "log2": 1.7,
    "reciprocal_sqrt": 1.6,
    "sigmoid": 2.0,
    "sin": 1.6,
    "softplus": 2.1,
    "tanh": 2.1,
}
# Where the reference is slow, every so many values.
STRIDE = {"erf": 29}
# Results below the least normal number come out as 0 here; everywhere else denormals are within the bound.
FLUSHED = {"sigmoid"}
TORCH = {"reciprocal_sqrt": torch.rsqrt, "softplus": torch.nn.functional.softplus}


@functools.cache
def compiled(dtype, width, cpu=None):
    return Compiled(dtype, width, UNARY, BINARY, cpu)


def every_exponent(dtype):
    """Random mantissas for each exponent and sign, denormals included: 300, or 60 of the many of float64."""
    info = np.finfo(dtype)
    count = 300 if info.bits == 32 else 60
    exponents = np.arange(0, 2 * info.maxexp - 1, dtype=INT[dtype])
    mantissas = np.random.default_rng(0).integers(0, 1 << info.nmant, (len(exponents), count), dtype=INT[dtype])
    positive = ((exponents[:, None] << info.nmant) | mantissas).ravel().view(dtype)
    return np.concatenate([positive, -positive])


def usual_range(dtype):
    """Dense where the functions bend, and up to where exp over- and underflows."""
    random = np.random.default_rng(1)
    limit = 110 if dtype == "float32" else 760
    parts = [random.normal(0, scale, 40_000) for scale in (0.1, 1, 5, 20)]
    parts += [random.uniform(-limit, limit, 60_000), random.uniform(0.3, 3, 40_000)]
    return np.concatenate(parts).astype(dtype)


def special(dtype):
    info = np.finfo(dtype)
    positive = [0, 1, 0.5, 2, info.smallest_subnormal, info.tiny, info.max, info.eps, np.inf, np.pi, np.log(2)]
    values = np.array(positive, dtype)
    with np.errstate(over="ignore"):
        values = np.concatenate([values, np.nextafter(values, dtype(np.inf)), np.nextafter(values, dtype(0))])
    return np.concatenate([values, -values, np.array([np.nan], dtype)])


def reference(name, x):
    with np.errstate(all="ignore"):
        return REFERENCE[name](x.astype(np.longdouble))


def ulps(got, expected, dtype):
    """The error in units in the last place of the exact result; a wrong NaN, or a wrong infinity, is infinitely far."""
    info = np.finfo(dtype)
    top = np.longdouble(2) ** info.maxexp
    got, clipped = np.clip(got.astype(np.longdouble), -top, top), np.clip(expected, -top, top)
    with np.errstate(all="ignore"):
        unit = np.exp2(np.floor(np.log2(np.abs(clipped))) - info.nmant)
        unit = np.maximum(np.nan_to_num(unit), np.longdouble(info.smallest_subnormal))
        error = np.abs(got - clipped) / unit
    return np.where(np.isnan(got) & np.isnan(expected), 0, np.where(np.isnan(error), np.inf, error))


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize(("dtype", "width"), WIDEST)
def test_the_error_stays_within_its_bound_over_the_whole_range(dtype, width, name):
    x = np.concatenate([every_exponent(dtype), usual_range(dtype), special(np.dtype(dtype).type)])
    x = x[:: STRIDE.get(name, 1)]
    expected = reference(name, x)
    error = ulps(compiled(dtype, width)(name, x), expected, dtype)
    if name in FLUSHED:
        error = np.where(np.abs(expected) < np.finfo(dtype).tiny, 0, error)
    worst = np.argmax(error)
    assert error[worst] <= BOUND[name], f"{name}({x[worst]!r}) is off by {error[worst]} ulp"


@pytest.mark.parametrize(("dtype", "width"), [case for case in CASES if case not in WIDEST])
def test_every_width_gives_the_same_bits(dtype, width):
    assert_same_bits(compiled(dtype, width), compiled(dtype, WIDTHS[dtype][0]))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names an x86 CPU")
@pytest.mark.parametrize(("dtype", "width"), WIDEST)
def test_avx2_gives_the_same_bits_as_the_host(dtype, width):
    assert_same_bits(compiled(dtype, width, "x86-64-v3"), compiled(dtype, width))


def assert_same_bits(one, other):
    dtype = one.dtype.name
    x = np.concatenate([usual_range(dtype)[::7], every_exponent(dtype)[::31], special(one.dtype.type)])
    for name in UNARY:
        got, expected = one(name, x), other(name, x)
        number = ~np.isnan(expected)  # IEEE 754 says nothing on a NaN's sign
        np.testing.assert_array_equal(got[~number], np.nan)
        np.testing.assert_array_equal(got[number].view(INT[dtype]), expected[number].view(INT[dtype]), name)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_infinities_zeros_and_nan_are_those_of_torch(dtype, name):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, -2.5], dtype)
    got = compiled(dtype, WIDTHS[dtype][0])(name, x)
    expected = (TORCH.get(name) or getattr(torch, name))(torch.from_numpy(x)).numpy()
    edge = ~np.isfinite(expected) | (expected == 0) | (np.abs(expected) == 1)
    np.testing.assert_array_equal(got[edge], expected[edge])
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    np.testing.assert_array_equal(np.signbit(got[edge & (got == 0)]), np.signbit(expected[edge & (got == 0)]))


def test_sigmoid_vanishes_only_where_the_result_is_denormal():
    for dtype, width in WIDEST:
        x = -np.linspace(80, 800, 100_000).astype(dtype)
        got, expected = compiled(dtype, width)("sigmoid", x), reference("sigmoid", x)
        denormal = expected < np.finfo(dtype).tiny
        assert (got[denormal] >= 0).all()
        assert (np.abs(got - expected)[denormal] < np.finfo(dtype).tiny).all()


@pytest.mark.parametrize(("dtype", "width"), WIDEST)
def test_powers_are_within_one_ulp(dtype, width):
    random = np.random.default_rng(2)
    size = np.exp(random.normal(0, 3, 60_000))
    x, y = size.astype(dtype), random.normal(0, 10, 60_000).astype(dtype)
    whole = np.round(y)
    for base, exponent in ((x, y), (-x, whole), (every_exponent(dtype)[:60_000], y[: len(every_exponent(dtype))])):
        with np.errstate(all="ignore"):
            expected = np.power(base.astype(np.longdouble), exponent.astype(np.longdouble))
        assert ulps(compiled(dtype, width)("power", base, exponent), expected, dtype).max() <= 1.0


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("width", [1, 8])
def test_powers_of_special_values_are_those_of_ieee_754(dtype, width):
    positive = np.array([0, 0.5, 1, 2, 2.5, 3, 1e-40, 1e30, np.inf], dtype)
    values = np.concatenate([positive, -positive, np.array([np.nan], dtype)])
    x, y = (grid.ravel() for grid in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.longdouble), y.astype(np.longdouble)).astype(dtype)
    got = compiled(dtype, width)("power", x, y)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@pytest.mark.parametrize(("dtype", "width"), CASES)
def test_sine_and_cosine_of_huge_numbers_come_from_libm_for_those_lanes_alone(dtype, width):
    x = np.array([1e9, 0.5, -3e20, 2.0, np.inf, 1e30, -0.25, np.nan] * 2, dtype)
    for name, truth in (("sin", np.sin), ("cos", np.cos)):
        with np.errstate(invalid="ignore"):
            expected = truth(x.astype(np.longdouble))
        got = compiled(dtype, width)(name, x)
        assert ulps(got, expected, dtype).max() <= BOUND[name]
        alone = compiled(dtype, width)(name, x[1:2])
        assert got[1] == alone[0]


def test_every_function_of_the_table_is_tested():
    assert set(UNARY) == set(REFERENCE) == set(BOUND)
    assert set(BINARY) == {"power"}
