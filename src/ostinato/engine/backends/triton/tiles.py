"""How a batch and the columns of its values are dealt to programs, and when they do not fit.

A small batch has a row a program, or a row of a few programs, with all weights in registers of their threads, which
multiply and sum by themselves: tensor cores would have 15 rows of 16 empty. Other batches have tiles of 16 or 32 rows
for tensor cores, with one program for all columns or with several that meet at barriers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Unsupported
from ostinato.engine.plan.views import locate

if TYPE_CHECKING:
    from ostinato.engine.backends.triton.phases import Phases

LEAST = 16
"""Rows and columns of a tile at least: what tensor cores take."""
_WIDEST_PART = 128


@dataclass(frozen=True)
class Tiling:
    """Programs of one tile of rows, and what each has."""

    rows: int
    columns: int
    """Programs that share the columns of a tile of rows."""
    warps: int
    """Groups of 32 threads of a program."""

    @property
    def marked(self) -> bool:
        """Whether programs pass numbers on with marks: where each reads few; else they meet at a barrier."""
        return self.columns > 1 and self.rows < LEAST

    def block(self, size: int) -> int:
        """Return how many columns of a value a program has."""
        return block_of(size, self.columns)


def block_of(size: int, columns: int) -> int:
    """Return how many columns of a value each of so many programs has."""
    return 1 if size == 1 else padded(-(-size // columns), LEAST if columns == 1 else LEAST // 2)


def padded(size: int, least: int = LEAST) -> int:
    """Return the next power of two, as sizes of tiles must be."""
    return max(least, 1 << max(0, size - 1).bit_length())


def chunks(depth: int) -> list[tuple[int, int]]:
    """Return a row in parts that are powers of two, `(start, width)`, with little that is empty.

    No part is wide: every thread has all columns of an operand's rows, and would run out of registers.
    """
    parts, start = [], 0
    while start < depth:
        rest = depth - start
        width = min(padded(rest), _WIDEST_PART)
        if width - rest > max(LEAST, rest // 8) and rest > 2 * LEAST:
            width //= 2
        parts.append((start, width))
        start += width
    return parts


@dataclass(frozen=True)
class Limits:
    """What a device has."""

    programs: int
    """That run at the same time, one on each multiprocessor."""
    memory: int
    """Bytes of shared memory that a program may have."""

    @staticmethod
    def of(device: torch.device) -> Limits:
        """Return the limits of a device; those of an H100 where Triton interprets."""
        return _limits(device.index if device.type == "cuda" else None, device.type)


@cache
def _limits(index: int | None, kind: str) -> Limits:
    if kind != "cuda":
        return Limits(132, 232_448)
    properties = torch.cuda.get_device_properties(index or 0)
    memory = getattr(properties, "shared_memory_per_block_optin", 101_376)
    return Limits(properties.multi_processor_count, memory)


_FOR_THE_REST = 16_384
"""Bytes of shared memory that are left for passing tiles between threads."""
_LARGEST_TILE = 8192
"""Numbers of one value that a program holds in registers at most."""
_ALONE = 128
"""Columns of a product up to which one program does better than several that wait for one another."""
_BLOCKS = (8, 16, 32, 64)
"""Columns of a product that one of several programs has."""
_ROWS = (16, 32)  # of more, a program keeps its values in memory rather than in registers
_WARPS = 4
"""Groups of 32 threads of a program. More hide no latency: what takes the time of a step is one thing after another (an
LSTM of 64 units in bfloat16 on an H100, forward and backward: 6.7 microseconds a step with 4, 8.1 with 8, 10.2 with
32)."""


def tilings(phases: Phases, batch: int, bytes_each: int, limits: Limits) -> list[Tiling]:
    """Return the tilings that should fit a batch, the best first.

    First a row for each program, or for several that share its columns, if their threads hold all weights. Else tiles
    of rows for tensor cores: one program has all columns where the weights fit; else as many share them as can be on
    the device with those of all other tiles, each with few columns.

    Raises:
        Unsupported: none fits.
    """
    wide = _widest(phases)
    columns = [1] if wide <= _ALONE else []
    columns += [count for count in (-(-wide // block) for block in _BLOCKS) if 1 < count <= limits.programs]
    found = [
        tiling
        for tiling in (Tiling(rows, count, _WARPS) for count in columns for rows in _ROWS)
        if fits(phases, tiling, bytes_each, limits)
    ]
    if not found:
        raise Unsupported(_why_not(phases, bytes_each, limits))

    def rounds(tiling: Tiling) -> int:
        """Return how often the device is filled, programs of a tile being there together."""
        at_once = max(1, limits.programs // tiling.columns)
        return math.ceil(math.ceil(batch / tiling.rows) / at_once)

    found.sort(key=lambda tiling: (tiling.columns > 1, rounds(tiling)))
    alone = in_threads(phases, batch, bytes_each, limits)
    return found if alone is None else [alone, *found]


_MOST_WEIGHTS = 144
"""Weights that a thread has in registers at most."""
_ROUNDS_ALONE = 4
"""How often the device may be filled by programs of one row; with more, tensor cores do the rows of a tile sooner."""


def in_threads(phases: Phases, batch: int, bytes_each: int, limits: Limits) -> Tiling | None:
    """Return a tiling of one row a program, or a row of several, if all weights fit into registers of threads.

    Only where all products are of the same rows, and neighbouring columns of the weights lie together: else Triton
    (3.6) lays some out so that each number of them is summed over all threads.
    """
    products = [node for node in _computed(phases) if node.op == "matmul"]
    rows = {tuple(node.inputs[: len(node.inputs) - node.attr[0] : 2]) for node in products}
    if len(rows) > 1 or len({node.shape for node in products}) > 1 or any(len(node.shape) > 1 for node in products):
        return None
    matrices = [locate(matrix) for node in products for matrix in node.inputs[1 : len(node.inputs) - node.attr[0] : 2]]
    if any(view.strides[-1] != 1 for view in matrices):
        return None
    each, columns = _MOST_WEIGHTS // max(1, bytes_each // 4), 1
    while columns == 1 or (columns * batch <= limits.programs and columns * LEAST <= 2 * _widest(phases)):
        for warps in (4, 8) if batch <= _ROUNDS_ALONE * limits.programs else ():
            tiling = Tiling(1, columns, warps)
            weights = sum(padded(depth) * (1 if size == 1 else tiling.block(size)) for depth, size in _products(phases))
            if weights <= 32 * warps * each:
                return tiling
        columns *= 2
    return None


def fits(phases: Phases, tiling: Tiling, bytes_each: int, limits: Limits) -> bool:
    """Tell whether a program has the memory and the registers for its part."""
    operands = tiling.rows * max((depth for depth, _ in _products(phases)), default=0) * bytes_each
    memory = weight_bytes(phases, tiling, bytes_each) + operands + _FOR_THE_REST
    return memory <= limits.memory and largest_tile(phases, tiling) <= _LARGEST_TILE


def _why_not(phases: Phases, bytes_each: int, limits: Limits) -> str:
    weights = sum(depth * columns for depth, columns in _products(phases)) * bytes_each
    return (
        f"a step of {weights:,} bytes of weights and values of {_widest(phases):,} numbers: no part of it fits the "
        f"{limits.memory:,} bytes of shared memory and {_LARGEST_TILE:,} numbers of a tile that one of "
        f"{limits.programs} programs has"
    )


def weight_bytes(phases: Phases, tiling: Tiling, bytes_each: int) -> int:
    """Return the memory that one program's part of all weights takes."""
    return sum(
        sum(width for _, width in chunks(depth)) * tiling.block(columns) * bytes_each
        for depth, columns in _products(phases)
    )


def largest_tile(phases: Phases, tiling: Tiling) -> int:
    """Return the numbers of the largest value that a program holds at once."""
    sizes = [tiling.block(node.size) for node in _computed(phases)]
    sizes += [
        tiling.block(node.size) * padded(node.inputs[0].shape[-1], 1)
        for node in _computed(phases)
        if node.op in g.REDUCTIONS and node.size > 1
    ]
    return tiling.rows * max(sizes, default=1)


def _products(phases: Phases) -> list[tuple[int, int]]:
    """Return the weights that stay with a program, `(rows, columns)` each."""
    found = []
    for node in _computed(phases):
        if node.op == "matmul" and len(node.shape) == 1:
            pairs = len(node.inputs) - node.attr[0]
            found += [(matrix.shape[0], node.size) for matrix in node.inputs[1:pairs:2]]
    return found


def _widest(phases: Phases) -> int:
    """Return the columns of the widest product, or of the widest value where there is none."""
    widths = [columns for _, columns in _products(phases)] or [node.size for node in _computed(phases)]
    return max(widths, default=1)


def _computed(phases: Phases) -> list[Node]:
    return [node for nodes in phases.nodes for node in nodes]
