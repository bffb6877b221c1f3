"""How many threads a command takes, and how they wait: decided before PyTorch is loaded, which reads it once."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

_SPINS = "2000"
"""Turns that an OpenMP thread of GNU's library waits awake before it sleeps, some ten microseconds, as long as a step's
own work. By default there are 300,000, several milliseconds: where another program has a core, threads that wait for
the one that it holds up burn the rest."""
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_SAMPLES, _APART = 5, 0.002  # seconds


def use_cores(wanted: int | None) -> None:
    """Set the threads of this process and of those it starts.

    Args:
        wanted: `None`: what `OMP_NUM_THREADS` or `MKL_NUM_THREADS` say, or as many as there are free cores.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds, of the library of other builds; by default 200
    if wanted is None and any(name in os.environ for name in _COUNTS):
        return
    count = wanted or free_cores()
    os.environ.update(dict.fromkeys(_COUNTS, str(count)))
    if "torch" in sys.modules:  # it has read the environment already
        import torch

        torch.set_num_threads(count)


def free_cores() -> int:
    """Return how many cores this process may use and others do not, one at least."""
    return max(1, min(_allowed(), (os.cpu_count() or 1) - _busy()))


def _allowed() -> int:
    """Return the cores that the system lets this process have: by its affinity, and by the quota of a container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


def _busy() -> int:
    """Return how many cores other processes have just now; the load of the last minute would be our own last run."""
    try:
        return min(_running() for _ in range(_SAMPLES)) - 1
    except (OSError, ValueError, IndexError):
        return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0


def _running() -> int:
    """Return how many threads of the whole machine run or would, this one among them."""
    time.sleep(_APART)
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])
