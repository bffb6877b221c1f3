"""A schedule as LLVM code: one function that walks some rows of the batch through all steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i64, pointer
from ostinato.engine.backends.cpu.gemm import ACCUMULATE, START_FROM_INIT, START_FROM_ZERO, gemm_type
from ostinato.engine.backends.cpu.halves import i16
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value
from ostinato.engine.backends.cpu.layout import HEADER, PAIRS, ROW_TABLES, Layout
from ostinato.engine.backends.cpu.nest import NestEmitter, Row, tail_mask
from ostinato.engine.backends.cpu.schedule import Product, Schedule
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.views import locate


def emit_kernel(
    module: ir.Module,
    name: str,
    schedule: Schedule,
    layout: Layout,
    dtype: DType,
    gemm: str,
    resets: str,
    *,
    half: bool = False,
) -> Any:
    """Add `void name(i64* arguments)` to a module; the threads of a call run it with the same arguments.

    Args:
        module: the module.
        name: of the function.
        schedule: what a step does.
        layout: where its arguments and its scratch memory lie.
        dtype: of all numbers.
        gemm: the name of the product, linked from elsewhere.
        resets: `before` a step a row returns to its start (forward), or `after` it (backward).
        half: whether views and streams lie in memory as bfloat16.
    """
    return Kernel(module, name, schedule, layout, dtype, gemm, resets, half=half).emit()


class Kernel:
    """Emits one kernel."""

    def __init__(
        self,
        module: ir.Module,
        name: str,
        schedule: Schedule,
        layout: Layout,
        dtype: DType,
        gemm: str,
        resets: str,
        *,
        half: bool,
    ) -> None:
        self.schedule, self.layout, self.dtype, self.resets = schedule, layout, dtype, resets
        self.name, self.for_ends = name, schedule.for_ends
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, i64]), f"{name}_share")
        self.function.linkage = "internal"
        self.gemm = module.globals.get(gemm) or ir.Function(module, gemm_type(), gemm)
        self.code = Code(ir.IRBuilder(self.function.append_basic_block("entry")))
        self.lanes = Lanes(self.code.builder, dtype, layout.width)
        self.element = self.lanes.element
        self.half = half
        self.outside: Any = i16 if half else self.element
        """What views and streams consist of."""

    def emit(self) -> Any:
        """Emit the function that walks one share of the rows, and the one that threads enter."""
        builder = self.code.builder
        self.header = {name: self.word(index) for index, name in enumerate(HEADER)}
        thread = self.function.args[1]
        self._share_rows(thread)
        with builder.if_then(builder.icmp_signed(">", self.rows, i64(0))):
            self._place_scratch(thread)
            self._fill_tables()
            self._place_buffers()
            self._fill_biases()
            self._load_carries()
            self._steps()
            self._store_carries()
        builder.ret_void()
        return self._emit_entry()

    def _emit_entry(self) -> Any:
        """Emit a loop that takes on shares until none is left: it is right with fewer threads than shares."""
        function = ir.Function(self.function.module, ir.FunctionType(ir.VoidType(), [pointer]), self.name)
        code = Code(ir.IRBuilder(function.append_basic_block("entry")))
        builder = code.builder
        ticket = code.at(function.args[0], i64(HEADER.index("ticket")), i64)
        threads = code.load(function.args[0], i64(HEADER.index("threads")), i64)
        take, work, done = (builder.append_basic_block(name) for name in ("take", "work", "done"))
        builder.branch(take)
        builder.position_at_end(take)
        share = builder.atomic_rmw("add", ticket, i64(1), "monotonic")
        builder.cbranch(builder.icmp_signed("<", share, threads), work, done)
        builder.position_at_end(work)
        builder.call(self.function, [function.args[0], share])
        builder.branch(take)
        builder.position_at_end(done)
        builder.ret_void()
        return function

    def word(self, index: int) -> Value:
        """Return a word of the argument block."""
        return self.code.load(self.function.args[0], i64(index), i64)

    def argument(self, index: int) -> Value:
        """Return a word of the argument block as an address."""
        return self.code.builder.inttoptr(self.word(index), pointer)

    def _share_rows(self, thread: Value) -> None:
        """Give each thread its rows: a run of them, or every so-many-th when they are sorted by length."""
        builder, header = self.code.builder, self.header
        dealt = builder.icmp_signed("==", header["chunk"], i64(0))
        first = builder.select(dealt, thread, builder.mul(thread, header["chunk"]))
        self.first, self.every = first, builder.select(dealt, header["threads"], i64(1))
        left = builder.sub(header["batch"], first)
        in_turn = builder.sdiv(builder.add(left, builder.sub(header["threads"], i64(1))), header["threads"])
        in_run = builder.select(builder.icmp_signed("<", left, header["chunk"]), left, header["chunk"])
        count = builder.select(dealt, in_turn, in_run)
        none = builder.icmp_signed("<=", left, i64(0))
        outside = builder.icmp_signed(">=", thread, header["threads"])
        self.rows = builder.select(builder.or_(none, outside), i64(0), count)

    def _place_scratch(self, thread: Value) -> None:
        builder = self.code.builder
        padded = builder.mul(builder.udiv(builder.add(self.rows, i64(7)), i64(8)), i64(8))
        base = builder.add(self.header["scratch"], builder.mul(thread, self.header["scratch_bytes"]))
        self.tables = {}
        for index, name in enumerate(ROW_TABLES):
            address = builder.add(base, builder.mul(padded, i64(8 * index)))
            self.tables[name] = builder.inttoptr(address, pointer)
        numbers = builder.add(base, builder.mul(padded, i64(8 * len(ROW_TABLES))))
        self.fixed = builder.inttoptr(numbers, pointer)
        self.padded = padded

    def _place_buffers(self) -> None:
        start = self.code.at(self.fixed, i64(self.layout.fixed_elements), self.element)
        self.buffers = {
            key: self.code.at(start, self.code.builder.mul(self.padded, i64(offset)), self.element)
            for key, offset in self.layout.rows.items()
        }

    def _fill_tables(self) -> None:
        """Look up each row once: where it is in the batch, how many steps it has, where its streams start."""
        builder, header = self.code.builder, self.header
        with self.code.loop(self.rows, "table") as j:
            place = builder.add(self.first, builder.mul(j, self.every))
            batch = self._looked_up("order", place, place)
            length = self._looked_up("lengths", place, header["steps"])
            start = self._looked_up("starts", batch, batch)
            for name, value in (("batch", batch), ("length", length), ("start", start)):
                self.code.store(value, self.tables[name], j)

    def _looked_up(self, table: str, index: Value, otherwise: Value) -> Value:
        builder = self.code.builder
        result = self.code.variable(otherwise)
        with builder.if_then(builder.icmp_signed("!=", self.header[table], i64(0))):
            builder.store(self.code.load(builder.inttoptr(self.header[table], pointer), index, i64), result)
        return builder.load(result, typ=i64)

    def _fill_biases(self) -> None:
        """Add up what each product starts from, padded to whole vectors."""
        for node, offset in self.layout.biases.items():
            target = self.code.at(self.fixed, i64(offset), self.element)
            biases = [locate(child) for child in node.inputs[-node.attr[0] :]]
            with self.code.loop(i64(node.size), "bias") as index:
                total: Value = None
                for view in biases:
                    source = self.argument(self.layout.constants[view.base.attr[0]])
                    value = self.code.load(source, self.code.builder.add(index, i64(view.offset)), self.element)
                    total = value if total is None else self.code.builder.fadd(total, value)
                self.code.store(total, target, index)
            padding = -node.size % self.layout.width
            with self.code.loop(i64(padding), "pad") as index:
                zero = ir.Constant(self.element, 0.0)
                self.code.store(zero, target, self.code.builder.add(index, i64(node.size)))

    # --- the state ---------------------------------------------------------------------------------------------

    def _size(self, carry: int) -> int:
        size = 1
        for extent in self.schedule.program.carries[carry]:
            size *= extent
        return size

    def _copy(self, source: Value, target: Value, size: int, *, add: bool = False) -> None:
        """Copy or add `size` numbers, whole vectors first."""
        code, width = self.code, self.layout.width

        def move(offset: Value, mask: Value | None) -> None:
            origin, goal = code.at(source, offset, self.element), code.at(target, offset, self.element)
            value = code.load_vector(self.lanes, origin, 0, mask)
            if add:
                value = self.lanes.add(value, code.load_vector(self.lanes, goal, 0, mask))
            code.store_vector(self.lanes, value, goal, 0, mask)

        with code.loop(i64(size // width), "copy") as index:
            move(code.builder.mul(index, i64(width)), None)
        if size % width:
            move(i64(size - size % width), tail_mask(self.lanes, size % width))

    def _carry_row(self, carry: int, parity: Value, j: Value) -> Value:
        """Return a row of a carry: of the two buffers, the one that a step of this parity reads."""
        even, odd = self.buffers["carry", 2 * carry], self.buffers["carry", 2 * carry + 1]
        base = self.code.builder.select(parity, odd, even)
        return self.code.at(base, self.code.builder.mul(j, i64(self.layout.strides["carry", 2 * carry])), self.element)

    def _outside_row(self, carry: int, word: int, j: Value) -> Value:
        batch = self.code.load(self.tables["batch"], j, i64)
        base = self.argument(self.layout.carries[carry] + word)
        return self.code.at(base, self.code.builder.mul(batch, i64(self._size(carry))), self.element)

    def _load_carries(self) -> None:
        even = ir.Constant(ir.IntType(1), 0)
        for carry in range(len(self.layout.carries)):
            with self.code.loop(self.rows, "start") as j:
                self._copy(self._outside_row(carry, 0, j), self._carry_row(carry, even, j), self._size(carry))

    def _store_carries(self) -> None:
        builder = self.code.builder
        for carry in range(len(self.layout.carries)):
            with self.code.loop(builder.select(self._ends_are_read(), self.rows, i64(0)), "end") as j:
                length = self.code.load(self.tables["length"], j, i64)
                parity = builder.icmp_signed("==", builder.and_(length, i64(1)), i64(1))
                self._copy(self._carry_row(carry, parity, j), self._outside_row(carry, 1, j), self._size(carry))

    def _ends_are_read(self) -> Value:
        return self.code.builder.icmp_signed("!=", self.header["ends"], i64(0))

    def _apply_resets(self, active: Value, parity: Value) -> None:
        """Return the rows that are marked to their start; backward, hand what came so far to the start and continue."""
        builder, header = self.code.builder, self.header
        with (
            builder.if_then(builder.icmp_signed("!=", header["resets"], i64(0))),
            self.code.loop(active, "reset") as j,
        ):
            time, batch = (self.code.load(self.tables[name], j, i64) for name in ("time", "batch"))
            place = builder.add(builder.mul(time, header["batch"]), batch)
            mark = self.code.load(builder.inttoptr(header["resets"], pointer), place, ir.IntType(8))
            with builder.if_then(builder.icmp_signed("!=", mark, ir.IntType(8)(0))):
                for carry in range(len(self.layout.carries)):
                    row = self._carry_row(carry, parity, j)
                    if self.resets == "before":
                        self._copy(self._outside_row(carry, 0, j), row, self._size(carry))
                    else:
                        self._copy(row, self._outside_row(carry, 2, j), self._size(carry), add=True)
                        self._clear(row, self._size(carry))

    def _clear(self, target: Value, size: int) -> None:
        with self.code.loop(i64(size), "clear") as index:
            self.code.store(ir.Constant(self.element, 0.0), target, index)

    # --- the steps ---------------------------------------------------------------------------------------------

    def _steps(self) -> None:
        builder, header = self.code.builder, self.header
        longest = self.code.load(self.tables["length"], i64(0), i64)
        active_now = self.code.variable(self.rows)
        with self.code.loop(longest, "step") as step:
            active = self._still_active(step, active_now)
            backwards = builder.icmp_signed("!=", header["reverse"], i64(0))
            with self.code.loop(active, "when") as j:
                length = self.code.load(self.tables["length"], j, i64)
                mirrored = builder.sub(builder.sub(length, i64(1)), step)
                time = builder.select(backwards, mirrored, step)
                start = self.code.load(self.tables["start"], j, i64)
                self.code.store(time, self.tables["time"], j)
                position = builder.add(start, builder.mul(time, header["stride"]))
                self.code.store(position, self.tables["position"], j)
            odd = builder.icmp_signed("==", builder.and_(step, i64(1)), i64(1))
            if self.resets == "before":
                self._apply_resets(active, odd)
            needed = self._needed_in_the_end(step, longest)
            for products, region in zip(self.schedule.products, self.schedule.regions, strict=True):
                for product in products:
                    with self._if_needed(needed, [product.node]):
                        self._product(product, active, odd)
                if region.nests:
                    nodes = [node for nest in region.nests for node in [*nest.nodes, *nest.reductions]]
                    with self._if_needed(needed, nodes), self.code.loop(active, "row") as j:
                        row = Row(self, j, odd)
                        for nest in region.nests:
                            NestEmitter(row, nest).emit()
            if self.resets == "after":
                self._apply_resets(active, builder.not_(odd))

    def _needed_in_the_end(self, step: Value, longest: Value) -> Value:
        """Tell whether this step needs what makes carries alone: another one follows, or their ends are read."""
        builder = self.code.builder
        follows = builder.icmp_signed("<", builder.add(step, i64(1)), longest)
        marked = builder.icmp_signed("!=", self.header["resets"], i64(0))
        return builder.or_(builder.or_(follows, marked), self._ends_are_read())

    def _if_needed(self, needed: Value, nodes: Sequence[Node]) -> AbstractContextManager[object]:
        """Emit nodes that make carries alone only where they are needed; forward, ends are always read."""
        alone = self.resets == "after" and all(node in self.for_ends for node in nodes)
        return self.code.builder.if_then(needed) if alone else nullcontext()

    def _still_active(self, step: Value, active_now: Value) -> Value:
        """Return how many rows have this step; they are sorted by length, so the finished ones are the last."""
        builder = self.code.builder
        check, drop, done = (builder.append_basic_block(name) for name in ("check", "drop", "active"))
        builder.branch(check)
        builder.position_at_end(check)
        count = builder.load(active_now, typ=i64)
        last = self.code.load(self.tables["length"], builder.sub(count, i64(1)), i64)
        builder.cbranch(builder.icmp_signed("<=", last, step), drop, done)
        builder.position_at_end(drop)
        builder.store(builder.sub(count, i64(1)), active_now)
        builder.branch(check)
        builder.position_at_end(done)
        return builder.load(active_now, typ=i64)

    def _product(self, product: Product, active: Value, odd: Value) -> None:
        node = product.node
        cols = node.shape[-1]
        target, stride = self.buffers[node], self.layout.strides[node]
        bias = self.layout.biases.get(node)
        for head in range(product.heads):
            out = self.code.at(target, i64(head * cols), self.element)
            for pair, view in enumerate(product.operands):
                depth = node.inputs[2 * pair].shape[-1]
                base, row_stride = self._resident(view.base, odd)
                offset = view.offset + (head * view.strides[0] if product.heads > 1 else 0)
                rows = self.code.at(base, i64(offset), self.element)
                packed = self.layout.packed_size(depth, cols)
                panels = self.code.at(self.argument(self.layout.panels[node, pair]), i64(head * packed), self.element)
                mode, init = (ACCUMULATE if pair or node.op == "accumulate" else START_FROM_ZERO), 0
                if not pair and bias is not None:
                    mode, init = START_FROM_INIT, bias + head * cols
                start = self.code.at(self.fixed, i64(init), self.element)
                counts, room = [active, i64(depth), i64(cols)], self.buffers.get(PAIRS, self.fixed)
                self.code.builder.call(
                    self.gemm, [*counts, rows, i64(row_stride), panels, start, out, i64(stride), i64(mode), room]
                )

    def _resident(self, base: Node, odd: Value) -> tuple[Value, int]:
        """Return the scratch buffer of a node and how far its rows lie apart."""
        if base.op == "input":
            carry = base.attr[1]
            even, uneven = self.buffers["carry", 2 * carry], self.buffers["carry", 2 * carry + 1]
            return self.code.builder.select(odd, uneven, even), self.layout.strides["carry", 2 * carry]
        return self.buffers[base], self.layout.strides[base]
