"""The graph of one step of a cell, as the engine sees it: what happens to one row of the batch.

A `Node` is one value. Its `shape` is that of one row's features, without time or batch. The graph knows no names of
cells, no PyTorch operators and no machine: capture fills it, the plan divides it, a backend lowers it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]

UNARY = frozenset(
    [
        "neg",
        "abs",
        "sign",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log1p",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "sigmoid",
        "tanh",
        "sin",
        "cos",
        "erf",
        "floor",
        "ceil",
        "round",
        "trunc",
        "logical_not",
        "copy",
        "to_float",
        "relu",
    ]
)
BINARY = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "maximum",
        "minimum",
        "pow",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "logical_and",
        "logical_or",
        "logical_xor",
    ]
)
COMPARISONS = frozenset(["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "logical_not"])
POINTWISE = UNARY | BINARY | {"where", "random"}
REDUCTIONS = frozenset(["sum", "amax", "amin"])
VIEWS = frozenset(["slice", "reshape", "permute", "expand"])
SOURCES = frozenset(["input", "const", "scalar"])
PRODUCTS = frozenset(["matmul", "accumulate"])
CONTRACTIONS = frozenset(["contract", "rowsum"])
COSTLY = frozenset(
    [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log1p",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "div",
        "sigmoid",
        "tanh",
        "sin",
        "cos",
        "erf",
        "pow",
    ]
)


@dataclass(eq=False)
class Node:
    """One value of the graph.

    `op` is one of:

    - `input`: `attr` is `(kind, index)`, kind one of `x`, `state`, `dy`, `dstate`,
      `saved`, and `early` and `late` where work has left the loop;
    - `const`: the same for every row and step; `attr` is `(index,)` into the plan's constants;
    - `scalar`: a number, `attr` is `(value,)`;
    - the pointwise operations, with NumPy's broadcasting; `random` draws uniform numbers, `attr` is `(stream,)`;
    - `sum`, `amax`, `amin` over the last dimension, which stays with size 1;
    - `matmul`: pairs of a row value `(k,)` and a constant `(k, n)`, or `(heads, k)` and `(heads, k, n)`, whose products
      are summed in order; `attr` is `(has_bias,)`, a bias being the last input;
    - `accumulate`: as `matmul`, but the last input is a row value that the products are added to;
    - the views `slice` `(axis, start)`, `reshape`, `permute` `(order)`, `expand`;
    - `cat`: the inputs one after the other along axis 0, `attr` is `(starts,)`; what no input covers is zero;
    - `contract`: the sum over rows and steps of outer products; `rowsum`: the sum over rows and steps.
    """

    op: str
    inputs: tuple[Node, ...] = ()
    shape: Shape = ()
    attr: tuple[Any, ...] = ()
    boolean: bool = False
    label: str = field(default="", compare=False)

    @property
    def size(self) -> int:
        """How many numbers a row has."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"{self.op}{list(self.attr) if self.attr else ''}{self.shape}"


class Unsupported(Exception):
    """The graph cannot hold this operation; the message names it. The caller falls back to the eager loop."""


class NotNow(Unsupported):
    """A plan cannot be made at this moment, and may be at the next call."""


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that NumPy's rule gives."""
    rank = max((len(shape) for shape in shapes), default=0)
    result = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            raise Unsupported(f"shapes {shapes} do not broadcast")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def scalar(value: float, boolean: bool = False) -> Node:
    """Return a number as a node."""
    return Node("scalar", (), (), (float(value),), boolean)


def pointwise(op: str, *inputs: Node, attr: tuple[Any, ...] = ()) -> Node:
    """Return a pointwise node over its inputs, broadcast."""
    shape = broadcast(*(node.shape for node in inputs))
    boolean = op in COMPARISONS or (op in ("where", "copy") and inputs[-1].boolean)
    return Node(op, inputs, shape, attr, boolean)


def reshape(node: Node, shape: Shape) -> Node:
    """Return the same numbers in order under another shape."""
    if node.shape == shape:
        return node
    if node.op == "reshape":
        return reshape(node.inputs[0], shape)
    if node.op == "scalar":
        return Node("expand", (node,), shape, (), node.boolean)
    return Node("reshape", (node,), shape, (), node.boolean)


def take(node: Node, axis: int, start: int, size: int) -> Node:
    """Return `size` entries along an axis from `start`."""
    if start == 0 and size == node.shape[axis]:
        return node
    shape = (*node.shape[:axis], size, *node.shape[axis + 1 :])
    return Node("slice", (node,), shape, (axis, start), node.boolean)


def permute(node: Node, order: Sequence[int]) -> Node:
    """Return the axes in another order."""
    if list(order) == list(range(len(node.shape))):
        return node
    return Node("permute", (node,), tuple(node.shape[axis] for axis in order), tuple(order), node.boolean)


def expand(node: Node, shape: Shape) -> Node:
    """Return the node broadcast to a shape."""
    return node if node.shape == shape else Node("expand", (node,), shape, (), node.boolean)


def concatenate(parts: Sequence[Node]) -> Node:
    """Return one-dimensional parts one after the other."""
    starts, total = [], 0
    for part in parts:
        starts.append(total)
        total += part.shape[0]
    return Node("cat", tuple(parts), (total,), (tuple(starts),), parts[0].boolean)


def topological(roots: Iterable[Node]) -> list[Node]:
    """Return all nodes that the roots need, inputs before users."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if root in done:
            continue
        done.add(root)
        stack.append((root, iter(root.inputs)))
        while stack:
            node, rest = stack[-1]
            for child in rest:
                if child not in done:
                    done.add(child)
                    stack.append((child, iter(child.inputs)))
                    break
            else:
                stack.pop()
                order.append(node)
    return order


def rebuild(roots: Sequence[Node], change: Callable[[Node, tuple[Node, ...]], Node]) -> list[Node]:
    """Rewrite a graph from its sources up: `change(old, new inputs)` returns what stands for each node."""
    new: dict[Node, Node] = {}
    for node in topological(roots):
        new[node] = change(node, tuple(new[child] for child in node.inputs))
    return [new[root] for root in roots]


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """Return the node over other inputs of the same shapes; itself if they are its own."""
    if inputs == node.inputs:
        return node
    return Node(node.op, inputs, node.shape, node.attr, node.boolean, node.label)


def users(order: Iterable[Node]) -> dict[Node, list[Node]]:
    """Return, for each node, the nodes that take it as an input (once for each use)."""
    result: dict[Node, list[Node]] = {}
    for node in order:
        result.setdefault(node, [])
        for child in node.inputs:
            result.setdefault(child, []).append(node)
    return result
