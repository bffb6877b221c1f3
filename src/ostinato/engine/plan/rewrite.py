"""Rewrites of a graph that every stage may use: equal work once, slices early."""

from __future__ import annotations

from collections.abc import Sequence

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import POINTWISE, Node


def share(roots: Sequence[Node]) -> list[Node]:
    """Make equal operations on equal inputs one node. Random numbers are told apart by their stream."""
    known: dict[tuple[object, ...], Node] = {}

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        # as text: 0.0 equals -0.0, and is another number
        attr = repr(node.attr) if node.op == "scalar" else node.attr
        key = (node.op, tuple(map(id, inputs)), node.shape, attr, node.boolean)
        return known.setdefault(key, g.with_inputs(node, inputs))

    return g.rebuild(roots, change)


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
