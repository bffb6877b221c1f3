"""Whether a plan that was read back is one: its values, and whether its parts fit. Code is made of them as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.formulas import run_graph
from ostinato.engine.plan.graph import Node, Shape, Unsupported
from ostinato.engine.plan.plan import Factor, Plan, Sink

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "bool", "uint8", "int32", "int64")}
"""Of parameters, and of tensors that a cell's code holds."""
INPUTS = ("x", "state", "dy", "dstate", "saved")
_ARITY = dict.fromkeys(g.UNARY, 1) | dict.fromkeys(g.BINARY, 2) | {"where": 3, "random": 0}


def is_sound(node: Node) -> bool:
    """Tell whether a value is one that its operation makes of its inputs."""
    if any(type(size) is not int or size < 0 for size in node.shape):
        return False
    try:
        return _RULES.get(node.op, _pointwise)(node)
    except (Unsupported, ValueError, TypeError, IndexError):  # of attributes of another form
        return False


def _pointwise(node: Node) -> bool:
    if node.op == "random":
        return not node.inputs and _whole(*node.attr)
    known = len(node.inputs) == _ARITY.get(node.op) and not node.attr
    return known and g.broadcast(*(child.shape for child in node.inputs)) == node.shape


def _whole(*numbers: object) -> bool:
    return all(type(number) is int and number >= 0 for number in numbers)


def _input(node: Node) -> bool:
    kind, index = node.attr
    return not node.inputs and kind in INPUTS and _whole(index)


def _const(node: Node) -> bool:
    (index,) = node.attr
    return not node.inputs and _whole(index)


def _scalar(node: Node) -> bool:
    (value,) = node.attr
    return not node.inputs and node.shape == () and type(value) is float


def _reduction(node: Node) -> bool:
    (source,) = node.inputs
    return not node.attr and bool(source.shape) and node.shape == (*source.shape[:-1], 1)


def _slice(node: Node) -> bool:
    (source,), (axis, start) = node.inputs, node.attr
    if not _whole(axis, start) or len(source.shape) != len(node.shape):
        return False
    others = [place for place in range(len(node.shape)) if place != axis]
    same = all(source.shape[place] == node.shape[place] for place in others)
    return same and start + node.shape[axis] <= source.shape[axis]


def _reshape(node: Node) -> bool:
    (source,) = node.inputs
    return not node.attr and source.size == node.size


def _permute(node: Node) -> bool:
    (source,) = node.inputs
    return sorted(node.attr) == list(range(len(source.shape))) and node.shape == tuple(
        source.shape[axis] for axis in node.attr
    )


def _expand(node: Node) -> bool:
    (source,) = node.inputs
    return not node.attr and g.broadcast(source.shape, node.shape) == node.shape


def _cat(node: Node) -> bool:
    (starts,) = node.attr
    (total,) = node.shape
    parts = list(zip(node.inputs, starts, strict=True))
    return bool(parts) and all(
        len(part.shape) == 1 and _whole(start) and start + part.shape[0] <= total for part, start in parts
    )


def _matmul(node: Node) -> bool:
    (biases,) = node.attr
    pairs = len(node.inputs) - biases
    if not _whole(biases) or pairs < 2 or pairs % 2:
        return False
    products = zip(node.inputs[:pairs:2], node.inputs[1:pairs:2], strict=True)
    made = all(_product(row.shape, weights.shape) == node.shape for row, weights in products)
    return made and all(bias.shape == node.shape for bias in node.inputs[pairs:])


def _product(row: Shape, weights: Shape) -> Shape:
    *heads, depth, columns = weights
    if len(weights) not in (2, 3) or row != (*heads, depth):
        raise ValueError
    return (*heads, columns)


_RULES: dict[str, Callable[[Node], bool]] = {
    "input": _input,
    "const": _const,
    "scalar": _scalar,
    "slice": _slice,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "cat": _cat,
    "matmul": _matmul,
    **dict.fromkeys(g.REDUCTIONS, _reduction),
}


def is_finite_size(node: Node) -> bool:
    """Tell whether a value's size is one that memory can have."""
    return math.prod(node.shape) < 1 << 40


def factors_of(plan: Plan) -> Iterable[Factor]:
    """Return all factors of outer products."""
    return (factor for part in plan.contractions for factor in part.factors or ())


