"""A loop that is no recurrent cell, compiled for this processor: what is written with `Code` and `Lanes` elsewhere."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Literal

from llvmlite import ir

from ostinato.engine.backends.cpu.code import Code, i64, pointer
from ostinato.engine.backends.cpu.compiler import compile_cached, new_module
from ostinato.engine.backends.target import Target

Argument = Literal["whole", "array"]
Emit = Callable[[Code, "tuple[Any, ...]"], None]


def compile_loop(name: str, key: str, arguments: tuple[Argument, ...], emit: Emit, target: Target) -> Any:
    """Return a function of whole numbers and addresses of arrays, without result; see `compiled_loop`."""

    def build() -> ir.Module:
        module = new_module(name, target)
        kinds = [i64 if one == "whole" else pointer for one in arguments]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        emit(Code(builder), function.args)
        builder.ret_void()
        return module

    code = compile_cached(f"{name} {arguments} {key}", build, (name,), target)
    kinds = [ctypes.c_int64 if one == "whole" else ctypes.c_void_p for one in arguments]
    return code.function(name, *kinds)
