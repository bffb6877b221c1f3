"""Training steps with products of bfloat16: ours and those of PyTorch, each beside its own float32, in turns.

    python3 dev.py bench half [--kinds lstm,gru,layer-norm] [--units 256,512] [--batch 32] [--steps 64] [--seconds 8]

LSTM and GRU stand beside `torch.nn`, under autocast to bfloat16 and without; the layer-norm LSTM, which it has not,
beside its own Python loop. A step is forward and backward; times are medians over the turns, on one thread by that
thread's clock, so that other programs count for little. `--keep` writes benchmarks/results/half.md.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ostinato
from common import keep, machine, table
from engine_cells import LayerNormLSTM, Size, walk

FEWEST_TURNS = 5
WAYS = ("ours, bfloat16", "ours, float32", "PyTorch, bfloat16", "PyTorch, float32")

Run = Callable[[Tensor], Tensor]


def pair(kind: str, size: Size) -> tuple[nn.Module, nn.Module, Run, Run]:
    """Return our layer and theirs, with the same weights, and what runs each."""
    if kind == "layer-norm":
        cell = LayerNormLSTM(size.inputs, size.hidden)
        return cell, cell, lambda xs: ostinato.scan(cell, xs)[0], lambda xs: walk(cell, xs)
    theirs = getattr(nn, kind.upper())(size.inputs, size.hidden)
    ours = getattr(ostinato.nn, kind.upper())(size.inputs, size.hidden)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs, lambda xs: ours(xs)[0], lambda xs: theirs(xs)[0]


def step(module: nn.Module, run: Run, xs: Tensor, dy: Tensor, half: bool) -> Callable[[], list[Tensor]]:
    """Return a training step: outputs and the gradients of all parameters."""

    def train() -> list[Tensor]:
        module.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            ys = run(xs)
        ys.backward(dy.to(ys.dtype))
        return [ys.detach(), *(parameter.grad for parameter in module.parameters() if parameter.grad is not None)]

    return train


def measure(kind: str, size: Size, seconds: float) -> tuple[list[float], list[float]]:
    """Return the median seconds of each of `WAYS`, and how far each is from PyTorch's float32, in parts of it."""
    torch.manual_seed(0)
    ours, theirs, run, walked = pair(kind, size)
    # the inputs want gradients, as those of a layer within a network do
    xs = torch.randn(size.steps, size.batch, size.inputs, requires_grad=True)
    dy = torch.randn(size.steps, size.batch, size.hidden)
    calls = [
        step(module, way, xs, dy, half)
        for module, way, half in (
            (ours, run, True),
            (ours, run, False),
            (theirs, walked, True),
            (theirs, walked, False),
        )
    ]
    results = [[part.clone().float() for part in call()] for call in calls]
    errors = [max(float((a - b).norm() / b.norm()) for a, b in zip(one, results[-1], strict=True)) for one in results]
    times: list[list[float]] = [[] for _ in calls]
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while len(times[0]) < FEWEST_TURNS or time.perf_counter() < end:
            for call, found in zip(calls, times, strict=True):
                began = time.thread_time()
                call()
                found.append(time.thread_time() - began)
    finally:
        gc.enable()
    return [statistics.median(found) for found in times], errors


def stepping(units: int, seconds: float) -> tuple[float, float, float]:
    """Return the median seconds of a step of one row of an LSTM, weights of float32 and of 8 bits; their distance.

    That is of the outputs after 50 random steps, in parts of their norm.
    """
    torch.manual_seed(0)
    layer = ostinato.nn.Recurrent(ostinato.cells.LSTMCell(units, units)).eval()
    steppers: list[Any] = [ostinato.stepper(layer), ostinato.stepper(layer, weights="int8")]
    for x in torch.randn(50, 1, units).numpy():
        exact, found = (stepper(x) for stepper in steppers)
    distance = float(np.linalg.norm(exact - found) / np.linalg.norm(exact))
    times: list[list[float]] = [[], []]
    end = time.perf_counter() + seconds
    while len(times[0]) < FEWEST_TURNS or time.perf_counter() < end:
        for stepper, found in zip(steppers, times, strict=True):
            for _ in range(3):  # its weights come back into the caches that hold them
                stepper(x)
            began = time.thread_time()
            for _ in range(20):
                stepper(x)
            found.append((time.thread_time() - began) / 20)
    full, eight = (statistics.median(found) for found in times)
    return full, eight, distance


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", default="lstm,gru,layer-norm", help="of lstm, gru, layer-norm")
    parser.add_argument("--units", default="256,512", help="numbers of units; inputs are as wide")
    parser.add_argument("--batch", type=int, default=32, help="rows")
    parser.add_argument("--steps", type=int, default=64, help="of a row")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each size")
    parser.add_argument("--threads", type=int, default=1, help="times are those of one thread, if it is one")
    parser.add_argument("--no-steps", action="store_true", help="leave single steps with weights of 8 bits out")
    parser.add_argument("--keep", action="store_true", help="keep the tables in benchmarks/results/half.md")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the tables."""
    given = arguments()
    torch.set_num_threads(given.threads)
    rows: list[Sequence[object]] = []
    for kind in given.kinds.split(","):
        for units in map(int, given.units.split(",")):
            size = Size(given.batch, given.steps, units, units)
            times, errors = measure(kind, size, given.seconds)
            ours, own, theirs, full = times
            milliseconds = [f"{1e3 * seconds:.1f}" for seconds in times]
            ratios = [f"{own / ours:.2f}", f"{theirs / ours:.2f}", f"{full / ours:.2f}"]
            rows.append([kind, str(size), *milliseconds, *ratios, f"{errors[0]:.4f}", f"{errors[2]:.4f}"])
            print(" | ".join(map(str, rows[-1])), flush=True)
    head = [
        "what", "batch x steps x input x units", *(f"{way}, ms" for way in WAYS), "over our float32",
        "over PyTorch's bfloat16", "over PyTorch's float32", "our distance", "PyTorch's",
    ]  # fmt: skip
    text = (
        f"# Products of bfloat16\n\n{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {processor()}; {machine()}\n\n"
        "Forward and backward, the gradient of the inputs too; medians. Distance: of outputs and gradients from "
        "PyTorch's float32, the largest, in parts of its norm. PyTorch's layer-norm LSTM is the Python loop over its "
        f"cell.\n\n{table(head, rows)}"
    )
    if not given.no_steps:
        lines = []
        for units in (512, 768, 1024):
            full, eight, distance = stepping(units, given.seconds / 2)
            lines.append([units, f"{1e6 * full:.0f}", f"{1e6 * eight:.0f}", f"{full / eight:.2f}", f"{distance:.4f}"])
        head = ["units", "float32, microseconds", "8 bits, microseconds", "ratio", "distance after 50 steps"]
        text += f"\n\n# One row, one step of an LSTM: weights of 8 bits\n\n{table(head, lines)}"
    if given.keep:
        keep("half.md", text)
    else:
        print(text)


def processor() -> str:
    """Return what the system calls the processor, where it tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
