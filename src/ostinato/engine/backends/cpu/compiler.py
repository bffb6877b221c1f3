"""LLVM code to functions that can be called: the machine, the passes, and the compiled code that is in memory.

Code is shared by all who ask for the same, and freed when the last of them is gone: each piece takes a few memory maps,
of which a process may have some ten thousand.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from ostinato.engine.backends.cpu.disk import read_object, write_object
from ostinato.engine.backends.cpu.lanes import DType
from ostinato.engine.forks import making
from ostinato.errors import UsageError

_OLDER = {"avx2": ("haswell", ("avx2", "fma", "bmi", "bmi2", "f16c")), "baseline": ("x86-64", ())}
"""Processors that `OSTINATO_TARGET` names for tests, with what they have that this code asks for."""


class Machine:
    """The processor that code is compiled for: its vectors and registers.

    `OSTINATO_TARGET=avx2` or `baseline` in the environment compiles for an older x86 processor than the one there is,
    so that tests see its vectors.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.triple = llvm.get_process_triple()
        self.cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
        older = os.environ.get("OSTINATO_TARGET", "")
        if older in _OLDER and self.triple.startswith("x86"):
            self.cpu, wanted = _OLDER[older]
            features = _features(wanted, features)
        elif older:
            raise UsageError(f'OSTINATO_TARGET is "{older}"; expected avx2 or baseline, on an x86 processor')
        # some processors prefer half vectors for mixed code; in a recurrent step whole ones win
        self.features = features.flatten() + ("," if features else "") + "-prefer-256-bit"
        if not self.triple.startswith("x86"):
            self.features = features.flatten()
        if features.get("avx512f"):
            self.bytes, self.registers = 64, 32
        elif features.get("avx2") and features.get("fma"):
            self.bytes, self.registers = 32, 16
        else:
            self.bytes, self.registers = 16, 32 if self.triple.startswith(("aarch64", "arm64")) else 16
        self.target = llvm.Target.from_triple(self.triple)

    def width(self, dtype: DType) -> int:
        """Return how many numbers a vector register holds."""
        return self.bytes // (4 if dtype == "float32" else 8)

    def target_machine(self) -> Any:
        """Return LLVM's description of the processor."""
        # Whole addresses, where LLVM takes them: code and its constants come to lie in mappings of their own, and
        # beside the libraries of a GPU these are more than 2 GB apart. (llvmlite's own memory manager lays them side by
        # side, and ends the process where a section fills its pages to the last bytes.)
        far = self.triple.startswith("x86_64") and "linux" in self.triple
        return self.target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, jit=True,
            reloc="static" if far else "pic", codemodel="large" if far else "small",
        )  # fmt: skip

    def describe(self) -> str:
        """Return what a compiled object depends on besides its program and the code that emits it."""
        version = ".".join(map(str, llvm.llvm_version_info))
        return f"{self.triple} {self.cpu} {self.features} {self.registers} llvmlite {llvmlite.__version__} {version}"


def _features(wanted: tuple[str, ...], host: Any) -> Any:
    """Return a processor's features: those wanted, and none of the host's larger vectors."""
    missing = [name for name in wanted if not host.get(name)]
    if missing:
        raise UsageError(f"OSTINATO_TARGET asks for {', '.join(missing)}, which this processor lacks")
    return llvm.FeatureMap(dict.fromkeys(wanted, True))


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


@cache
def machine() -> Machine:
    """Return the processor of this process."""
    return Machine()


def new_module(name: str) -> ir.Module:
    """Return an empty module for this machine."""
    module = ir.Module(name)
    module.triple = machine().triple
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


def compile_cached(key: str, build: Callable[[], ir.Module], names: Sequence[str]) -> Code:
    """Return compiled functions: those in memory, or taken from the cache on disk, or compiled now.

    Args:
        key: all that the code depends on besides the machine and the code that emits it.
        build: makes the module; called only if the code is not found.
        names: the functions wanted, the same for every call with this key.
    """
    own = _own_digest()
    digest = hashlib.sha256(f"{machine().describe()} {own}\n{key}".encode()).hexdigest()
    with making:
        known = _loaded.get(digest)
        if known is None:
            known = _loaded[digest] = _load_or_build(None if own is None else digest, build, names)
        return known


def _load_or_build(digest: str | None, build: Callable[[], ir.Module], names: Sequence[str]) -> Code:
    """Load code from the disk, if it has a digest and is what it should be, or else compile and keep it."""
    data = None if digest is None else read_object(digest)
    if data is not None:
        code = load_object(data, names)
        if all(code.addresses.values()):
            return code
    data = emit_object(build())
    if digest is not None:
        write_object(digest, data)
    code = load_object(data, names)
    missing = [name for name, address in code.addresses.items() if not address]
    if missing:
        raise RuntimeError(f"compiled code has no function {missing}")
    return code


def emit_object(module: ir.Module) -> bytes:
    """Optimise a module and return it as an object file."""
    target_machine = machine().target_machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(target_machine, options)
    builder.getModulePassManager().run(parsed, builder)
    data: bytes = target_machine.emit_object(parsed)
    return data


def load_object(data: bytes, names: Sequence[str]) -> Code:
    """Link an object file into the process and find its functions; the address of one that it has not is 0."""
    with making:
        _free()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine().target_machine())
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        engine.finalize_object()
        return Code(engine, {name: engine.get_function_address(name) for name in names})
