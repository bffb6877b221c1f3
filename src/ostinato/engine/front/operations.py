"""What each of PyTorch's operations is in the engine's graph. An operation that is not here runs eagerly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from ostinato.engine.front.capture import BATCH
from ostinato.engine.front.convert import Constant, Converter, Row, Value, describe, name_of
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Unsupported

FxNode: TypeAlias = Any
"""A `torch.fx.Node`, whose arguments may be anything: no use to a type checker."""
Handler = Callable[[Converter, FxNode], Value]
HANDLERS: dict[str, Handler] = {}


def convert_operation(converter: Converter, node: FxNode) -> Value:
    """Convert one operation that has the batch among its axes.

    Raises:
        Unsupported: it is not known.
    """
    name = name_of(node)
    if name in HANDLERS:
        return HANDLERS[name](converter, node)
    if len(node.args) + len(node.kwargs) > (2 if name in BINARY else 1) and name in UNARY.keys() | BINARY.keys():
        raise Unsupported(f"{describe(node)} with options")
    if name in UNARY:
        return elementwise(converter, node, lambda x: g.pointwise(UNARY[name], x), node.args[:1])
    if name in BINARY:
        return elementwise(converter, node, lambda a, b: g.pointwise(BINARY[name], a, b), node.args[:2])
    raise Unsupported(describe(node))


UNARY = {name: name for name in g.UNARY - {"copy", "to_float", "sign", "round"}} | {"sgn": "sign", "sign": "sign"}
UNARY |= {"round": "round", "bitwise_not": "logical_not"}
BINARY = {name: name for name in g.BINARY - {"add", "sub", "div", "pow"}}
BINARY |= {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor"}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler under PyTorch's names."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def shape_of(node: FxNode) -> tuple[int, ...]:
    """Return the shape of a value in PyTorch's graph, the batch among its axes."""
    return tuple(node.meta["val"].shape)


def batch_axis(node: FxNode) -> int:
    """Return where the batch stands in the shape of a value of PyTorch's graph.

    Raises:
        Unsupported: nowhere, twice, or multiplied with something else.
    """
    places = [axis for axis, size in enumerate(shape_of(node)) if size and size % BATCH == 0]
    if len(places) != 1 or shape_of(node)[places[0]] != BATCH:
        raise Unsupported(f"{describe(node)} merges the batch with other axes")
    return places[0]


def row_of(converter: Converter, node: Any) -> Row:
    """Return an argument that must be a row value."""
    value = converter.values.get(node)
    if not isinstance(value, Row):
        raise Unsupported(f"an argument {node} that is not a tensor with the batch")
    return value


def without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    """Return a shape without one axis."""
    return (*shape[:axis], *shape[axis + 1 :])


# --- pointwise ---------------------------------------------------------------------------------------------------


def elementwise(converter: Converter, node: FxNode, build: Callable[..., Node], args: Sequence[Any]) -> Value:
    """Convert a pointwise operation, its operands aligned from the right as PyTorch aligns them."""
    if node.meta["val"].dtype in (torch.complex64, torch.complex128):
        raise Unsupported(f"{describe(node)} on complex numbers")
    shape, axis = shape_of(node), batch_axis(node)
    operands = [aligned(converter, arg, axis - len(shape)) for arg in args]
    result = build(*operands)
    return Row(g.expand(result, without(shape, axis)) if result.op == "scalar" else _fit(result, shape, axis), axis)


def _fit(result: Node, shape: tuple[int, ...], axis: int) -> Node:
    wanted = without(shape, axis)
    if result.shape == wanted:
        return result
    if math.prod(result.shape) == math.prod(wanted):
        return g.reshape(result, wanted)
    return g.expand(result, wanted)


def aligned(converter: Converter, arg: Any, axis: int) -> Node:
    """Return an operand as a node whose features align from the right; `axis` is the batch's place from the right."""
    if isinstance(arg, (bool, int, float)):
        return number(arg)
    value = converter.values[arg]
    if isinstance(value, Row):
        if value.axis - len(shape_of(arg)) != axis:
            raise Unsupported("operands whose batch axes do not meet")
        return value.node
    if not isinstance(value, Constant):
        raise Unsupported("a sum over the batch that is fed back into the step")
    return constant_operand(converter, arg, axis)


