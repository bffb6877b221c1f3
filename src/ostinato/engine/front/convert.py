"""From PyTorch's graph of a step to the engine's: what concerns a row of the batch becomes nodes, the rest is kept.

Three kinds of values are told apart. A *row* value has the batch as one of its axes. A *constant* does not depend on
the batch at all: weights, and what a parametrisation makes of them; PyTorch computes it once a call. A *contracted*
value is what a sum over the batch has become: gradients of weights. Being linear in that sum, everything after it can
wait until all steps are summed, and PyTorch computes it once a call as well.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import fx

from ostinato.engine.front.capture import BATCH, Captured
from ostinato.engine.front.extract import extract
from ostinato.engine.front.flops import work_of
from ostinato.engine.front.simplify import simplify
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Unsupported
from ostinato.engine.plan.step import Step

aten = torch.ops.aten


@dataclass(frozen=True)
class Row:
    """A node, and where the batch stands among the axes of the tensor that it is in PyTorch's graph."""

    node: Node
    axis: int


@dataclass(frozen=True)
class Contracted:
    """A value after a sum over the batch; its operation stays in PyTorch's graph."""


@dataclass(frozen=True)
class Constant:
    """A value without the batch; its operation stays in PyTorch's graph. A known number is kept beside."""

    number: float | None = None


Value: TypeAlias = "Row | Contracted | Constant | list[Any]"


@dataclass
class _Converted:
    """A step as nodes, with the places in PyTorch's graph where the two meet."""

    outputs: list[Node]
    """The output and the new states."""
    gradients: list[Node | fx.Node | None]
    """For each of parameters, x and states: a row node, a value of PyTorch's graph, or none."""
    constants: list[fx.Node]
    contractions: dict[fx.Node, Node] = field(default_factory=dict)


class Converter:
    """Walks PyTorch's graph once."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.values: dict[fx.Node, Value] = {}
        self.constants: dict[fx.Node, Node] = {}
        self.contractions: dict[fx.Node, Node] = {}
        self.random_streams = 0

    def run(self) -> _Converted:
        """Convert the whole graph."""
        from ostinato.engine.front import operations_shape  # noqa: F401 - for the handlers that it registers
        from ostinato.engine.front.operations import convert_operation

        nodes = list(self.captured.graph.graph.nodes)
        self._position = {node: index for index, node in enumerate(nodes)}
        self._placeholders([node for node in nodes if node.op == "placeholder"])
        for node in nodes:
            if node.op == "call_function":
                self.values[node] = self._convert(node, convert_operation)
            elif node.op == "get_attr":
                self.values[node] = Constant()
            elif node.op == "output":
                return self._finish(node)
        raise AssertionError("a traced graph has an output")

    def _convert(self, node: fx.Node, convert_operation: Any) -> Value:
        if node.target is operator.getitem:
            source = self.values[node.args[0]]  # type: ignore[index]
            if isinstance(source, list):
                value: Value = source[node.args[1]]  # type: ignore[index]
                return value
            return source
        self._refuse_hidden_mutation(node)
        kinds = [self.values[child] for child in node.all_input_nodes]
        if any(isinstance(kind, Contracted) for kind in kinds):
            if any(isinstance(kind, (Row, list)) for kind in kinds):
                raise Unsupported(describe(node))
            return Contracted()
        if any(isinstance(kind, (Row, list)) for kind in kinds) or _mentions_batch(node):
            result: Value = convert_operation(self, node)
            return result
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise Unsupported(f"{describe(node)}, which draws numbers at every step, but not for each row")
        return Constant(_number(node))

    def _placeholders(self, nodes: list[fx.Node]) -> None:
        signature = self.captured.signature
        count, states = len(signature.parameters), signature.states
        for index, node in enumerate(nodes):
            if index < count:
                self.values[node] = Constant()
                if signature.parameters[index] in signature.rows:
                    number = 1 + signature.rows.index(signature.parameters[index])
                    shape = tuple(node.meta["val"].shape[1:])
                    boolean = node.meta["val"].dtype is torch.bool
                    self.values[node] = Row(Node("input", (), shape, ("x", number), boolean), 0)
                continue
            position = index - count
            kind, number = "x", 0
            if position > 0:
                kind, number = "state", position - 1
            if position > states:
                kind, number = ("dy", 0) if position == states + 1 else ("dstate", position - states - 2)
            shape = tuple(node.meta["val"].shape[1:])
            self.values[node] = Row(Node("input", (), shape, (kind, number)), 0)

    def _finish(self, node: fx.Node) -> _Converted:
        results = torch.utils._pytree.tree_leaves(node.args[0], is_leaf=lambda leaf: leaf is None)
        count = len(self.captured.signature.outputs)
        outputs = [self.row(result) for result in results[:count]]
        gradients: list[Node | fx.Node | None] = []
        for index, result in enumerate(results[count:]):
            row = index >= len(self.captured.signature.parameters)
            if result is None:
                gradients.append(None)
            elif row:
                gradients.append(self.row(result))
            else:
                if isinstance(self.values[result], Row):
                    raise Unsupported("a gradient of a weight with the batch in it")
                gradients.append(result)
        return _Converted(outputs, gradients, list(self.constants), self.contractions)

    def row(self, value: Any) -> Node:
        """Return an output of the graph as a node with the batch first."""
        if not isinstance(value, fx.Node):
            raise Unsupported(f"an output that is {value}")
        known = self.values[value]
        if isinstance(known, Row):
            if known.axis != 0:
                raise Unsupported("an output without the batch first")
            return known.node
        raise Unsupported("an output or a state that does not depend on the batch")

    def constant(self, node: fx.Node) -> Node:
        """Return a constant as a node: a number when it is known, else a reference to what PyTorch computes."""
        known = self.values[node]
        if isinstance(known, Constant) and known.number is not None:
            return g.scalar(known.number, node.meta["val"].dtype is torch.bool)
        if node not in self.constants:
            value = node.meta["val"]
            shape = tuple(value.shape)
            self.constants[node] = Node(
                "const", (), shape, (len(self.constants),), value.dtype is torch.bool, label=str(node.name)
            )
        return self.constants[node]

    def contract(self, node: fx.Node, value: Node) -> Contracted:
        """Keep a sum over the batch that stands in PyTorch's graph at `node`."""
        self.contractions[node] = value
        return Contracted()

    def _refuse_hidden_mutation(self, node: fx.Node) -> None:
        """Refuse an operation in place whose effect is seen through another name: a view, or the base of one."""
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            return
        target = node.args[0]
        assert isinstance(target, fx.Node)
        related, here = _ancestors(target), target
        related += [user for user in here.users if user is not node and is_view(user)]
        if any(parent.op == "placeholder" for parent in [target, *related]):
            raise Unsupported(f"{describe(node)} changes the cell's input or a weight in place")
        for parent in related:
            if any(self._position[user] > self._position[node] for user in parent.users if not is_view(user)):
                raise Unsupported(f"{describe(node)} changes a tensor that is also seen through a view")


