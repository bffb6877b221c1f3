"""One loop over the features of a row as LLVM code: loads, pointwise work in registers, sums, stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from ostinato.engine.backends.cpu import pointwise
from ostinato.engine.backends.cpu.code import i64
from ostinato.engine.backends.cpu.halves import i16, narrow, widen
from ostinato.engine.backends.cpu.lanes import Lanes, Value
from ostinato.engine.backends.cpu.random import uniform
from ostinato.engine.backends.cpu.schedule import Nest, Store, in_register
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.views import View, broadcast_strides, contiguous, locate

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.emit import Kernel

_i32 = ir.IntType(32)


def tail_mask(lanes: Lanes, count: int) -> Value:
    """Return a mask of the first lanes."""
    return ir.Constant(lanes.mask_type, [int(lane < count) for lane in range(lanes.width)])


class Row:
    """One row of the batch at one step: where its numbers are."""

    def __init__(self, kernel: Kernel, j: Value, odd: Value) -> None:
        self.kernel, self.j, self.odd = kernel, j, odd
        self.code, self.layout = kernel.code, kernel.layout
        self._known: dict[object, Value] = {}

    def of(self, node: Node) -> Value:
        """Return the address of a node's first number."""
        if node.op == "const":
            return self._once(node, lambda: self.kernel.argument(self.layout.constants[node.attr[0]]))
        if node.op == "input":
            kind, index = node.attr
            if kind in ("state", "dstate"):
                return self._once(node, lambda: self.kernel._carry_row(index, self.odd, self.j))
            if kind in ("saved", "early", "late"):
                return self._once(node, lambda: self._stream(self.layout.streams[kind, index], node.size))
            return self._once(node, lambda: self._view(self.layout.views[kind, index]))
        return self._once(node, lambda: self._scratch(node))

    def target(self, store: Store) -> Value:
        """Return the address that a store writes from."""
        if isinstance(store.target, Node):
            base = self.of(store.target)
        else:
            base = self._once(
                (store.kind, store.target), lambda: self._outside(store.kind, int(store.target), store.size)
            )
        element = self.kernel.outside if store.kind == "stream" else self.kernel.element
        return self.code.at(base, i64(store.offset), element) if store.offset else base

    def is_half(self, base: Node) -> bool:
        """Tell whether a node's numbers lie in memory as bfloat16."""
        outside = base.op == "input" and base.attr[0] not in ("state", "dstate")
        return self.kernel.half and outside

    def _outside(self, kind: str, index: int, size: int) -> Value:
        if kind == "carry":
            return self.kernel._carry_row(index, self.code.builder.not_(self.odd), self.j)
        if kind == "total":
            return self._total(index, size)
        if index == 0:
            return self._view(self.layout.views["out", 0])
        return self._stream(self.layout.streams["out", index], size)

    def number(self, table: str) -> Value:
        """Return an entry of the row tables."""
        return self._once(table, lambda: self.code.load(self.kernel.tables[table], self.j, i64))

    def _once(self, key: object, make: Any) -> Value:
        # addresses are made where the row begins, so that every nest of the region can use them
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _scratch(self, node: Node) -> Value:
        offset = self.code.builder.mul(self.j, i64(self.layout.strides[node]))
        return self.code.at(self.kernel.buffers[node], offset, self.kernel.element)

    def _stream(self, word: int, size: int) -> Value:
        offset = self.code.builder.mul(self.number("position"), i64(size))
        return self.code.at(self.kernel.argument(word), offset, self.kernel.outside)

    def _view(self, word: int) -> Value:
        builder = self.code.builder
        offset = builder.add(
            builder.mul(self.number("time"), self.kernel.word(word + 1)),
            builder.mul(self.number("batch"), self.kernel.word(word + 2)),
        )
        return self.code.at(self.kernel.argument(word), offset, self.kernel.outside)

    def _total(self, index: int, size: int) -> Value:
        offset = self.code.builder.mul(self.number("batch"), i64(size))
        return self.code.at(self.kernel.argument(self.layout.totals[index]), offset, self.kernel.element)


@dataclass(frozen=True)
class _Axis:
    size: int
    strides: tuple[int, ...]
    """Of each operand in memory."""