def first_fault(plan: Plan) -> str:
    """Return what of a plan's parts does not fit the others; empty if all do."""
    signature, states = plan.signature, plan.signature.states
    if len(signature.outputs) != states + 1 or len(signature.gradients) != len(signature.parameters) + 1 + states:
        return "the signature"
    shapes = _shapes_of_constants(plan)
    programs = [program for program in (plan.infer, plan.forward, plan.backward) if program]
    views = [view for factor in factors_of(plan) for view in factor.views]
    roots = [*(sink.node for program in programs for sink in program.sinks), *plan.saved, *views]
    xs: dict[int, Any] = {0: signature.features}
    for node in g.topological(roots):
        if node.op == "const" and shapes[node.attr[0]] != node.shape:
            return f"constant {node.attr[0]}"
        if node.op == "input":
            kind, index = node.attr
            known = {
                "x": [xs.setdefault(index, node.shape)] * (index + 1) if index <= len(signature.rows) else [],
                "state": signature.outputs[1:],
                "dstate": signature.outputs[1:],
                "dy": signature.outputs[:1],
                "saved": [value.shape for value in plan.saved],
            }[kind]
            if index >= len(known) or known[index] != node.shape:
                return f"{kind} {index}"
    return _fault_of_sinks(plan) or _fault_of_sums(plan)


def _fault_of_sinks(plan: Plan) -> str:
    outputs = plan.signature.outputs
    wanted = {("stream", 0): outputs[0]} | {("carry", index): shape for index, shape in enumerate(outputs[1:])}
    kept = {("stream", index + 1): value.shape for index, value in enumerate(plan.saved)}
    for program, places in ((plan.infer, wanted), (plan.forward, wanted | kept)):
        if {(sink.kind, sink.index): sink.node.shape for sink in program.sinks} != places:
            return "a result of the forward programs"
    if plan.backward is None:
        return ""
    found = {(sink.kind, sink.index): sink.node.shape for sink in plan.backward.sinks}
    carries = {index: shape for (kind, index), shape in found.items() if kind == "carry"}
    if len(found) != len(plan.backward.sinks) or carries != dict(enumerate(outputs[1:])):
        return "a result of the backward program"
    if plan.has_dx and found.get(("stream", 0)) != plan.signature.features:
        return "the gradient of x"
    return "" if {kind for kind, _ in found} <= {"stream", "carry", "total"} else "a result of the backward program"


def _fault_of_sums(plan: Plan) -> str:
    if plan.backward is None or plan.weights is None:
        return "" if plan.backward is None and not plan.contractions else "the gradients of weights"
    streams: Sequence[Sink] = plan.backward.sinks
    known = {("stream", sink.index): sink.node.shape for sink in streams if sink.kind == "stream"}
    known |= {("saved", index): value.shape for index, value in enumerate(plan.saved)}
    for index, node in plan.backward.inputs("x").items():
        known["x", index] = node.shape
    known["x", 0] = plan.signature.features
    totals = {sink.index for sink in streams if sink.kind == "total"}
    for number, part in enumerate(plan.contractions):
        if part.factors is None:
            fits = part.total in totals
        else:
            fits = len(part.factors) == 2 and all(
                _is_read_from(known.get((of.kind, of.index)), of) for of in part.factors
            )
        if not fits:
            return f"sum {number}"
    shapes = [*_given(plan), *(torch.empty(part.shape, device="meta") for part in plan.contractions)]
    found = run_graph(plan.weights.on(torch.device("meta")), shapes)
    wrong = [name for name, made, size in zip(plan.signature.parameters, found, plan.signature.sizes, strict=True)
             if made is not None and tuple(made.shape) != size]  # fmt: skip
    return f"the gradient of {wrong[0]}" if wrong else ""


def _is_read_from(source: Any, factor: Factor) -> bool:
    """Tell whether each view of a factor is taken of the one before it."""
    shapes = [source, *(view.shape for view in factor.views)]
    return source is not None and all(
        view.inputs[0].shape == shape for view, shape in zip(factor.views, shapes, strict=False)
    )


def _given(plan: Plan) -> list[Tensor]:
    """Return the parameters without data."""
    signature = plan.signature
    return [
        torch.empty(size, dtype=DTYPES[kind], device="meta")
        for size, kind in zip(signature.sizes, signature.types, strict=True)
    ]


def _shapes_of_constants(plan: Plan) -> list[Any]:
    made = run_graph(plan.constants.on(torch.device("meta")), _given(plan))
    return [None if value is None else tuple(value.shape) for value in made]
