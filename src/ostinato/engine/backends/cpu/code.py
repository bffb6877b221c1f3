"""Loops, variables and memory in LLVM code: what every kernel is written with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.halves import i16, narrow, widen
from ostinato.engine.backends.cpu.lanes import Lanes, Value

i64 = ir.IntType(64)
i32 = ir.IntType(32)
pointer = ir.PointerType()


class Code:
    """A builder inside one function. Variables live on the stack until LLVM's passes put them into registers."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self._entry = builder.block

    def variable(self, start: Value, kind: Any = None) -> Value:
        """Return the address of a new variable, set to `start` here."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(kind or start.type)
        self.builder.store(start, place)
        return place

    def array(self, element: Any, count: int) -> Value:
        """Return the address of so many elements on the stack, whose values are not set; a multiple of 64."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(element, count)
        place.align, place.type = 64, pointer
        return place

    @contextmanager
    def loop(self, count: Value, name: str = "loop") -> Iterator[Value]:
        """Run what follows `count` times; gives the index, from 0."""
        builder = self.builder
        before = builder.block
        body, after = builder.append_basic_block(name), builder.append_basic_block(f"{name}.end")
        builder.cbranch(builder.icmp_signed(">", count, i64(0)), body, after)
        builder.position_at_end(body)
        index = builder.phi(i64)
        index.add_incoming(i64(0), before)
        yield index
        following = builder.add(index, i64(1))
        index.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), body, after)
        builder.position_at_end(after)

    def at(self, base: Value, index: Value, element: Any) -> Value:
        """Return the address of `base[index]`."""
        return self.builder.gep(base, [index], source_etype=element)

    def load(self, base: Value, index: Value, element: Any) -> Value:
        """Return `base[index]`."""
        return self.builder.load(self.at(base, index, element), typ=element)

    def store(self, value: Value, base: Value, index: Value) -> None:
        """Set `base[index]`."""
        self.builder.store(value, self.at(base, index, value.type))

    def load_vector(self, lanes: Lanes, base: Value, offset: int = 0, mask: Value | None = None) -> Value:
        """Return a vector from memory; where the mask is false, zeros."""
        address = self.at(base, i64(offset), lanes.element) if offset else base
        return self._load(lanes.type, address, mask)

    def store_vector(self, lanes: Lanes, value: Value, base: Value, offset: int = 0, mask: Value | None = None) -> None:
        """Write a vector to memory, where the mask is true."""
        address = self.at(base, i64(offset), lanes.element) if offset else base
        self._store(value, address, mask)

    def load_whole(self, kind: Any, base: Value, offset: int = 0) -> Value:
        """Return a vector of any type from memory."""
        return self.builder.load(self.at(base, i64(offset), kind.element), typ=kind, align=_bytes(kind))

    def store_whole(self, value: Value, base: Value, offset: int = 0) -> None:
        """Write a vector of any type to memory."""
        self.builder.store(value, self.at(base, i64(offset), value.type.element), align=_bytes(value.type))

    def load_halves(self, lanes: Lanes, address: Value, mask: Value | None = None) -> Value:
        """Return a vector of what lies in memory as bfloat16; where the mask is false, zeros."""
        return widen(self.builder, self._load(ir.VectorType(i16, lanes.width), address, mask))

    def store_halves(self, value: Value, address: Value, mask: Value | None = None) -> None:
        """Write a vector to memory as bfloat16, where the mask is true."""
        self._store(narrow(self.builder, value), address, mask)

    def _load(self, kind: Any, address: Value, mask: Value | None) -> Value:
        if mask is None:
            return self.builder.load(address, typ=kind, align=_bytes(kind))
        function = self._masked("load", kind, kind, [pointer, i32, mask.type, kind])
        zeros = ir.Constant(kind, [0.0 if kind.element != i16 else 0] * kind.count)
        return self.builder.call(function, [address, i32(_bytes(kind)), mask, zeros])

    def _store(self, value: Value, address: Value, mask: Value | None) -> None:
        kind = value.type
        if mask is None:
            self.builder.store(value, address, align=_bytes(kind))
            return
        function = self._masked("store", kind, ir.VoidType(), [kind, pointer, i32, mask.type])
        self.builder.call(function, [value, address, i32(_bytes(kind)), mask])

    def _masked(self, what: str, kind: Any, result: Any, arguments: list[Any]) -> Any:
        name = f"llvm.masked.{what}.v{kind.count}{'i' if kind.element == i16 else 'f'}{8 * _bytes(kind)}.p0"
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)


def _bytes(kind: Any) -> int:
    """Return how large an element of a vector is."""
    if isinstance(kind.element, ir.IntType):
        return int(kind.element.width) // 8
    return 4 if kind.element == ir.FloatType() else 8
