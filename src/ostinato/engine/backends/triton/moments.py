"""Sums of squared deviations from a mean, found in a step: programs that share a row then exchange once, not twice.

A norm sums a row, takes the mean from each number, and sums the squares. Where programs share the columns, the second
sum would wait for the first. But each program knows the sum, the mean and the squared deviations of its own columns,
and of those of all follow those of the whole row (T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise
algorithm for computing sample variances", 1979), as exactly as in two passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node

OP = "deviations"
"""A node's operation: the sum over a row, and over all inputs but the first, of (input - mean)**2; the first input is
the sum of the others, number by number, and the mean is that of all of them."""


def find(roots: Sequence[Node]) -> list[Node]:
    """Return the graph with such sums as nodes of their own."""

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = g.with_inputs(node, inputs)
        return _deviations(new) or new

    return g.rebuild(roots, change)


def _deviations(node: Node) -> Node | None:
    if node.op != "sum" or node.size != 1 or node.inputs[0].size == 1:
        return None
    squares = list(_terms(node.inputs[0], node.inputs[0].shape))
    if any(square.op != "mul" or square.inputs[0] is not square.inputs[1] for square in squares):
        return None
    apart = [square.inputs[0] for square in squares]
    if any(part.op != "sub" or part.inputs[0].shape != part.shape for part in apart):
        return None
    values, mean = [part.inputs[0] for part in apart], apart[0].inputs[1]
    whole = _whole(mean)
    if any(part.inputs[1] is not mean for part in apart) or whole is None:
        return None
    total, count = whole
    terms = list(_terms(total.inputs[0], total.inputs[0].shape, values))
    size = node.inputs[0].size * len(values)
    if abs(count * size - 1.0) > 1e-6 or sorted(map(id, terms)) != sorted(map(id, values)):
        return None
    return Node(OP, (total.inputs[0], *values), node.shape)


def _terms(node: Node, shape: g.Shape, known: Sequence[Node] = ()) -> Iterator[Node]:
    """Give the terms of a sum, number by number; what is known is one, whatever it is made of."""
    if node not in known and node.op == "add" and all(child.shape == shape for child in node.inputs):
        for child in node.inputs:
            yield from _terms(child, shape, known)
    else:
        yield node


def _whole(mean: Node) -> tuple[Node, float] | None:
    """Return the sum that a mean is made of, and what it is multiplied by."""
    while mean.op in ("expand", "reshape"):
        mean = mean.inputs[0]
    if mean.op != "mul":
        return None
    scalars = [child for child in mean.inputs if child.op == "scalar"]
    sums = [child for child in mean.inputs if child.op == "sum"]
    return (sums[0], float(scalars[0].attr[0])) if scalars and sums else None


def total_of(node: Node, nodes: Sequence[Node]) -> Node | None:
    """Return the sum, among nodes, whose mean a node's deviations are from."""
    return next((other for other in nodes if other.op == "sum" and other.inputs[0] is node.inputs[0]), None)
