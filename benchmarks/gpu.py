"""Cells on a GPU: every one against the eager loop, then times beside cuDNN's LSTM and GRU.

    python3 dev.py bench gpu [--steps 1024] [--workers 15] [--seconds 150] [--json gpu.json]

Correct: outputs and gradients of every cell of the catalogue, and of 50 random ones, against the eager loop in float64
on the same device, with lengths, resets and reverse. Times: width 64, 256 and 768, batch 16 and 128, forward and with
backward, in microseconds a step; the median of ten calls, by events of the device; float32 with TF32 on for all,
bfloat16 and float16. Last a layer-norm LSTM as a loop in Python, eager and with its step through `torch.compile`.
Kernels are compiled by several processes first, for at most so many seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "engine")]
# ruff: noqa: E402

import torch
from random_cells import RandomCell
from torch import Tensor, nn

import ostinato
from ostinato.cells import CATALOGUE, Zoneout
from ostinato.engine.front.state import initial_state, leaves, map_state
from ostinato.engine.run.reference import scan_eagerly

WIDTHS, BATCHES = (64, 256, 768), (16, 128)
CELLS = ("lstm", "gru", "lstm-layernorm")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main() -> None:
    """Check and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=min(15, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--share", help="internal: which share of the work a worker does, I/N")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU: torch.cuda.is_available() is False")
    if options.share:
        worker(options.share)
        return
    print(describe(), flush=True)
    lines = in_parallel(options)
    found: dict[str, Any] = {"machine": describe(), "correct": lines}
    right = sum(" right " in line for line in lines)
    print(
        f"{right} of {len(list(cases()))} cells right, {sum(' right ' not in line for line in lines)} not", flush=True
    )
    found["captured"] = captured(options.steps)
    found["times"] = times(options.steps)
    found["loops"] = loops()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def describe() -> str:
    """Return the device and the versions."""
    import triton

    return (
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )


def in_parallel(options: argparse.Namespace) -> list[str]:
    """Check cells and compile what is timed in several processes, each on its share; return what they say of cells."""
    began = time.perf_counter()
    shares = [f"{index}/{options.workers}" for index in range(options.workers)]
    running = [
        subprocess.Popen([sys.executable, __file__, "--share", share], stdout=subprocess.PIPE, text=True)
        for share in shares
    ]
    lines: list[str] = []

    def read(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            print(line.rstrip(), flush=True)

    readers = [threading.Thread(target=read, args=(process,)) for process in running]
    for reader in readers:
        reader.start()
    for process in running:
        try:
            process.wait(max(1.0, options.seconds - (time.perf_counter() - began)))
        except subprocess.TimeoutExpired:
            process.kill()
    for reader in readers:
        reader.join()
    print(f"checked and compiled in {time.perf_counter() - began:.0f} s by {options.workers} processes", flush=True)
    return lines


def worker(share: str) -> None:
    """Do one share: what takes longest to compile first."""
    index, count = map(int, share.split("/"))
    jobs: list[tuple[Any, ...]] = sorted(timed(), key=lambda job: -job[1] * (3 if "norm" in job[3] else 1))
    checks = [("check", *case) for case in cases()]
    together = [job for pair in itertools.zip_longest(jobs, checks) for job in pair if job is not None]
    for job in together[index::count]:
        if job[0] == "check":
            print(agree(*job[1:]), flush=True)
        else:
            warm(*job)


def warm(dtype: str, width: int, batch: int, name: str) -> None:
    """Compile what is timed."""
    torch.backends.cuda.matmul.allow_tf32 = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call, _ = ours(name, width, batch, 8, dtype)
        call(False)
        call(True)
        torch.cuda.synchronize()


# --- correct -----------------------------------------------------------------------------------------------------


def cases() -> Iterator[tuple[str, int, int, str]]:
    """Give cells, sizes and variants to check."""
    for place, name in enumerate(CATALOGUE):
        if not name.startswith("conv"):
            yield name, 24, 40, ("plain", "lengths", "resets", "reverse")[place % 4]
    for name in ("lstm", "gru", "lstm-layernorm", "slstm"):
        yield name, 48, 272, "lengths"  # several programs a tile
    yield "zoneout", 24, 40, "reverse"
    for seed in range(50):
        yield f"random {seed}", 0, 0, ("plain", "lengths", "resets", "reverse")[seed % 4]


def agree(name: str, inputs: int, width: int, variant: str) -> str:
    """Compare one cell with the eager loop in float64; the error beside that of the eager loop in float32."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    if name.startswith("random"):
        cell: nn.Module = RandomCell(int(name.split()[1])).cuda()
        inputs = cell.input_size
    elif name == "zoneout":
        # in training its numbers are drawn: here the forward pass and the gradients must draw the same ones
        cell = Zoneout(CATALOGUE["gru"](inputs, width), 0.0).cuda()
    else:
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
    compared = f"error {errors[0]:.1e}, eager loop's {errors[1]:.1e}"
    return f"{name:20s} {width:4d} {variant:8s} {verdict}  {compared}; first call {seconds:.1f} s"


def relative(a: Tensor, b: Tensor) -> float:
    """Return how far two tensors are apart, relative to the size of the second."""
    size = float(b.detach().double().norm())
    difference = float((a.detach().double() - b.detach().double()).norm())
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


def captured(steps: int) -> dict[str, Any]:
    """Capture a forward pass in a CUDA graph; its replay must give the same, and shows the time of the device alone."""
    found: dict[str, Any] = {}
    for width in (64, 256):
        cell = CATALOGUE["lstm"](width, width).cuda().bfloat16()
        xs = torch.randn(steps, 16, width, device="cuda", dtype=torch.bfloat16)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.no_grad():
                expected = ostinato.scan(cell, xs)[0].clone()
                torch.cuda.synchronize()
                with torch.cuda.graph(graph):
                    ys = ostinato.scan(cell, xs)[0]
                graph.replay()
            torch.cuda.synchronize()
            same = bool(torch.equal(ys, expected))
            found[f"lstm {width}"] = {"same": same, "step": median(graph.replay) * 1e3 / steps}
        except Exception as error:  # noqa: BLE001 - the table says what happened
            found[f"lstm {width}"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    print(f"captured in a CUDA graph, bfloat16, batch 16: {found}", flush=True)
    return found


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


def loops(steps: int = 128, width: int = 256, batch: int = 16) -> dict[str, Any]:
    """Measure a layer-norm LSTM as a loop in Python, eager and compiled, in microseconds a step."""
    torch.backends.cuda.matmul.allow_tf32 = True
    cell = CATALOGUE["lstm-layernorm"](width, width).cuda()
    xs = torch.randn(steps, batch, width, device="cuda") * 0.5
    found: dict[str, Any] = {}
    for name, step in (("eager", cell), ("torch.compile", torch.compile(cell))):

        def loop(x: Tensor, step: Any = step) -> Tensor:
            state, ys = initial_state(cell, x[0]), []
            for row in x:
                y, state = step(row, state)
                ys.append(y)
            return torch.stack(ys)

        found[name] = both(caller(loop, cell, xs), steps)
    found["ours"] = both(ours("lstm-layernorm", width, batch, steps, "float32")[0], steps)
    print(f"layer-norm LSTM, {width} x {batch}, {steps} steps: {found}", flush=True)
    return found


def both(call: Callable[[bool], None], steps: int) -> Any:
    """Return the time of a step, forward and with backward, or what went wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ostinato.errors.EngineWarning)
            return [median(partial(call, training)) * 1e3 / steps for training in (False, True)]
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
