"""Values of the graph in words, for `explain`."""

from __future__ import annotations

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node


def source(node: Node) -> str:
    """Return where a value comes from, through views."""
    while node.op in (*g.VIEWS, "copy"):
        node = node.inputs[0]
    if node.op == "input":
        kind, index = node.attr
        return kind if kind in ("x", "dy") else f"{kind} {index}"
    return node.op


def named(node: Node) -> str:
    """Return what a kept value is."""
    return source(node) if node.op in ("input", "copy") else f"result of {node.op}"


def size(node: Node) -> str:
    """Return a shape."""
    return "x".join(map(str, node.shape))


def product(node: Node) -> str:
    """Return a product: what is multiplied by which weights."""
    pairs = len(node.inputs) - node.attr[0]
    operands = zip(node.inputs[:pairs:2], node.inputs[1:pairs:2], strict=True)
    parts = " + ".join(f"{source(row)} {size(weights)}" for row, weights in operands)
    return f"product {parts} -> {size(node)}{' from the bias' if node.attr[0] else ''}"


def counted(nodes: list[Node]) -> str:
    """Return operations with how often each is done."""
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.op] = counts.get(node.op, 0) + 1
    return ", ".join(f"{op} {count}" if count > 1 else op for op, count in counts.items())
