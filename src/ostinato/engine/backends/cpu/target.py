"""Processors as LLVM knows them: the one that the process runs on, or an older one, as a target; a target for LLVM."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from ostinato.engine.backends.target import Target
from ostinato.errors import UsageError

_OLDER = {"avx2": ("haswell", ("avx2", "fma", "bmi", "bmi2", "f16c")), "baseline": ("x86-64", ())}
"""Processors that may be asked for by name, with what they have that this code asks for."""


@cache
def host_target(older: str = "") -> Target:
    """Return the processor of this process, or an older x86 processor whose code it runs: `avx2` or `baseline`.

    Raises:
        UsageError: there is none of this name, or this processor lacks what it has.
    """
    _initialise()
    triple, processor, features = llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    if older in _OLDER and triple.startswith("x86"):
        processor, wanted = _OLDER[older]
        features = _features(wanted, features)
    elif older:
        raise UsageError(f'OSTINATO_TARGET is "{older}"; expected avx2 or baseline, on an x86 processor')
    text = features.flatten()
    if triple.startswith("x86"):
        # some processors prefer half vectors for mixed code; in a recurrent step whole ones win
        text += ("," if features else "") + "-prefer-256-bit"
    if features.get("avx512f"):
        return Target("cpu", triple, processor, text, 64, 32)
    if features.get("avx2") and features.get("fma"):
        return Target("cpu", triple, processor, text, 32, 16)
    return Target("cpu", triple, processor, text, 16, 32 if triple.startswith(("aarch64", "arm64")) else 16)


@cache
def half_target(target: Target) -> Target:
    """Return the same processor, multiplying matrices in bfloat16: by AVX-512's dot products where it has them."""
    known = "+avx512bf16" in target.features.split(",") and target.vector_bytes == 64
    return replace(target, products="bfloat16" if known else "bfloat16 emulated")


def _features(wanted: tuple[str, ...], host: Any) -> Any:
    """Return a processor's features: those wanted, and none of the host's larger vectors."""
    missing = [name for name in wanted if not host.get(name)]
    if missing:
        raise UsageError(f"OSTINATO_TARGET asks for {', '.join(missing)}, which this processor lacks")
    return llvm.FeatureMap(dict.fromkeys(wanted, True))


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def target_machine(target: Target) -> Any:
    """Return LLVM's description of a target."""
    _initialise()
    # Whole addresses, where LLVM takes them: code and its constants come to lie in mappings of their own, and
    # beside the libraries of a GPU these are more than 2 GB apart. (llvmlite's own memory manager lays them side by
    # side, and ends the process where a section fills its pages to the last bytes.)
    far = target.triple.startswith("x86_64") and "linux" in target.triple
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.processor, features=target.features, opt=3, jit=True,
        reloc="static" if far else "pic", codemodel="large" if far else "small",
    )  # fmt: skip


def describe(target: Target) -> str:
    """Return what a compiled object depends on besides its program and the code that emits it."""
    version = ".".join(map(str, llvm.llvm_version_info))
    machine = f"{target.triple} {target.processor} {target.features} {target.vector_bytes} {target.registers}"
    products = "" if target.products == "full" else f" products of {target.products}"
    return f"{machine}{'' if target.fused else ' not fused'}{products} llvmlite {llvmlite.__version__} {version}"
