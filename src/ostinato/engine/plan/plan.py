"""The plan: one captured step divided into a forward and a backward program, and what passes between them.

Reachability from the cotangents tells backward from forward. What the backward program needs of the forward one is
found by a minimum cut: each value costs the numbers that a step would have to keep of it, products are never computed
twice, and what can be computed again from what is kept costs nothing. Gradients of weights leave the loop: the program
hands out both factors of every outer product, step by step, and one large product over all steps follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from ostinato.engine.front import operations_shape as _shape_handlers
from ostinato.engine.front.capture import Captured
from ostinato.engine.front.convert import Converted, convert
from ostinato.engine.front.simplify import simplify
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Shape
from ostinato.engine.plan.rewrite import share

assert _shape_handlers  # imported for the handlers that it registers


@dataclass(frozen=True)
class Sink:
    """Where a program's result goes.

    `stream` is kept for every row and step, `carry` becomes the state of the next step, `total` is summed over steps.
    """

    kind: str
    index: int
    node: Node


@dataclass(frozen=True)
class Program:
    """What is done for one row at one step; a backend turns it into a loop over steps."""

    sinks: tuple[Sink, ...]
    carries: tuple[Shape, ...]

    def inputs(self, kind: str) -> dict[int, Node]:
        """Return the inputs of one kind that are read, by index."""
        found = [node for node in g.topological(sink.node for sink in self.sinks) if node.op == "input"]
        return {node.attr[1]: node for node in found if node.attr[0] == kind}

    def of(self, kind: str) -> list[Sink]:
        """Return the sinks of one kind."""
        return [sink for sink in self.sinks if sink.kind == kind]


@dataclass(frozen=True)
class Factor:
    """One factor of an outer product over all steps: a stream, and the views that are taken of each row of it."""

    kind: str
    """`x`, `saved` (from the forward program) or `stream` (from the backward program)."""
    index: int
    views: tuple[Node, ...]
    """From the source up."""


@dataclass(frozen=True)
class Contraction:
    """A sum over rows and steps, and the place in PyTorch's graph that takes it."""

    place: fx.Node
    factors: tuple[Factor, Factor] | None
    """The two factors of an outer product, or none for a plain sum, which the program has totalled in `total`."""
    total: int
    shape: Shape


@dataclass(frozen=True)
class Plan:
    """All that is needed to run a cell over time, forward and backward, by any backend.

    Streams of the forward program: 0 is the output, then what is saved. Streams of the backward program: 0 is the
    gradient of x (if wanted), then factors of outer products. Carries are the leaves of the state.
    """

    captured: Captured
    constants: fx.GraphModule
    """From parameters to what the programs take as constants."""
    outputs: tuple[Shape, ...]
    infer: Program
    """Forward, nothing saved."""
    forward: Program
    """Forward, with what the backward program needs saved."""
    backward: Program | None
    saved: tuple[Node, ...]
    contractions: tuple[Contraction, ...]
    weights: fx.GraphModule | None
    """From parameters and contractions to gradients of the parameters."""
    has_dx: bool
    dstates: tuple[bool, ...] = field(default=())


def make_plan(captured: Captured) -> Plan:
    """Divide a captured step.

    Raises:
        Unsupported: the engine does not know an operation of the step.
    """
    converted = convert(captured)
    signature = captured.signature
    states = signature.states
    parameters = len(signature.parameters)
    places = list(converted.contractions)
    gradients = [node if isinstance(node, Node) else None for node in converted.gradients[parameters:]]
    wanted = [node for node in gradients if node is not None]
    roots = simplify([*converted.outputs, *wanted, *converted.contractions.values()])
    outputs = roots[: states + 1]
    rest = iter(roots[states + 1 :])
    gradients = [next(rest) if node is not None else None for node in gradients]
    sums = dict(zip(places, rest, strict=True))
    shapes = tuple(node.shape for node in outputs)
    infer = _forward(outputs, [])
    constants = _constant_graph(captured, converted)
    if not signature.backward:
        return Plan(captured, constants, shapes, infer, infer, None, (), (), None, False)
    saved = choose_saved(outputs, [node for node in [*gradients, *sums.values()] if node is not None])
    backward, contractions = _backward(outputs, gradients, sums, saved)
    weights = _weight_graph(captured, converted, places)
    dstates = tuple(node is not None for node in gradients[1:])
    return Plan(
        captured, constants, shapes, infer, _forward(outputs, saved), backward, tuple(saved), contractions, weights,
        gradients[0] is not None, dstates,
    )  # fmt: skip


