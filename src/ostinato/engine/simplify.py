"""Rewrites that make a step cheaper without changing it: equal work once, sums of products as one, slices early."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ostinato.engine import graph as g
from ostinato.engine.graph import POINTWISE, Node

_ROUNDS = 40
_NEVER_NEGATIVE_ZERO = frozenset(["matmul", "exp", "exp2", "sigmoid", "abs", "to_float", "random"])
"""Products are summed from 0.0 on."""


def simplify(roots: Sequence[Node]) -> list[Node]:
    """Return equal values, cheaper to compute."""
    current = share(_fold(roots))
    current = share(_merge_products(current))
    for _ in range(_ROUNDS):
        pushed = share(push_views(current))
        if len(g.topological(pushed)) == len(g.topological(current)) and _signature(pushed) == _signature(current):
            break
        current = pushed
    return current


def share(roots: Sequence[Node]) -> list[Node]:
    """Make equal operations on equal inputs one node. Random numbers are told apart by their stream."""
    known: dict[tuple[object, ...], Node] = {}

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        # as text: 0.0 equals -0.0, and is another number
        attr = repr(node.attr) if node.op == "scalar" else node.attr
        key = (node.op, tuple(map(id, inputs)), node.shape, attr, node.boolean)
        return known.setdefault(key, g.with_inputs(node, inputs))

    return g.rebuild(roots, change)


def _signature(roots: Sequence[Node]) -> list[tuple[object, ...]]:
    return [(node.op, node.shape, node.attr) for node in g.topological(roots)]


def _fold(roots: Sequence[Node]) -> list[Node]:
    """Leave out products by one and sums with zero; compute with numbers that are known.

    Only what is exact for every number: `x * 0` is NaN for infinities, and `x + 0.0` is 0.0 for -0.0.
    """

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        first = inputs[0] if inputs else None
        if first is not None and node.op in ("expand", "reshape") and first.op == node.op:
            return g.with_inputs(node, first.inputs)
        values = [_number(child) for child in inputs]
        if node.op == "mul" and 1.0 in values:
            return _shaped(inputs[1 - values.index(1.0)], node)
        if node.op == "add":
            for one, other in (inputs, inputs[::-1]):
                if _is_zero(one, negative=True) or (_is_zero(one) and not _may_be_negative_zero(other)):
                    return _shaped(other, node)
        if node.op == "sub" and (
            _is_zero(inputs[1]) or (_is_zero(inputs[1], negative=True) and not _may_be_negative_zero(inputs[0]))
        ):
            return _shaped(inputs[0], node)
        if node.op == "div" and values[1] == 1.0:
            return _shaped(inputs[0], node)
        if node.op in ("add", "sub", "mul", "div", "neg") and None not in values and values:
            return _shaped(_computed(node.op, [value for value in values if value is not None]), node)
        if node.op == "to_float" and values[0] is not None:
            return _shaped(g.scalar(values[0]), node)
        return g.with_inputs(node, inputs)

    return g.rebuild(roots, change)


def _number(node: Node) -> float | None:
    while node.op in ("expand", "reshape"):
        node = node.inputs[0]
    return float(node.attr[0]) if node.op == "scalar" and not node.boolean else None


def _is_zero(node: Node, *, negative: bool = False) -> bool:
    value = _number(node)
    return value == 0.0 and (math.copysign(1.0, value) < 0) is negative


def _may_be_negative_zero(node: Node) -> bool:
    """Tell whether a value could be -0.0; a sum is, only if all its parts are."""
    while node.op in ("add", "sub", "expand", "reshape"):
        if node.op == "add" and not _may_be_negative_zero(node.inputs[1]):
            return False
        node = node.inputs[0]
    if node.op == "scalar":
        return _is_zero(node, negative=True)
    if node.op == "mul" and node.inputs[0] is node.inputs[1]:
        return False
    return node.op not in _NEVER_NEGATIVE_ZERO


def _shaped(node: Node, like: Node) -> Node:
    return g.expand(node, like.shape)


def _computed(op: str, values: list[float]) -> Node:
    if op == "neg":
        return g.scalar(-values[0])
    first, second = values
    if op == "div":
        if second:
            return g.scalar(first / second)
        return g.scalar(
            math.nan if first == 0 or math.isnan(first) else math.copysign(math.inf, first) * math.copysign(1.0, second)
        )
    return g.scalar({"add": first + second, "sub": first - second, "mul": first * second}[op])


def _merge_products(roots: Sequence[Node]) -> list[Node]:
    """Turn `x W + h U + b` into one product of several pairs that starts from the bias, summed in that order."""
    order = g.topological(roots)
    uses = g.users(order)
    kept = set(roots)
    carried: set[int] = set()  # new nodes that depend on a state; the others come first in a sum of products

    def alone(old: Node) -> bool:
        return len(uses[old]) == 1 and old not in kept

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = merged(node, inputs)
        state = new.op == "input" and new.attr[0] in ("state", "dstate")
        if state or any(id(child) in carried for child in new.inputs):
            carried.add(id(new))
        return new

    def merged(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op != "add" or len(inputs) != 2:
            return g.with_inputs(node, inputs)
        for one, other in ((0, 1), (1, 0)):
            product, addend = inputs[one], inputs[other]
            if product.op != "matmul" or product.shape != node.shape or not alone(node.inputs[one]):
                continue
            if addend.op == "matmul" and addend.shape == node.shape and alone(node.inputs[other]):
                return _joined(inputs[0], inputs[1], carried)
            if addend.op == "const" and addend.shape == node.shape and not addend.boolean:
                return Node("matmul", (*product.inputs, addend), node.shape, (product.attr[0] + 1,))
        return g.with_inputs(node, inputs)

    return g.rebuild(roots, change)


def _joined(first: Node, second: Node, carried: set[int]) -> Node:
    """Return the sum of two products as one."""
    pairs: list[tuple[Node, Node]] = []
    biases: list[Node] = []
    for node in (first, second):
        count = len(node.inputs) - node.attr[0]
        pairs += zip(node.inputs[:count:2], node.inputs[1:count:2], strict=True)
        biases += node.inputs[count:]
    pairs.sort(key=lambda pair: id(pair[0]) in carried)
    return Node("matmul", (*[part for pair in pairs for part in pair], *biases), first.shape, (len(biases),))


def push_views(roots: Sequence[Node]) -> list[Node]:
    """Slice the operands rather than the result where only slices of a pointwise result are used."""
    uses = g.users(g.topological(roots))
    kept = set(roots)
    movable = {
        node
        for node, users in uses.items()
        if node.op in POINTWISE - {"random"}
        and node not in kept
        and users
        and all(user.op in ("slice", "reshape") for user in users)
    }

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op in ("slice", "reshape") and inputs:
            source = inputs[0]
            if node.inputs[0] in movable and source.op in POINTWISE:
                return _through(node, source)
            if node.op == "slice" and source.op == "cat" and (part := _part(node, source)):
                return part
            if node.op == "slice" and source.op == "slice" and node.attr[0] == source.attr[0]:
                axis, start = node.attr[0], node.attr[1] + source.attr[1]
                return g.take(source.inputs[0], axis, start, node.shape[axis])
            if node.op == "slice" and source.op in ("expand",) and not source.inputs[0].shape:
                return g.expand(source.inputs[0], node.shape)
            if node.op == "reshape":
                return g.reshape(source, node.shape)
        return g.with_inputs(node, inputs)

    return g.rebuild(roots, change)


def _through(view: Node, source: Node) -> Node:
    rank = len(source.shape)
    inputs = []
    for child in source.inputs:
        if view.op == "reshape":
            inputs.append(child if child.size == 1 and not child.shape else _reshaped(child, source, view))
            continue
        axis = view.attr[0] - (rank - len(child.shape))
        if axis < 0 or child.shape[axis] == 1:
            inputs.append(child)
        else:
            inputs.append(g.take(child, axis, view.attr[1], view.shape[view.attr[0]]))
    result = Node(source.op, tuple(inputs), view.shape, source.attr, source.boolean)
    if g.broadcast(*(child.shape for child in inputs)) != view.shape:
        inputs[0] = g.expand(inputs[0], view.shape)
        result = Node(source.op, tuple(inputs), view.shape, source.attr, source.boolean)
    return result


def _reshaped(child: Node, source: Node, view: Node) -> Node:
    return g.reshape(g.expand(child, source.shape), view.shape)


def _part(view: Node, source: Node) -> Node | None:
    """Return the part of a concatenation that a slice takes from, if it is one."""
    start, size = view.attr[1], view.shape[0]
    for part, offset in zip(source.inputs, source.attr[0], strict=True):
        if offset <= start and start + size <= offset + part.shape[0]:
            return g.take(part, 0, start - offset, size)
    return None
