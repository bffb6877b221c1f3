"""All that a call does, worked off by one compiled function: weights laid out, loops entered, gradients summed.

A program is an array of 64-bit words: `[relocations, jobs, word of the first job]`, then for each relocation `(word,
base, offset)`, then the jobs, each of `JOB` words, then the argument blocks that jobs point to. A relocation sets a
word to `bases[base] + offset`: whatever differs from call to call is a base, so that a program is written once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i32, i64, pointer
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value

JOB = 8
"""Words of a job: its kind, then its arguments."""
PACK, CALL, TEAM, SUM, CLEAR, ADD, GATHER, CUT, SPREAD, COLLECT = range(10)
"""`PACK`: the arguments of `define_pack`, and 0 if it is not to be done. `CALL`: a function, its block. `TEAM`: the
same, threads, OpenMP's entry. `SUM`: rows that lie one after the other, how many, numbers in each, where their sum
goes. `CLEAR`: where, how many numbers. `ADD`: from, to what, how many numbers. `GATHER` and `CUT`: a table (see
`ROWS`), a tensor, how far its steps and its rows lie apart, numbers of a row; the first copies all real steps, row
after row, to where, the second clears all others. `SPREAD` and `COLLECT`: a table (see `SIZES`), packed sequences,
`(steps, rows)`, numbers of a row; the first copies what is packed to where every step has a place for every row, the
second back."""
ROWS = ("batch", "steps", "order", "lengths", "starts")
"""Of rows that have lengths: how many, of how many steps at most, and what the header of `layout` has."""
SIZES = ("batch", "steps", "sizes")
"""Of packed sequences: how many rows and steps at most, and how many rows each step has."""


def define_drive(module: ir.Module, name: str, dtype: DType, width: int, pack: Any) -> Any:
    """Add `void name(i64* program, i64* bases)` to a module that has `pack`."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer]), name)
    _Driver(function, dtype, width, pack).emit()
    return function


class _Entry:
    """An address as a function without result, which llvmlite's pointers do not say of themselves."""

    def __init__(self, address: Value, arguments: list[Any]) -> None:
        self.type, self._address = address.type, address
        self.function_type = ir.FunctionType(ir.VoidType(), arguments)

    def get_reference(self) -> str:
        """Return its name in the code."""
        reference: str = self._address.get_reference()
        return reference


