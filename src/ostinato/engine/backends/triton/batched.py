"""Programs that no state passes through, by PyTorch's own operations over all rows and steps at once."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ostinato.engine import graph as g
from ostinato.engine.graph import Node
from ostinato.engine.plan import Program

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: getattr(torch, name)
    for name in (
        "neg", "abs", "sign", "exp", "exp2", "expm1", "log", "log2", "log1p", "sqrt", "rsqrt", "reciprocal", "sigmoid",
        "tanh", "sin", "cos", "erf", "floor", "ceil", "round", "trunc", "logical_not", "relu", "add", "sub", "mul",
        "div", "maximum", "minimum", "pow", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or",
        "logical_xor", "where",
    )
}  # fmt: skip


def run(
    program: Program, inputs: dict[tuple[str, int], Tensor], constants: Sequence[Tensor], half: Any
) -> list[Tensor]:
    """Return the streams of a program, in the order of its sinks.

    Args:
        program: what is done for each row.
        inputs: `(rows, ...)` each, by kind and index.
        constants: of the plan, in the precision that is computed in.
        half: the type that products take their operands in.
    """
    rows = next(iter(inputs.values())).shape[0]
    known: dict[Node, Any] = {}
    for node in _order(program):
        known[node] = _value(node, [known[child] for child in node.inputs], inputs, constants, half, rows)
    return [_whole(known[sink.node], sink.node, rows, constants) for sink in program.sinks]


_orders: weakref.WeakKeyDictionary[Program, list[Node]] = weakref.WeakKeyDictionary()


def _order(program: Program) -> list[Node]:
    if program not in _orders:
        _orders[program] = g.topological(sink.node for sink in program.sinks)
    return _orders[program]


def read_by(program: Program) -> list[tuple[str, int]]:
    """Return the inputs of a program, by kind and index."""
    return [node.attr for node in _order(program) if node.op == "input"]


def _whole(value: Any, node: Node, rows: int, constants: Sequence[Tensor]) -> Tensor:
    if not isinstance(value, Tensor):
        value = constants[0].new_full((), value)
    return value.expand(rows, *node.shape) if value.dim() <= len(node.shape) else value


def _value(
    node: Node,
    values: list[Any],
    inputs: dict[tuple[str, int], Tensor],
    constants: Sequence[Tensor],
    half: Any,
    rows: int,
) -> Any:
    if node.op == "scalar":
        return bool(node.attr[0]) if node.boolean else node.attr[0]
    if node.op == "input":
        value = inputs[node.attr]
        return value != 0 if node.boolean else value
    if node.op == "const":
        value = constants[node.attr[0]]
        return value != 0 if node.boolean else value
    if node.op == "matmul":
        return _product(node, values, half, rows)
    if node.op == "cat":
        return _joined(node, values, rows)
    if node.op in g.REDUCTIONS:
        return getattr(torch, node.op)(values[0], -1, keepdim=True)
    if node.op in g.VIEWS:
        return _view(node, values[0], rows)
    return _pointwise(node, values)


def _pointwise(node: Node, values: list[Any]) -> Any:
    ranks = [len(child.shape) for child in node.inputs]
    spread = [
        value.reshape(value.shape[0], *[1] * (len(node.shape) - rank), *value.shape[1:])
        if isinstance(value, Tensor) and value.dim() == rank + 1
        else value
        for value, rank in zip(values, ranks, strict=True)
    ]
    if node.op == "copy":
        return spread[0]
    like = next((value for value in spread if isinstance(value, Tensor)), None)
    device = None if like is None else like.device
    given = [value if isinstance(value, Tensor) else _as_tensor(value, device) for value in spread]
    if node.op == "to_float":
        kind = torch.get_default_dtype() if like is None else _float_of(values, like)
        return given[0].to(kind)
    if node.op == "where" and not node.boolean:
        kind = next(value.dtype for value in given[1:] if value.is_floating_point())
        return torch.where(given[0] != 0, given[1].to(kind), given[2].to(kind))
    if node.op.startswith("logical") or node.boolean:
        return _FUNCTIONS[node.op](*given)
    floats = [value for value in given if isinstance(value, Tensor) and value.is_floating_point() and value.dim()]
    kind = floats[0].dtype if floats else torch.get_default_dtype()
    return _FUNCTIONS[node.op](*(value.to(kind) for value in given))


def _as_tensor(value: Any, device: Any) -> Tensor:
    kind = torch.bool if isinstance(value, bool) else torch.float64
    return torch.as_tensor(value, dtype=kind, device=device)


def _float_of(values: list[Any], like: Tensor) -> torch.dtype:
    return like.dtype if like.is_floating_point() else torch.float32


def _product(node: Node, values: list[Any], half: Any, rows: int) -> Tensor:
    pairs = len(values) - node.attr[0]
    total: Any = None
    for row, weights in zip(values[:pairs:2], values[1:pairs:2], strict=True):
        kind = row.dtype
        left, right = row.to(half), weights.to(half)
        if row.dim() == 2:
            part = (left @ right).to(kind)
        else:
            part = torch.einsum("bhk,hkn->bhn", left, right).to(kind)
        total = part if total is None else total + part
    for bias in values[pairs:]:
        total = total + bias
    return total  # type: ignore[no-any-return]


def _joined(node: Node, values: list[Any], rows: int) -> Tensor:
    like = next(value for value in values if isinstance(value, Tensor))
    joined = like.new_zeros((rows, *node.shape))
    for child, value, start in zip(node.inputs, values, node.attr[0], strict=True):
        joined[:, start : start + child.shape[0]] = value
    return joined


def _view(node: Node, value: Any, rows: int) -> Any:
    if not isinstance(value, Tensor):
        return value
    child = node.inputs[0]
    lead = value.dim() - len(child.shape)
    if node.op == "slice":
        axis, start = node.attr
        return value.narrow(axis + lead, start, node.shape[axis])
    if node.op == "permute":
        return value.permute(*range(lead), *(axis + lead for axis in node.attr))
    if node.op == "reshape":
        return value.reshape(*value.shape[:lead], *node.shape)
    missing = len(node.shape) - len(child.shape)
    aligned = value.reshape(*value.shape[:lead], *[1] * missing, *child.shape)
    return aligned.expand(*value.shape[:lead], *node.shape)


def sizes(program: Program) -> int:
    """Return the numbers that a row has in all streams of a program."""
    return sum(math.prod(sink.node.shape) for sink in program.sinks)