def constant_operand(converter: Converter, arg: FxNode, axis: int) -> Node:
    """Return a constant without the axis of size 1 that stands where the batch does in the other operand."""
    node, shape = converter.constant(arg), shape_of(arg)
    if node.op == "scalar" or len(shape) < -axis:
        return node
    if shape[axis] != 1:
        raise Unsupported("a constant with as many rows as the batch")
    return g.reshape(node, without(shape, axis + len(shape)))


def number(value: bool | int | float) -> Node:
    """Return a Python number; one made of the batch size would be wrong for every other batch."""
    if value and not isinstance(value, bool) and math.isfinite(value) and float(value) % BATCH == 0:
        raise Unsupported("a number that depends on the size of the batch")
    if value and math.isfinite(value) and abs(value) < 1 and abs(1 / (float(value) * BATCH) - 1) < 1e-6:
        raise Unsupported("a number that depends on the size of the batch")
    return g.scalar(value, isinstance(value, bool))


def as_float(node: Node) -> Node:
    """Return a mask as zeros and ones."""
    return Node("to_float", (node,), node.shape) if node.boolean else node


@handles("add", "sub")
def _add(converter: Converter, node: FxNode) -> Value:
    op, alpha = name_of(node), node.kwargs.get("alpha", 1)

    def build(a: Node, b: Node) -> Node:
        b = as_float(b)
        if alpha != 1:
            b = g.pointwise("mul", b, number(alpha))
        return g.pointwise(op, as_float(a), b)

    return elementwise(converter, node, build, node.args[:2])


@handles("rsub")
def _rsub(converter: Converter, node: FxNode) -> Value:
    return elementwise(converter, node, lambda a, b: g.pointwise("sub", b, a), node.args[:2])


@handles("mul")
def _mul(converter: Converter, node: FxNode) -> Value:
    def build(a: Node, b: Node) -> Node:
        if a.boolean and b.boolean:
            return g.pointwise("logical_and", a, b)
        return g.pointwise("mul", as_float(a), as_float(b))

    return elementwise(converter, node, build, node.args[:2])


@handles("div", "true_divide")
def _div(converter: Converter, node: FxNode) -> Value:
    if node.kwargs.get("rounding_mode"):
        raise Unsupported(describe(node))
    return elementwise(converter, node, lambda a, b: g.pointwise("div", as_float(a), as_float(b)), node.args[:2])


@handles("pow")
def _pow(converter: Converter, node: FxNode) -> Value:
    return elementwise(converter, node, power, node.args[:2])


def power(base: Node, exponent: Node) -> Node:
    """Return a power; the small whole ones by products, as PyTorch does."""
    simple = {0.5: ("sqrt",), -0.5: ("rsqrt",), -1.0: ("reciprocal",), 1.0: ("copy",)}
    value = exponent.attr[0] if exponent.op == "scalar" else None
    if value in simple:
        return g.pointwise(simple[value][0], base)
    if value in (2.0, 3.0):
        square = g.pointwise("mul", base, base)
        return square if value == 2.0 else g.pointwise("mul", square, base)
    return g.pointwise("pow", base, exponent)


@handles("where")
def _where(converter: Converter, node: FxNode) -> Value:
    def build(mask: Node, a: Node, b: Node) -> Node:
        if not (a.boolean and b.boolean):
            a, b = as_float(a), as_float(b)
        return g.pointwise("where", mask, a, b)

    return elementwise(converter, node, build, node.args[:3])


@handles("clamp", "clamp_min", "clamp_max")
def _clamp(converter: Converter, node: FxNode) -> Value:
    bounds = dict(zip(("x", "min", "max"), node.args, strict=False)) | dict(node.kwargs)
    if name_of(node) == "clamp_max":
        bounds = {"max": node.args[1]}
    low, high = bounds.get("min"), bounds.get("max")
    present = [bound for bound in (low, high) if bound is not None]

    def build(x: Node, *limits: Node) -> Node:
        rest = iter(limits)
        if low is not None:
            x = _bounded(x, next(rest), "maximum")
        if high is not None:
            x = _bounded(x, next(rest), "minimum")
        return x

    return elementwise(converter, node, build, [node.args[0], *present])


def _bounded(x: Node, bound: Node, op: str) -> Node:
    """Return the larger or smaller of two; -0.0 stays what it is at a bound of zero, which is no larger."""
    if bound.op != "scalar" or math.isnan(bound.attr[0]):
        return g.pointwise(op, x, bound)
    return g.pointwise("where", g.pointwise("lt" if op == "maximum" else "gt", x, bound), bound, x)


