"""bfloat16 in memory, float32 in registers: how sequences, outputs and saved values of that type are read and written.

A bfloat16 is the upper half of a float32, so reading is a shift. Writing rounds to the nearest, ties to even, as
PyTorch does, by whole-number arithmetic that every processor has.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.lanes import Value

i16 = ir.IntType(16)


def widen(builder: Any, bits: Value) -> Value:
    """Return the float32 of 16 bits, for one number or a vector of them."""
    whole, float_type = _like(bits.type, ir.IntType(32)), _like(bits.type, ir.FloatType())
    return builder.bitcast(builder.shl(builder.zext(bits, whole), _constant(whole, 16)), float_type)


def narrow(builder: Any, value: Value) -> Value:
    """Return the 16 bits of the nearest bfloat16; a NaN stays one."""
    whole = _like(value.type, ir.IntType(32))
    bits = builder.bitcast(value, whole)
    odd = builder.and_(builder.lshr(bits, _constant(whole, 16)), _constant(whole, 1))
    rounded = builder.add(bits, builder.add(odd, _constant(whole, 0x7FFF)))
    quiet = builder.or_(bits, _constant(whole, 0x00400000))
    chosen = builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded)
    return builder.trunc(builder.lshr(chosen, _constant(whole, 16)), _like(value.type, i16))


def _like(shape: Any, element: Any) -> Any:
    return ir.VectorType(element, shape.count) if isinstance(shape, ir.VectorType) else element


def _constant(kind: Any, number: int) -> Value:
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)
