"""What a training step keeps in memory, measured in a process of its own: `measure` starts it.

Two figures: the bytes that autograd saves between forward and backward (an operator may keep more by ways of its own,
which shows in the second), and how far the process grows above what it
held before the first step of this size. The peak counts buffers that are kept from step to step, not what compiling
takes: it is that of the second step, after the system's record of the peak was set back.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from engine_cases import CELLS, Problem, ours_plain, theirs_plain
from engine_cells import Size, torch_twin
from engine_timing import Step

MIB = 1 << 20
# the allocator gives large blocks back to the system at once, so that the process is as large as its data
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def measure(kind: str, who: str, size: Size, threads: int) -> dict[str, float]:
    """Return `saved` and `peak`, in MiB, of a training step of `who`, `"ours"` or `"torch.nn"`.

    Raises:
        RuntimeError: the process ended badly; the message is its last line.
    """
    numbers = [str(own) for own in (size.batch, size.steps, size.inputs, size.hidden, threads)]
    done = subprocess.run(
        [sys.executable, __file__, kind, who, *numbers],
        env={**os.environ, **_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure one step and print the figures."""
    kind, who, *numbers = sys.argv[1:]
    batch, steps, inputs, hidden, threads = map(int, numbers)
    torch.set_num_threads(threads)
    _make(kind, who, Size(1, 2, inputs, hidden))[0]()  # libraries are loaded
    step, given = _make(kind, who, Size(batch, steps, inputs, hidden))
    before = _now("VmRSS")
    step()  # compiled: tracing saves tensors without data, which the count below would take for real ones
    saved = _saved_bytes(step, given)
    peak = _peak(step) - before
    print(json.dumps({"saved": saved / MIB, "peak": peak / MIB}))


def _make(kind: str, who: str, size: Size) -> tuple[Step, set[int]]:
    """Return a training step, and the addresses of the parameters and inputs that it is given."""
    cell = CELLS[kind](size.inputs, size.hidden)
    problem = Problem(size, size.hidden)
    module = cell if who == "ours" else torch_twin([cell])
    step = ours_plain(problem, cell) if who == "ours" else theirs_plain(problem, module)
    return step, {own.untyped_storage().data_ptr() for own in (problem.xs, *module.parameters())}


def _saved_bytes(step: Step, given: set[int]) -> int:
    """Return the bytes of the storages, each counted once, that a step saves beside those it was given."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(size for address, size in storages.items() if address not in given)


def _peak(step: Step) -> int:
    """Return the largest size of the process in bytes during one more step."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every C library has it
        if trim:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        step()
        return _now("VmHWM")
    step()
    return _now("")


def _now(name: str) -> int:
    """Return the size that the system states: `VmRSS` is what the process holds, `VmHWM` the most it held."""
    if sys.platform != "linux":
        import resource  # elsewhere only the most that it ever held is known

        return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if not found:
        raise RuntimeError(f"the system does not say {name}")
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
