"""Linear recurrences cut into pieces that are walked at the same time: a parallel scan over the steps of one row.

Where every new state is `a * state + b`, element by element, the state after a piece is `A * start + B`. A first walk
over all pieces finds `A` and `B`, a short loop then every piece's start, and a second walk, by the very kernel that
would have walked the whole, does the work. The first walk is extra, so that two threads gain nothing by it, and
rounding differs from that of one walk from end to end: it is done only where it was asked for.

Source: G. Blelloch, "Prefix sums and their applications", CMU-CS-90-190, 1990; for recurrent networks E. Martin and
C. Cundy, "Parallelizing linear recurrent neural nets over sequence length", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Program, Sink

_wanted: ContextVar[bool] = ContextVar("parallel_in_time", default=False)


@contextmanager
def parallel_in_time(enabled: bool = True) -> Iterator[None]:
    """Let scans of one long sequence share its steps among threads, where the cell's recurrence is linear.

    Cells such as minGRU, minLSTM, LRU, RG-LRU or exponential smoothing are told by their graph; all others, batches of
    several rows, `lengths` and `resets` run as ever. Results are equal up to rounding, not bit by bit, and the first
    of two walks is extra work. It is for many threads: on two, a minGRU of 64 units takes 14 milliseconds over 100,000
    steps rather than 12.

    Args:
        enabled: whether scans within the `with` block may do so.

    >>> import torch, ostinato
    >>> cell = ostinato.cells.MinGRUCell(3, 5)
    >>> with ostinato.engine.parallel_in_time():
    ...     ys, last = ostinato.scan(cell, torch.randn(10_000, 1, 3))
    """
    token = _wanted.set(enabled)
    try:
        yield
    finally:
        _wanted.reset(token)


def is_wanted() -> bool:
    """Tell whether scans may be cut into pieces now."""
    return _wanted.get()


def is_linear(program: Program) -> bool:
    """Tell whether every new state is elementwise `a * state + b`, with `a` and `b` free of the state.

    minGRU, minLSTM, LRU, RG-LRU and exponential smoothing are; it is seen in the graph, not in a name.
    """
    order = g.topological(sink.node for sink in program.of("carry"))
    degree: dict[Node, int] = {}
    for node in order:
        degree[node] = _degree(node, [degree[child] for child in node.inputs])
    return all(degree[sink.node] <= 1 for sink in program.of("carry")) and any(degree.values())


def _degree(node: Node, inputs: list[int]) -> int:
    """Return 0 for what is free of the state, 1 for what is linear and elementwise in it, 2 for all else."""
    if node.op == "input":
        return int(node.attr[0] in ("state", "dstate"))
    if not any(inputs):
        return 0
    if node.op in ("add", "sub", "neg", "copy"):
        return max(inputs)
    if node.op == "mul" or (node.op == "div" and inputs[1] == 0):
        return sum(inputs) if sum(inputs) <= 1 else 2
    return 2


def ends_of(program: Program) -> Program:
    """Return the program that only moves the state on."""
    return Program(tuple(program.of("carry")), program.carries)


def factors_of(program: Program) -> Program:
    """Return the program that moves the state on without what is added: `state -> a * state`."""
    known: dict[Node, Node | None] = {}
    for node in g.topological(sink.node for sink in program.of("carry")):
        known[node] = _homogeneous(node, known)
    sinks = []
    for sink in program.of("carry"):
        part = known[sink.node]
        sinks.append(Sink("carry", sink.index, g.expand(g.scalar(0.0), sink.node.shape) if part is None else part))
    return Program(tuple(sinks), program.carries)


def _homogeneous(node: Node, known: dict[Node, Node | None]) -> Node | None:
    """Return the part of a value that is a multiple of the state, none if there is none."""
    if node.op == "input":
        return node if node.attr[0] in ("state", "dstate") else None
    parts = [known[child] for child in node.inputs]
    if all(part is None for part in parts):
        return None
    if node.op in ("neg", "copy"):
        return g.with_inputs(node, (parts[0],))  # type: ignore[arg-type]
    if node.op in ("mul", "div"):
        inputs = tuple(child if part is None else part for child, part in zip(node.inputs, parts, strict=True))
        return g.with_inputs(node, inputs)
    first, second = parts
    if first is not None and second is not None:
        return g.with_inputs(node, (first, second))
    if second is None:
        return first if first is None or first.shape == node.shape else g.expand(first, node.shape)
    part = g.pointwise("neg", second) if node.op == "sub" else second
    return part if part.shape == node.shape else g.expand(part, node.shape)
