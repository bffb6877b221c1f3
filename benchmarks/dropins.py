"""Training scripts written against torch.nn, and the same with the import changed: losses and time.

    python benchmarks/dropins.py            the three scripts of benchmarks/dropin_scripts
    python benchmarks/dropins.py choice     who is faster at which size, and whom `ostinato.nn.dropin.choice` chooses

One thread. The two run in one process and take turns step by step, from the same random numbers.
"""

from __future__ import annotations

import datetime
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

import ostinato
from common import keep, machine, table
from ostinato.nn.dropin import choice

SCRIPTS = Path(__file__).resolve().parent / "dropin_scripts"
STEPS = 120


def start(script: Path, library: str) -> Iterator[float]:
    """Return the training of a script, one loss a step; its recurrent layer comes from `library`."""
    source = script.read_text(encoding="utf-8")
    changed = source.replace("from torch.nn import", f"from {library}.nn import")
    assert library == "torch" or changed != source
    scope: dict[str, Any] = {"__name__": f"{script.stem}_{library}", "__file__": str(script)}
    exec(compile(changed, str(script), "exec"), scope)
    losses: Iterator[float] = scope["train"]()
    return losses


def run(script: Path) -> list[object]:
    """Train a script both ways and return its line of the table."""
    trainings = {library: start(script, library) for library in ("torch", "ostinato")}
    losses: dict[str, list[float]] = {library: [] for library in trainings}
    seconds: dict[str, list[float]] = {library: [] for library in trainings}
    for step in range(STEPS):
        for library, training in trainings.items():
            torch.manual_seed(step + 1)
            began = time.perf_counter()
            losses[library].append(next(training))
            seconds[library].append(time.perf_counter() - began)
    apart = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    theirs, ours = (1000 * statistics.median(each) for each in seconds.values())
    whole = sum(seconds["torch"]) / sum(seconds["ostinato"])
    return [
        script.stem,
        *(f"{each[0]:.4f} → {statistics.mean(each[-10:]):.4f}" for each in losses.values()),
        f"{apart:.0e}",
        f"{theirs:.1f}",
        f"{ours:.1f}",
        f"{theirs / ours:.2f}",
        f"{whole:.2f}",
    ]


def scripts() -> None:
    """Run all scripts."""
    head = [
        "script",
        "loss, torch.nn",
        "loss, ostinato.nn",
        "largest difference",
        "torch.nn, ms a step",
        "ostinato.nn, ms a step",
        "times as fast",
        f"all {STEPS} steps, compilation included",
    ]
    rows = [run(script) for script in sorted(SCRIPTS.glob("*.py"))]
    report("dropins.md", "Drop-ins for torch.nn", head, rows)


def timed(calls: list[Callable[[], object]]) -> list[float]:
    """Return the median microseconds of calls that take turns."""
    for call in calls:
        call()
        call()
    found: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    while len(found[0]) < 5 or (time.perf_counter() - began < 0.2 and len(found[0]) < 200):
        for call, times in zip(calls, found, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [1e6 * statistics.median(times) for times in found]


def measure(kind: str, steps: int, rows: int, units: int, training: bool, ragged: bool) -> list[object]:
    """Time one layer both ways, and say what the drop-in would choose."""
    theirs, ours = (getattr(library.nn, kind)(units, units) for library in (torch, ostinato))
    xs: Any = torch.randn(steps, rows, units)
    if ragged:
        lengths = torch.linspace(steps, max(1, steps // 4), rows).long()
        xs = torch.nn.utils.rnn.pack_padded_sequence(xs, lengths)

    def call(layer: torch.nn.Module) -> Callable[[], object]:
        def run() -> object:
            output = layer(xs)[0]
            return (output.data if ragged else output).sum().backward() if training else output

        return run

    judge = choice.pays
    with torch.set_grad_enabled(training):
        real = sum(lengths.tolist()) / steps if ragged else rows
        chosen = judge(ours, torch.float32, steps, real, ragged)
        choice.pays = lambda *_: True  # type: ignore[assignment]
        try:
            torch_time, engine_time = timed([call(theirs), call(ours)])
        finally:
            choice.pays = judge
    lost = (engine_time if chosen else torch_time) / min(engine_time, torch_time)
    what = f"{kind}{' packed' if ragged else ''}{', training' if training else ''}"
    sizes = [str(size) for size in (steps, rows, units)]
    return [what, *sizes, f"{torch_time:.0f}", f"{engine_time:.0f}", "engine" if chosen else "PyTorch", f"{lost:.2f}"]


def choices() -> None:
    """Measure a grid of sizes."""
    kinds = [("LSTM", False), ("LSTM", True), ("GRU", False), ("GRU", True), ("RNN", False)]
    sizes = [(1, 64), (16, 64), (32, 256), (1, 512), (64, 512)]
    head = ["layer", "steps", "rows", "units", "PyTorch, µs", "engine, µs", "chosen", "over the faster"]
    rows = [
        measure(kind, steps, batch, units, training, ragged)
        for (kind, ragged), training, steps, (batch, units) in product(kinds, (False, True), (1, 4, 12, 50), sizes)
        if not (ragged and batch == 1)
    ]
    report("dropin-choice.md", "Who runs a call of a drop-in", head, rows)


def report(name: str, title: str, head: list[str], rows: list[list[object]]) -> None:
    """Keep a table."""
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"
    keep(name, f"# {title}\n\n{stamp}\n\n{table(head, rows)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    choices() if sys.argv[1:] == ["choice"] else scripts()
