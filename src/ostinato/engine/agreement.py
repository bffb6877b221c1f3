"""Whether two traces of a step, with batches of different sizes, are one program: then it is a program for any batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from ostinato.engine.capture import BATCH, Captured
from ostinato.engine.convert import describe
from ostinato.engine.graph import Unsupported


def check_agreement(wide: Captured, true: Captured, batch: int) -> None:
    """Compare a trace of `BATCH` rows with one of as many rows as there are.

    Sizes of tensors may be multiples of the batch; no number that is computed with may depend on it.

    Raises:
        Unsupported: the traces differ, so the cell computes with the size of its batch, or with something else that is
            different each time.
    """
    nodes = [list(captured.graph.graph.nodes) for captured in (wide, true)]
    if len(nodes[0]) != len(nodes[1]):
        raise Unsupported("a step that is another one for another number of rows, or each time it runs")
    places = {node: index for index, node in enumerate(nodes[0])}
    others = {node: index for index, node in enumerate(nodes[1])}
    for ours, theirs in zip(*nodes, strict=True):
        same = ours.op == theirs.op and (ours.target == theirs.target or ours.op in ("placeholder", "get_attr"))
        if ours.op == "get_attr":
            same &= _same_tensor(getattr(wide.graph, ours.target), getattr(true.graph, theirs.target))
        types = _types(ours)
        same &= len(ours.args) == len(theirs.args) and ours.kwargs.keys() == theirs.kwargs.keys()
        given = [*zip(ours.args, theirs.args, types, strict=False)]
        given += [(ours.kwargs[name], theirs.kwargs.get(name), types_of_name(ours, name)) for name in ours.kwargs]
        if not same or not all(_agree(a, b, kind, batch, places, others) for a, b, kind in given):
            raise Unsupported(f"{describe(ours)}, which depends on the number of rows, or is another each time")


def _types(node: fx.Node) -> list[str]:
    schema = getattr(node.target, "_schema", None)
    known = [] if schema is None else [str(argument.type) for argument in schema.arguments]
    return [*known, *["Any"] * max(0, len(node.args) - len(known))]


def types_of_name(node: fx.Node, name: str) -> str:
    """Return the type of an argument that is given by name."""
    schema = getattr(node.target, "_schema", None)
    return next((str(argument.type) for argument in schema.arguments if argument.name == name), "Any") if schema else ""


def _agree(a: Any, b: Any, kind: str, batch: int, places: dict[fx.Node, int], others: dict[fx.Node, int]) -> bool:
    if isinstance(a, fx.Node) or isinstance(b, fx.Node):
        return isinstance(a, fx.Node) and isinstance(b, fx.Node) and places[a] == others[b]
    if isinstance(a, (list, tuple)):
        pairs = zip(a, b, strict=False) if isinstance(b, (list, tuple)) and len(a) == len(b) else None
        return pairs is not None and all(_agree(x, y, kind, batch, places, others) for x, y in pairs)
    if type(a) is int and type(b) is int and "int" in kind and "number" not in kind:
        return a == b or (a != 0 and a % BATCH == 0 and b == a // BATCH * batch)
    return type(a) is type(b) and (a == b or (a != a and b != b))


def _same_tensor(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return a is b
    return a.dtype is b.dtype and a.shape == b.shape and bool(torch.equal(a, b))
