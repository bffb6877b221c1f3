"""Whether a plan, made of a trace with a batch of no real size, is right for a batch of the size that there is.

Where the cell's code may compute with the number of its rows, or runs code of other libraries, the step is traced again
with as many rows as there are. Mostly the two traces are the same operations. PyTorch takes some operations apart
differently where a size is one; then both are run on random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ostinato.engine.capture import BATCH, Captured
from ostinato.engine.convert import describe
from ostinato.engine.executable import Executable
from ostinato.engine.graph import Unsupported

_SAMPLES = 3


def check_agreement(executable: Executable, true: Captured, tensors: Sequence[Tensor], batch: int) -> None:
    """Compare a plan with a trace of as many rows as there are.

    Raises:
        Unsupported: they differ, so the cell computes with the size of its batch, or with something else that is
            different each time.
    """
    try:
        _check_operations(executable.plan.captured, true, batch)
    except Unsupported:
        if executable.is_random or not all(_numbers_agree(executable, true, tensors) for _ in range(_SAMPLES)):
            raise


def _numbers_agree(executable: Executable, true: Captured, tensors: Sequence[Tensor]) -> bool:
    """Run one step of the plan, and the trace, on the same random numbers."""
    signature, generator = true.signature, torch.Generator().manual_seed(0)
    given = [node.meta["val"] for node in true.graph.graph.nodes if node.op == "placeholder"]

    def drawn(like: Tensor) -> Tensor:
        return torch.randn(like.shape, dtype=like.dtype, generator=generator) * 0.7

    count = len(signature.parameters)
    # buffers of whole numbers have values that mean something
    values = [tensor.detach() if not tensor.is_floating_point() else drawn(tensor) for tensor in tensors]
    rest = [drawn(like) for like in given[count:]]
    x, state, tangents = rest[0], rest[1 : 1 + signature.states], rest[1 + signature.states :]
    with torch.no_grad():
        interpreter: Any = fx.Interpreter(true.graph)
        results = interpreter.run(*values, *rest, enable_io_processing=False)
        theirs = torch.utils._pytree.tree_leaves(results, is_leaf=lambda leaf: leaf is None)
        ours = _step_of(executable, values, x, state, tangents)
    return len(ours) == len(theirs) and all(_close(a, b) for a, b in zip(ours, theirs, strict=True))


def _step_of(
    executable: Executable, values: Sequence[Tensor], x: Tensor, state: Sequence[Tensor], tangents: Sequence[Tensor]
) -> list[Tensor | None]:
    """Run one step of a plan: the output, the new states and, if the plan has them, the gradients that are wanted."""
    if executable.half:
        x, state, tangents = x.bfloat16(), [leaf.bfloat16() for leaf in state], [leaf.bfloat16() for leaf in tangents]
    call = executable.call(x[None], state, None, None, False, 0, executable.rows(values))
    backward = executable.plan.backward is not None
    y, last, saved = executable.forward(values, call, save=backward)
    if not backward:
        return [y[0], *last]
    weights, dx, dstate = executable.backward(values, call, saved, tangents[0][None], tangents[1:])
    gradients = [*weights, None if dx is None else dx[0], *dstate]
    wanted = executable.plan.captured.signature.gradients
    return [y[0], *last, *(one if needed else None for one, needed in zip(gradients, wanted, strict=True))]


def _close(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return all(one is None or not bool(one.any()) for one in (a, b))
    error = {torch.float64: 1e-9, torch.float32: 1e-3}.get(a.dtype, 0.05)
    return torch.allclose(a, b.to(a.dtype).expand_as(a), rtol=error, atol=error, equal_nan=True)


def _check_operations(wide: Captured, true: Captured, batch: int) -> None:
    """Compare two traces, operation by operation.

    Sizes of tensors may be multiples of the batch; no number that is computed with may depend on it.
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
