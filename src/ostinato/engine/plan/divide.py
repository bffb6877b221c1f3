"""A step divided into a forward and a backward program, and what passes between them.

Reachability from the cotangents tells backward from forward. What the backward program needs of the forward one is
found by a minimum cut: each value costs the numbers that a step would have to keep of it, products are never computed
twice, and what can be computed again from what is kept costs nothing. Gradients of weights leave the loop: the program
hands out both factors of every outer product, step by step, and one large product over all steps follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Contraction, Factor, Plan, Program, Sink
from ostinato.engine.plan.rewrite import share
from ostinato.engine.plan.step import Step


def make_plan(step: Step) -> Plan:
    """Divide a step."""
    shapes = tuple(node.shape for node in step.outputs)
    infer = _forward(step.outputs, [])
    given = (step.signature, step.work, step.constants, shapes, infer)
    if not step.signature.backward:
        return Plan(*given, infer, None, (), (), None, False)
    saved = choose_saved(step.outputs, [node for node in [*step.gradients, *step.sums] if node is not None])
    backward, contractions = _backward(step, saved)
    forward = _forward(step.outputs, saved)
    has_dx = step.gradients[0] is not None
    return Plan(*given, forward, backward, tuple(saved), contractions, step.weights, has_dx)


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


def _backward(step: Step, saved: Sequence[Node]) -> tuple[Program, tuple[Contraction, ...]]:
    outputs, gradients = step.outputs, step.gradients
    roots = [node for node in gradients if node is not None]
    factors = [child for node in step.sums for child in node.inputs]
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
    for node in step.sums:
        if node.op == "rowsum":
            summed = new[node.inputs[0]]
            while summed.op == "reshape":
                summed = summed.inputs[0]
            total = totals.setdefault(summed, len(totals))
            contractions.append(Contraction(None, total, node.shape))
            continue
        a, b = (_factor(new[child], streams) for child in node.inputs)
        contractions.append(Contraction((a, b), -1, node.shape))
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
