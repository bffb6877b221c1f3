"""Sums of outer products over all rows and steps, `out = a.T @ b`: what makes gradients of weights.

Both factors are read where they lie, row after row, in blocks of rows that stay in the cache; each output is summed in
the order of the rows, and threads share the outputs, so its bits do not depend on their number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i64, pointer
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value

WORDS = ("ticket", "shares", "depth", "n", "m", "a", "a_stride", "b", "b_stride", "out", "out_stride", "share")
"""The argument block: `a` is `(depth, n)`, `b` `(depth, m)`, `out` `(n, m)`; a thread takes `share` rows of `out`."""

_BLOCK = 256
_PANEL_VECTORS = 4
_LARGEST_TILE = 8


def define_contract(
    module: ir.Module, name: str, dtype: DType, width: int, registers: int, *, fused: bool = True
) -> Any:
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
    _Share(code, Lanes(builder, dtype, width), values, registers, fused).emit(share)
    builder.branch(take)
    builder.position_at_end(done)
    builder.ret_void()
    return function


class _Share:
    """Emits the work of one share."""

    def __init__(self, code: Code, lanes: Lanes, values: dict[str, Value], registers: int, fused: bool) -> None:
        self.code, self.lanes, self.registers = code, lanes, registers
        self.fused = fused
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
                self._tiles(start, depth, fresh, begin, count, place, 1, self._mask(rest))

    def _smaller(self, a: Value, b: Value) -> Value:
        builder = self.code.builder
        return builder.select(builder.icmp_signed("<", a, b), a, b)

    def _mask(self, count: Value) -> Value:
        kind = ir.VectorType(i64, self.lanes.width)
        spread = Lanes(self.code.builder, "float64", self.lanes.width).splat(count)
        return self.code.builder.icmp_signed("<", ir.Constant(kind, list(range(self.lanes.width))), spread)

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
        a = code.at(self.a, builder.add(builder.mul(start, values["a_stride"]), row), lanes.element)
        b = code.at(self.b, builder.add(builder.mul(start, values["b_stride"]), column), lanes.element)
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
        with code.loop(depth, "k") as k:
            line_b = code.at(b, builder.mul(k, values["b_stride"]), lanes.element)
            line_a = code.at(a, builder.mul(k, values["a_stride"]), lanes.element)
            columns = [code.load_vector(lanes, line_b, v * lanes.width, mask) for v in range(vectors)]
            for r in range(height):
                spread = lanes.splat(code.load(line_a, i64(r), lanes.element))
                for v in range(vectors):
                    total = builder.load(sums[r][v], typ=lanes.type)
                    builder.store(lanes.mul_add(spread, columns[v], total, fused=self.fused), sums[r][v])
        for pointer_, line in zip(outs, sums, strict=True):
            for v, total in enumerate(line):
                code.store_vector(lanes, builder.load(total, typ=lanes.type), pointer_, v * lanes.width, mask)