class _Driver:
    """Emits the function."""

    def __init__(self, function: Any, dtype: DType, width: int, pack: Any) -> None:
        self.program, self.bases = function.args
        self.code = Code(ir.IRBuilder(function.append_basic_block("entry")))
        self.lanes = Lanes(self.code.builder, dtype, width)
        self.pack = pack

    def emit(self) -> None:
        """Emit both loops."""
        code, builder = self.code, self.code.builder
        relocations, jobs, first = (code.load(self.program, i64(index), i64) for index in range(3))
        with code.loop(relocations, "relocation") as index:
            place = code.at(self.program, builder.add(builder.mul(index, i64(3)), i64(3)), i64)
            word, base, offset = (code.load(place, i64(part), i64) for part in range(3))
            value = builder.add(code.load(self.bases, base, i64), offset)
            code.store(value, self.program, word)
        with code.loop(jobs, "job") as index:
            job = code.at(self.program, builder.add(first, builder.mul(index, i64(JOB))), i64)
            kind, *arguments = (code.load(job, i64(part), i64) for part in range(JOB))
            kinds: tuple[Any, ...] = (
                self._pack, self._call, self._team, self._sum, self._clear, self._add, self._gather, self._cut,
                self._spread, self._collect,
            )  # fmt: skip
            for number, emit in enumerate(kinds):
                with builder.if_then(builder.icmp_signed("==", kind, i64(number))):
                    emit(*arguments)
        builder.ret_void()

    def _address(self, word: Value) -> Value:
        return self.code.builder.inttoptr(word, pointer)

    def _enter(self, word: Value, arguments: list[Value]) -> None:
        self.code.builder.call(_Entry(self._address(word), [argument.type for argument in arguments]), arguments)

    def _pack(
        self, depth: Value, cols: Value, weights: Value, down: Value, along: Value, panels: Value, wanted: Value
    ) -> None:
        builder = self.code.builder
        with builder.if_then(builder.icmp_signed("!=", wanted, i64(0))):
            builder.call(self.pack, [depth, cols, self._address(weights), down, along, self._address(panels)])

    def _call(self, function: Value, block: Value, *_: Value) -> None:
        self._enter(function, [self._address(block)])

    def _team(self, function: Value, block: Value, threads: Value, team: Value, *_: Value) -> None:
        count = self.code.builder.trunc(threads, i32)
        self._enter(team, [self._address(function), self._address(block), count, i32(0)])

    def _sum(self, source: Value, rows: Value, cols: Value, target: Value, *_: Value) -> None:
        code, builder, lanes = self.code, self.code.builder, self.lanes
        start, goal = self._address(source), self._address(target)
        whole = builder.udiv(cols, i64(lanes.width))
        with code.loop(whole, "vector") as index:
            column = builder.mul(index, i64(lanes.width))
            total = code.variable(lanes.const(0.0))
            with code.loop(rows, "row") as row:
                place = code.at(start, builder.add(builder.mul(row, cols), column), lanes.element)
                builder.store(lanes.add(builder.load(total, typ=lanes.type), code.load_vector(lanes, place)), total)
            code.store_vector(lanes, builder.load(total, typ=lanes.type), code.at(goal, column, lanes.element))
        done = builder.mul(whole, i64(lanes.width))
        with code.loop(builder.sub(cols, done), "rest") as index:
            column = builder.add(done, index)
            total = code.variable(ir.Constant(lanes.element, 0.0))
            with code.loop(rows, "row") as row:
                number = code.load(start, builder.add(builder.mul(row, cols), column), lanes.element)
                builder.store(builder.fadd(builder.load(total, typ=lanes.element), number), total)
            code.store(builder.load(total, typ=lanes.element), goal, column)

    def _clear(self, target: Value, count: Value, *_: Value) -> None:
        self._fill(self._address(target), count)

    def _fill(self, goal: Value, count: Value) -> None:
        """Set numbers to zero."""
        lanes = self.lanes
        for place, vector in self._pieces(count):
            zero = lanes.const(0.0) if vector else ir.Constant(lanes.element, 0.0)
            self._put(zero, goal, place)

    def _add(self, source: Value, target: Value, count: Value, *_: Value) -> None:
        start, goal = self._address(source), self._address(target)
        for place, vector in self._pieces(count):
            one, other = (self._number(base, place, vector) for base in (start, goal))
            self._put(self.lanes.add(one, other) if vector else self.code.builder.fadd(one, other), goal, place)

    def _gather(self, table: Value, x: Value, time: Value, row: Value, width: Value, target: Value, *_: Value) -> None:
        builder, bytes_ = self.code.builder, i64(self._bytes)
        goal = builder.mul(width, bytes_)
        with self._rows(table) as (batch, length, _, start), self.code.loop(length, "step") as step:
            source = self._address(self._step(x, time, row, batch, step))
            into = self._address(builder.add(target, builder.mul(builder.add(start, step), goal)))
            for place, vector in self._pieces(width):
                self._put(self._number(source, place, vector), into, place)

    def _cut(self, table: Value, x: Value, time: Value, row: Value, width: Value, *_: Value) -> None:
        builder = self.code.builder
        with (
            self._rows(table) as (batch, length, steps, _),
            self.code.loop(builder.sub(steps, length), "step") as step,
        ):
            self._fill(self._address(self._step(x, time, row, batch, builder.add(length, step))), width)

    def _spread(self, table: Value, packed: Value, rows: Value, width: Value, *_: Value) -> None:
        for source, goal, count in self._packed_steps(table, packed, rows, width):
            for place, vector in self._pieces(count):
                self._put(self._number(source, place, vector), goal, place)

    def _collect(self, table: Value, packed: Value, rows: Value, width: Value, *_: Value) -> None:
        for goal, source, count in self._packed_steps(table, packed, rows, width):
            for place, vector in self._pieces(count):
                self._put(self._number(source, place, vector), goal, place)

    def _packed_steps(self, table: Value, packed: Value, rows: Value, width: Value) -> Iterator[Any]:
        """Emit a loop over steps: where each lies packed, where with a place for every row, and how many numbers."""
        code, builder, place = self.code, self.code.builder, self._address(table)
        batch, steps, sizes = (code.load(place, i64(word), i64) for word in range(len(SIZES)))
        before = code.variable(i64(0))
        with code.loop(steps, "step") as step:
            count = builder.mul(code.load(self._address(sizes), step, i64), width)
            done = builder.load(before, typ=i64)
            spread = builder.mul(builder.mul(step, batch), width)
            places = [
                self._address(builder.add(start, builder.mul(numbers, i64(self._bytes))))
                for start, numbers in ((packed, done), (rows, spread))
            ]
            yield *places, count
            builder.store(builder.add(done, count), before)

    @property
    def _bytes(self) -> int:
        return 4 if self.lanes.element == ir.FloatType() else 8

    def _step(self, x: Value, time: Value, row: Value, batch: Value, step: Value) -> Value:
        """Return the address of a row's step in a tensor."""
        builder = self.code.builder
        numbers = builder.add(builder.mul(step, time), builder.mul(batch, row))
        return builder.add(x, builder.mul(numbers, i64(self._bytes)))

    @contextmanager
    def _rows(self, table: Value) -> Iterator[tuple[Value, Value, Value, Value]]:
        """Go over rows that have lengths; gives the row, its length, the steps there are, its place in streams."""
        code, place = self.code, self._address(table)
        count, steps, *tables = (code.load(place, i64(word), i64) for word in range(len(ROWS)))
        order, lengths, starts = map(self._address, tables)
        with code.loop(count, "row") as index:
            batch = code.load(order, index, i64)
            yield batch, code.load(lengths, index, i64), steps, code.load(starts, batch, i64)

    def _pieces(self, count: Value) -> Iterator[tuple[Value, bool]]:
        """Emit a loop over whole vectors and one over the numbers that are left; gives where, and whether a vector."""
        builder, width = self.code.builder, i64(self.lanes.width)
        whole = builder.udiv(count, width)
        with self.code.loop(whole, "vector") as index:
            yield builder.mul(index, width), True
        done = builder.mul(whole, width)
        with self.code.loop(builder.sub(count, done), "rest") as index:
            yield builder.add(done, index), False

    def _number(self, base: Value, place: Value, vector: bool) -> Value:
        """Return a vector or a number from memory."""
        if vector:
            return self.code.load_vector(self.lanes, self.code.at(base, place, self.lanes.element))
        return self.code.load(base, place, self.lanes.element)

    def _put(self, value: Value, base: Value, place: Value) -> None:
        """Write a vector or a number to memory."""
        address = self.code.at(base, place, self.lanes.element)
        self.code.builder.store(value, address, align=self._bytes)
