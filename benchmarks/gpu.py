"""Cells on a GPU: every one against the eager loop, then times beside cuDNN's LSTM and GRU.

    python3 dev.py bench gpu [--steps 1024] [--workers 12] [--only correct|times] [--json gpu.json]

Correct: outputs and gradients of every cell of the catalogue, and of random ones, against the eager loop in float64 on
the same device, with lengths, resets and reverse. Times: width 64, 256 and 768, batch 16 and 128, forward and with
backward, in microseconds a step; the median of ten calls, by events of the device. float32 with TF32 on for all, and
bfloat16. The kernels are compiled by several processes first; how long that took is said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import torch
from torch import Tensor, nn

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.engine.reference import scan_eagerly
from ostinato.engine.state import initial_state, leaves, map_state

WIDTHS, BATCHES = (64, 256, 768), (16, 128)
CELLS = ("lstm", "gru", "lstm-layernorm", "mgu")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=min(12, os.cpu_count() or 1))
    parser.add_argument("--only", choices=("correct", "times"))
    parser.add_argument("--share", help="internal: which share of the work a worker does, I/N")
    parser.add_argument("--warm", action="store_true", help="internal: compile what is timed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU: torch.cuda.is_available() is False")
    if options.share:
        worker(options)
        return
    found: dict[str, Any] = {"machine": describe()}
    print(found["machine"], flush=True)
    if options.only != "times":
        found["correct"] = correct(options)
    if options.only != "correct":
        found["compile_seconds"] = in_parallel(options, ["--warm"], quiet=True)
        print(f"compiled what is timed in {found['compile_seconds']:.0f} s by {options.workers} processes", flush=True)
        found["times"] = times(options.steps)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def describe() -> str:
    """Return the device and the versions."""
    import triton

    return (
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )


def in_parallel(options: argparse.Namespace, more: list[str], *, quiet: bool = False) -> float:
    """Run this file in several processes, each on its share; their lines come out as they are written."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--steps", str(options.steps), *more]
    shares = [f"{index}/{options.workers}" for index in range(options.workers)]
    output = subprocess.DEVNULL if quiet else None
    running = [subprocess.Popen([*command, "--share", share], stdout=output) for share in shares]
    for process in running:
        process.wait()
    return time.perf_counter() - began


def worker(options: argparse.Namespace) -> None:
    """Do one share."""
    index, count = map(int, options.share.split("/"))
    if options.warm:
        torch.backends.cuda.matmul.allow_tf32 = True
        for place, (dtype, width, batch, name) in enumerate(timed()):
            if place % count == index:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    step, _ = ours(name, width, batch, 8, dtype)
                    step(False)
                    step(True)
                    torch.cuda.synchronize()
        return
    for place, case in enumerate(cases()):
        if place % count == index:
            print(agree(*case), flush=True)


# --- correct -----------------------------------------------------------------------------------------------------


def correct(options: argparse.Namespace) -> float:
    """Check every cell, in several processes."""
    seconds = in_parallel(options, [])
    print(f"checked {len(list(cases()))} cases in {seconds:.0f} s", flush=True)
    return seconds


def cases() -> Iterator[tuple[str, int, int, str]]:
    """Give cells, sizes and variants to check."""
    for place, name in enumerate(CATALOGUE):
        if not name.startswith("conv"):
            yield name, 24, 40, ("plain", "lengths", "resets", "reverse")[place % 4]
    for name in ("lstm", "gru", "lstm-layernorm", "slstm"):
        yield name, 48, 272, "lengths"  # several programs a tile


