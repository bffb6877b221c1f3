"""Each method of `Lanes`, compiled, against torch and NumPy on ordinary and special values."""

import functools

import numpy as np
import pytest
import torch
from compiled import Compiled
from llvmlite import ir

from ostinato.engine.backends.cpu.lanes import Lanes

CASES = [(dtype, width) for dtype in ("float32", "float64") for width in (1, 8, 16)]


def as_number(lanes, mask):
    return lanes.select(mask, lanes.const(1.0), lanes.const(0.0))


def comparison(name):
    return lambda lanes, a, b: as_number(lanes, getattr(lanes, name)(a, b))


def with_masks(combine):
    """`combine(lanes, a > 0, b > 0)` as a number."""
    positive = lambda lanes, a: lanes.greater(a, lanes.const(0.0))  # noqa: E731
    return lambda lanes, a, b: as_number(lanes, combine(lanes, positive(lanes, a), positive(lanes, b)))


def whole_part(lanes, x):
    """Through an integer, where it fits one."""
    fits = lanes.less(lanes.abs(x), lanes.const(2.0**20))
    return lanes.from_int(lanes.to_int(lanes.select(fits, x, lanes.const(-7.9))))


def next_up(lanes, x):
    return lanes.bitcast_float(lanes.builder.add(lanes.bitcast_int(x), lanes.int_const(1)))


def first_lane(lanes, x):
    return lanes.splat(lanes.builder.extract_element(x, ir.Constant(ir.IntType(32), 0)))


def any_negative(lanes, x):
    return lanes.splat(lanes.builder.select(lanes.any(lanes.less(x, lanes.const(0.0))), one(lanes), zero(lanes)))


def one(lanes):
    return ir.Constant(lanes.element, 1.0)


def zero(lanes):
    return ir.Constant(lanes.element, 0.0)


def int_view(x):
    return x.view(torch.int32 if x.dtype == torch.float32 else torch.int64)


def correct_sqrt(x):
    """NumPy's: torch's may come from MKL, which is off in the last bit."""
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(np.sqrt(x.numpy()))


UNARY = {
    "neg": (Lanes.neg, torch.neg),
    "sqrt": (Lanes.sqrt, correct_sqrt),
    "abs": (Lanes.abs, torch.abs),
    "floor": (Lanes.floor, torch.floor),
    "round_even": (Lanes.round_even, torch.round),
    "const": (lambda lanes, x: lanes.sub(x, lanes.const(0.1)), lambda x: x - torch.tensor(0.1, dtype=x.dtype)),
    "whole_part": (whole_part, lambda x: torch.where(x.abs() < 2.0**20, x, -7.9).trunc() + 0.0),
    "next_up": (next_up, lambda x: (int_view(x) + 1).view(x.dtype)),
}
BINARY = {
    "add": (Lanes.add, torch.add),
    "sub": (Lanes.sub, torch.sub),
    "mul": (Lanes.mul, torch.mul),
    "div": (Lanes.div, torch.div),
    "minimum": (Lanes.minimum, torch.minimum),
    "maximum": (Lanes.maximum, torch.maximum),
    "less": (comparison("less"), torch.less),
    "less_equal": (comparison("less_equal"), torch.less_equal),
    "greater": (comparison("greater"), torch.greater),
    "greater_equal": (comparison("greater_equal"), torch.greater_equal),
    "equal": (comparison("equal"), torch.eq),
    "not_equal": (comparison("not_equal"), torch.not_equal),
    "and": (with_masks(Lanes.logical_and), lambda a, b: (a > 0) & (b > 0)),
    "or": (with_masks(Lanes.logical_or), lambda a, b: (a > 0) | (b > 0)),
    "xor": (with_masks(Lanes.logical_xor), lambda a, b: (a > 0) ^ (b > 0)),
    "not": (with_masks(lambda lanes, a, _: lanes.logical_not(a)), lambda a, _: ~(a > 0)),
    "select": (
        lambda lanes, a, b: lanes.select(lanes.less(a, b), a, lanes.neg(b)),
        lambda a, b: torch.where(a < b, a, -b),
    ),
}
ACROSS = {"first_lane": first_lane, "any_negative": any_negative}


@functools.cache
def compiled(dtype, width):
    unary = {name: emit for name, (emit, _) in UNARY.items()} | ACROSS
    binary = {name: emit for name, (emit, _) in BINARY.items()}
    fma = {"fma": lambda lanes, a, b: lanes.fma(a, b, lanes.const(-1.0))}
    return Compiled(dtype, width, unary, binary | fma)


def values(dtype):
    info = np.finfo(dtype)
    edges = [0.0, 0.5, 1.0, 1.5, 2.5, info.tiny, info.smallest_subnormal, info.max, np.inf, np.nan]
    random = np.random.default_rng(0).normal(0, 10, 40)
    return np.concatenate([edges, np.negative(edges), random]).astype(dtype)


def pairs(dtype):
    a, b = np.meshgrid(values(dtype), values(dtype))
    return a.ravel(), b.ravel()


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize(("dtype", "width"), CASES)
def test_functions_of_one_value_are_those_of_torch(dtype, width, name):
    x = values(dtype)
    if name == "next_up":
        x = np.abs(x[np.isfinite(x)])
    assert_identical(compiled(dtype, width)(name, x), UNARY[name][1](torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(("dtype", "width"), CASES)
def test_functions_of_two_values_are_those_of_torch(dtype, width, name):
    a, b = pairs(dtype)
    expected = BINARY[name][1](torch.from_numpy(a), torch.from_numpy(b)).numpy().astype(dtype)
    got = compiled(dtype, width)(name, a, b)
    if name in ("minimum", "maximum"):  # of a zero and a minus zero either may be returned
        got, expected = got + 0, expected + 0
    assert_identical(got, expected)


def assert_identical(got, expected):
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@pytest.mark.parametrize(("dtype", "width"), CASES)
def test_fma_rounds_once(dtype, width):
    step = np.finfo(dtype).eps
    a, b = np.array([1 + step] * 4, dtype), np.array([1 - step] * 4, dtype)
    np.testing.assert_array_equal(compiled(dtype, width)("fma", a, b), -(step**2))
    assert (a * b - 1 == 0).all()


@pytest.mark.parametrize(("dtype", "width"), CASES)
def test_splat_and_any_look_across_the_lanes_of_one_vector(dtype, width):
    x = np.arange(64, dtype=dtype)
    x[40] *= -1
    groups = x.reshape(-1, width)
    np.testing.assert_array_equal(compiled(dtype, width)("first_lane", x), np.repeat(groups[:, 0], width))
    np.testing.assert_array_equal(compiled(dtype, width)("any_negative", x), np.repeat((groups < 0).any(1), width))
