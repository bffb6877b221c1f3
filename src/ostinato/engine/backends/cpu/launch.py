"""Calling a compiled program: packed weights, the argument block, scratch memory, threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.cpu.kernels import Kernel, Products
from ostinato.engine.backends.cpu.layout import HEADER, round_up
from ostinato.engine.backends.cpu.memory import empty
from ostinato.engine.plan.views import locate

SHARE = 128
"""Rows that go through all steps together at most: their scratch memory should stay in the second-level cache."""
SMALL = 8_000_000
"""Multiply-adds below which one thread does all, about 0.1 milliseconds. A second one would save half of that, and lose
many times as much where another program has its core: both must be awake for the work to end."""


@dataclass(frozen=True)
class Rows:
    """Which steps the rows of a batch have, and where their streams lie."""

    steps: int
    batch: int
    order: Tensor | None = None
    """Rows by falling length, `(batch,)`."""
    lengths: Tensor | None = None
    """Steps of the rows in that order."""
    starts: Tensor | None = None
    """First position of each row in streams."""
    total: int = 0
    """Positions that are in use."""

    @property
    def stride(self) -> int:
        """Return how far two steps of a row lie apart in streams."""
        return 1 if self.starts is not None else self.batch


def rows_of(steps: int, batch: int, lengths: Tensor | None) -> Rows:
    """Sort the rows of a batch for the kernel."""
    if lengths is None:
        return Rows(steps, batch, total=steps * batch)
    if batch == 1:
        length = int(lengths[0])
        return Rows(length, 1, total=length)
    lengths = lengths.to(torch.int64)
    falling, order = torch.sort(lengths, descending=True, stable=True)
    ends = torch.cumsum(lengths, 0)
    return Rows(steps, batch, order, falling, ends - lengths, int(ends[-1]))


@dataclass(frozen=True)
class Arguments:
    """What a kernel is called with."""

    views: dict[tuple[str, int], Tensor]
    """`x`, `dy` and `out`: `(time, batch, ...)`, the features dense."""
    streams: dict[tuple[str, int], Tensor]
    carries: Sequence[tuple[Tensor, Tensor, Tensor | None]]
    totals: dict[int, Tensor]
    constants: Sequence[Tensor] = ()


def pack_weights(kernel: Kernel, constants: Sequence[Tensor]) -> tuple[Tensor | None, list[tuple[int, int]]]:
    """Lay the weights of all products out as the product reads them; return the memory, and words with addresses."""
    if not kernel.packing:
        return None, []
    pack = kernel.shared.pack
    size = kernel.layout.element_bytes
    memory = torch.empty(kernel.packed_elements + 64 // size, dtype=getattr(torch, kernel.dtype))
    base = (memory.data_ptr() + 63) // 64 * 64
    words = []
    for job in kernel.packing:
        pointer, strides = _weight_memory(job.weights, constants)
        target = base + job.offset * size
        words.append((job.word, target))
        step = kernel.layout.packed_size(job.depth, job.cols) * size
        for head in range(job.heads):
            source = pointer + head * strides[0] * size if job.heads > 1 else pointer
            pack(job.depth, job.cols, source, strides[-2], strides[-1], target + head * step)
    return memory, words


def _weight_memory(weights: Any, constants: Sequence[Tensor]) -> tuple[int, Sequence[int]]:
    if weights.op == "const":
        tensor = constants[weights.attr[0]]
        return tensor.data_ptr(), tensor.stride()
    view = locate(weights)
    tensor = constants[view.base.attr[0]]
    return tensor.data_ptr() + view.offset * tensor.element_size(), view.strides


def launch(
    kernel: Kernel,
    arguments: Arguments,
    rows: Rows,
    *,
    reverse: bool = False,
    seed: int = 0,
    resets: Tensor | None = None,
) -> None:
    """Run a kernel over a batch on as many threads as the work is worth."""
    threads = threads_for(kernel, rows)
    shares = max(threads, -(-rows.batch // SHARE))
    block, alive = argument_block(kernel, arguments, rows, shares=shares, reverse=reverse, seed=seed, resets=resets)
    if threads == 1:
        kernel.run(block)
    else:
        run_threads(kernel.address, kernel.run, block, threads)
    del alive


def argument_block(
    kernel: Kernel,
    arguments: Arguments,
    rows: Rows,
    *,
    shares: int,
    reverse: bool = False,
    seed: int = 0,
    resets: Tensor | None = None,
) -> tuple[Any, Any]:
    """Return what a kernel is called with, and the memory that must live as long as the block is in use."""
    layout = kernel.layout
    memory, packed = pack_weights(kernel, arguments.constants)
    chunk = 0 if rows.lengths is not None else -(-rows.batch // shares)
    per_share = round_up(layout.scratch_bytes(-(-rows.batch // shares)), 64)
    scratch = empty((shares * per_share + 64,), torch.uint8)
    words = [0] * layout.words
    # in the order of HEADER
    words[: len(HEADER)] = [
        rows.steps, rows.batch, int(reverse), _pointer(rows.order), _pointer(rows.lengths), _pointer(rows.starts),
        rows.stride, (scratch.data_ptr() + 63) // 64 * 64, per_share, seed, _pointer(resets),
        chunk, shares, 0, 1,
    ]  # fmt: skip
    for key, word in layout.views.items():
        tensor = arguments.views[key]
        words[word : word + 3] = [tensor.data_ptr(), tensor.stride(0), tensor.stride(1)]
    for key, word in layout.streams.items():
        words[word] = arguments.streams[key].data_ptr()
    for word, carry in zip(layout.carries, arguments.carries, strict=True):
        words[word : word + 3] = [_pointer(tensor) for tensor in carry]
    for index, word in layout.totals.items():
        words[word] = arguments.totals[index].data_ptr()
    for index, word in layout.constants.items():
        words[word] = arguments.constants[index].data_ptr()
    for word, address in packed:
        words[word] = address
    return (ctypes.c_int64 * len(words))(*words), (memory, scratch)


def _pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def threads_for(kernel: Kernel, rows: Rows) -> int:
    """Return how many threads the work of a batch is worth."""
    wanted = min(torch.get_num_threads(), rows.batch)
    return wanted if wanted > 1 and kernel.work * rows.total > SMALL else 1


def contract(known: Products, a: Tensor, b: Tensor) -> Tensor:
    """Return `a.T @ b` of `(depth, n)` and `(depth, m)`, whose rows are dense: sums over all rows and steps."""
    (depth, n), m = a.shape, b.shape[1]
    out = torch.empty((n, m), dtype=a.dtype) if depth else torch.zeros((n, m), dtype=a.dtype)
    if not depth:
        return out
    threads = min(torch.get_num_threads(), n) if depth * n * m > SMALL else 1
    share = -(-n // threads)
    # in the order of contract.WORDS
    block = (ctypes.c_int64 * 12)(
        0, threads, depth, n, m, a.data_ptr(), a.stride(0), b.data_ptr(), b.stride(0), out.data_ptr(), m, share
    )  # fmt: skip
    if threads == 1:
        known.contract(block)
    else:
        run_threads(known.contract_address, known.contract, block, threads)
    return out


# --- threads -----------------------------------------------------------------------------------------------------


def run_threads(address: int, run: Any, block: Any, threads: int) -> None:
    """Enter a compiled function from several threads; each takes on shares of the work until none is left."""
    team = openmp_team() if teams() else None
    if team is not None:
        team(address, ctypes.addressof(block), threads, 0)
        return
    futures = [_pool().submit(run, block) for _ in range(threads - 1)]
    run(block)
    for future in futures:
        future.result()


def teams() -> bool:
    """Tell whether OpenMP's threads can be used."""
    return not _forked and openmp_team() is not None


@cache
def openmp_team() -> Callable[..., None] | None:
    """Return `GOMP_parallel` of the OpenMP library that PyTorch itself uses: its threads are already awake.

    None where PyTorch was built with another; Python's threads do the same work then.
    """
    candidates = [*(Path(torch.__file__).parent / "lib").glob("libgomp*.so*"), *_mapped("libgomp")]
    for path in candidates:
        try:
            function = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW).GOMP_parallel
        except (OSError, AttributeError):
            continue
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        function.restype = None
        team: Callable[..., None] = function
        return team
    return None


def _mapped(name: str) -> list[Path]:
    """Return the libraries of this name that the process has loaded, where the system tells."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    return list(dict.fromkeys(Path(line.split(None, 5)[5]) for line in lines if name in line and "/" in line))


_forked = False
_threads_of_ours: ThreadPoolExecutor | None = None


def _pool() -> ThreadPoolExecutor:
    global _threads_of_ours
    if _threads_of_ours is None:
        _threads_of_ours = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="ostinato")
    return _threads_of_ours


def _after_fork() -> None:
    # neither OpenMP's threads nor ours exist in a forked process, though both libraries believe they do
    global _forked, _threads_of_ours
    _forked, _threads_of_ours = True, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