def _forward(outputs: Sequence[Node], saved: Sequence[Node]) -> Program:
    sinks = [Sink("stream", 0, outputs[0])]
    sinks += [Sink("carry", index, node) for index, node in enumerate(outputs[1:])]
    sinks += [Sink("stream", index + 1, node) for index, node in enumerate(saved)]
    return Program(tuple(sinks), tuple(node.shape for node in outputs[1:]))


def backward_nodes(order: Sequence[Node]) -> set[Node]:
    """Return the nodes that depend on a cotangent."""
    found: set[Node] = set()
    for node in order:
        cotangent = node.op == "input" and node.attr[0] in ("dy", "dstate")
        if cotangent or any(child in found for child in node.inputs):
            found.add(node)
    return found


def _is_free(node: Node) -> bool:
    """Tell whether the backward program can have a value for nothing: numbers, weights and x itself."""
    return node.op in ("const", "scalar") or (node.op == "input" and node.attr[0] == "x")


def _is_firm(node: Node) -> bool:
    """Tell whether a value is never computed again. Random numbers are: they follow from a counter."""
    return node.op in ("matmul", *g.REDUCTIONS) or (node.op == "input" and node.attr[0] == "state")


def choose_saved(outputs: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """Return the forward values to keep for the backward program: a minimum cut by numbers kept a step."""
    order = g.topological([*outputs, *roots])
    backward = backward_nodes(order)
    wanted = {child for node in order if node in backward for child in node.inputs if child not in backward}
    # a forward value may itself be a factor of an outer product
    wanted |= {child for node in roots if node.op in g.CONTRACTIONS for child in node.inputs if child not in backward}
    # in the order of the graph: a set's own order differs from process to process, and with it the compiled code
    needed = [node for node in order if node in wanted and not _is_free(node)]
    if not needed:
        return []
    import networkx  # for a machine that has its plans already, this would be a tenth of a second for nothing

    network: Any = networkx.DiGraph()
    forward = [node for node in g.topological(needed) if not _is_free(node)]
    for node in forward:
        network.add_edge((node, "in"), (node, "out"), capacity=_cost(node))
        if _is_firm(node):
            network.add_edge("source", (node, "in"))
        for child in node.inputs:
            if not _is_free(child):
                network.add_edge((child, "out"), (node, "in"))
    for node in needed:
        network.add_edge((node, "out"), "sink")
    if "source" not in network:
        return []
    _, (reached, _) = networkx.minimum_cut(network, "source", "sink")
    return [node for node in forward if (node, "in") in reached and (node, "out") not in reached]


def _cost(node: Node) -> int:
    """Return what keeping a value costs, in hundredths of a number; what took long to compute is kept rather."""
    if node.op in g.VIEWS:
        return 100 * node.size + 1
    return (95 if node.op in g.COSTLY else 100) * node.size


def _backward(
    outputs: Sequence[Node], gradients: Sequence[Node | None], sums: dict[fx.Node, Node], saved: Sequence[Node]
) -> tuple[Program, tuple[Contraction, ...]]:
    roots = [node for node in gradients if node is not None]
    factors = [child for node in sums.values() for child in node.inputs]
    order = [*roots, *factors]
    replaced = _with_saved(order, saved)
    new = dict(zip(order, replaced, strict=True))
    sinks: list[Sink] = []
    if gradients[0] is not None:
        sinks.append(Sink("stream", 0, new[gradients[0]]))
    for index, node in enumerate(gradients[1:]):
        # a state that nothing came from has no gradient: zero
        shape = outputs[index + 1].shape
        value = new[node] if node is not None else g.expand(g.scalar(0.0), shape)
        sinks.append(Sink("carry", index, value))
    contractions = []
    streams: dict[Node, int] = {}
    totals: dict[Node, int] = {}
    for place, node in sums.items():
        if node.op == "rowsum":
            summed = new[node.inputs[0]]
            while summed.op == "reshape":
                summed = summed.inputs[0]
            total = totals.setdefault(summed, len(totals))
            contractions.append(Contraction(place, None, total, node.shape))
            continue
        a, b = (_factor(new[child], streams) for child in node.inputs)
        contractions.append(Contraction(place, (a, b), -1, node.shape))
    sinks += [Sink("stream", index, node) for node, index in streams.items()]
    sinks += [Sink("total", index, node) for node, index in totals.items()]
    return Program(tuple(sinks), tuple(node.shape for node in outputs[1:])), tuple(contractions)


def _with_saved(roots: Sequence[Node], saved: Sequence[Node]) -> list[Node]:
    """Return the roots over what is saved, in the place of what it was computed from."""
    kept = {node: Node("input", (), node.shape, ("saved", index), node.boolean) for index, node in enumerate(saved)}
    new: dict[Node, Node] = {}

    def build(root: Node) -> Node:
        stack = [root]
        while stack:
            node = stack[-1]
            if node in kept:
                new[node] = kept[node]
            missing = [] if node in kept else [child for child in node.inputs if child not in new]
            if missing:
                stack += missing
                continue
            if node not in new:
                new[node] = g.with_inputs(node, tuple(new[child] for child in node.inputs))
            stack.pop()
        return new[root]

    return share([build(root) for root in roots])


def _factor(node: Node, streams: dict[Node, int]) -> Factor:
    """Return where a factor of an outer product lies: in x, in what is saved, or in a stream of its own."""
    views, base = [], node
    while base.op in ("slice", "reshape", "permute"):
        views.append(base)
        base = base.inputs[0]
    views.reverse()
    if base.op == "input" and base.attr[0] in ("x", "saved"):
        return Factor(base.attr[0], base.attr[1], tuple(views))
    if base.op in g.SOURCES:
        base, views = node, []
    return Factor("stream", streams.setdefault(base, len(streams) + 1), tuple(views))


def _constant_graph(captured: Captured, converted: Converted) -> fx.GraphModule:
    """Return the part of PyTorch's graph that makes the constants from the parameters."""
    count = len(captured.signature.parameters)
    return _extract(captured.graph, count, {}, converted.constants)


def _weight_graph(captured: Captured, converted: Converted, places: Sequence[fx.Node]) -> fx.GraphModule:
    """Return the part of PyTorch's graph from contractions to the gradients of the parameters."""
    count = len(captured.signature.parameters)
    given = {place: f"sum_{index}" for index, place in enumerate(places)}
    wanted = [node if isinstance(node, fx.Node) else None for node in converted.gradients[:count]]
    return _extract(captured.graph, count, given, wanted)


def _extract(
    source: fx.GraphModule, parameters: int, given: dict[fx.Node, str], wanted: Sequence[fx.Node | None]
) -> fx.GraphModule:
    """Copy the part of a graph that leads from the parameters and the given values to the wanted ones."""
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    placeholders = [node for node in source.graph.nodes if node.op == "placeholder"][:parameters]
    for index, node in enumerate(placeholders):
        copied[node] = graph.placeholder(f"parameter_{index}")
    for node, name in given.items():
        copied[node] = graph.placeholder(name)
    needed: set[fx.Node] = set()
    stack = [node for node in wanted if node is not None]
    while stack:
        node = stack.pop()
        if node not in needed and node not in copied:
            needed.add(node)
            stack += node.all_input_nodes
    for node in source.graph.nodes:
        if node in needed:
            copied[node] = _undone(node, copied) or graph.node_copy(node, lambda child: copied[child])
    graph.output([None if node is None else copied[node] for node in wanted])
    graph.eliminate_dead_code()
    return fx.GraphModule(source, graph)


def _undone(node: fx.Node, copied: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """Return what a transposition of a transposition is, or what another name stands for."""
    if node.target is torch.ops.aten.alias.default:
        return copied[node.args[0]]  # type: ignore[index]
    permute = torch.ops.aten.permute.default
    if node.target is not permute or list(node.args[1]) != [1, 0]:  # type: ignore[arg-type]
        return None
    inner = copied[node.args[0]]  # type: ignore[index]
    again = inner.target is permute and list(inner.args[1]) == [1, 0]  # type: ignore[arg-type]
    return inner.args[0] if again else None  # type: ignore[return-value]


def run_graph(graph: fx.GraphModule, values: Sequence[torch.Tensor]) -> list[Any]:
    """Run an extracted graph without recording gradients."""
    with torch.no_grad():
        results: list[Any] = graph.forward(*values)
    return results
