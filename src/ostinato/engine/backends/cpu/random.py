"""Uniform random numbers from a counter: the same wherever and whenever they are asked for.

A number follows from the seed of the call, the place in the cell, the row, the step and the feature, so the backward
pass draws it again and nothing is stored. The mixing is that of SplitMix64 (G. Steele et al., OOPSLA 2014) for row and
step and the finaliser of MurmurHash3 (A. Appleby, 2011) for the features.
"""

from __future__ import annotations

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i64
from ostinato.engine.backends.cpu.lanes import Lanes, Value

_i32 = ir.IntType(32)
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def uniform(code: Code, lanes: Lanes, seed: Value, stream: int, batch: Value, time: Value, feature: Value) -> Value:
    """Return numbers in [0, 1), 24 bits each, for consecutive features."""
    builder = code.builder
    key = builder.add(seed, i64(stream * _GOLDEN & _MASK))
    for part in (batch, time):
        key = _mixed(builder, builder.add(builder.xor(key, part), i64(_GOLDEN)))
    kind = ir.VectorType(_i32, lanes.width)
    low, high = builder.trunc(key, _i32), builder.trunc(builder.lshr(key, i64(32)), _i32)
    first = builder.add(
        _splat(builder, builder.trunc(feature, _i32), kind), ir.Constant(kind, list(range(lanes.width)))
    )
    bits = builder.add(builder.mul(first, _constant(kind, 0x9E3779B1)), _splat(builder, low, kind))
    bits = _finalised(builder, kind, bits)
    bits = _finalised(builder, kind, builder.xor(bits, _splat(builder, high, kind)))
    whole = builder.uitofp(builder.lshr(bits, _constant(kind, 8)), lanes.type)
    return lanes.mul(whole, lanes.const(2.0**-24))


def _mixed(builder: ir.IRBuilder, value: Value) -> Value:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = builder.mul(builder.xor(value, builder.lshr(value, i64(shift))), i64(factor))
    return builder.xor(value, builder.lshr(value, i64(31)))


def _finalised(builder: ir.IRBuilder, kind: ir.VectorType, bits: Value) -> Value:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = builder.xor(bits, builder.lshr(bits, _constant(kind, shift)))
        bits = builder.mul(bits, _constant(kind, factor))
    return builder.xor(bits, builder.lshr(bits, _constant(kind, 16)))


def _constant(kind: ir.VectorType, value: int) -> Value:
    return ir.Constant(kind, [value] * kind.count)


def _splat(builder: ir.IRBuilder, scalar: Value, kind: ir.VectorType) -> Value:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _i32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_i32, kind.count), [0] * kind.count))
