"""LLVM code to functions that can be called: the machine, the passes, and the cache of compiled objects."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from ostinato.engine.cpu.lanes import DType
from ostinato.files import write_atomically

_CACHE_LIMIT_BYTES = 256 * 2**20
_lock = threading.RLock()
_alive: list[Any] = []
"""The engines that own compiled code: it must outlive every address given out."""


class Machine:
    """The processor that code is compiled for: its vectors and registers."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.triple = llvm.get_process_triple()
        self.cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
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
        return self.target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, jit=True, reloc="pic", codemodel="small"
        )

    def describe(self) -> str:
        """Return what a compiled object depends on, the code that emits it included."""
        return f"{self.triple} {self.cpu} {self.features} llvmlite {llvmlite.__version__} {_own_digest()}"


@cache
def _own_digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


@cache
def machine() -> Machine:
    """Return the processor of this process."""
    return Machine()


def new_module(name: str) -> ir.Module:
    """Return an empty module for this machine."""
    module = ir.Module(name)
    module.triple = machine().triple
    return module


def compile_cached(key: str, build: Callable[[], ir.Module], names: list[str]) -> dict[str, int]:
    """Return the addresses of functions, compiled now or taken from the cache on disk.

    Args:
        key: all that the code depends on besides the machine; the cache is asked for a hash of it.
        build: makes the module; called only if the cache has nothing.
        names: the functions wanted.
    """
    with _lock:
        path = _cache_path(key)
        data = _read(path)
        if data is None:
            data = emit_object(build())
            _write(path, data)
        return load_object(data, names)


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


def load_object(data: bytes, names: list[str]) -> dict[str, int]:
    """Link an object file into the process and return where its functions are."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine().target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    _alive.append(engine)
    addresses = {name: engine.get_function_address(name) for name in names}
    missing = [name for name, address in addresses.items() if not address]
    if missing:
        raise RuntimeError(f"compiled code has no function {missing}")
    return addresses


def cache_folder() -> Path | None:
    """Return where compiled objects are kept: `OSTINATO_CACHE_DIR`, or the user's cache; none if that is empty."""
    named = os.environ.get("OSTINATO_CACHE_DIR")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME") or (
        Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    )
    return Path(base) / "ostinato"


def _cache_path(key: str) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256(f"{machine().describe()}\n{key}".encode()).hexdigest()
    return folder / f"{digest[:40]}.o"


def _read(path: Path | None) -> bytes | None:
    """Return a cached object, or none if there is none or it is damaged."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:32], content[32:]
    return data if hashlib.sha256(data).digest() == digest else None


def _write(path: Path | None, data: bytes) -> None:
    """Keep a compiled object; a cache that cannot be written is no error, only slower."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(data).digest() + data)
        _shrink(path.parent)
    except Exception:  # noqa: BLE001 - a full or read-only disk must not stop a computation
        return


def _shrink(folder: Path) -> None:
    """Remove the objects longest unused once the cache is larger than its limit."""
    found = sorted(((entry.stat(), entry) for entry in folder.glob("*.o")), key=lambda pair: pair[0].st_mtime)
    total = sum(status.st_size for status, _ in found)
    for status, entry in found:
        if total <= _CACHE_LIMIT_BYTES:
            return
        entry.unlink(missing_ok=True)
        total -= status.st_size
