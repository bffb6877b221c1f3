"""Products of a few rows by a packed matrix of weights: the part of a step that costs.

The kernels are the same for every cell. Sums run in the order of the index, one fused multiply-add after the other for
each output, whatever the number of rows and wherever a row stands in its tile: a row gives the same bits alone as in a
batch. Of pairs of bfloat16 the rows are rounded first, once for all columns.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code
from ostinato.engine.backends.cpu.halves import i16
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value
from ostinato.engine.backends.cpu.terms import Bytes, Pairs, Terms, terms_of

PANEL_VECTORS = 4
START_FROM_ZERO, ACCUMULATE, START_FROM_INIT = 0, 1, 2
_LARGEST_TILE = 8

_i64 = ir.IntType(64)


def packed_size(depth: int, cols: int, width: int, products: str = "full") -> int:
    """Return how many numbers of memory a packed `(depth, cols)` matrix takes; pairs fill half of it."""
    lines = -(-(depth + Bytes.lead) // 4) if products == "int8 weights" else depth
    return lines * -(-cols // width) * width


def room_for(depth: int, width: int) -> int:
    """Return how many numbers of scratch memory a row of a product of pairs takes.

    Some more than its pairs: rows whole pages apart would have one place in the first-level cache.
    """
    return -(-depth // (2 * width)) * width + width


def gemm_type() -> Any:
    """Return the type of the product.

    It is `gemm(rows, depth, cols, a, a_row_stride, panels, init, out, out_row_stride, mode, room)`.
    """
    pointer = ir.PointerType()
    counts, addresses = [_i64] * 3, [pointer, _i64, pointer, pointer, pointer, _i64, _i64, pointer]
    return ir.FunctionType(ir.VoidType(), [*counts, *addresses])


def define_gemm(
    module: ir.Module, name: str, dtype: DType, width: int, registers: int, *, fused: bool = True,
    products: str = "full",
) -> Any:  # fmt: skip
    """Add the product to a module: `out[r, c] = start + sum over k of a[r, k] w[k, c]`.

    `cols` are rounded up to whole vectors: `out` has room for them and the panels hold zeros there. It starts from
    zero, from what `out` holds, or from `init[c]`. Strides are in numbers. Of pairs, `room` is scratch memory for all
    rows, see `room_for`.
    """
    function = ir.Function(module, gemm_type(), name)
    rows, depth, cols, a, a_stride, panels, init, out, out_stride, mode, room = function.args
    code = Code(ir.IRBuilder(function.append_basic_block("entry")))
    lanes = Lanes(code.builder, dtype, width)
    terms = terms_of(lanes, products, fused=fused)
    if isinstance(terms, Pairs):
        stride = _room_stride(code, depth, width)
        _round_rows(code, terms, rows, depth, a, a_stride, room, stride)
        a, a_stride, depth = room, stride, _quotient(code, depth, 2)
    tile = _Tile(code, lanes, terms, depth, a_stride, out_stride, mode)
    vectors = code.builder.udiv(code.builder.add(cols, _i64(width - 1)), _i64(width))
    full = code.builder.udiv(vectors, _i64(PANEL_VECTORS))
    panel_terms = code.builder.mul(code.builder.add(depth, _i64(terms.lead)), _i64(PANEL_VECTORS * width))
    with code.loop(full, "panel") as panel:
        first = code.builder.mul(panel, _i64(PANEL_VECTORS * width))
        tile.rows(
            rows, PANEL_VECTORS, registers, a,
            code.at(panels, code.builder.mul(panel, panel_terms), terms.element),
            code.at(init, first, lanes.element), code.at(out, first, lanes.element),
        )  # fmt: skip
    rest = code.builder.urem(vectors, _i64(PANEL_VECTORS))
    first = code.builder.mul(full, _i64(PANEL_VECTORS * width))
    start = code.builder.mul(full, panel_terms)
    for count in range(1, PANEL_VECTORS):
        with code.builder.if_then(code.builder.icmp_signed("==", rest, _i64(count))):
            tile.rows(
                rows, count, registers, a, code.at(panels, start, terms.element),
                code.at(init, first, lanes.element), code.at(out, first, lanes.element),
            )  # fmt: skip
    code.builder.ret_void()
    return function


def _quotient(code: Code, number: Value, by: int) -> Value:
    """Return a quotient rounded up."""
    return code.builder.udiv(code.builder.add(number, _i64(by - 1)), _i64(by))


def _room_stride(code: Code, depth: Value, width: int) -> Value:
    """Return what `room_for` does."""
    whole = code.builder.mul(_quotient(code, depth, 2 * width), _i64(width))
    return code.builder.add(whole, _i64(width))


def _round_rows(
    code: Code, terms: Pairs, rows: Value, depth: Value, a: Value, a_stride: Value, room: Value, stride: Value
) -> None:
    """Write rows as pairs, with a zero after the last number where there is an odd number of them."""
    builder, lanes = code.builder, terms.lanes
    whole = builder.udiv(depth, _i64(lanes.width))
    done = builder.mul(whole, _i64(lanes.width))
    rest = builder.sub(depth, done)
    with code.loop(rows, "round") as row:
        source = code.at(a, builder.mul(row, a_stride), lanes.element)
        target = code.at(room, builder.mul(row, stride), terms.element)

        def move(offset: Value, mask: Value | None) -> None:
            value = code.load_vector(lanes, code.at(source, offset, lanes.element), 0, mask)
            code.store_whole(terms.rounded(value), code.at(target, offset, i16))

        with code.loop(whole, "vector") as index:
            move(builder.mul(index, _i64(lanes.width)), None)
        with builder.if_then(builder.icmp_signed(">", rest, _i64(0))):
            move(done, lanes.first(rest))


class _Tile:
    """Emits the register tiles of one panel."""

    def __init__(
        self, code: Code, lanes: Lanes, terms: Terms, depth: Value, a_stride: Value, out_stride: Value, mode: Value
    ) -> None:
        self.code, self.lanes, self.terms, self.depth = code, lanes, terms, depth
        self.a_stride, self.out_stride, self.mode = a_stride, out_stride, mode

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
        code, builder, lanes, terms = self.code, self.code.builder, self.lanes, self.terms
        a_rows = [
            code.at(a, builder.mul(builder.add(row, _i64(r)), self.a_stride), terms.row_element) for r in range(height)
        ]
        out_rows = [
            code.at(out, builder.mul(builder.add(row, _i64(r)), self.out_stride), lanes.element) for r in range(height)
        ]
        sums = [[code.variable(lanes.const(0.0)) for _ in range(vectors)] for _ in range(height)]
        if not isinstance(terms, Bytes):
            self._start(sums, out_rows, init)
        first = code.at(panel, _i64(terms.lead * vectors * lanes.width), terms.element)
        with code.loop(self.depth, "k") as k:
            weights = code.at(first, builder.mul(k, _i64(vectors * lanes.width)), terms.element)
            columns = [terms.column(code.load_whole(terms.type, weights, v * lanes.width)) for v in range(vectors)]
            for r in range(height):
                spread = lanes.splat(code.load(a_rows[r], k, terms.row_element))
                for v in range(vectors):
                    total = builder.load(sums[r][v], typ=lanes.type)
                    builder.store(terms.add(spread, columns[v], total), sums[r][v])
        if isinstance(terms, Bytes):
            sums = self._scaled(sums, panel, out_rows, init)
        for r in range(height):
            for v in range(vectors):
                total = builder.load(sums[r][v], typ=lanes.type)
                code.store_vector(lanes, total, out_rows[r], v * lanes.width)

    def _scaled(self, sums: list[list[Value]], panel: Value, out_rows: list[Value], init: Value) -> list[list[Value]]:
        """Return sums of whole numbers times their scales, added to what they start from."""
        code, builder, lanes = self.code, self.code.builder, self.lanes
        results = [[code.variable(lanes.const(0.0)) for _ in row] for row in sums]
        self._start(results, out_rows, init)
        for v in range(len(sums[0])):
            scale = code.load_vector(lanes, panel, v * lanes.width)
            for row, result in zip(sums, results, strict=True):
                total, begin = (builder.load(place, typ=lanes.type) for place in (row[v], result[v]))
                builder.store(self.terms.add(total, scale, begin), result[v])
        return results

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
