"""Rewrites for tiles: values that are slices of products become products of slices, and nothing is put together.

A tile in registers cannot be cut or joined, so gates that are four slices of one product become four products, each
with its own columns of the weights; a product of several values put together becomes a sum of products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ostinato.engine import graph as g
from ostinato.engine.backends.triton.reads import in_order
from ostinato.engine.cpu.schedule import locate, needs_copy
from ostinato.engine.graph import Node
from ostinato.engine.plan import Program, Sink
from ostinato.engine.simplify import push_views, share

_ROUNDS = 40
_MOST_BLOCKS = 8


@dataclass(frozen=True)
class Prepared:
    """A program for tiles, and where its sums over steps are to be found."""

    sinks: tuple[Sink, ...]
    carries: tuple[g.Shape, ...]
    totals: dict[int, int]
    """For each sum over steps, the stream that has its terms."""


def prepare(program: Program) -> Prepared:
    """Rewrite a program; sums over steps become streams, which are summed afterwards."""
    sinks, totals = _totals_as_streams(program)
    roots = [sink.node for sink in sinks]
    for _ in range(_ROUNDS):
        before = _size(roots)
        roots = share(push_views(share(_in_blocks(_apart(roots)))))
        if _size(roots) == before:
            break
    roots = share(_with_copies(roots))
    return Prepared(
        tuple(Sink(sink.kind, sink.index, node) for sink, node in zip(sinks, roots, strict=True)),
        program.carries,
        totals,
    )


def _size(roots: Sequence[Node]) -> list[tuple[str, g.Shape, int]]:
    return [(node.op, node.shape, len(node.inputs)) for node in g.topological(roots)]


def _totals_as_streams(program: Program) -> tuple[list[Sink], dict[int, int]]:
    sinks = [sink for sink in program.sinks if sink.kind != "total"]
    known = {sink.node: sink.index for sink in sinks if sink.kind == "stream"}
    free = 1 + max((sink.index for sink in sinks if sink.kind == "stream"), default=0)
    totals = {}
    for sink in program.of("total"):
        if sink.node not in known:
            known[sink.node] = free
            sinks.append(Sink("stream", free, sink.node))
            free += 1
        totals[sink.index] = known[sink.node]
    return sinks, totals


def _apart(roots: Sequence[Node]) -> list[Node]:
    """Take sums of products and products of joined values apart."""

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "accumulate":
            product = Node("matmul", inputs[:-1], node.shape, (0,))
            return g.pointwise("add", inputs[-1], product)
        new = g.with_inputs(node, inputs)
        return _of_parts(new) if node.op == "matmul" and len(node.shape) == 1 else new

    return g.rebuild(roots, change)


def _of_parts(node: Node) -> Node:
    pairs = len(node.inputs) - node.attr[0]
    operands: list[Node] = []
    for row, weights in zip(node.inputs[:pairs:2], node.inputs[1:pairs:2], strict=True):
        if row.op != "cat":
            operands += [row, weights]
            continue
        for part, start in zip(row.inputs, row.attr[0], strict=True):
            operands += [part, g.take(weights, 0, start, part.shape[0])]
    return g.with_inputs(node, (*operands, *node.inputs[pairs:]))


def _in_blocks(roots: Sequence[Node]) -> list[Node]:
    """Compute values block by block where blocks of them are used; what uses them whole takes the blocks together.

    Gates that are slices of one product are products of their own then, and a norm over all of them is a sum of sums.
    """
    order = g.topological(roots)
    blocks = _block_sizes(order)
    new: dict[Node, Node] = {}
    parts: dict[Node, list[Node]] = {}
    for node in order:
        inputs = tuple(new[child] for child in node.inputs)
        if node in blocks:
            parts[node] = [_block(node, inputs, parts, start, blocks[node]) for start in _starts(node, blocks[node])]
            new[node] = g.concatenate(parts[node])
        else:
            new[node] = _over_parts(node, inputs, parts, blocks)
    return [new[root] for root in roots]


def _starts(node: Node, size: int) -> range:
    return range(0, node.size, size)


def _block_sizes(order: Sequence[Node]) -> dict[Node, int]:
    """Return the values to compute in blocks, each with the size of its blocks."""
    cuts: dict[Node, int] = {}
    for node in order:
        if node.op in g.VIEWS and _is_block(node):
            view = locate(node)
            if _divisible(view.base) and node.size < view.base.size:
                cuts[view.base] = math.gcd(cuts.get(view.base, view.base.size), view.offset, node.size)
    for node in order:
        if _divisible(node) and node.op in g.POINTWISE:
            for child in node.inputs:
                if child.op == "cat" and child.shape == node.shape and _covers(child):
                    sizes = [part.size for part in child.inputs]
                    cuts[node] = math.gcd(cuts.get(node, 0), *sizes)
    cuts = {node: size for node, size in cuts.items() if node.size // size <= _MOST_BLOCKS}
    # what is computed from them, and what they are computed from, of the same size, goes the same way
    changed = True
    while changed:
        changed = False
        for node in order:
            if node.op not in g.POINTWISE or not _divisible(node):
                continue
            group = [node, *(child for child in node.inputs if _divisible(child) and child.shape == node.shape)]
            sizes = [cuts[member] for member in group if member in cuts]
            size = math.gcd(*sizes) if sizes else 0
            if size and node.size // size <= _MOST_BLOCKS:
                for member in group:
                    changed = changed or cuts.get(member) != size
                    cuts[member] = size
    return cuts


def _covers(joined: Node) -> bool:
    return sum(part.size for part in joined.inputs) == joined.size


def _divisible(node: Node) -> bool:
    return len(node.shape) == 1 and node.size > 1 and node.op in g.POINTWISE | {"matmul"} and node.op != "random"


def _block(node: Node, inputs: tuple[Node, ...], parts: dict[Node, list[Node]], start: int, size: int) -> Node:
    """Return one block of a value."""
    if node.op == "matmul":
        pairs = len(inputs) - node.attr[0]
        taken = [
            child if index < pairs and index % 2 == 0 else g.take(child, len(child.shape) - 1, start, size)
            for index, child in enumerate(inputs)
        ]
        return Node("matmul", tuple(taken), (size,), node.attr)
    operands = []
    for old, child in zip(node.inputs, inputs, strict=True):
        if old in parts and old.shape == node.shape:
            operands.append(parts[old][start // size])
        elif child.shape == node.shape:
            operands.append(g.take(child, 0, start, size))
        else:
            operands.append(child)
    if all(operand.shape != (size,) for operand in operands):
        operands[-1] = g.expand(operands[-1], (size,))
    return Node(node.op, tuple(operands), (size,), node.attr, node.boolean)


def _over_parts(node: Node, inputs: tuple[Node, ...], parts: dict[Node, list[Node]], blocks: dict[Node, int]) -> Node:
    """Return a view or a sum of a value in blocks over the blocks themselves."""
    if node.op in g.VIEWS and _is_block(node):
        view = locate(node)
        if view.base in parts and node.size < view.base.size:
            size = blocks[view.base]
            taken = parts[view.base][view.offset // size : (view.offset + node.size) // size]
            return g.reshape(taken[0] if len(taken) == 1 else g.concatenate(taken), node.shape)
    if node.op in g.REDUCTIONS and inputs[0].op == "cat" and _covers(inputs[0]):
        combine = {"sum": "add", "amax": "maximum", "amin": "minimum"}[node.op]
        joined, sizes = inputs[0], {part.shape for part in inputs[0].inputs}
        if len(sizes) == 1:  # the blocks first, one on top of the other: one sum over the row instead of several
            return Node(node.op, (_folded(combine, joined.inputs),), node.shape)
        return _folded(combine, [Node(node.op, (part,), node.shape) for part in joined.inputs])
    return g.with_inputs(node, inputs)


def _folded(op: str, nodes: Sequence[Node]) -> Node:
    total = nodes[0]
    for other in nodes[1:]:
        total = g.pointwise(op, total, other)
    return total


def _is_block(node: Node) -> bool:
    return not needs_copy(node) and in_order(locate(node).strides, node.shape)


def _with_copies(roots: Sequence[Node]) -> list[Node]:
    """Put a copy under each reshape that strides cannot follow."""

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = g.with_inputs(node, inputs)
        if new.op == "reshape" and needs_copy(new):
            source = new.inputs[0]
            return g.reshape(Node("copy", (source,), source.shape, (), source.boolean), new.shape)
        return new

    return g.rebuild(roots, change)
