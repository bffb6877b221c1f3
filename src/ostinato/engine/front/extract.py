"""Parts of PyTorch's graph as formulas: from the parameters, and from sums over all steps, to what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ostinato.engine.plan.formulas import Formulas, Operation, Value


def extract(
    source: fx.GraphModule, parameters: int, given: Sequence[fx.Node], wanted: Sequence[fx.Node | None]
) -> Formulas:
    """Return the part of a graph that leads from the parameters and the given values to the wanted ones."""
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    placeholders = [node for node in source.graph.nodes if node.op == "placeholder"][:parameters]
    for index, node in enumerate([*placeholders, *given]):
        copied[node] = graph.placeholder(f"given_{index}")
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
    return _as_formulas(source, graph)


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


def _as_formulas(source: fx.GraphModule, graph: fx.Graph) -> Formulas:
    nodes = list(graph.nodes)
    held = [node for node in nodes if node.op == "get_attr"]
    called = [node for node in nodes if node.op == "call_function"]
    first = [node for node in nodes if node.op == "placeholder"]
    numbers = {node: index for index, node in enumerate([*first, *held, *called])}
    operations = tuple(
        Operation(
            node.target,
            _argument(node.args, numbers),
            tuple((k, _argument(v, numbers)) for k, v in node.kwargs.items()),
        )
        for node in called
    )
    wanted = tuple(None if node is None else numbers[node] for node in nodes[-1].args[0])
    return Formulas(len(first), tuple(_tensor(source, node) for node in held), operations, wanted)


def _tensor(source: fx.GraphModule, node: fx.Node) -> Tensor:
    value: Any = source
    for name in str(node.target).split("."):
        value = getattr(value, name)
    assert isinstance(value, Tensor)
    return value


def _argument(argument: Any, numbers: dict[fx.Node, int]) -> Any:
    if isinstance(argument, fx.Node):
        return Value(numbers[argument])
    if isinstance(argument, tuple):
        return tuple(_argument(part, numbers) for part in argument)
    return [_argument(part, numbers) for part in argument] if isinstance(argument, list) else argument
