"""The order of a step on a CPU: products between regions, and in a region what is done row by row.

A step is `region 0, products 1, region 1, products 2, region 2, ...`. A product needs its input for all rows of the
thread, and reads each panel of weights once for them; a region does all its pointwise work and sums for one row before
it goes to the next, so that what passes between its nests stays in the first-level cache.

A region is a list of nests; a nest is one loop over the features of a row in which values pass in registers. What is
used under another shape, from another nest or by a product is stored in scratch memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Shape
from ostinato.engine.plan.plan import Program, Sink
from ostinato.engine.plan.rewrite import share
from ostinato.engine.plan.views import View, locate, needs_copy


@dataclass(frozen=True)
class Store:
    """Where a nest puts a value: at `offset` in a row of `size` numbers of scratch, a stream, a carry or a total."""

    kind: Literal["scratch", "stream", "carry", "total"]
    target: Node | int
    size: int
    offset: int = 0


@dataclass(eq=False)
class Nest:
    """One loop over `shape`: the nodes in order, all of that shape, and reductions over its last axis."""

    shape: Shape
    nodes: list[Node] = field(default_factory=list)
    reductions: list[Node] = field(default_factory=list)


@dataclass
class Region:
    """What is done for one row after another."""

    nests: list[Nest] = field(default_factory=list)


@dataclass(frozen=True)
class Product:
    """One product: `node` is a `matmul` or `accumulate`; the views of its row operands, dense in scratch memory."""

    node: Node
    operands: tuple[View, ...]

    @property
    def heads(self) -> int:
        """How many independent blocks the weights have."""
        return self.node.shape[0] if len(self.node.shape) == 2 else 1

    @property
    def depths(self) -> tuple[int, ...]:
        """How many numbers of a row each pair sums over."""
        return tuple(self.node.inputs[2 * pair].shape[-1] for pair in range(len(self.operands)))


@dataclass
class Schedule:
    """A step in order: `regions[i]` follows `products[i]`."""

    program: Program
    regions: list[Region]
    products: list[list[Product]]
    stores: dict[Node, list[Store]]
    scratch: list[Node]
    """Nodes that have a row of scratch memory for each row of the batch."""

    @property
    def for_ends(self) -> frozenset[Node]:
        """Return the nodes that make carries and nothing else: those of the last step are for the carries' ends."""
        sinks = self.program.sinks
        other = set(g.topological(sink.node for sink in sinks if sink.kind != "carry"))
        return frozenset(g.topological(sink.node for sink in sinks if sink.kind == "carry")) - other


def is_dense(node: Node) -> bool:
    """Tell whether a product can read a row operand where it lies: in scratch memory, each block contiguous."""
    view = locate(node)
    resident = view.base.op not in g.SOURCES or (view.base.op == "input" and view.base.attr[0] in ("state", "dstate"))
    return resident and (view.strides[-1] == 1 or node.shape[-1] == 1)


