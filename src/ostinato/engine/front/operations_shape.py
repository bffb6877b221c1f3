"""Products, sums and views of PyTorch's graph in the engine's: what has to know where the batch stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import fx

from ostinato.engine.front.convert import Constant, Converter, Row, Value, describe, name_of
from ostinato.engine.front.operations import FxNode, batch_axis, constant_operand, handles, row_of, shape_of, without
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Unsupported

# --- products ----------------------------------------------------------------------------------------------------


@handles("mm", "matmul")
def _mm(converter: Converter, node: FxNode) -> Value:
    return product(converter, node, node.args[0], node.args[1])


@handles("addmm", "baddbmm")
def _addmm(converter: Converter, node: FxNode) -> Value:
    if node.kwargs.get("alpha", 1) != 1 or node.kwargs.get("beta", 1) != 1:
        raise Unsupported(describe(node))
    result = product(converter, node, node.args[1], node.args[2])
    if not isinstance(result, Row):
        raise Unsupported(describe(node))
    bias = node.args[0]
    assert isinstance(bias, fx.Node)
    if isinstance(converter.values[bias], Row):
        return Row(g.pointwise("add", row_of(converter, bias).node, result.node), result.axis)
    operand = constant_operand(converter, bias, result.axis - len(shape_of(node)))
    return Row(g.pointwise("add", operand, result.node), result.axis)


@handles("bmm")
def _bmm(converter: Converter, node: FxNode) -> Value:
    return product(converter, node, node.args[0], node.args[1])


def product(converter: Converter, node: FxNode, left: Any, right: Any) -> Value:
    """Convert `left @ right`, matrices or stacks of them, by where the batch stands in each."""
    a, b = converter.values[left], converter.values[right]
    rank = len(shape_of(left))
    if isinstance(a, Row) and isinstance(b, Constant) and a.axis == rank - 2:
        return Row(matmul(a.node, converter.constant(right)), a.axis)
    if isinstance(a, Constant) and isinstance(b, Row) and b.axis == rank - 1:
        weights = converter.constant(left)
        order = [*range(rank - 2), rank - 1, rank - 2]
        return Row(matmul(b.node, g.permute(weights, order)), b.axis)
    if isinstance(a, Row) and isinstance(b, Row):
        if a.axis == rank - 1 and b.axis == rank - 2:
            shape = (*a.node.shape, b.node.shape[-1])
            return converter.contract(node, Node("contract", (a.node, b.node), shape))
        if a.axis == b.axis == 0 and rank == 3:
            return Row(_row_product(a.node, b.node), 0)
    raise Unsupported(describe(node))


def matmul(row: Node, weights: Node) -> Node:
    """Return the product of a row `(k,)` or `(heads, k)` by weights `(k, n)` or `(heads, k, n)`."""
    shape = (*row.shape[:-1], weights.shape[-1])
    return Node("matmul", (row, weights), shape, (0,))


def _row_product(a: Node, b: Node) -> Node:
    """Return a product of two matrices that each row has of its own, as sums of products."""
    (n, k), m = a.shape, b.shape[1]
    if k == 1:
        return g.pointwise("mul", a, b)
    left = g.reshape(a, (n, 1, k))
    right = g.reshape(g.permute(b, (1, 0)), (1, m, k))
    return g.reshape(Node("sum", (g.pointwise("mul", left, right),), (n, m, 1)), (n, m))


# --- sums --------------------------------------------------------------------------------------------------------


@handles("sum", "mean", "amax", "amin")
def _reduce(converter: Converter, node: FxNode) -> Value:
    name, row = name_of(node), row_of(converter, node.args[0])
    shape = shape_of(node.args[0])
    given = node.args[1] if len(node.args) > 1 and node.args[1] else list(range(len(shape)))
    axes = sorted(axis % len(shape) for axis in (given if isinstance(given, (list, tuple)) else [given]))
    keep = bool(node.args[2]) if len(node.args) > 2 else bool(node.kwargs.get("keepdim", False))
    over_batch = row.axis in axes
    if over_batch and name != "sum":
        raise Unsupported(f"{describe(node)} over the batch")
    features = [axis - (axis > row.axis) for axis in axes if axis != row.axis]
    result = reduce(name, row.node, features) if features else row.node
    if over_batch:
        final = (
            tuple(1 if axis in axes else size for axis, size in enumerate(shape))
            if keep
            else tuple(size for axis, size in enumerate(shape) if axis not in axes)
        )
        return converter.contract(node, Node("rowsum", (g.reshape(result, final),), final))
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    final = without(kept, row.axis)
    place = row.axis
    if not keep:
        final = tuple(size for axis, size in enumerate(shape) if axis not in axes and axis != row.axis)
        place = row.axis - sum(axis < row.axis for axis in axes)
    return Row(g.reshape(result, final), place)


def reduce(name: str, node: Node, axes: Sequence[int]) -> Node:
    """Reduce feature axes: they are brought to the end and merged, as the engine reduces the last axis only."""
    rest = [axis for axis in range(len(node.shape)) if axis not in axes]
    moved = g.permute(node, [*rest, *axes])
    kept = tuple(node.shape[axis] for axis in rest)
    count = math.prod(node.shape[axis] for axis in axes)
    result = Node("sum" if name == "mean" else name, (g.reshape(moved, (*kept, count)),), (*kept, 1))
    return g.pointwise("mul", result, g.scalar(1.0 / count)) if name == "mean" else result


@handles("var", "var_mean")
def _var(converter: Converter, node: FxNode) -> Value:
    row, full = row_of(converter, node.args[0]), shape_of(node.args[0])
    given = node.args[1] if len(node.args) > 1 and node.args[1] is not None else list(range(len(full)))
    axes = sorted(axis % len(full) for axis in given)
    if row.axis in axes:
        raise Unsupported(f"{describe(node)} over the batch")
    correction = float(node.kwargs.get("correction", node.args[2] if len(node.args) > 2 else 1))
    keep = bool(node.kwargs.get("keepdim", False))
    features = [axis - (axis > row.axis) for axis in axes]
    mean, spread = moments(row.node, features, correction)
    value = node.meta["val"][0] if name_of(node) == "var_mean" else node.meta["val"]
    axis = row.axis if keep else row.axis - sum(other < row.axis for other in axes)
    final = without(tuple(value.shape), axis)
    if name_of(node) == "var_mean":
        return [Row(g.reshape(spread, final), axis), Row(g.reshape(mean, final), axis)]
    return Row(g.reshape(spread, final), axis)


def moments(node: Node, axes: Sequence[int], correction: float) -> tuple[Node, Node]:
    """Return mean and variance over feature axes, the reduced axes merged into one of size 1 at the end."""
    rest = [axis for axis in range(len(node.shape)) if axis not in axes]
    kept = tuple(node.shape[axis] for axis in rest)
    count = math.prod(node.shape[axis] for axis in axes)
    flat = g.reshape(g.permute(node, [*rest, *axes]), (*kept, count))
    mean = g.pointwise("mul", Node("sum", (flat,), (*kept, 1)), g.scalar(1.0 / count))
    centred = g.pointwise("sub", flat, mean)
    squares = Node("sum", (g.pointwise("mul", centred, centred),), (*kept, 1))
    divisor = count - correction
    return mean, g.pointwise("mul", squares, g.scalar(1.0 / divisor if divisor > 0 else math.inf))


@handles("linalg_vector_norm")
def _norm(converter: Converter, node: FxNode) -> Value:
    order = node.args[1] if len(node.args) > 1 else node.kwargs.get("ord", 2)
    axes = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim")
    row, full = row_of(converter, node.args[0]), shape_of(node.args[0])
    given = [axis % len(full) for axis in (range(len(full)) if axes is None else axes)]
    if order != 2 or row.axis in given:
        raise Unsupported(describe(node))
    features = [axis - (axis > row.axis) for axis in given]
    root = g.pointwise("sqrt", reduce("sum", g.pointwise("mul", row.node, row.node), features))
    axis = batch_axis(node)
    return Row(g.reshape(root, without(shape_of(node), axis)), axis)


@handles("native_layer_norm")
def _layer_norm(converter: Converter, node: FxNode) -> Value:
    source, normalized, weight, bias, epsilon = node.args
    row, full = row_of(converter, source), shape_of(source)
    features = list(range(len(full) - len(normalized) - 1, len(full) - 1))
    if row.axis > min(features):
        raise Unsupported(f"{describe(node)} over the batch")
    mean, spread = moments(row.node, features, 0.0)
    scale = g.pointwise("rsqrt", g.pointwise("add", spread, g.scalar(float(epsilon))))
    kept = (*row.node.shape[: features[0]], *[1] * len(features))
    mean, scale = g.reshape(mean, kept), g.reshape(scale, kept)
    result = g.pointwise("mul", g.pointwise("sub", row.node, mean), scale)
    for operand, op in ((weight, "mul"), (bias, "add")):
        if isinstance(operand, fx.Node):
            result = g.pointwise(op, result, constant_operand(converter, operand, row.axis - len(full)))
    return [Row(result, row.axis), Row(mean, row.axis), Row(scale, row.axis)]


# --- views -------------------------------------------------------------------------------------------------------


@handles("permute", "t", "transpose")
def _permute(converter: Converter, node: FxNode) -> Value:
    row, rank = row_of(converter, node.args[0]), len(shape_of(node))
    if name_of(node) == "permute":
        order = [axis % rank for axis in node.args[1]]
    else:
        order = list(range(rank))
        first, second = (0, 1) if name_of(node) == "t" else (node.args[1] % rank, node.args[2] % rank)
        order[first], order[second] = order[second], order[first]
    features = [axis - (axis > row.axis) for axis in order if axis != row.axis]
    return Row(g.permute(row.node, features), order.index(row.axis))


@handles("view", "reshape", "_unsafe_view", "flatten")
def _view(converter: Converter, node: FxNode) -> Value:
    row, shape = row_of(converter, node.args[0]), shape_of(node)
    axis = batch_axis(node)
    before = shape_of(node.args[0])[: row.axis]
    if math.prod(shape[:axis]) != math.prod(before):
        raise Unsupported(f"{describe(node)} moves the batch")
    return Row(g.reshape(row.node, without(shape, axis)), axis)


@handles("unsqueeze", "squeeze")
def _squeeze(converter: Converter, node: FxNode) -> Value:
    row, axis = row_of(converter, node.args[0]), batch_axis(node)
    return Row(g.reshape(row.node, without(shape_of(node), axis)), axis)


@handles("expand")
def _expand(converter: Converter, node: FxNode) -> Value:
    shape, axis = shape_of(node), batch_axis(node)
    if isinstance(converter.values.get(node.args[0]), Constant):  # the same for every row, as a bias may be
        same = constant_operand(converter, node.args[0], axis - len(shape))
        return Row(g.expand(same, without(shape, axis)), axis)
    row = row_of(converter, node.args[0])
    missing = len(shape) - len(shape_of(node.args[0]))
    if row.axis + missing != axis:
        raise Unsupported(describe(node))
    return Row(g.expand(row.node, without(shape, axis)), axis)


@handles("slice")
def _slice(converter: Converter, node: FxNode) -> Value:
    row, shape = row_of(converter, node.args[0]), shape_of(node)
    full = shape_of(node.args[0])
    axis, start, step = _bounds(node, full)
    if axis == row.axis:
        if shape[axis] != full[axis]:
            raise Unsupported(f"{describe(node)} takes some rows of the batch")
        return row
    if step != 1:
        raise Unsupported(f"{describe(node)} with a step")
    return Row(g.take(row.node, axis - (axis > row.axis), start, shape[axis]), row.axis)


def _bounds(node: FxNode, full: Sequence[int]) -> tuple[int, int, int]:
    values = [*node.args[1:], *[None] * 4]
    axis = int(values[0] or 0) % len(full)
    start = int(values[1] or 0)
    start = min(start + full[axis] if start < 0 else start, full[axis])
    return axis, start, int(values[3] or 1)


@handles("select")
def _select(converter: Converter, node: FxNode) -> Value:
    row, full = row_of(converter, node.args[0]), shape_of(node.args[0])
    axis, index = node.args[1] % len(full), node.args[2]
    if axis == row.axis:
        raise Unsupported(f"{describe(node)} takes one row of the batch")
    taken = g.take(row.node, axis - (axis > row.axis), index % full[axis], 1)
    return Row(g.reshape(taken, without(row.node.shape, axis - (axis > row.axis))), row.axis - (axis < row.axis))


@handles("split_with_sizes", "split", "unbind", "chunk")
def _split(converter: Converter, node: FxNode) -> Value:
    row, full = row_of(converter, node.args[0]), shape_of(node.args[0])
    unbind = name_of(node) == "unbind"
    place = node.args[1] if unbind and len(node.args) > 1 else node.args[2] if len(node.args) > 2 else 0
    axis = place % len(full)
    if axis == row.axis:
        raise Unsupported(f"{describe(node)} divides the batch")
    feature, start, parts = axis - (axis > row.axis), 0, []
    for value in node.meta["val"]:
        size = 1 if unbind else value.shape[axis]
        part = g.take(row.node, feature, start, size)
        if unbind:
            part = g.reshape(part, without(row.node.shape, feature))
        parts.append(Row(part, row.axis - (unbind and axis < row.axis)))
        start += size
    return parts


@handles("cat", "stack")
def _cat(converter: Converter, node: FxNode) -> Value:
    shape, axis = shape_of(node), batch_axis(node)
    place = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % len(shape)
    if place == axis or name_of(node) == "stack":
        raise Unsupported(f"{describe(node)} along the batch")
    parts = []
    for arg in node.args[0]:
        assert isinstance(arg, fx.Node)
        if isinstance(converter.values[arg], Constant):
            raise Unsupported(f"{describe(node)} of a constant")
        parts.append(row_of(converter, arg).node)
    return Row(_joined(parts, place - (place > axis)), axis)


def _joined(parts: Sequence[Node], axis: int) -> Node:
    """Concatenate along any feature axis: the axis is brought to the front, where blocks follow one another."""
    parts = [part for part in parts if part.size]
    rest = [index for index in range(len(parts[0].shape)) if index != axis]
    flat = [g.reshape(g.permute(part, [axis, *rest]), (part.size,)) for part in parts]
    total = sum(part.shape[axis] for part in parts)
    moved = g.reshape(g.concatenate(flat), (total, *(parts[0].shape[index] for index in rest)))
    back = [0] * len(parts[0].shape)
    for place, index in enumerate([axis, *rest]):
        back[index] = place
    return g.permute(moved, back)


@handles("slice_scatter", "select_scatter")
def _scatter(converter: Converter, node: FxNode) -> Value:
    base, source = row_of(converter, node.args[0]), row_of(converter, node.args[1])
    full = shape_of(node)
    values = [*node.args[2:], *[None] * 4]
    axis = int(values[0] or 0) % len(full)
    if axis == base.axis:
        if name_of(node) == "slice_scatter" and shape_of(node.args[1]) == full:
            return source
        raise Unsupported(f"{describe(node)} writes some rows of the batch")
    feature = axis - (axis > base.axis)
    start = int(values[1] or 0)
    start = start + full[axis] if start < 0 else start
    piece = source.node
    if name_of(node) == "select_scatter":
        piece = g.reshape(piece, (*base.node.shape[:feature], 1, *base.node.shape[feature + 1 :]))
    elif int(values[3] or 1) != 1:
        raise Unsupported(f"{describe(node)} with a step")
    end = start + piece.shape[feature]
    parts = [piece]
    if start:
        parts.insert(0, g.take(base.node, feature, 0, start))
    if end < full[axis]:
        parts.append(g.take(base.node, feature, end, full[axis] - end))
    return Row(_joined(parts, feature), base.axis)
