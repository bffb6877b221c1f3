"""Long sequences: time and memory of a gradient over 1,000 to 1,000,000 steps, by what is kept for it.

    python3 dev.py bench endless [--longest 1000000] [--hidden 32]

Each is measured in a process of its own: the seconds of one forward and backward pass after a short one that compiles,
and by how much the process grew at most above what it had before that pass (`ru_maxrss`).
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ostinato
from common import RESULTS, keep, machine, table
from ostinato.engine import Checkpointing
from ostinato.training import SeriesChunks, backpropagate

FEATURES = 4
LIMIT = 8 * 2**20
CHUNK = 1_000
WAYS = {
    "all kept": "`scan`",
    "square root": '`checkpoint="auto"`',
    "logarithm": '`checkpoint="log"`',
    "8 MiB": "`checkpoint=Checkpointing(memory=8 * 2**20)`",
    "file": "`backpropagate`, chunks of 1,000 steps from a memory-mapped file, 10 states kept",
}


def main() -> None:
    """Measure every way at every length, or one in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--longest", type=int, default=1_000_000)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "STEPS"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps(measured(arguments.one[0], int(arguments.one[1]), arguments.hidden)))
        return
    lengths = [10**power for power in range(3, 7) if 10**power <= arguments.longest]
    found = {(way, steps): in_a_process(way, steps, arguments.hidden) for steps in lengths for way in WAYS}
    write(found, lengths, arguments.hidden)


def in_a_process(way: str, steps: int, hidden: int) -> dict[str, float]:
    """Measure in a process of its own, whose greatest size is that of this way."""
    command = [sys.executable, __file__, "--one", way, str(steps), "--hidden", str(hidden)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(text.splitlines()[-1])
    print(way, steps, found, flush=True)
    return found


def measured(way: str, steps: int, hidden: int) -> dict[str, float]:
    """Return seconds, bytes and the norm of the gradient of one pass."""
    torch.manual_seed(0)
    cell = ostinato.cells.GRUCell(FEATURES, hidden)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.npy"
        series = np.lib.format.open_memmap(path, "w+", np.float32, (steps + 1, FEATURES))
        for first in range(0, steps + 1, 100_000):
            block = np.arange(first, min(first + 100_000, steps + 1), dtype=np.float32)
            series[first : first + 100_000] = np.sin(block[:, None] * np.array([0.01, 0.1, 1.0, 3.0], np.float32))
        del series
        gradient(way, cell, np.load(path, mmap_mode="r")[: 2 * CHUNK + 1])
        cell.zero_grad()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        gradient(way, cell, np.load(path, mmap_mode="r"))
        seconds = time.perf_counter() - began
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    norm = float(torch.stack([weight.grad.norm() for weight in cell.parameters()]).norm())
    return {"seconds": seconds, "bytes": grown * 1024, "norm": norm}


def gradient(way: str, cell: torch.nn.Module, series: Any) -> None:
    """Add the gradient of a mean squared error of one feature of the next step."""
    steps = len(series) - 1

    def loss(ys: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (ys[..., :1] - targets[..., :1]).square().sum() / steps

    if way == "file":
        chunks = SeriesChunks(series, batch_size=1, steps=CHUNK)
        backpropagate(lambda xs, state: ostinato.scan(cell, xs, state), chunks, loss, kept=10)
        return
    how: Any = {"all kept": None, "square root": "auto", "logarithm": "log", "8 MiB": Checkpointing(memory=LIMIT)}[way]
    whole = torch.from_numpy(np.array(series))[:, None]
    ys, _ = ostinato.scan(cell, whole[:-1], checkpoint=how)
    loss(ys, whole[1:]).backward()


def write(found: dict[tuple[str, int], dict[str, float]], lengths: list[int], hidden: int) -> None:
    """Write the tables and the plot."""
    rows, norms = [], []
    for way in WAYS:
        cells = [
            f"{found[way, steps]['seconds']:.3g} s, {found[way, steps]['bytes'] / 2**20:,.0f} MiB" for steps in lengths
        ]
        rows.append([way, *cells])
        norms.append([way, *(f"{found[way, steps]['norm']:.6g}" for steps in lengths)])
    head = [f"{steps:,}" for steps in lengths]
    of_step = [[way, *(f"{found[way, steps]['seconds'] / steps * 1e6:.2f}" for steps in lengths)] for way in WAYS]
    keep("endless.md", "\n\n".join([
        "# Long sequences: one gradient over all steps",
        f"{datetime.date.today()}, {machine()}; `python3 dev.py bench endless`",
        f"A GRU of {hidden} units that reads {FEATURES} numbers a step, one row, float32. All but the last way have "
        f"the sequence, the outputs and their gradient in memory: {(2 * hidden + FEATURES) * 4} bytes a step. The last "
        "reads from a file and keeps no outputs.",
        "\n".join(f"- {way}: {text}" for way, text in WAYS.items()),
        "Seconds of a forward and backward pass, and by how much the process grew for it:",
        table(["way", *head], rows),
        "Microseconds a step: the cost is linear in the length where this is level.",
        table(["way", *head], of_step),
        "Norm of the gradient, the same by all ways up to rounding:",
        table(["way", *head], norms),
        "![Seconds and bytes over steps](endless.png)",
    ]))  # fmt: skip
    plot(found, lengths)


def plot(found: dict[tuple[str, int], dict[str, float]], lengths: list[int]) -> None:
    """Draw time and memory over steps, both logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for axis, name, unit, scale in zip(axes, ("seconds", "bytes"), ("seconds", "MiB"), (1, 2**-20), strict=True):
        for way in WAYS:
            axis.loglog(lengths, [max(found[way, steps][name], 1e-9) * scale for steps in lengths], "o-", label=way)
        axis.set_xlabel("steps")
        axis.set_ylabel(unit)
        axis.grid(alpha=0.3)
    axes[1].set_ylim(bottom=0.5)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(RESULTS / "endless.png", dpi=110)


if __name__ == "__main__":
    main()
