"""Programs as compiled functions: made once for a plan, found again in memory or on disk."""

from __future__ import annotations

import ctypes
import hashlib
import weakref
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import llvmlite.binding as llvm

from ostinato.engine.backends.cpu.compiler import compile_cached, new_module
from ostinato.engine.backends.cpu.contract import define_contract
from ostinato.engine.backends.cpu.drive import define_drive
from ostinato.engine.backends.cpu.emit import emit_kernel
from ostinato.engine.backends.cpu.gemm import define_gemm
from ostinato.engine.backends.cpu.lanes import DType
from ostinato.engine.backends.cpu.layout import Layout, all_products, constant_indices, make_layout, round_up
from ostinato.engine.backends.cpu.pack import define_pack
from ostinato.engine.backends.cpu.schedule import Schedule, schedule
from ostinato.engine.backends.cpu.target import describe
from ostinato.engine.backends.target import Target
from ostinato.engine.forks import lazy
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Program
from ostinato.engine.plan.views import locate

_word, _address = ctypes.c_int64, ctypes.c_void_p


@dataclass(frozen=True)
class Packing:
    """One matrix of weights to lay out as the product reads it."""

    word: int
    """Of the argument block."""
    product: Node
    weights: Node
    heads: int
    depth: int
    cols: int
    offset: int


@dataclass(frozen=True)
class Products:
    """Compiled functions that every cell shares."""

    gemm: str
    """The name under which kernels find the product."""
    pack: Any
    contract_address: int
    contract: Any
    drive: Any
    """Works off a program, see `drive`, of its address and that of its bases."""


@dataclass(frozen=True)
class Kernel:
    """A compiled program."""

    schedule: Schedule
    layout: Layout
    dtype: DType
    shared: Products
    """The functions that it shares with all others."""
    address: int
    """Of the function, valid as long as this kernel is there."""
    run: Any
    """The function, of the address of an argument block; it keeps its code alive."""
    work: int
    """Multiply-adds of the products of one row at one step: what decides on threads."""

    @lazy
    def dense_constants(self) -> frozenset[int]:
        """The constants that are read in order: all but the weights that are packed from where they lie."""
        found = set(constant_indices(self.schedule))
        for job in self.packing:
            if job.weights.op != "const":
                found.add(locate(job.weights).base.attr[0])
        return frozenset(found)

    @lazy
    def packing(self) -> tuple[Packing, ...]:
        """What is packed for a call."""
        jobs, total = [], 0
        line = 64 // self.layout.element_bytes
        for product in all_products(self.schedule):
            for pair in range(len(product.operands)):
                weights = product.node.inputs[2 * pair + 1]
                depth, cols = weights.shape[-2:]
                heads = weights.shape[0] if len(weights.shape) == 3 else 1
                word = self.layout.panels[product.node, pair]
                jobs.append(Packing(word, product.node, weights, heads, depth, cols, total))
                total += round_up(heads * self.layout.packed_size(depth, cols), line)
        return tuple(jobs)

    @lazy
    def packed_elements(self) -> int:
        """How much memory the packed weights take."""
        return sum(
            round_up(job.heads * self.layout.packed_size(job.depth, job.cols), 64 // self.layout.element_bytes)
            for job in self.packing
        )


def size_of(dtype: DType) -> int:
    """Return the bytes of a number."""
    return 4 if dtype == "float32" else 8


@cache
def products(dtype: DType, target: Target) -> Products:
    """Return the functions that do not depend on a cell."""
    # kernels find the product by its name, and one process may have code for several targets
    mark = hashlib.sha256(describe(target).encode()).hexdigest()[:12]
    names = [f"ostinato_{name}_{dtype}_{mark}" for name in ("gemm", "pack", "contract", "drive")]
    width, registers = target.width(size_of(dtype)), target.registers

    def build() -> Any:
        module = new_module("products", target)
        define_gemm(module, names[0], dtype, width, registers, fused=target.fused, products=target.products)
        pack = define_pack(module, names[1], dtype, width, products=target.products)
        define_contract(module, names[2], dtype, width, registers, fused=target.fused, products=target.products)
        define_drive(module, names[3], dtype, width, pack)
        return module

    # these are never freed: this function's own cache holds them
    code = compile_cached(f"products {dtype} {width} {registers}", build, names, target)
    llvm.add_symbol(names[0], code.addresses[names[0]])
    pack = code.function(names[1], _word, _word, _address, _word, _word, _address)
    contract, drive = code.function(names[2], _address), code.function(names[3], _address, _address)
    return Products(names[0], pack, code.addresses[names[2]], contract, drive)


_kernels: weakref.WeakValueDictionary[tuple[Target, str], Kernel] = weakref.WeakValueDictionary()
"""The kernels in use, by what they were made from: equal cells run the same one."""


def compile_program(
    program: Program, dtype: DType, resets: Literal["before", "after"], target: Target, *, half: bool = False
) -> Kernel:
    """Return a program as compiled for a target: the kernel in use, or from the disk, or new; see `emit_kernel`."""
    shared = products(dtype, target)
    planned = schedule(program)
    width = target.width(size_of(dtype))
    layout = make_layout(planned, width, size_of(dtype), target.products if dtype == "float32" else "full")

    def build() -> Any:
        module = new_module("kernel", target)
        emit_kernel(module, "run", planned, layout, dtype, shared.gemm, resets, half=half)
        return module

    key = f"kernel {dtype} {width} {resets}{' half' if half else ''}\n{fingerprint(planned.program)}"
    kernel = _kernels.get((target, key))
    if kernel is None:
        code = compile_cached(key, build, ["run"], target)
        run = code.function("run", _address)
        kernel = _kernels[target, key] = Kernel(
            planned, layout, dtype, shared, code.addresses["run"], run, _work(planned)
        )
    return kernel


def fingerprint(program: Program) -> str:
    """Return a text that two programs share only if they are the same."""
    order = g.topological(sink.node for sink in program.sinks)
    number = {node: index for index, node in enumerate(order)}
    lines = [
        f"{number[node]} {node.op} {node.attr!r} {node.shape} {node.boolean} {[number[child] for child in node.inputs]}"
        for node in order
    ]
    lines += [f"{sink.kind} {sink.index} {number[sink.node]}" for sink in program.sinks]
    return "\n".join([*lines, str(program.carries)])


def _work(planned: Schedule) -> int:
    total = sum(
        product.node.size * product.node.inputs[2 * pair].shape[-1]
        for product in all_products(planned)
        for pair in range(len(product.operands))
    )
    return total + 16 * sum(node.size for region in planned.regions for nest in region.nests for node in nest.nodes)
