"""Work that does not pass through the state, taken out of the loop over time: before it, or after it.

Inside the loop such work costs no more than outside when there are rows enough to fill the product's tiles, and then it
stays there: nothing passes through memory. With one row, a product in the loop is bound by reading the weights
again at every step. So a program has two forms, and the number of rows chooses. Sums are made in the same order in
both, to the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Program, Sink


@dataclass(frozen=True)
class Split:
    """A program in parts. `before` and `after` treat all steps of all rows at once."""

    before: Program | None
    """Its streams, from 1, are the core's inputs of the kind `early`."""
    core: Program
    after: Program | None
    """Its inputs of the kind `late` are streams of the core; it gives the stream 0."""
    early: tuple[Node, ...]
    late: tuple[tuple[int, Node], ...]
    """Streams of the core, `(index, node)`, that only `after` reads."""


def split(program: Program) -> Split | None:
    """Divide a program; none if nothing worth it can leave the loop."""
    roots = _separated([sink.node for sink in program.sinks])
    sinks = [Sink(sink.kind, sink.index, node) for sink, node in zip(program.sinks, roots, strict=True)]
    sinks, early = _take_before(sinks)
    sinks, after, late = _take_after(sinks)
    if not early and after is None:
        return None
    before = None
    if early:
        before = Program(tuple(Sink("stream", index + 1, node) for index, node in enumerate(early)), ())
    return Split(before, Program(tuple(sinks), program.carries), after, tuple(early), tuple(late))


def bound(roots: Sequence[Node]) -> set[Node]:
    """Return the nodes that must stay in the loop: they depend on a state, or on numbers drawn for a step."""
    found: set[Node] = set()
    for node in g.topological(roots):
        carried = node.op == "input" and node.attr[0] in ("state", "dstate")
        if carried or node.op == "random" or any(child in found for child in node.inputs):
            found.add(node)
    return found


def _separated(roots: Sequence[Node]) -> list[Node]:
    """Take sums of products apart where some of them are free of the state: those come first, as a start."""
    inside = bound(roots)

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = g.with_inputs(node, inputs)
        if node.op != "matmul" or node not in inside or len(node.shape) > 1:
            return new
        pairs = len(node.inputs) - node.attr[0]
        free = 0
        while free < pairs and node.inputs[free] not in inside:
            free += 2
        if not free:
            return new
        start = Node("matmul", (*inputs[:free], *inputs[pairs:]), node.shape, (node.attr[0],))
        return Node("accumulate", (*inputs[free:pairs], start), node.shape, (1,))

    return g.rebuild(roots, change)


def _has_product(node: Node, known: dict[Node, bool]) -> bool:
    if node not in known:
        for part in g.topological([node]):
            known[part] = part.op == "matmul" or any(known[child] for child in part.inputs)
    return known[node]


def _take_before(sinks: list[Sink]) -> tuple[list[Sink], list[Node]]:
    roots = [sink.node for sink in sinks]
    order, inside = g.topological(roots), bound(roots)
    heavy: dict[Node, bool] = {}
    frontier: list[Node] = []
    outputs = set(roots)
    for node in order:
        users = [node] if node in outputs else []
        for child in [*(node.inputs if node in inside else ()), *users]:
            if child not in inside and child.op not in g.SOURCES and _has_product(child, heavy):
                base = child
                while base.op in g.VIEWS:
                    base = base.inputs[0]
                if base not in frontier:
                    frontier.append(base)
    swapped = {node: Node("input", (), node.shape, ("early", index)) for index, node in enumerate(frontier)}
    return _replaced(sinks, swapped), frontier


def _take_after(sinks: list[Sink]) -> tuple[list[Sink], Program | None, list[tuple[int, Node]]]:
    last = next((sink for sink in sinks if sink.kind == "stream" and sink.index == 0), None)
    rest = [sink for sink in sinks if sink is not last]
    if last is None:
        return sinks, None, []
    needed = set(g.topological(sink.node for sink in rest))
    cone = g.topological([last.node])
    if not any(node.op == "matmul" and node not in needed for node in cone):
        return sinks, None, []
    if any(node.op in ("random", "accumulate") and node not in needed for node in cone):
        return sinks, None, []
    # where the cone meets what the loop computes anyway, or the state itself
    reached: set[Node] = set()
    border: list[Node] = []
    stack = [last.node]
    while stack:
        node = stack.pop()
        if node in reached or node.op in ("const", "scalar"):
            continue
        reached.add(node)
        carried = node.op == "input" and node.attr[0] in ("state", "dstate")
        computed = node in needed and node.op not in (*g.SOURCES, *g.VIEWS)
        if carried or computed:
            border.append(node)
        else:
            stack += node.inputs
    if any(node.boolean for node in border):
        return sinks, None, []
    given = {sink.node: sink.index for sink in rest if sink.kind == "stream"}
    free = 1 + max((sink.index for sink in sinks if sink.kind == "stream"), default=0)
    swapped, late = {}, []
    for node in border:
        if node not in given:
            given[node] = free
            rest.append(Sink("stream", free, node))
            late.append((free, node))
            free += 1
        swapped[node] = Node("input", (), node.shape, ("late", given[node]))
    final = _replaced([last], swapped)
    return rest, Program(tuple(final), ()), late


def _replaced(sinks: Sequence[Sink], swapped: dict[Node, Node]) -> list[Sink]:
    new: dict[Node, Node] = {}
    for node in g.topological(sink.node for sink in sinks):
        new[node] = swapped.get(node) or g.with_inputs(node, tuple(new[child] for child in node.inputs))
    return [Sink(sink.kind, sink.index, new[sink.node]) for sink in sinks]
