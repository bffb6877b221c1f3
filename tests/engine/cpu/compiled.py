"""Machine code for the tests: all functions on lanes of one type and width in one module, each a loop over arrays."""

import ctypes

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from ostinato.engine.backends.cpu.lanes import Lanes


class Compiled:
    """`Compiled("float32", 16, {"exp": exp}, {"power": power})("power", x, y)`, on one-dimensional arrays."""

    def __init__(self, dtype, width, unary, binary, cpu=None):
        self.dtype, self.width = np.dtype(dtype), width
        module = ir.Module()
        for name, function in unary.items():
            _loop(module, name, dtype, width, 1, function)
        for name, function in binary.items():
            _loop(module, name, dtype, width, 2, function)
        self.machine = _machine(cpu)
        self.module = llvm.parse_assembly(str(module))
        self.module.verify()
        _optimise(self.module, self.machine)
        self.engine = llvm.create_mcjit_compiler(self.module, self.machine)
        self.engine.finalize_object()

    def __call__(self, name, *xs):
        xs = [np.ascontiguousarray(x, self.dtype) for x in xs]
        padded = [np.concatenate([x, np.ones(-len(x) % self.width, self.dtype)]) for x in xs]
        out = np.empty_like(padded[0])
        self.address(name, len(xs))(*(array.ctypes.data for array in (*padded, out)), len(out))
        return out[: len(xs[0])]

    def address(self, name, arguments=1):
        pointers = [ctypes.c_void_p] * (arguments + 1)
        return ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(self.engine.get_function_address(f"over_{name}"))


def _machine(cpu):
    """The target of the host with all its features, or of an older CPU of its family by name."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = "" if cpu else llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu or llvm.get_host_cpu_name(), features=features, opt=3
    )


def _optimise(module, machine):
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)


def _loop(module, name, dtype, width, arguments, function):
    """`for i in range(0, n, width): out[i : i + width] = function(x[i : i + width], ...)`.

    A function of its own called `sin` would catch the calls to libm.
    """
    index, pointer = ir.IntType(64), ir.PointerType()
    signature = ir.FunctionType(ir.VoidType(), [pointer] * (arguments + 1) + [index])
    *inputs, out, count = (loop := ir.Function(module, signature, f"over_{name}")).args
    entry, body, done = (loop.append_basic_block(label) for label in ("entry", "body", "done"))
    ir.IRBuilder(entry).branch(body)
    builder = ir.IRBuilder(body)
    i = builder.phi(index)
    lanes = Lanes(builder, dtype, width)
    at = [builder.gep(p, [i], source_etype=lanes.element) for p in (*inputs, out)]
    align = np.dtype(dtype).itemsize
    y = function(lanes, *(builder.load(p, align=align, typ=lanes.type) for p in at[:-1]))
    builder.store(y, at[-1], align=align)
    following = builder.add(i, ir.Constant(index, width))
    i.add_incoming(ir.Constant(index, 0), entry)
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), body, done)
    ir.IRBuilder(done).ret_void()
