"""Products of a few rows by a packed matrix of weights: the part of a step that costs.

The kernels are the same for every cell. Sums run in the order of the index, one fused multiply-add after the other for
each output, whatever the number of rows and wherever a row stands in its tile: a row gives the same bits alone as in a
batch.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value

PANEL_VECTORS = 4
START_FROM_ZERO, ACCUMULATE, START_FROM_INIT = 0, 1, 2
_LARGEST_TILE = 8

_i64 = ir.IntType(64)


def packed_size(depth: int, cols: int, width: int) -> int:
    """Return how many numbers a packed `(depth, cols)` matrix takes."""
    return depth * -(-cols // width) * width


def gemm_type() -> Any:
    """Return the type of `gemm(rows, depth, cols, a, a_row_stride, panels, init, out, out_row_stride, mode)`."""
    pointer = ir.PointerType()
    return ir.FunctionType(ir.VoidType(), [_i64, _i64, _i64, pointer, _i64, pointer, pointer, pointer, _i64, _i64])


def define_gemm(module: ir.Module, name: str, dtype: DType, width: int, registers: int, *, fused: bool = True) -> Any:
    """Add the product to a module: `out[r, c] = start + sum over k of a[r, k] w[k, c]`.

    `cols` are rounded up to whole vectors: `out` has room for them and the panels hold zeros there. It starts from
    zero, from what `out` holds, or from `init[c]`. Strides are in numbers.
    """
    function = ir.Function(module, gemm_type(), name)
    rows, depth, cols, a, a_stride, panels, init, out, out_stride, mode = function.args
    code = Code(ir.IRBuilder(function.append_basic_block("entry")))
    lanes = Lanes(code.builder, dtype, width)
    tile = _Tile(code, lanes, depth, a_stride, out_stride, mode, fused)
    vectors = code.builder.udiv(code.builder.add(cols, _i64(width - 1)), _i64(width))
    full = code.builder.udiv(vectors, _i64(PANEL_VECTORS))
    panel_numbers = code.builder.mul(depth, _i64(PANEL_VECTORS * width))
    with code.loop(full, "panel") as panel:
        first = code.builder.mul(panel, _i64(PANEL_VECTORS * width))
        tile.rows(
            rows, PANEL_VECTORS, registers, a,
            code.at(panels, code.builder.mul(panel, panel_numbers), lanes.element),
            code.at(init, first, lanes.element), code.at(out, first, lanes.element),
        )  # fmt: skip
    rest = code.builder.urem(vectors, _i64(PANEL_VECTORS))
    first = code.builder.mul(full, _i64(PANEL_VECTORS * width))
    start = code.builder.mul(full, panel_numbers)
    for count in range(1, PANEL_VECTORS):
        with code.builder.if_then(code.builder.icmp_signed("==", rest, _i64(count))):
            tile.rows(
                rows, count, registers, a, code.at(panels, start, lanes.element),
                code.at(init, first, lanes.element), code.at(out, first, lanes.element),
            )  # fmt: skip
    code.builder.ret_void()
    return function


class _Tile:
    """Emits the register tiles of one panel."""

    def __init__(
        self, code: Code, lanes: Lanes, depth: Value, a_stride: Value, out_stride: Value, mode: Value, fused: bool
    ) -> None:
        self.code, self.lanes, self.depth = code, lanes, depth
        self.a_stride, self.out_stride, self.mode = a_stride, out_stride, mode
        self.fused = fused

    def rows(self, rows: Value, vectors: int, registers: int, a: Value, panel: Value, init: Value, out: Value) -> None:
        """Emit all rows of one panel, in as few tiles as registers allow, whose heights differ by one row at most.

        The panel is read once for each tile: 7 rows as 4 and 3 take 28 multiply-adds a column, as 6 and 1 they wait as
        long for the second-level cache as 8 would take.
        """
        builder = self.code.builder
        largest = max(1, min(_LARGEST_TILE, (registers - vectors - 1) // vectors))
        needed = builder.udiv(builder.add(rows, _i64(largest - 1)), _i64(largest))
        tiles = builder.select(builder.icmp_signed(">", needed, _i64(0)), needed, _i64(1))
        least, higher = builder.udiv(rows, tiles), builder.urem(rows, tiles)
        done = self.code.variable(_i64(0))
        for height in range(largest, 0, -1):
            begin = builder.load(done, typ=_i64)
            is_least = builder.icmp_signed("==", least, _i64(height))
            is_higher = builder.icmp_signed("==", least, _i64(height - 1))
            count = builder.select(is_least, builder.sub(tiles, higher), builder.select(is_higher, higher, _i64(0)))
            with self.code.loop(count, f"rows{height}") as index:
                row = builder.add(begin, builder.mul(index, _i64(height)))
                self._tile(row, height, vectors, a, panel, init, out)
            builder.store(builder.add(begin, builder.mul(count, _i64(height))), done)

    def _tile(self, row: Value, height: int, vectors: int, a: Value, panel: Value, init: Value, out: Value) -> None:
        code, builder, lanes = self.code, self.code.builder, self.lanes
        element = lanes.element
        a_rows = [code.at(a, builder.mul(builder.add(row, _i64(r)), self.a_stride), element) for r in range(height)]
        out_rows = [
            code.at(out, builder.mul(builder.add(row, _i64(r)), self.out_stride), element) for r in range(height)
        ]
        sums = [[code.variable(lanes.const(0.0)) for _ in range(vectors)] for _ in range(height)]
        self._start(sums, out_rows, init)
        with code.loop(self.depth, "k") as k:
            weights = code.at(panel, builder.mul(k, _i64(vectors * lanes.width)), element)
            columns = [code.load_vector(lanes, weights, v * lanes.width) for v in range(vectors)]
            for r in range(height):
                scalar = builder.load(code.at(a_rows[r], k, element), typ=element)
                spread = lanes.splat(scalar)
                for v in range(vectors):
                    total = builder.load(sums[r][v], typ=lanes.type)
                    builder.store(lanes.mul_add(spread, columns[v], total, fused=self.fused), sums[r][v])
        for r in range(height):
            for v in range(vectors):
                total = builder.load(sums[r][v], typ=lanes.type)
                code.store_vector(lanes, total, out_rows[r], v * lanes.width)

    def _start(self, sums: list[list[Value]], out_rows: list[Value], init: Value) -> None:
        code, builder, lanes = self.code, self.code.builder, self.lanes
        with builder.if_then(builder.icmp_signed("==", self.mode, _i64(ACCUMULATE))):
            for row, pointer in zip(sums, out_rows, strict=True):
                for v, total in enumerate(row):
                    builder.store(code.load_vector(lanes, pointer, v * lanes.width), total)
        with builder.if_then(builder.icmp_signed("==", self.mode, _i64(START_FROM_INIT))):
            for v in range(len(sums[0])):
                value = code.load_vector(lanes, init, v * lanes.width)
                for row in sums:
                    builder.store(value, row[v])
