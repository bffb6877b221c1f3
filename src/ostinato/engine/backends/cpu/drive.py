"""All that a call does, worked off by one compiled function: weights laid out, loops entered, gradients summed.

A program is an array of 64-bit words: `[relocations, jobs, word of the first job]`, then for each relocation `(word,
base, offset)`, then the jobs, each of `JOB` words, then the argument blocks that jobs point to. A relocation sets a
word to `bases[base] + offset`: whatever differs from call to call is a base, so that a program is written once.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i32, i64, pointer
from ostinato.engine.backends.cpu.lanes import DType, Lanes, Value

JOB = 8
"""Words of a job: its kind, then its arguments."""
PACK, CALL, TEAM, SUM, COPY = range(5)
"""`PACK`: the arguments of `define_pack`. `CALL`: a function, its block. `TEAM`: the same, threads, OpenMP's entry.
`SUM`: rows that lie one after the other, how many, numbers in each, where their sum goes. `COPY`: from, to, how many
numbers."""


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
            kinds: tuple[Any, ...] = (self._pack, self._call, self._team, self._sum, self._copy)
            for number, emit in enumerate(kinds):
                with builder.if_then(builder.icmp_signed("==", kind, i64(number))):
                    emit(*arguments)
        builder.ret_void()

    def _address(self, word: Value) -> Value:
        return self.code.builder.inttoptr(word, pointer)

    def _enter(self, word: Value, arguments: list[Value]) -> None:
        self.code.builder.call(_Entry(self._address(word), [argument.type for argument in arguments]), arguments)

    def _pack(
        self, depth: Value, cols: Value, weights: Value, down: Value, along: Value, panels: Value, _: Value
    ) -> None:
        arguments = [depth, cols, self._address(weights), down, along, self._address(panels)]
        self.code.builder.call(self.pack, arguments)

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

    def _copy(self, source: Value, target: Value, count: Value, *_: Value) -> None:
        code = self.code
        start, goal = self._address(source), self._address(target)
        with code.loop(count, "number") as index:
            code.store(code.load(start, index, self.lanes.element), goal, index)
