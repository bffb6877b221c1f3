"""Sums of outer products over all rows and steps, `out = a.T @ b`: what makes gradients of weights.

Both factors are read where they lie, row after row, in blocks of rows that stay in the cache; each output is summed in
the order of the rows, and threads share the outputs, so its bits do not depend on their number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i32, i64, pointer
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value
from ostinato.engine.backends.cpu.terms import Pairs, terms_of

WORDS = ("ticket", "shares", "depth", "n", "m", "a", "a_stride", "b", "b_stride", "out", "out_stride", "share")
"""The argument block: `a` is `(depth, n)`, `b` `(depth, m)`, `out` `(n, m)`; a thread takes `share` rows of `out`."""

_BLOCK = 256
_PANEL_VECTORS = 4
_LARGEST_TILE = 8
_PAIR_BLOCK = 256
_CHUNK = 384
_CHUNK_STRIDE = _CHUNK + 16
"""Some more than a chunk: lines whole pages apart would have one place in the first-level cache."""


def define_contract(
    module: ir.Module, name: str, dtype: DType, width: int, registers: int, *, fused: bool = True,
    products: str = "full",
) -> Any:  # fmt: skip
    """Add `void name(i64* arguments)` to a module; several threads may enter it with the same arguments."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), name)
    code = Code(ir.IRBuilder(function.append_basic_block("entry")))
    builder = code.builder
    block = function.args[0]
    values = {word: code.load(block, i64(index), i64) for index, word in enumerate(WORDS) if word != "ticket"}
    take, work, done = (builder.append_basic_block(label) for label in ("take", "work", "done"))
    builder.branch(take)
    builder.position_at_end(take)
    share = builder.atomic_rmw("add", block, i64(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", share, values["shares"]), work, done)
    builder.position_at_end(work)
    # weights of 8 bits are for inference: here are none
    made_of = products if products.startswith("bfloat16") else "full"
    terms = terms_of(Lanes(builder, dtype, width), made_of, fused=fused)
    kind = _PairShare if isinstance(terms, Pairs) else _Share
    kind(code, terms, values, registers).emit(share)
    builder.branch(take)
    builder.position_at_end(done)
    builder.ret_void()
    return function


class _Share:
    """Emits the work of one share."""

    def __init__(self, code: Code, terms: Any, values: dict[str, Value], registers: int) -> None:
        self.code, self.terms, self.lanes, self.registers = code, terms, terms.lanes, registers
        self.values = values
        self.a, self.b, self.out = (code.builder.inttoptr(values[name], pointer) for name in ("a", "b", "out"))

    def emit(self, share: Value) -> None:
        """Emit the loops: blocks of rows of the factors, panels of columns, tiles of outputs."""
        code, builder, values = self.code, self.code.builder, self.values
        begin = builder.mul(share, values["share"])
        left = builder.sub(values["n"], begin)
        count = self._smaller(left, values["share"])
        blocks = builder.udiv(builder.add(values["depth"], i64(_BLOCK - 1)), i64(_BLOCK))
        panel = i64(_PANEL_VECTORS * self.lanes.width)
        width = i64(self.lanes.width)
        with code.loop(blocks, "block") as index:
            start = builder.mul(index, i64(_BLOCK))
            depth = self._smaller(builder.sub(values["depth"], start), i64(_BLOCK))
            fresh = builder.icmp_signed("==", index, i64(0))
            panels = builder.udiv(values["m"], panel)
            with code.loop(panels, "panel") as column:
                self._tiles(start, depth, fresh, begin, count, builder.mul(column, panel), _PANEL_VECTORS, None)
            done = builder.mul(panels, panel)
            whole = builder.udiv(builder.sub(values["m"], done), width)
            with code.loop(whole, "vector") as column:
                place = builder.add(done, builder.mul(column, width))
                self._tiles(start, depth, fresh, begin, count, place, 1, None)
            place = builder.add(done, builder.mul(whole, width))
            rest = builder.sub(values["m"], place)
            with builder.if_then(builder.icmp_signed(">", rest, i64(0))):
                self._tiles(start, depth, fresh, begin, count, place, 1, self.lanes.first(rest))

    def _smaller(self, a: Value, b: Value) -> Value:
        builder = self.code.builder
        return builder.select(builder.icmp_signed("<", a, b), a, b)

    def _tiles(
        self, start: Value, depth: Value, fresh: Value, begin: Value, count: Value, column: Value, vectors: int,
        mask: Value | None,
    ) -> None:  # fmt: skip
        """Emit all outputs of the share in some columns: the largest tile as often as it fits, then smaller ones."""
        builder = self.code.builder
        largest = max(1, min(_LARGEST_TILE, (self.registers - vectors - 1) // vectors))
        done = self.code.variable(i64(0))
        for height in sorted({largest, 4, 2, 1}, reverse=True):
            if height > largest:
                continue
            first = builder.load(done, typ=i64)
            times = builder.sdiv(builder.sub(count, first), i64(height))
            with self.code.loop(times, f"rows{height}") as index:
                row = builder.add(begin, builder.add(first, builder.mul(index, i64(height))))
                self._tile(start, depth, fresh, row, column, height, vectors, mask)
            builder.store(builder.add(first, builder.mul(times, i64(height))), done)

    def _tile(
        self, start: Value, depth: Value, fresh: Value, row: Value, column: Value, height: int, vectors: int,
        mask: Value | None,
    ) -> None:  # fmt: skip
        code, builder, lanes, values = self.code, self.code.builder, self.lanes, self.values
        outs = [
            code.at(
                self.out,
                builder.add(builder.mul(builder.add(row, i64(r)), values["out_stride"]), column),
                lanes.element,
            )
            for r in range(height)
        ]
        sums = [[code.variable(lanes.const(0.0)) for _ in range(vectors)] for _ in range(height)]
        with builder.if_then(builder.not_(fresh)):
            for pointer_, line in zip(outs, sums, strict=True):
                for v, total in enumerate(line):
                    builder.store(code.load_vector(lanes, pointer_, v * lanes.width, mask), total)
        self._sum(sums, start, depth, row, column, mask)
        for pointer_, line in zip(outs, sums, strict=True):
            for v, total in enumerate(line):
                code.store_vector(lanes, builder.load(total, typ=lanes.type), pointer_, v * lanes.width, mask)

    def _sum(
        self, sums: list[list[Value]], start: Value, depth: Value, row: Value, column: Value, mask: Value | None
    ) -> None:
        """Emit the sums of a tile over a block of rows."""
        code, builder, lanes, values = self.code, self.code.builder, self.lanes, self.values
        a = code.at(self.a, builder.add(builder.mul(start, values["a_stride"]), row), lanes.element)
        b = code.at(self.b, builder.add(builder.mul(start, values["b_stride"]), column), lanes.element)
        with code.loop(depth, "k") as k:
            line_b = code.at(b, builder.mul(k, values["b_stride"]), lanes.element)
            line_a = code.at(a, builder.mul(k, values["a_stride"]), lanes.element)
            columns = [code.load_vector(lanes, line_b, v * lanes.width, mask) for v in range(len(sums[0]))]
            self._add(sums, line_a, columns)

    def _add(self, sums: list[list[Value]], line: Value, columns: list[Value]) -> None:
        """Emit the products of one term of each row of a tile, and of each of its columns."""
        builder, lanes = self.code.builder, self.lanes
        for r, totals in enumerate(sums):
            spread = lanes.splat(self.code.load(line, i64(r), self.terms.element))
            for column, place in zip(columns, totals, strict=True):
                total = builder.load(place, typ=lanes.type)
                builder.store(self.terms.add(spread, column, total), place)


class _PairShare(_Share):
    """Emits the same for pairs of bfloat16: blocks of both factors are rounded and paired, on the stack, as they come.

    Of a chunk of rows of the output once for each block, of a panel of columns once for each chunk: 2 % of the work.
    """

    terms: Pairs

    def emit(self, share: Value) -> None:
        """Emit the loops: chunks of rows of the output, blocks of rows of the factors, panels of columns, tiles."""
        code, builder, values = self.code, self.code.builder, self.values
        pairs, width = _PAIR_BLOCK // 2, self.lanes.width
        self._left = code.array(i32, pairs * _CHUNK_STRIDE)
        self._right = code.array(i32, pairs * _PANEL_VECTORS * width)
        begin = builder.mul(share, values["share"])
        count = self._smaller(builder.sub(values["n"], begin), values["share"])
        chunks = builder.udiv(builder.add(count, i64(_CHUNK - 1)), i64(_CHUNK))
        blocks = builder.udiv(builder.add(values["depth"], i64(_PAIR_BLOCK - 1)), i64(_PAIR_BLOCK))
        with code.loop(chunks, "chunk") as chunk, code.loop(blocks, "block") as index:
            done = builder.mul(chunk, i64(_CHUNK))
            self._first = builder.add(begin, done)
            rows = self._smaller(builder.sub(count, done), i64(_CHUNK))
            start = builder.mul(index, i64(_PAIR_BLOCK))
            depth = self._smaller(builder.sub(values["depth"], start), i64(_PAIR_BLOCK))
            self._fill("a", start, depth, self._first, rows, self._left, _CHUNK_STRIDE)
            self._block(start, depth, builder.icmp_signed("==", index, i64(0)), rows)

    def _block(self, start: Value, depth: Value, fresh: Value, rows: Value) -> None:
        """Emit all columns for a block of a chunk."""
        builder, m, width = self.code.builder, self.values["m"], self.lanes.width
        panels = builder.udiv(m, i64(_PANEL_VECTORS * width))
        done = builder.mul(panels, i64(_PANEL_VECTORS * width))
        whole = builder.udiv(builder.sub(m, done), i64(width))
        rest = builder.urem(m, i64(width))
        last = builder.sub(m, rest)

        def columns(column: Value, count: Value, vectors: int, mask: Value | None) -> None:
            self._fill("b", start, depth, column, count, self._right, vectors * width)
            self._tiles(start, depth, fresh, self._first, rows, column, vectors, mask)

        with self.code.loop(panels, "panel") as index:
            size = i64(_PANEL_VECTORS * width)
            columns(builder.mul(index, size), size, _PANEL_VECTORS, None)
        with self.code.loop(whole, "vector") as index:
            columns(builder.add(done, builder.mul(index, i64(width))), i64(width), 1, None)
        with builder.if_then(builder.icmp_signed(">", rest, i64(0))):
            columns(last, rest, 1, self.lanes.first(rest))

    def _fill(
        self, name: str, start: Value, depth: Value, column: Value, count: Value, room: Value, stride: int
    ) -> None:
        """Round a block of a factor, so many of its columns from one on, and put its rows together in pairs."""
        code, builder, lanes = self.code, self.code.builder, self.lanes
        source, step = (self.a if name == "a" else self.b), self.values[f"{name}_stride"]
        source = code.at(source, builder.add(builder.mul(start, step), column), lanes.element)
        whole = builder.udiv(count, i64(lanes.width))
        rest = builder.urem(count, i64(lanes.width))
        with code.loop(builder.udiv(builder.add(depth, i64(1)), i64(2)), "pair") as k:
            place = builder.mul(k, i64(2))
            real = builder.icmp_signed("<", builder.add(place, i64(1)), depth)
            first = code.at(source, builder.mul(place, step), lanes.element)
            second = code.at(first, builder.select(real, step, i64(0)), lanes.element)
            line = code.at(room, builder.mul(k, i64(stride)), i32)

            def move(at: Value, mask: Value | None) -> None:
                low, high = (
                    code.load_vector(lanes, code.at(row, at, lanes.element), 0, mask) for row in (first, second)
                )
                high = builder.select(real, high, lanes.const(0.0))
                code.store_whole(self.terms.paired(low, high), code.at(line, at, i32))

            with code.loop(whole, "vector") as index:
                move(builder.mul(index, i64(lanes.width)), None)
            with builder.if_then(builder.icmp_signed(">", rest, i64(0))):
                move(builder.mul(whole, i64(lanes.width)), lanes.first(rest))

    def _sum(
        self, sums: list[list[Value]], start: Value, depth: Value, row: Value, column: Value, mask: Value | None
    ) -> None:
        """Emit the sums of a tile over a block of rows."""
        del start, column, mask
        code, builder, vectors = self.code, self.code.builder, len(sums[0])
        a = code.at(self._left, builder.sub(row, self._first), i32)
        with code.loop(builder.udiv(builder.add(depth, i64(1)), i64(2)), "k") as k:
            line = code.at(self._right, builder.mul(k, i64(vectors * self.lanes.width)), i32)
            columns = [code.load_whole(self.terms.type, line, v * self.lanes.width) for v in range(vectors)]
            self._add(sums, code.at(a, builder.mul(k, i64(_CHUNK_STRIDE)), i32), columns)
