"""What a backward pass reads again of what its scan was given; the rest may be changed in place in between."""

from __future__ import annotations

from torch import fx

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.plan import Plan


def read_backward(plan: Plan) -> tuple[bool, ...]:
    """Tell for each of parameters, x and states whether the backward pass reads its numbers.

    A bias that is only added, for instance, it does not.
    """
    signature = plan.captured.signature
    if plan.backward is None:
        return (False,) * len(signature.gradients)
    order = g.topological(sink.node for sink in plan.backward.sinks)
    constants = {node.attr[0] for node in order if node.op == "const"}
    names = _placeholders_behind(plan.constants, constants) | _placeholders_behind(plan.weights, None)
    spread = {node.attr[1] for node in order if node.op == "input" and node.attr[0] == "x"}
    factors = [factor for each in plan.contractions for factor in each.factors or ()]
    spread |= {factor.index for factor in factors if factor.kind == "x"}
    rows = {signature.rows[index - 1] for index in spread if index}
    parameters = [f"parameter_{index}" in names or name in rows for index, name in enumerate(signature.parameters)]
    states = {node.attr[1] for node in order if node.op == "input" and node.attr[0] == "state"}
    return (*parameters, 0 in spread, *(index in states for index in range(signature.states)))


def _placeholders_behind(graph: fx.GraphModule | None, outputs: set[int] | None) -> set[str]:
    """Return the names of the placeholders that some outputs of a graph are computed from, or all that are used."""
    if graph is None:
        return set()
    *_, result = graph.graph.nodes
    found = [node for index, node in enumerate(result.args[0]) if outputs is None or index in outputs]
    stack, seen = [node for node in found if node is not None], set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += node.all_input_nodes
    return {node.name for node in seen if node.op == "placeholder"}
