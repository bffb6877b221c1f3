"""The order of a step on a GPU: phases, the next of which reads what all programs have written in the one before.

The columns of every value are dealt to `columns` programs, each of which keeps its own in registers. What needs all of
them, an operand of a product or the sum of a row, is written to memory that all see, and is read in the next phase:
each word when it has come, or all behind a barrier (see `words`). One program alone has nearly always one phase, and
waits for nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ostinato.engine.backends.triton import moments
from ostinato.engine.backends.triton.prepare import Prepared
from ostinato.engine.backends.triton.reads import REDUCTIONS, Read, in_tiles, is_state, operands_of, read_of, reads_of
from ostinato.engine.backends.triton.tiles import block_of
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Sink
from ostinato.engine.plan.views import contiguous

_TOGETHER = 4
"""Numbers that a thread reads at once at most: slots begin at multiples of it."""
MEMORIES = ("values", "operands", "words")
"""What passes values on: one program's own; operands of products, in their precision; what other programs read.

Where several programs share one row, operands and words are packed with the step that they belong to: see `words`.
"""


@dataclass(frozen=True)
class Slot:
    """Memory that programs, or phases, pass a value through: `size` numbers a row, for even and for odd steps."""

    size: int
    start: int
    """Numbers for each row that lie before it."""
    memory: str
    """Which of `MEMORIES` it lies in."""


@dataclass
class Phases:
    """A step in order."""

    prepared: Prepared
    columns: int
    nodes: list[list[Node]]
    """What is computed in each phase."""
    sinks: list[list[Sink]]
    """What is stored or carried on in each phase."""
    slots: dict[tuple[Node, str], Slot] = field(default_factory=dict)
    """By value, and `value` (read by others), `operand` (of a product), `partial` (of a reduction) or `kept` (for a
    later phase of the same program, if each is a launch of its own)."""
    phase: dict[Node, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEMORIES, 0))
    """Numbers for each row, by memory."""

    @property
    def count(self) -> int:
        """How many phases a step has."""
        return len(self.nodes)

    @property
    def waits_after_step(self) -> bool:
        """Whether a step reads, in memory, what the one before has written there."""
        return any(is_state(node) and kind != "kept" for node, kind in self.slots)

    @property
    def in_step(self) -> bool:
        """Whether each program reads at each step something of every other one, so that none falls two steps behind.

        If not, memory for even and for odd steps is too little: somebody could still need what is overwritten.
        """
        if any(kind == "partial" for _, kind in self.slots):
            return True
        products = [node for nodes in self.nodes for node in nodes if node.op == "matmul" and not by_heads(node)]
        reads = [operand_read(read, self.columns) for node in products for read, _ in operands_of(node)]
        return any(
            read.kind == "shared"
            and read.base.size == math.prod(read.shape)
            and -(-read.base.size // block_of(read.base.size, self.columns)) == self.columns
            for read in reads
        )


def is_partial(node: Node, columns: int) -> bool:
    """Tell whether a reduction is made of what several programs have."""
    return columns > 1 and is_row_reduction(node) and node.inputs[0].size > 1


def is_row_reduction(node: Node) -> bool:
    """Tell whether a reduction takes a whole row into one number."""
    return node.op in REDUCTIONS and node.size == 1


def by_heads(node: Node) -> bool:
    """Tell whether a product has several blocks of weights."""
    return node.op == "matmul" and len(node.shape) > 1


def operand_read(read: Read, columns: int) -> Read:
    """Return how a product reads a row: a program that has only some columns finds the others in memory."""
    if read.kind == "register" and columns > 1:
        return Read("shared", read.base, 0, contiguous(read.shape), read.shape)
    return read


def gathered_read(read: Read) -> Read:
    """Return how a reduction reads rows of rows: not from its tile, which has them all in one."""
    if read.kind == "register":
        return Read("shared", read.base, 0, read.strides, read.shape)
    return read


def all_reads(node: Node, columns: int) -> Iterator[tuple[Read, str]]:
    """Return all that a value reads, and as what."""
    gathers = node.op in REDUCTIONS and not is_row_reduction(node)
    for read in reads_of(node):
        yield (gathered_read(read) if gathers else read), "value"
    if node.op == "matmul":
        for read, _ in operands_of(node):
            yield operand_read(read, 2 if by_heads(node) else columns), "operand"


def sink_reads(sink: Sink) -> list[tuple[Read, int]]:
    """Return what is stored for a sink, each with its place in it."""
    if sink.kind == "stream" and sink.node.op == "cat":
        return [
            (read_of(part, part.shape), start) for part, start in zip(sink.node.inputs, sink.node.attr[0], strict=True)
        ]
    return [(read_of(sink.node, sink.node.shape), 0)]


def order(prepared: Prepared, columns: int) -> Phases:
    """Divide a step into phases for so many programs."""
    if columns > 1:
        nodes = moments.find([sink.node for sink in prepared.sinks])
        sinks = tuple(replace(sink, node=node) for sink, node in zip(prepared.sinks, nodes, strict=True))
        prepared = replace(prepared, sinks=sinks)
    known = g.topological(sink.node for sink in prepared.sinks)
    needed = [node for node in known if (in_tiles(node) or node.op == "cat") and not is_state(node)]
    phases = Phases(prepared, columns, [], [])
    used = _used(prepared, needed, columns)
    for node in needed:
        if node in used:
            latest = max((_after(phases, read) for read, _ in all_reads(node, columns)), default=0)
            phases.phase[node] = latest + is_partial(node, columns)
    stores = [max(_after(phases, read) for read, _ in sink_reads(sink)) for sink in prepared.sinks]
    count = 1 + max([*phases.phase.values(), *stores], default=0)
    phases.nodes = [[node for node in needed if phases.phase.get(node) == number] for number in range(count)]
    phases.sinks = [
        [sink for sink, store in zip(prepared.sinks, stores, strict=True) if store == number] for number in range(count)
    ]
    _allocate(phases)
    return phases


def _used(prepared: Prepared, needed: list[Node], columns: int) -> set[Node]:
    """Return the values that somebody reads; a concatenation whose parts are stored apart is read by nobody."""
    used: set[Node] = set()
    for sink in prepared.sinks:
        used |= {read.base for read, _ in sink_reads(sink)}
    for node in reversed(needed):
        if node in used:
            used |= {read.base for read, _ in all_reads(node, columns)}
    return used


def _after(phases: Phases, read: Read) -> int:
    if read.kind in ("number", "memory") or is_state(read.base):
        return 0
    return phases.phase[read.base] + (read.kind == "shared")


def _allocate(phases: Phases) -> None:
    for index, shape in enumerate(phases.prepared.carries):
        _slot(phases, _state(phases, index, shape), "kept")
    for number in range(phases.count):
        for node in phases.nodes[number]:
            if is_partial(node, phases.columns):
                _slot(phases, node, "partial")
            for read, purpose in all_reads(node, phases.columns):
                _pass_on(phases, read, purpose, number - is_partial(node, phases.columns))
        for sink in phases.sinks[number]:
            for read, _ in sink_reads(sink):
                _pass_on(phases, read, "value", number)


def _pass_on(phases: Phases, read: Read, purpose: str, number: int) -> None:
    if read.kind == "shared":
        _slot(phases, read.base, purpose)
    elif read.kind == "register" and not is_state(read.base) and phases.phase[read.base] < number:
        _slot(phases, read.base, "kept")


def _state(phases: Phases, index: int, shape: g.Shape) -> Node:
    """Return the node of a state, made if the program does not read it."""
    for node in g.topological(sink.node for sink in phases.prepared.sinks):
        if is_state(node) and node.attr[1] == index:
            return node
    return Node("input", (), shape, ("state", index))


def _slot(phases: Phases, node: Node, purpose: str) -> None:
    if (node, purpose) in phases.slots:
        return
    shared = phases.columns > 1 and purpose != "kept"
    memory = "operands" if purpose == "operand" else ("words" if shared else "values")
    size = phases.columns if purpose == "partial" else node.size
    if shared and purpose != "partial" and node.size > 1 and not by_heads(node):
        size = phases.columns * block_of(size, phases.columns)  # programs pass on what they have, unmasked
    phases.slots[node, purpose] = Slot(size, phases.sizes[memory], memory)
    phases.sizes[memory] += -(-size // _TOGETHER) * _TOGETHER


def state_slots(phases: Phases, index: int) -> list[Slot]:
    """Return where a state is passed from step to step in memory."""
    return [slot for (node, _), slot in phases.slots.items() if is_state(node) and node.attr[1] == index]