def agree(name: str, inputs: int, width: int, variant: str) -> str:
    """Compare one cell with the eager loop in float64; the error beside that of the eager loop in float32."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    cell = CATALOGUE[name](inputs, width).cuda()
    xs = torch.randn(9, 5, inputs, device="cuda") * 0.7
    lengths = torch.tensor([9, 3, 0, 7, 5], device="cuda") if variant == "lengths" else None
    resets = torch.rand(9, 5, device="cuda") < 0.3 if variant == "resets" else None
    reverse = variant == "reverse"

    def run(scan: Callable[..., Any], module: nn.Module, dtype: torch.dtype) -> list[Tensor]:
        x = xs.to(dtype).requires_grad_()
        state = map_state(lambda leaf: leaf.to(dtype), initial_state(module, x[0]))
        ys, last = scan(module, x, state, lengths=lengths, reverse=reverse, resets=resets)
        torch.manual_seed(1)
        outs = [ys, *leaves(last)]
        loss = sum(
            ((out * torch.randn(out.shape, device="cuda").to(dtype)).sum() for out in outs),
            torch.zeros((), device="cuda"),
        )
        wanted = [parameter for parameter in module.parameters() if parameter.requires_grad] + [x]
        return [*outs, *torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)]

    def eagerly(module: nn.Module, x: Tensor, state: Any, **more: Any) -> Any:
        return scan_eagerly(module, x, state, more["lengths"], more["reverse"], more["resets"])

    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ostinato.errors.EngineWarning)
            mine = run(ostinato.scan, cell, torch.float32)
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - the table says what happened
        return f"{name:20s} {width:4d} {variant:8s} FAILED {type(error).__name__}: {str(error).splitlines()[0][:200]}"
    seconds = time.perf_counter() - began
    eager = run(eagerly, cell, torch.float32)
    exact = run(eagerly, cell.double(), torch.float64)
    errors = [max(relative(a, b) for a, b in zip(found, exact, strict=True)) for found in (mine, eager)]
    verdict = "right" if errors[0] < max(20 * errors[1], 1e-4) else "WRONG"
    return f"{name:20s} {width:4d} {variant:8s} {verdict}  error {errors[0]:.1e}, eager loop's {errors[1]:.1e}; first call {seconds:.1f} s"


def relative(a: Tensor, b: Tensor) -> float:
    """Return how far two tensors are apart, relative to the size of the second."""
    size = float(b.double().norm())
    difference = float((a.double() - b.double()).norm())
    return difference / size if size else difference


# --- times -------------------------------------------------------------------------------------------------------


def timed() -> Iterator[tuple[str, int, int, str]]:
    """Give what is timed of ours."""
    for dtype in DTYPES:
        for width in WIDTHS:
            for batch in BATCHES:
                for name in CELLS:
                    yield dtype, width, batch, name


def ours(name: str, width: int, batch: int, steps: int, dtype: str) -> tuple[Callable[[bool], None], nn.Module]:
    """Return a call of one of our cells."""
    kind = DTYPES[dtype]
    cell = CATALOGUE[name](width, width).cuda().to(kind)
    xs = torch.randn(steps, batch, width, device="cuda", dtype=kind) * 0.5
    return caller(lambda x: ostinato.scan(cell, x)[0], cell, xs), cell


def caller(forward: Callable[[Tensor], Tensor], module: nn.Module, xs: Tensor) -> Callable[[bool], None]:
    """Return a function that runs a model forward, or forward and backward."""
    x = xs.clone().requires_grad_()
    cotangent: list[Tensor] = []

    def call(training: bool) -> None:
        if not training:
            with torch.no_grad():
                forward(xs)
            return
        ys = forward(x)
        if not cotangent:
            cotangent.append(torch.randn_like(ys))
        torch.autograd.grad(ys, [*module.parameters(), x], cotangent[0])

    return call


def median(call: Callable[[], None], repeats: int = 10) -> float:
    """Return the median time of a call in milliseconds, by events of the device."""
    for _ in range(2):
        call()
    spent = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        spent.append(start.elapsed_time(end))
    return statistics.median(spent)


def times(steps: int) -> list[dict[str, Any]]:
    """Measure and print the table."""
    rows = []
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    print(f"microseconds a step of {steps}, forward; forward and backward", flush=True)
    for dtype, kind in DTYPES.items():
        for width in WIDTHS:
            for batch in BATCHES:
                row: dict[str, Any] = {"dtype": dtype, "width": width, "batch": batch}
                xs = torch.randn(steps, batch, width, device="cuda", dtype=kind) * 0.5
                for peer in (nn.LSTM, nn.GRU):
                    layer = peer(width, width).cuda().to(kind)
                    row[f"cuDNN {peer.__name__}"] = both(caller(lambda x, layer=layer: layer(x)[0], layer, xs), steps)
                for name in CELLS:
                    row[name] = both(ours(name, width, batch, steps, dtype)[0], steps)
                rows.append(row)
                print(line(row), flush=True)
    return rows


def both(call: Callable[[bool], None], steps: int) -> Any:
    """Return the time of a step, forward and with backward, or what went wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ostinato.errors.EngineWarning)
            return [median(lambda: call(training)) * 1e3 / steps for training in (False, True)]
    except Exception as error:  # noqa: BLE001 - the table says what happened
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    parts = [f"{row['dtype']} {row['width']} x {row['batch']}:"]
    for name, value in row.items():
        if isinstance(value, list):
            parts.append(f"{name} {value[0]:.2f}; {value[1]:.2f}")
        elif name not in ("dtype", "width", "batch"):
            parts.append(f"{name} {value}")
    return " | ".join(parts)


if __name__ == "__main__":
    main()
