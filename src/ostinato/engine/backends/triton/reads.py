"""How a value is read by another: in registers, or from memory, and from where in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ostinato.engine.backends.triton import moments
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Shape
from ostinato.engine.plan.views import broadcast_strides, contiguous, locate

REDUCTIONS = g.REDUCTIONS | {moments.OP}
Kind = Literal["number", "register", "memory", "shared"]


@dataclass(frozen=True)
class Read:
    """One value as another reads it, spread over the shape of the reader.

    `register` is a tile of this program; `memory` is a tensor of the call; `shared` is a value of this step, or the
    state, that must have been written where other programs, or other threads, find it.
    """

    kind: Kind
    base: Node
    offset: int
    strides: tuple[int, ...]
    shape: Shape


def in_order(strides: tuple[int, ...], shape: Shape) -> bool:
    """Tell whether strides walk over memory one by one."""
    return all(
        size == 1 or stride == dense for size, stride, dense in zip(shape, strides, contiguous(shape), strict=True)
    )


def is_state(node: Node) -> bool:
    """Tell whether a value is what the step before has left."""
    return node.op == "input" and node.attr[0] in ("state", "dstate")


def in_tiles(node: Node) -> bool:
    """Tell whether a program holds the value as a tile: it computes it, or it is the state."""
    return node.op in g.POINTWISE or node.op in REDUCTIONS or node.op == "matmul" or is_state(node)


def read_of(child: Node, shape: Shape) -> Read:
    """Return how a value spread over `shape` is read."""
    if child.op == "scalar" or (child.op == "expand" and child.inputs[0].op == "scalar"):
        return Read("number", child if child.op == "scalar" else child.inputs[0], 0, (), shape)
    view = locate(child)
    base = view.base
    strides = broadcast_strides(view, child.shape, shape)
    if base.op == "scalar":
        return Read("number", base, 0, (), shape)
    if base.op in ("input", "const") and not is_state(base):
        return Read("memory", base, view.offset, strides, shape)
    whole = base.size == math.prod(shape) and view.offset == 0 and in_order(strides, shape)
    if in_tiles(base) and (whole or base.size == 1) and not _by_heads(base):
        return Read("register", base, 0, strides, shape)
    return Read("shared", base, view.offset, strides, shape)


def _by_heads(node: Node) -> bool:
    """Tell whether a product has several blocks of weights, each of which goes to memory by itself."""
    return node.op == "matmul" and len(node.shape) > 1


def reads_of(node: Node) -> list[Read]:
    """Return all that a computed value reads but the operands and weights of products."""
    if node.op == "matmul":
        pairs = len(node.inputs) - node.attr[0]
        return [read_of(bias, node.shape) for bias in node.inputs[pairs:]]
    if node.op == "cat":
        return [read_of(part, part.shape) for part in node.inputs]
    if node.op in REDUCTIONS:
        return [read_of(child, child.shape) for child in node.inputs]
    return [read_of(child, node.shape) for child in node.inputs]


def operands_of(node: Node) -> list[tuple[Read, Node]]:
    """Return the rows that a product reads, each with its weights."""
    pairs = len(node.inputs) - node.attr[0]
    rows, weights = node.inputs[:pairs:2], node.inputs[1:pairs:2]
    return [(read_of(row, row.shape), matrix) for row, matrix in zip(rows, weights, strict=True)]
