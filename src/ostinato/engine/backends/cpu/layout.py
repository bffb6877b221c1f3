"""Where everything is: the argument block that a kernel is called with, and the scratch memory of a thread."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.engine.backends.cpu.gemm import packed_size, room_for
from ostinato.engine.backends.cpu.schedule import Product, Schedule
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.views import locate

ROW_TABLES = ("batch", "length", "start", "time", "position")
"""For each row of a thread: its place in the batch, its steps, its first position in streams, its time, its position
now. Whole numbers of 64 bits."""

HEADER = (
    "steps",
    "batch",
    "reverse",
    "order",
    "lengths",
    "starts",
    "stride",
    "scratch",
    "scratch_bytes",
    "seed",
    "resets",
    "chunk",
    "threads",
    "ticket",
    "ends",
)
"""First words of the argument block. `order` lists the rows by falling length, `lengths` their steps in that order and
`starts` their first positions in the streams (none: row `b` starts at `b`); `stride` is how far two steps of a row lie
apart in streams. `chunk` is how many rows a thread takes, or 0 to deal them in turn. `ticket` counts, from 0, the
shares of the rows that threads have taken on. `ends` is 0 if nobody reads where the carries end: the gradients of the
first states, whose products are the only ones of the last step backward that make nothing else."""


@dataclass(frozen=True)
class Layout:
    """Word numbers of the argument block and element offsets of scratch memory."""

    width: int
    element_bytes: int
    views: dict[tuple[str, int], int]
    """Tensors of the caller, `(pointer, time stride, batch stride)`: by kind and index."""
    streams: dict[tuple[str, int], int]
    """Streams of our own, `(pointer,)`: by kind and index."""
    carries: tuple[int, ...]
    """`(pointer to the start, pointer for the end, pointer for what resets cut off)` for each carry."""
    totals: dict[int, int]
    constants: dict[int, int]
    panels: dict[tuple[Node, int], int]
    """`(pointer,)` to the packed weights of a product's pair."""
    words: int
    rows: dict[Node | tuple[str, int], int]
    """Element offset of a buffer within the scratch of one row; buffers lie one after the other, rows inside."""
    row_elements: int
    biases: dict[Node, int]
    """Element offset of a product's starting values in the scratch that a thread has once."""
    fixed_elements: int
    strides: dict[Node | tuple[str, int], int]
    """How many elements two rows of a buffer lie apart."""
    products: str
    """What products of matrices are made of, see `Target.products`."""

    def packed_size(self, depth: int, cols: int) -> int:
        """Return how many numbers of memory packed weights `(depth, cols)` take."""
        return packed_size(depth, cols, self.width, self.products)

    def scratch_bytes(self, rows: int) -> int:
        """Return how much scratch memory a thread needs for its rows."""
        padded = padded_rows(rows)
        tables = 8 * len(ROW_TABLES) * padded
        return tables + self.element_bytes * (self.fixed_elements + padded * self.row_elements) + 64


def padded_rows(rows: int) -> int:
    """Return the rows that scratch memory is laid out for: tables stay aligned to 64 bytes."""
    return -(-rows // 8) * 8


def round_up(count: int, width: int) -> int:
    """Return the next multiple."""
    return -(-count // width) * width


PAIRS = ("pairs", 0)
"""The buffer of rows that are rounded for a product."""


def make_layout(schedule: Schedule, width: int, element_bytes: int, products: str = "full") -> Layout:
    """Lay out a schedule's arguments and scratch memory, with a buffer for `PAIRS` if products are made of such."""
    program = schedule.program
    word = len(HEADER)
    views, streams, totals, constants = {}, {}, {}, {}
    for kind in ("x", "dy"):
        for index in program.inputs(kind):
            views[kind, index] = word
            word += 3
    for kind in ("saved", "early", "late"):
        for index in program.inputs(kind):
            streams[kind, index] = word
            word += 1
    for sink in program.of("stream"):
        if sink.index == 0:
            views["out", 0] = word
            word += 3
        else:
            streams["out", sink.index] = word
            word += 1
    carries = []
    for _ in program.carries:
        carries.append(word)
        word += 3
    for sink in program.of("total"):
        totals[sink.index] = word
        word += 1
    for index in sorted(constant_indices(schedule)):
        constants[index] = word
        word += 1
    panels: dict[tuple[Node, int], int] = {}
    for product in all_products(schedule):
        for pair in range(len(product.operands)):
            panels[product.node, pair] = word
            word += 1
    rows: dict[Node | tuple[str, int], int] = {}
    strides: dict[Node | tuple[str, int], int] = {}
    row_elements = 0
    buffers: list[tuple[Node | tuple[str, int], int]] = [
        (node, node.size + (width if node.op in g.PRODUCTS and len(node.shape) == 2 else 0))
        for node in schedule.scratch
    ]
    for index, shape in enumerate(program.carries):
        size = 1
        for extent in shape:
            size *= extent
        buffers += [(("carry", 2 * index), size), (("carry", 2 * index + 1), size)]
    if products.startswith("bfloat16") and (
        depths := [depth for product in all_products(schedule) for depth in product.depths]
    ):
        buffers.append((PAIRS, max(room_for(depth, width) for depth in depths)))
    for key, size in buffers:
        rows[key], strides[key] = row_elements, max(width, round_up(size, width))
        row_elements += strides[key]
    biases, fixed = {}, 0
    for product in all_products(schedule):
        if product.node.op == "matmul" and product.node.attr[0]:
            biases[product.node] = fixed
            fixed += round_up(product.node.size, width) + width
    fixed = round_up(fixed, max(1, 64 // element_bytes))
    return Layout(
        width, element_bytes, views, streams, tuple(carries), totals, constants, panels, word, rows, row_elements,
        biases, fixed, strides, products,
    )  # fmt: skip


def all_products(schedule: Schedule) -> list[Product]:
    """Return the products of all stages."""
    return [product for stage in schedule.products for product in stage]


def constant_indices(schedule: Schedule) -> set[int]:
    """Return the constants that a kernel reads itself; weights of products it sees only packed."""
    found: set[int] = set()
    for node in g.topological(sink.node for sink in schedule.program.sinks):
        pairs = len(node.inputs) - node.attr[0] if node.op in g.PRODUCTS else 0
        for place, child in enumerate(node.inputs):
            if place < pairs:
                continue
            if node.op not in g.VIEWS and (base := locate(child).base).op == "const":
                found.add(base.attr[0])
    return found
