"""Loops, variables and memory in LLVM code: what every kernel is written with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from ostinato.engine.cpu.lanes import Lanes, Value

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
        if mask is None:
            return self.builder.load(address, typ=lanes.type, align=_bytes(lanes))
        function = self._masked("load", lanes, lanes.type, [pointer, i32, lanes.mask_type, lanes.type])
        return self.builder.call(function, [address, i32(_bytes(lanes)), mask, lanes.const(0.0)])

    def store_vector(self, lanes: Lanes, value: Value, base: Value, offset: int = 0, mask: Value | None = None) -> None:
        """Write a vector to memory, where the mask is true."""
        address = self.at(base, i64(offset), lanes.element) if offset else base
        if mask is None:
            self.builder.store(value, address, align=_bytes(lanes))
            return
        function = self._masked("store", lanes, ir.VoidType(), [lanes.type, pointer, i32, lanes.mask_type])
        self.builder.call(function, [value, address, i32(_bytes(lanes)), mask])

    def _masked(self, what: str, lanes: Lanes, result: Any, arguments: list[Any]) -> Any:
        suffix = f"v{lanes.width}f{32 if lanes.dtype == 'float32' else 64}"
        name = f"llvm.masked.{what}.{suffix}.p0"
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)


def _bytes(lanes: Lanes) -> int:
    return 4 if lanes.dtype == "float32" else 8