class NestEmitter:
    """Emits one nest for one row."""

    def __init__(self, row: Row, nest: Nest) -> None:
        self.row, self.nest = row, nest
        self.kernel, self.code = row.kernel, row.code
        self.stores = row.kernel.schedule.stores
        self.own = set(nest.nodes)
        self.views = self._operand_views()
        self.axes = self._collapsed()
        inner = self.axes[-1].size
        width = row.layout.width
        while width > 1 and width // 2 >= inner:
            width //= 2
        self.lanes = Lanes(self.code.builder, row.kernel.dtype, width)

    def _operand_views(self) -> dict[object, View]:
        """Return everything in memory that the nest touches, spread over its shape."""
        shape = self.nest.shape
        found: dict[object, View] = {}
        for node in [*self.nest.nodes, *self.nest.reductions]:
            for child in node.inputs:
                if not self._inside(node, child):
                    view = locate(child)
                    found[child] = View(view.base, view.offset, broadcast_strides(view, child.shape, shape))
        dense = contiguous(shape)
        found["dense"] = View(Node("scalar"), 0, dense)
        for node in self.nest.reductions:
            found["reduced"] = View(
                node, 0, broadcast_strides(View(node, 0, contiguous(node.shape)), node.shape, shape)
            )
        return found

    def _inside(self, user: Node, child: Node) -> bool:
        return child in self.own and in_register(user, child)

    def _collapsed(self) -> list[_Axis]:
        """Merge neighbouring axes that every operand walks through without a jump."""
        views = list(self.views.values())
        axes: list[_Axis] = []
        last = len(self.nest.shape) - 1
        for place, size in enumerate(self.nest.shape):
            strides = tuple(view.strides[place] for view in views)
            separate = bool(self.nest.reductions) and place == last
            if (
                axes
                and not separate
                and (
                    size == 1
                    or all(outer == inner * size for outer, inner in zip(axes[-1].strides, strides, strict=True))
                )
            ):
                kept = axes[-1].strides if size == 1 else strides
                axes[-1] = _Axis(axes[-1].size * size, kept)
            elif axes and not separate and axes[-1].size == 1:
                axes[-1] = _Axis(size, strides)
            else:
                axes.append(_Axis(size, strides))
        return axes or [_Axis(1, tuple(0 for _ in views))]

    def emit(self) -> None:
        """Emit the loops, the outermost first."""
        self.addresses: dict[object, Value] = {}
        for node in [*self.nest.nodes, *self.nest.reductions]:
            for child in node.inputs:
                if child in self.views and (base := self.views[child].base).op != "scalar":
                    self.addresses[base] = self.row.of(base)
            for store in self.stores.get(node, []):
                self.addresses[store] = self.row.target(store)
            if node.op == "random":
                for table in ("time", "batch"):
                    self.row.number(table)
        self._outer(0, {key: i64(view.offset) for key, view in self.views.items()})

    def _outer(self, place: int, offsets: dict[object, Value]) -> None:
        if place == len(self.axes) - 1:
            self._inner(offsets)
            return
        axis, builder = self.axes[place], self.code.builder
        with self.code.loop(i64(axis.size), "outer") as index:
            moved = {
                key: builder.add(offset, builder.mul(index, i64(stride))) if stride else offset
                for (key, offset), stride in zip(offsets.items(), axis.strides, strict=True)
            }
            self._outer(place + 1, moved)

    def _inner(self, offsets: dict[object, Value]) -> None:
        axis, lanes, builder = self.axes[-1], self.lanes, self.code.builder
        strides = dict(zip(self.views, axis.strides, strict=True))
        sums = {node: self.code.variable(lanes.const(_NEUTRAL[node.op])) for node in self.nest.reductions}
        whole, rest = divmod(axis.size, lanes.width)
        if whole:
            with self.code.loop(i64(whole), "block") as index:
                self._block(offsets, strides, builder.mul(index, i64(lanes.width)), lanes.width, sums)
        if rest:
            self._block(offsets, strides, i64(whole * lanes.width), rest, sums)
        for node, variable in sums.items():
            self._store_sum(node, builder.load(variable, typ=lanes.type), offsets["reduced"])

    def _block(
        self, offsets: dict[object, Value], strides: dict[Any, int], start: Value, count: int, sums: Any
    ) -> None:
        """Emit one vector of the loop, of which `count` lanes are in use: everything that the nest computes for it."""
        builder, lanes = self.code.builder, self.lanes
        mask = None if count == lanes.width else tail_mask(lanes, count)
        values: dict[Node, Value] = {}
        loaded: dict[tuple[object, ...], Value] = {}

        def operand(user: Node, child: Node) -> Value:
            if self._inside(user, child):
                return values[child]
            view, stride = self.views[child], strides[child]
            if view.base.op == "scalar":
                number = view.base.attr[0]
                if child.boolean:
                    return ir.Constant(lanes.mask_type, [int(bool(number))] * lanes.width)
                return lanes.const(number)
            key = (view.base, view.offset, view.strides)
            if key not in loaded:
                offset = builder.add(offsets[child], builder.mul(start, i64(stride)))
                half = self.row.is_half(view.base)
                address = self.code.at(self.addresses[view.base], offset, i16 if half else lanes.element)
                loaded[key] = self._load(address, stride, count, half=half)
            value = loaded[key]
            return lanes.not_equal(value, lanes.const(0.0)) if child.boolean else value

        for node in self.nest.nodes:
            place = builder.add(offsets["dense"], start)
            values[node] = self._compute(node, [operand(node, child) for child in node.inputs], place)
            for store in self.stores.get(node, []):
                self._store(node, store, values[node], place, mask)
        for node in self.nest.reductions:
            value = operand(node, node.inputs[0])
            if node.inputs[0].boolean:
                value = lanes.select(value, lanes.const(1.0), lanes.const(0.0))
            if mask is not None:
                value = lanes.select(mask, value, lanes.const(_NEUTRAL[node.op]))
            builder.store(_combine(lanes, node.op, builder.load(sums[node], typ=lanes.type), value), sums[node])

    def _load(self, address: Value, stride: int, count: int, *, half: bool) -> Value:
        builder, lanes = self.code.builder, self.lanes
        if stride == 1:
            mask = None if count == lanes.width else tail_mask(lanes, count)
            if half:
                return self.code.load_halves(lanes, address, mask)
            return self.code.load_vector(lanes, address, 0, mask)

        def one(place: int) -> Value:
            number = self.code.load(address, i64(place), i16 if half else lanes.element)
            return widen(builder, number) if half else number

        if stride == 0:
            return lanes.splat(one(0))
        value = lanes.const(0.0)
        for lane in range(count):
            number = one(lane * stride)
            value = builder.insert_element(value, number, _i32(lane))
        return value

    def _compute(self, node: Node, operands: list[Value], place: Value) -> Value:
        lanes = self.lanes
        if node.op == "where":
            mask, first, second = operands
            if not node.inputs[0].boolean:
                mask = lanes.not_equal(mask, lanes.const(0.0))
            return lanes.select(mask, first, second)
        if node.op == "to_float":
            if not node.inputs[0].boolean:
                return operands[0]
            return lanes.select(operands[0], lanes.const(1.0), lanes.const(0.0))
        if node.op == "logical_not":
            return lanes.logical_not(self._mask(node.inputs[0], operands[0]))
        if node.op in ("logical_and", "logical_or", "logical_xor"):
            operands = [self._mask(child, value) for child, value in zip(node.inputs, operands, strict=True)]
        elif node.op in g.COMPARISONS:
            operands = [self._number(child, value) for child, value in zip(node.inputs, operands, strict=True)]
        if node.op == "random":
            return uniform(
                self.code,
                lanes,
                self.kernel.header["seed"],
                node.attr[0],
                self.row.number("batch"),
                self.row.number("time"),
                place,
            )
        if node.op in pointwise.BINARY:
            return pointwise.BINARY[node.op](lanes, *operands)
        return pointwise.UNARY[node.op](lanes, *operands)

    def _mask(self, node: Node, value: Value) -> Value:
        return value if node.boolean else self.lanes.not_equal(value, self.lanes.const(0.0))

    def _number(self, node: Node, value: Value) -> Value:
        if not node.boolean:
            return value
        return self.lanes.select(value, self.lanes.const(1.0), self.lanes.const(0.0))

    def _store(self, node: Node, store: Store, value: Value, place: Value, mask: Value | None) -> None:
        value = self._number(node, value)
        if self._goes_out(store):
            self.code.store_halves(value, self.code.at(self.addresses[store], place, i16), mask)
            return
        address = self.code.at(self.addresses[store], place, self.lanes.element)
        if store.kind == "total":
            value = self.lanes.add(value, self.code.load_vector(self.lanes, address, 0, mask))
        self.code.store_vector(self.lanes, value, address, 0, mask)

    def _store_sum(self, node: Node, total: Value, place: Value) -> None:
        """Combine the lanes in a fixed order, halves with halves, and keep the result."""
        builder, lanes = self.code.builder, self.lanes
        width = lanes.width
        while width > 1:
            width //= 2
            part = Lanes(builder, lanes.dtype, width)
            halves = [
                builder.shuffle_vector(
                    total,
                    ir.Constant(total.type, ir.Undefined),
                    ir.Constant(ir.VectorType(_i32, width), list(range(start, start + width))),
                )
                for start in (0, width)
            ]
            total = _combine(part, node.op, *halves)
        value = builder.extract_element(total, _i32(0))
        for store in self.stores.get(node, []):
            self.code.store(narrow(builder, value) if self._goes_out(store) else value, self.addresses[store], place)

    def _goes_out(self, store: Store) -> bool:
        """Tell whether a store writes bfloat16."""
        return self.kernel.half and store.kind == "stream"


_NEUTRAL = {"sum": 0.0, "amax": float("-inf"), "amin": float("inf")}


def _combine(lanes: Lanes, op: str, a: Value, b: Value) -> Value:
    return {"sum": lanes.add, "amax": lanes.maximum, "amin": lanes.minimum}[op](a, b)
