"""LLVM code to functions that can be called: the passes, and the compiled code that is in memory.

Code is shared by all who ask for the same, and freed when the last of them is gone: each piece takes a few memory maps,
of which a process may have some ten thousand.
"""

from __future__ import annotations

import ctypes
import hashlib
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from ostinato.engine.backends.cpu.disk import read_object, write_object
from ostinato.engine.backends.cpu.target import describe, target_machine
from ostinato.engine.backends.target import Target
from ostinato.engine.forks import making


@cache
def _own_digest() -> str | None:
    """Return a checksum of the code that makes programs and emits them; none where it cannot be read.

    The whole engine counts: what a graph's operations mean is decided outside this folder.
    """
    digest, room = hashlib.sha256(), Path(__file__).parents[2]
    sources = sorted(room.rglob("*.py"))
    for source in sources:
        digest.update(f"{source.relative_to(room)}\n".encode() + source.read_bytes())
    return digest.hexdigest() if sources else None


def new_module(name: str, target: Target) -> ir.Module:
    """Return an empty module for a target."""
    module = ir.Module(name)
    module.triple = target.triple
    return module


class Code:
    """Compiled functions in memory: there as long as this object is, or a function that it gave out."""

    def __init__(self, engine: Any, addresses: dict[str, int]) -> None:
        self.addresses = addresses
        """Of the functions, by name; valid as long as this object is there."""
        weakref.finalize(self, _let_go, engine).atexit = False

    def function(self, name: str, *arguments: Any) -> Any:
        """Return a function of ctypes' types `arguments` without result, which keeps the code alive."""
        made = ctypes.CFUNCTYPE(None, *arguments)(self.addresses[name])
        made.code = self  # type: ignore[attr-defined]
        return made


_loaded: weakref.WeakValueDictionary[str, Code] = weakref.WeakValueDictionary()
"""The code in memory, by the digest under which it is kept on disk."""
_dead: deque[Any] = deque()
"""Engines whose code nobody uses any more."""


def _let_go(engine: Any) -> None:
    _dead.append(engine)
    # the collector calls this in any thread at any time: it must not wait; whoever has the lock frees it, at the latest
    # when the next code is loaded
    if making.acquire(blocking=False):
        try:
            _free()
        finally:
            making.release()


def _free() -> None:
    while _dead:
        _dead.popleft().close()


def compile_cached(key: str, build: Callable[[], ir.Module], names: Sequence[str], target: Target) -> Code:
    """Return compiled functions: those in memory, or taken from the cache on disk, or compiled now.

    Args:
        key: all that the code depends on besides the target and the code that emits it.
        build: makes the module; called only if the code is not found.
        names: the functions wanted, the same for every call with this key.
        target: the machine that runs it.
    """
    digest_of_code = _own_digest()
    digest = hashlib.sha256(f"{describe(target)} {digest_of_code}\n{key}".encode()).hexdigest()
    with making:
        known = _loaded.get(digest)
        if known is None:
            known = _loaded[digest] = _load_or_build(None if digest_of_code is None else digest, build, names, target)
        return known


def _load_or_build(digest: str | None, build: Callable[[], ir.Module], names: Sequence[str], target: Target) -> Code:
    """Load code from the disk, if it has a digest and is what it should be, or else compile and keep it."""
    data = None if digest is None else read_object(digest)
    if data is not None:
        code = load_object(data, names, target)
        if all(code.addresses.values()):
            return code
    data = emit_object(build(), target)
    if digest is not None:
        write_object(digest, data)
    code = load_object(data, names, target)
    missing = [name for name, address in code.addresses.items() if not address]
    if missing:
        raise RuntimeError(f"compiled code has no function {missing}")
    return code


def emit_object(module: ir.Module, target: Target) -> bytes:
    """Optimise a module and return it as an object file."""
    machine = target_machine(target)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    data: bytes = machine.emit_object(parsed)
    return data


def load_object(data: bytes, names: Sequence[str], target: Target) -> Code:
    """Link an object file into the process and find its functions; the address of one that it has not is 0."""
    with making:
        _free()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine(target))
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        engine.finalize_object()
        return Code(engine, {name: engine.get_function_address(name) for name in names})