def prepare(program: Program) -> Program:
    """Put copies where a value must lie in memory in order: under odd reshapes, before products, in each sink."""

    def change(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = g.with_inputs(node, inputs)
        if new.op == "reshape" and needs_copy(new):
            return g.reshape(_copy(new.inputs[0]), new.shape)
        if new.op in g.PRODUCTS:
            pairs = len(inputs) - new.attr[0]
            dense = [
                _copy(child) if index < pairs and index % 2 == 0 and not is_dense(child) else child
                for index, child in enumerate(inputs)
            ]
            if new.op == "accumulate":
                # a copy of its own: the products are added to it where it lies
                dense[-1] = _copy(dense[-1])
            return g.with_inputs(new, tuple(dense))
        if new.op == "cat":
            return g.with_inputs(new, tuple(_copy(child) if child.op == "cat" else _stored(child) for child in inputs))
        return new

    nodes = g.rebuild([sink.node for sink in program.sinks], change)
    sinks = [Sink(sink.kind, sink.index, _stored(node)) for sink, node in zip(program.sinks, nodes, strict=True)]
    final = share([sink.node for sink in sinks])
    return Program(
        tuple(Sink(sink.kind, sink.index, node) for sink, node in zip(sinks, final, strict=True)), program.carries
    )


def _copy(node: Node) -> Node:
    return Node("copy", (node,), node.shape, (), node.boolean)


def _stored(node: Node) -> Node:
    """Return a node that a nest computes and can store anywhere: pointwise, a float."""
    if node.boolean:
        return Node("to_float", (node,), node.shape)
    if node.op == "reshape" and node.inputs[0].op == "cat":
        return node.inputs[0]
    return node if node.op == "cat" or (node.op in g.POINTWISE and node.op != "random") else _copy(node)


def schedule(program: Program) -> Schedule:
    """Order a program for a CPU."""
    program = prepare(program)
    order = g.topological(sink.node for sink in program.sinks)
    stage = _stages(order)
    _delay(order, stage, {sink.node for sink in program.sinks})
    level = _levels(order, stage)
    count = max(stage.values(), default=0) + 1
    regions = [Region() for _ in range(count)]
    products: list[list[Product]] = [[] for _ in range(count)]
    nests: dict[tuple[int, int, Shape], Nest] = {}
    for node in sorted((node for node in order if _in_nest(node)), key=lambda node: (stage[node], level[node])):
        shape = node.inputs[0].shape if node.op in g.REDUCTIONS else node.shape
        key = (stage[node], level[node], shape)
        if key not in nests:
            nests[key] = Nest(shape)
            regions[stage[node]].nests.append(nests[key])
        (nests[key].reductions if node.op in g.REDUCTIONS else nests[key].nodes).append(node)
    for node in order:
        if node.op in g.PRODUCTS:
            pairs = len(node.inputs) - node.attr[0]
            views = tuple(locate(child) for child in node.inputs[:pairs:2])
            products[stage[node]].append(Product(node, views))
    stores, scratch = _stores(program, order, nests)
    return Schedule(program, regions, products, stores, scratch)


def _in_nest(node: Node) -> bool:
    return node.op in g.POINTWISE or node.op in g.REDUCTIONS


def _stages(order: list[Node]) -> dict[Node, int]:
    stage: dict[Node, int] = {}
    for node in order:
        before = max((stage[child] for child in node.inputs), default=0)
        stage[node] = before + 1 if node.op in g.PRODUCTS else before
    return stage


def _delay(order: list[Node], stage: dict[Node, int], sinks: set[Node]) -> None:
    """Move pointwise work to the region that first needs it, where it passes in registers instead of memory."""
    uses = g.users(order)
    for node in reversed(order):
        if node in sinks or not uses[node] or node.op in (*g.SOURCES, *g.PRODUCTS):
            continue
        stage[node] = min(stage[user] - (user.op in g.PRODUCTS) for user in uses[node])


def in_register(user: Node, child: Node) -> bool:
    """Tell whether a user takes a value from the nest that computes it: same shape, no view between."""
    shape = user.inputs[0].shape if user.op in g.REDUCTIONS else user.shape
    return child.op in g.POINTWISE and child.shape == shape


def _levels(order: list[Node], stage: dict[Node, int]) -> dict[Node, int]:
    """Return the nest of its region that a node belongs to; what lies in memory before the region is at -1."""
    level: dict[Node, int] = {}
    for node in order:
        ready = [-1 if stage[child] != stage[node] else level[child] for child in node.inputs]
        if not _in_nest(node):
            level[node] = -1 if node.op in (*g.SOURCES, *g.PRODUCTS) else max(ready, default=-1)
            continue
        fused = [in_register(node, child) and place >= 0 for child, place in zip(node.inputs, ready, strict=True)]
        level[node] = max((place + (not same) for place, same in zip(ready, fused, strict=True)), default=0)
    return level


def _stores(
    program: Program, order: list[Node], nests: dict[tuple[int, int, Shape], Nest]
) -> tuple[dict[Node, list[Store]], list[Node]]:
    home = {node: nest for nest in nests.values() for node in [*nest.nodes, *nest.reductions]}
    stores: dict[Node, list[Store]] = {}
    scratch: list[Node] = []

    def keep(node: Node) -> None:
        if node not in scratch:
            scratch.append(node)
            if _in_nest(node):
                stores.setdefault(node, []).append(Store("scratch", node, node.size))

    for node in order:
        if node.op in g.PRODUCTS:
            keep(node)
        if node.op == "accumulate":
            stores.setdefault(node.inputs[-1], []).append(Store("scratch", node, node.size))
        if node.op == "cat":
            continue
        for child in node.inputs[: -1 if node.op == "accumulate" else None]:
            base = locate(child).base if not needs_copy(child) else child
            fused = _in_nest(node) and in_register(node, child) and home.get(child) is home[node]
            if node.op not in g.VIEWS and not fused and base.op not in g.SOURCES:
                keep(base)
    places: list[tuple[Node, Store]] = [
        (node, Store("scratch", node, node.size)) for node in scratch if node.op == "cat"
    ]
    places += [(sink.node, Store(sink.kind, sink.index, sink.node.size)) for sink in program.sinks]  # type: ignore[arg-type]
    for node, store in places:
        # the parts of a concatenation go straight to their places in it
        parts = list(zip(node.inputs, node.attr[0], strict=True)) if node.op == "cat" else [(node, 0)]
        for part, start in parts:
            stores.setdefault(part, []).append(replace(store, offset=start))
    return stores, scratch