@handles("isnan")
def _isnan(converter: Converter, node: FxNode) -> Value:
    return elementwise(converter, node, lambda x: g.pointwise("ne", x, x), node.args[:1])


@handles("isinf")
def _isinf(converter: Converter, node: FxNode) -> Value:
    def build(x: Node) -> Node:
        return g.pointwise("eq", g.pointwise("abs", x), g.scalar(math.inf))

    return elementwise(converter, node, build, node.args[:1])


@handles("square")
def _square(converter: Converter, node: FxNode) -> Value:
    return elementwise(converter, node, lambda x: g.pointwise("mul", x, x), node.args[:1])


@handles("copy")
def _copy(converter: Converter, node: FxNode) -> Value:
    return elementwise(converter, node, lambda x: x, node.args[1:2])


@handles("clone", "alias", "detach", "lift_fresh", "contiguous", "lift_fresh_copy")
def _identity(converter: Converter, node: FxNode) -> Value:
    return row_of(converter, node.args[0])


@handles("_to_copy", "convert_element_type", "_to_dense")
def _convert_type(converter: Converter, node: FxNode) -> Value:
    source, target = node.args[0].meta["val"].dtype, node.meta["val"].dtype
    row = row_of(converter, node.args[0])
    if source is torch.bool and target.is_floating_point:
        return Row(as_float(row.node), row.axis)
    if target is torch.bool and not row.node.boolean:
        return Row(g.pointwise("ne", row.node, g.scalar(0.0)), row.axis)
    if source != target and (source.is_floating_point or target.is_floating_point) and source is not torch.bool:
        raise Unsupported(f"{describe(node)} from {source} to {target}")
    return row


@handles("full", "zeros", "ones", "full_like", "zeros_like", "ones_like", "new_zeros", "new_ones", "new_full")
@handles("empty", "empty_like", "new_empty", "empty_permuted", "empty_strided")
def _fill(converter: Converter, node: FxNode) -> Value:  # noqa: ARG001
    name = name_of(node)
    value: Any = 1.0 if "ones" in name else 0.0
    if name in ("full", "full_like"):
        value = node.args[1]
    elif name == "new_full":
        value = node.args[2]
    axis = batch_axis(node)
    boolean = node.meta["val"].dtype is torch.bool
    filled = g.scalar(number(value).attr[0], boolean)
    return Row(g.expand(filled, without(shape_of(node), axis)), axis)


# --- random numbers ----------------------------------------------------------------------------------------------


@handles("rand_like", "rand", "uniform")
def _rand(converter: Converter, node: FxNode) -> Value:
    if name_of(node) == "uniform" and tuple(node.args[1:3]) not in ((), (0.0, 1.0), (0, 1)):
        raise Unsupported(describe(node))
    axis = batch_axis(node)
    return Row(_uniform(converter, without(shape_of(node), axis)), axis)


@handles("bernoulli")
def _bernoulli(converter: Converter, node: FxNode) -> Value:
    axis, shape = batch_axis(node), shape_of(node)
    bound = aligned(converter, _probability(node), axis - len(shape))
    drawn = g.pointwise("lt", _uniform(converter, without(shape, axis)), bound)
    return Row(as_float(drawn), axis)


def _probability(node: FxNode) -> Any:
    """Return how likely a one is: a number or a tensor beside the one that is filled, or the numbers of a tensor."""
    beside = node.target._overloadname in ("p", "float", "Tensor", "Tensor_p")
    if not beside:
        return node.args[0]
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("p", 0.5)  # a trace leaves defaults out


@handles("native_dropout")
def _dropout(converter: Converter, node: FxNode) -> Value:
    row = row_of(converter, node.args[0])
    share, training = node.args[1], node.args[2]
    kept = g.pointwise("ge", _uniform(converter, row.node.shape), g.scalar(float(share)))
    if not training:
        return [row, Row(kept, row.axis)]
    scale = 0.0 if share == 1 else 1.0 / (1.0 - float(share))
    scaled = g.pointwise("mul", row.node, g.pointwise("mul", as_float(kept), g.scalar(scale)))
    return [Row(scaled, row.axis), Row(kept, row.axis)]


def _uniform(converter: Converter, shape: tuple[int, ...]) -> Node:
    converter.random_streams += 1
    return Node("random", (), shape, (converter.random_streams,))
