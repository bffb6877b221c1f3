"""The graph's pointwise operations as vector code."""

from __future__ import annotations

from collections.abc import Callable

from ostinato.engine.backends.cpu import mathlib
from ostinato.engine.backends.cpu.lanes import Lanes, Value


def _relu(lanes: Lanes, x: Value) -> Value:
    """-0.0 stays, as in PyTorch."""
    return lanes.select(lanes.less(x, lanes.const(0.0)), lanes.const(0.0), x)


def _sign(lanes: Lanes, x: Value) -> Value:
    """Zero for NaN, as `torch.sign`."""
    zero = lanes.const(0.0)
    positive = lanes.select(lanes.greater(x, zero), lanes.const(1.0), zero)
    return lanes.select(lanes.less(x, zero), lanes.const(-1.0), positive)


def _named(name: str) -> Callable[[Lanes, Value], Value]:
    return lambda lanes, x: lanes.intrinsic(name, x)


def _same(lanes: Lanes, x: Value) -> Value:  # noqa: ARG001
    return x


UNARY: dict[str, Callable[[Lanes, Value], Value]] = {
    **{
        name: mathlib.UNARY[name]
        for name in ["exp", "exp2", "expm1", "log", "log2", "log1p", "tanh", "sigmoid", "sin", "cos", "erf"]
    },
    "relu": _relu,
    "sign": _sign,
    "neg": Lanes.neg,
    "abs": Lanes.abs,
    "sqrt": Lanes.sqrt,
    "rsqrt": mathlib.reciprocal_sqrt,
    "reciprocal": lambda lanes, x: lanes.div(lanes.const(1.0), x),
    "floor": Lanes.floor,
    "ceil": _named("llvm.ceil"),
    "trunc": _named("llvm.trunc"),
    "round": Lanes.round_even,
    "copy": _same,
}

BINARY: dict[str, Callable[[Lanes, Value, Value], Value]] = {
    "add": Lanes.add,
    "sub": Lanes.sub,
    "mul": Lanes.mul,
    "div": Lanes.div,
    "maximum": Lanes.maximum,
    "minimum": Lanes.minimum,
    "pow": mathlib.BINARY["power"],
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