def _ancestors(node: fx.Node) -> list[fx.Node]:
    """Return what a view is a view of, up to the tensor that owns the memory."""
    found: list[fx.Node] = []
    while is_view(node):
        node = node.args[0]  # type: ignore[assignment]
        found.append(node)
    return found


VIEW_NAMES = frozenset(
    [
        "view",
        "_unsafe_view",
        "permute",
        "t",
        "transpose",
        "slice",
        "select",
        "unsqueeze",
        "squeeze",
        "expand",
        "split_with_sizes",
        "split",
        "unbind",
        "alias",
        "detach",
        "diagonal",
        "unfold",
        "as_strided",
    ]
)


def is_view(node: fx.Node) -> bool:
    """Tell whether a value shares the memory of its first argument."""
    return node.target is operator.getitem or name_of(node) in VIEW_NAMES


def name_of(node: fx.Node) -> str:
    """Return the bare name of a PyTorch operation: `add` for `aten.add.Tensor` and for `aten.add_.Tensor`."""
    name: str = getattr(getattr(node.target, "overloadpacket", None), "__name__", str(node.target))
    return name.removesuffix("_") if not name.endswith("__") else name


def describe(node: fx.Node) -> str:
    """Return how a message names an operation, with the line of the cell if it is known."""
    lines = (node.meta.get("stack_trace") or "").splitlines()
    places = [
        (line.strip(), lines[place + 1].strip() if place + 1 < len(lines) else "")
        for place, line in enumerate(lines)
        if line.strip().startswith("File ") and "/torch/" not in line and "/ostinato/engine/" not in line
    ]
    if not places:
        return f"operation {node.target}"
    file, code = places[-1]
    return f"operation {node.target} at {file.removeprefix('File ')}: {code}"


def _mentions_batch(node: fx.Node) -> bool:
    value = node.meta.get("val")
    shapes = [part.shape for part in (value if isinstance(value, (list, tuple)) else [value]) if part is not None]
    return any(size % BATCH == 0 for shape in shapes for size in shape if size)


def _number(node: fx.Node) -> float | None:
    if node.target in (aten.full.default, aten.scalar_tensor.default):
        value = node.args[1] if node.target is aten.full.default else node.args[0]
        if isinstance(value, (int, float, bool)):
            return float(value)
    return None


def convert(captured: Captured) -> Step:
    """Turn a captured step into data.

    Raises:
        Unsupported: an operation that the engine does not know, or one that mixes rows of the batch.
    """
    found, signature = Converter(captured).run(), captured.signature
    count, places = len(signature.parameters), list(found.contractions)
    gradients = [node if isinstance(node, Node) else None for node in found.gradients[count:]]
    roots = simplify([*found.outputs, *(node for node in gradients if node), *found.contractions.values()])
    outputs, rest = tuple(roots[: signature.states + 1]), iter(roots[signature.states + 1 :])
    shortened = tuple(next(rest) if node is not None else None for node in gradients)
    wanted = [node if isinstance(node, fx.Node) else None for node in found.gradients[:count]]
    return Step(
        signature,
        outputs,
        shortened,
        tuple(rest),
        extract(captured.graph, count, [], found.constants),
        extract(captured.graph, count, places, wanted),
        work_of(captured),
    )
