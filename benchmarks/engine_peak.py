"""The machine's float32 peak: vectors of fused multiply-adds in independent chains, nothing loaded or stored.

A matrix product of NumPy or torch is not the peak: it may run at half of it. Needs llvmlite.
"""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

# which width and how many chains fill the pipes depends on the machine; the best of all is the peak
_WIDTHS = (4, 8, 16)
_CHAINS = (12, 16, 24)
_REPEATS = 5


def peak_gflops(threads: int) -> float:
    """Return the most GFLOP/s (two for each multiply-add) that so many threads reach together.

    Raises:
        ImportError: llvmlite is not installed.
    """
    kernels = [(width * chains, _compile(width, chains)) for width, chains in itertools.product(_WIDTHS, _CHAINS)]
    with ThreadPoolExecutor(threads) as pool:
        rates = [_rate(pool, threads, lanes, run, _REPEATS) for lanes, run in kernels]
        # the best once more and for longer: all threads must find a moment when nothing else runs
        lanes, run = kernels[rates.index(max(rates))]
        return max(*rates, _rate(pool, threads, lanes, run, 10 * _REPEATS))


def _rate(pool: ThreadPoolExecutor, threads: int, lanes: int, run: Callable[[int], None], repeats: int) -> float:
    """Return the best of so many tries, in GFLOP/s; `lanes` is the number of multiply-adds in a loop."""
    loops = _calibrated(run)
    elapsed = min(_together(pool, threads, run, loops) for _ in range(repeats))
    return 2e-9 * lanes * loops * threads / elapsed


def _calibrated(run: Callable[[int], None]) -> int:
    """Return how many loops take about 20 ms."""
    loops = 1000
    while True:
        began = time.perf_counter()
        run(loops)
        elapsed = time.perf_counter() - began
        if elapsed > 0.01:
            return int(loops * 0.02 / elapsed)
        loops *= 4


def _together(pool: ThreadPoolExecutor, threads: int, run: Callable[[int], None], loops: int) -> float:
    """Return how long it takes until all threads, started at once, are done."""
    barrier = Barrier(threads)

    def one(_: int) -> tuple[float, float]:
        barrier.wait()
        began = time.perf_counter()
        run(loops)
        return began, time.perf_counter()

    spans = list(pool.map(one, range(threads)))
    return max(end for _, end in spans) - min(began for began, _ in spans)


def _compile(width: int, chains: int) -> Callable[[int], None]:
    """Return a native function that runs a number of loops, one multiply-add of each chain a loop."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(_source(width, chains)), machine)
    engine.finalize_object()
    # ctypes lets other Python threads run during a call
    native = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(engine.get_function_address("chains"))
    memory = np.linspace(0.1, 0.9, (chains + 2) * width, dtype=np.float32)

    def run(loops: int) -> None:
        # each call has its own memory: threads must not share a line of the cache
        own = memory.copy()
        native(loops, own.ctypes.data)

    run.engine = engine  # type: ignore[attr-defined]  # the code lives as long as its engine
    return run


def _source(width: int, chains: int) -> str:
    """Return LLVM IR of `v = v * a + b` for every chain; all are read from memory so that none can be folded."""
    kind = f"<{width} x float>"
    each = range(chains)
    lines = [
        f"declare {kind} @llvm.fma.v{width}f32({kind}, {kind}, {kind})",
        "define void @chains(i64 %n, ptr %m) #0 {",
        "entry:",
        *(f"  %p{k} = getelementptr {kind}, ptr %m, i64 {k}" for k in range(chains + 2)),
        *(f"  %s{k} = load {kind}, ptr %p{k}, align 4" for k in range(chains + 2)),
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]",
        *(f"  %v{k} = phi {kind} [ %s{k}, %entry ], [ %w{k}, %loop ]" for k in each),
        *(
            f"  %w{k} = call {kind} @llvm.fma.v{width}f32({kind} %v{k}, {kind} %s{chains}, {kind} %s{chains + 1})"
            for k in each
        ),
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %n",
        "  br i1 %more, label %loop, label %done",
        "done:",
        *(f"  store {kind} %w{k}, ptr %p{k}, align 4" for k in each),
        "  ret void",
        "}",
        # without these LLVM halves 512-bit vectors on processors that it deems slow with them
        'attributes #0 = { "prefer-vector-width"="512" "min-legal-vector-width"="512" }',
    ]
    return "\n".join(lines)
