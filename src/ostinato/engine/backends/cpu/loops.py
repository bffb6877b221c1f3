"""A loop that is no recurrent cell, compiled for this processor: what is written with `Code` and `Lanes` elsewhere."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i64, pointer
from ostinato.engine.backends.cpu.compiler import compile_cached, new_module
from ostinato.engine.backends.target import Target

Emit = Callable[[Code, "tuple[Any, ...]"], None]


def compile_loop(name: str, key: str, numbers: int, arrays: int, emit: Emit, target: Target) -> Any:
    """Return a function of whole numbers and then addresses of arrays, without result; see `compiled_loop`."""

    def build() -> ir.Module:
        module = new_module(name, target)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [i64] * numbers + [pointer] * arrays), name)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        emit(Code(builder), function.args)
        builder.ret_void()
        return module

    code = compile_cached(f"{name} {numbers} {arrays} {key}", build, (name,), target)
    return code.function(name, *[ctypes.c_int64] * numbers, *[ctypes.c_void_p] * arrays)
