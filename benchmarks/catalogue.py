"""Time and memory of every cell of the catalogue, through the engine and in the eager loop.

    python benchmarks/catalogue.py [--cells lstm,gru]

A training step on 32 sequences of 100 steps, 64 features, 128 units (frames of 8 x 8 for the convolutional cells,
with 8 channels): outputs, and gradients of inputs and weights, equal both ways before they are timed. Both ways take
turns in one process, one thread; medians. Memory is what autograd keeps between the two passes. The figures also go
to `docs/cell_speed.json`, which the page of the catalogue shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_tasks import bars, stamp
from common import RESULTS, ROOT, keep, machine, table
from ostinato.cells import CATALOGUE
from ostinato.engine import initial_state, scan
from ostinato.engine.run.reference import scan_eagerly
from ostinato.errors import EngineWarning

STEPS, BATCH, FEATURES, UNITS = 100, 32, 64, 128
SECONDS = 1.0


@dataclass(frozen=True)
class Figure:
    """Milliseconds and MiB, through the engine and eagerly."""

    engine: float
    eager: float
    engine_memory: float
    eager_memory: float
    compiled: bool


def problem(name: str) -> tuple[nn.Module, Tensor]:
    """Return a cell and its inputs."""
    torch.manual_seed(0)
    if name.startswith("conv"):
        return CATALOGUE[name](4, 8), torch.randn(STEPS, BATCH, 4, 8, 8)
    if name == "gru-d":
        features = 66
        xs = torch.rand(STEPS, BATCH, features)
        xs[..., 22:44] = (xs[..., 22:44] < 0.8).float()
        return CATALOGUE[name](features, UNITS), xs
    xs = torch.randn(STEPS, BATCH, FEATURES)
    if name in ("cfc", "t-lstm"):
        xs[..., 0] = xs[..., 0].abs()  # the time since the step before
        xs[..., -1] = xs[..., -1].abs()
    return CATALOGUE[name](FEATURES, UNITS), xs


def measure(name: str) -> Figure:
    """Check that both ways agree, and time them in turns."""
    cell, xs = problem(name)
    xs.requires_grad_()
    wanted = [xs, *(own for own in cell.parameters() if own.requires_grad)]

    def step(run: Callable[[], Tensor]) -> list[Tensor | None]:
        ys = run()
        return [ys, *torch.autograd.grad(ys.square().mean(), wanted, allow_unused=True)]

    def engine() -> Tensor:
        return scan(cell, xs)[0]

    def eager() -> Tensor:
        return scan_eagerly(cell, xs, initial_state(cell, xs[0].detach()), None, False)[0]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = step(engine)
    compiled = not any(issubclass(own.category, EngineWarning) for own in caught)
    for own, other in zip(ours, step(eager), strict=True):
        if own is not None and other is not None:
            torch.testing.assert_close(own, other, atol=1e-3, rtol=1e-2)
    times: dict[str, list[float]] = {"engine": [], "eager": []}
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS or len(times["eager"]) < 3:
        for label, run in (("engine", engine), ("eager", eager)):
            start = time.perf_counter()
            step(run)
            times[label].append(1e3 * (time.perf_counter() - start))
    middle = {label: statistics.median(values) for label, values in times.items()}
    return Figure(middle["engine"], middle["eager"], kept(engine), kept(eager), compiled)


def kept(run: Callable[[], Tensor]) -> float:
    """Return the MiB that autograd keeps after the forward pass, each memory counted once."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    del result
    return sum(storages.values()) / 2**20


def main() -> None:
    """Measure and write the table, the plot and the figures for the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", default=",".join(CATALOGUE), help="names with commas")
    names = parser.parse_args().cells.split(",")
    torch.set_num_threads(1)
    found = {}
    for name in names:
        found[name] = measure(name)
        print(name, found[name], flush=True)
    head = ["cell", "engine, ms", "eager, ms", "times as fast", "engine, MiB", "eager, MiB", ""]
    rows = [
        [
            name,
            f"{own.engine:.1f}",
            f"{own.eager:.1f}",
            f"{own.eager / own.engine:.1f}",
            f"{own.engine_memory:.1f}",
            f"{own.eager_memory:.1f}",
            "" if own.compiled else "runs eagerly",
        ]
        for name, own in found.items()
    ]
    text = (__doc__ or "").split("\n\n", 2)
    keep("catalogue.md", f"# {text[0]}\n\n{stamp()}\n\n{text[2]}\n{table(head, rows)}")
    columns = {
        "engine": {name: [own.engine] for name, own in found.items()},
        "eager": {name: [own.eager] for name, own in found.items()},
    }
    bars(RESULTS / "catalogue.png", "A training step of every cell", "milliseconds", columns, {}, log=True)
    speeds = {name: [round(own.engine, 1), round(own.eager, 1)] for name, own in found.items()}
    page = {"machine": machine(), "size": [BATCH, STEPS, FEATURES, UNITS], "milliseconds": speeds}
    if set(names) == set(CATALOGUE):
        (ROOT / "docs" / "cell_speed.json").write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
