"""What a backward pass reads again of what its scan was given; the rest may be changed in place in between."""

from __future__ import annotations

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.plan import Plan


def read_backward(plan: Plan) -> tuple[bool, ...]:
    """Tell for each of parameters, x and states whether the backward pass reads its numbers.

    A bias that is only added, for instance, it does not.
    """
    signature = plan.signature
    if plan.backward is None:
        return (False,) * len(signature.gradients)
    order = g.topological(sink.node for sink in plan.backward.sinks)
    constants = {node.attr[0] for node in order if node.op == "const"}
    given = plan.constants.behind(constants) | (plan.weights.behind(None) if plan.weights else set())
    spread = {node.attr[1] for node in order if node.op == "input" and node.attr[0] == "x"}
    factors = [factor for each in plan.contractions for factor in each.factors or ()]
    spread |= {factor.index for factor in factors if factor.kind == "x"}
    rows = {signature.rows[index - 1] for index in spread if index}
    parameters = [index in given or name in rows for index, name in enumerate(signature.parameters)]
    states = {node.attr[1] for node in order if node.op == "input" and node.attr[0] == "state"}
    return (*parameters, 0 in spread, *(index in states for index in range(signature.states)))
