"""How many floating-point operations a step is, for PyTorch's `FlopCounterMode`, which sees one operator for a scan.

Counted is what PyTorch would count in the eager loop: the products of the traced step, by PyTorch's own formulas.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from ostinato.engine.front.capture import Captured
from ostinato.engine.plan.step import Work


def work_of(captured: Captured) -> Work:
    """Return the operations of a step and of its gradient."""
    return Work(_per_row(captured, backward=False), _per_row(captured, backward=True))


def _per_row(captured: Captured, *, backward: bool) -> tuple[int, int]:
    """Return the operations of one row at one step, and those on weights alone, which are done once."""
    nodes = list(captured.graph.graph.nodes)
    given = [node for node in nodes if node.op == "placeholder"]
    signature = captured.signature
    place = len(signature.parameters)
    batch = given[place].meta["val"].shape[0]
    late = set(given[place + 1 + signature.states :])  # what depends on a cotangent
    each = once = 0
    for node in nodes:
        if any(parent in late for parent in node.all_input_nodes):
            late.add(node)
        count = _count(node) if (node in late) is backward else 0
        if count % batch:
            once += count
        else:
            each += count // batch
    return each, once


def _count(node: Any) -> int:
    formula = flop_registry.get(getattr(node.target, "overloadpacket", None))
    if node.op != "call_function" or formula is None:
        return 0
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda part: part.meta["val"])
    return int(formula(*args, **kwargs, out_val=node.meta["val"]))
