"""Cells on a GPU: every one against the eager loop, times beside cuDNN's LSTM and GRU, what a call costs the host.

    python3 dev.py bench gpu [--part check --part times ...] [--seconds 120] [--steps 1024] [--json gpu.json]

Parts, each on its own and for at most so many seconds; `--json` has each row as soon as it is known:

- `check`: outputs and gradients of every cell of the catalogue but those of frames, and of 50 random ones, against the
  eager loop in float64 on the same device, plain, with lengths, with resets and in reverse by turns; most with few
  rows, some with as many as go to tensor cores in tiles;
- `times`: width 64, 256 and 768, batch 16 and 128; float32 with TF32 on for all, bfloat16 and float16. Microseconds a
  step, forward and with backward: of a call (the median of ten, by events of the device), and for our cells of the
  device alone (the same captured in a CUDA graph and replayed). Microseconds a call: of the host, until a call has
  given its work away;
- `streams`: calls on another stream, captured calls after a change of the weights, tensors on several devices;
- `loops`: a layer-norm LSTM as a loop in Python, eager and with its step through `torch.compile`, beside ours;
- `compile`: seconds of the first call of a cell in a process that nothing runs beside, with nothing on disk, and with
  what the process before has left there.

Several processes share `check`; for `times` they compile first, and one process measures alone after.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from ostinato.files import write_atomically

DEVICE = "cuda"
WIDTHS, BATCHES = (64, 256, 768), (16, 128)
CELLS = ("lstm", "gru", "lstm-layernorm")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SECONDS = {"times": 170.0, "check": 110.0, "streams": 20.0, "loops": 40.0, "compile": 70.0}
"""For each part at most, in the order that they are run in."""
ALONE = (("lstm", 64, "float32"), ("lstm", 256, "float32"), ("lstm-layernorm", 64, "float32"), ("gru", 768, "bfloat16"))
"""What is compiled alone."""


class Results:
    """What has been found so far, on disk after each row."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, Any] = {"machine": describe()}
        self._lock = threading.Lock()

    def add(self, part: str, row: Any) -> None:
        """Keep a row."""
        with self._lock:
            self.found.setdefault(part, []).append(row)
            if self.path is not None:
                write_atomically(self.path, json.dumps(self.found, indent=1).encode())


def main() -> None:
    """Check and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", action="append", choices=list(SECONDS), help="one part; again for another")
    parser.add_argument("--seconds", type=float, help="for each part")
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--dtype", action="append", choices=list(DTYPES), help="what is timed; again for another")
    parser.add_argument("--workers", type=int, default=min(15, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--share", help="internal: which share of a part's compiling a worker does, PART/I/N")
    parser.add_argument("--first", help="internal: which cell to call first, NAME/WIDTH/DTYPE")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU: torch.cuda.is_available() is False")
    if options.share:
        worker(options)
    elif options.first:
        first_calls(options.first)
    else:
        run_parts(options)


def run_parts(options: argparse.Namespace) -> None:
    """Run the parts that are wanted."""
    results = Results(options.json)
    print(describe(), flush=True)
    parts: dict[str, Callable[..., None]] = {
        "times": times, "check": check, "streams": streams, "loops": loops, "compile": compiled,
    }  # fmt: skip
    for part in options.part or SECONDS:
        began = time.perf_counter()
        limit = options.seconds or SECONDS[part]
        try:
            parts[part](results, options, began + limit)
        except Exception as error:  # noqa: BLE001 - the other parts are for themselves
            results.add(part, said(error))
            print(f"{part}: {said(error)}", flush=True)
        spent = time.perf_counter() - began
        results.add("seconds", {part: round(spent, 1)})
        print(f"--- {part}: {spent:.0f} s", flush=True)


def describe() -> str:
    """Return the device and the versions."""
    import triton

    return (
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )


def said(error: BaseException) -> str:
    """Return an error in a line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


# --- several processes ----------------------------------------------------------------------------------------------


def in_parallel(part: str, options: argparse.Namespace, deadline: float, heard: Callable[[str], None]) -> None:
    """Do a part's work in several processes, each on its share, and hear what they say."""
    command = [sys.executable, __file__, *(f"--dtype={dtype}" for dtype in options.dtype or DTYPES)]
    shares = [f"{part}/{index}/{options.workers}" for index in range(options.workers)]
    running = [subprocess.Popen([*command, "--share", share], stdout=subprocess.PIPE, text=True) for share in shares]

    def read(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            heard(line.rstrip())

    readers = [threading.Thread(target=read, args=(process,)) for process in running]
    for reader in readers:
        reader.start()
    for process in running:
        try:
            process.wait(max(1.0, deadline - time.perf_counter()))
        except subprocess.TimeoutExpired:
            process.kill()
    for reader in readers:
        reader.join()


def worker(options: argparse.Namespace) -> None:
    """Do one share."""
    part, index, count = options.share.split("/")
    if part == "check":
        for case in itertools.islice(cases(), int(index), None, int(count)):
            print(agree(*case), flush=True)
        return
    # of each type what takes longest to compile first
    jobs = sorted(timed(options.dtype or list(DTYPES)), key=lambda job: -job[1] * (3 if "norm" in job[3] else 1))
    jobs.sort(key=lambda job: list(DTYPES).index(job[0]))
    for job in jobs[int(index) :: int(count)]:
        warm(*job)
        print(*job, flush=True)


def warm(dtype: str, width: int, batch: int, name: str) -> None:
    """Compile what is timed."""
    torch.backends.cuda.matmul.allow_tf32 = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call, _ = ours(name, width, batch, 8, dtype)
        call(False)
        call(True)
        torch.cuda.synchronize()


# --- correct --------------------------------------------------------------------------------------------------------


def check(results: Results, options: argparse.Namespace, deadline: float) -> None:
    """Compare cells with the eager loop."""
    lines: list[str] = []

    def heard(line: str) -> None:
        lines.append(line)
        results.add("check", line)
        print(line, flush=True)

    in_parallel("check", options, deadline, heard)
    right = sum(" right " in line for line in lines)
    tried = f"{right} of {len(lines)} cells right; {len(list(cases())) - len(lines)} not tried"
    results.add("check", tried)
    print(tried, flush=True)


VARIANTS = ("plain", "lengths", "resets", "reverse")
FEW, MANY = 5, 600
"""Rows that have a program each or more, and so many that tiles of them go to tensor cores."""


def cases() -> Iterator[tuple[str, int, int, str, int]]:
    """Give cells, sizes, variants and rows to check."""
    for batch, name in itertools.product((FEW, MANY), ("lstm", "gru", "lstm-layernorm", "slstm")):
        yield name, 48, 272, "lengths", batch  # several programs a row, or a tile
    for name, variant in zip(("lstm-projected", "gru", "lstm", "lstm-layernorm"), VARIANTS, strict=True):
        yield name, 24, 40, variant, MANY
    for place, name in enumerate(CATALOGUE):
        if not name.startswith("conv"):
            yield name, 24, 40, VARIANTS[place % 4], FEW
    yield "zoneout", 24, 40, "reverse", FEW
    for seed in range(50):
        yield f"random {seed}", 0, 0, VARIANTS[seed % 4], FEW


def agree(name: str, inputs: int, width: int, variant: str, batch: int) -> str:
    """Compare one cell with the eager loop in float64; the error beside that of the eager loop in float32."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    if name.startswith("random"):
        cell: nn.Module = RandomCell(int(name.split()[1])).to(DEVICE)
        inputs = cell.input_size
    elif name == "zoneout":
        # in training its numbers are drawn: here the forward pass and the gradients must draw the same ones
        cell = Zoneout(CATALOGUE["gru"](inputs, width), 0.0).to(DEVICE)
    else:
        cell = CATALOGUE[name](inputs, width).to(DEVICE)
    xs = torch.randn(9, batch, inputs, device=DEVICE) * 0.7
    some = torch.tensor([9, 3, 0, 7, 5], device=DEVICE).repeat(-(-batch // 5))[:batch]
    lengths = some if variant == "lengths" else None
    resets = torch.rand(9, batch, device=DEVICE) < 0.3 if variant == "resets" else None
    reverse = variant == "reverse"

    def run(scan: Callable[..., Any], module: nn.Module, dtype: torch.dtype) -> list[Tensor]:
        x = xs.to(dtype).requires_grad_()
        state = map_state(lambda leaf: leaf.to(dtype), initial_state(module, x[0]))
        ys, last = scan(module, x, state, lengths=lengths, reverse=reverse, resets=resets)
        torch.manual_seed(1)
        outs = [ys, *leaves(last)]
        loss = sum(
            ((out * torch.randn(out.shape, device=DEVICE).to(dtype)).sum() for out in outs),
            torch.zeros((), device=DEVICE),
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
        seconds = time.perf_counter() - began
        again = run(ostinato.scan, cell, torch.float32)  # the shorter way of a call that was made before
    except Exception as error:  # noqa: BLE001 - the table says what happened
        return f"{name:20s} {width:4d} {batch:4d} {variant:8s} FAILED {said(error)}"
    eager = run(eagerly, cell, torch.float32)
    exact = run(eagerly, cell.double(), torch.float64)
    errors = [max(relative(a, b) for a, b in zip(found, exact, strict=True)) for found in (mine, again, eager)]
    verdict = "right" if max(errors[:2]) < max(20 * errors[2], 1e-4) else "WRONG"
    compared = f"error {errors[0]:.1e}, again {errors[1]:.1e}, eager loop's {errors[2]:.1e}"
    return f"{name:20s} {width:4d} {batch:4d} {variant:8s} {verdict}  {compared}; first call {seconds:.1f} s"


def relative(a: Tensor, b: Tensor) -> float:
    """Return how far two tensors are apart, relative to the size of the second."""
    size = float(b.detach().double().norm())
    difference = float((a.detach().double() - b.detach().double()).norm())
    return difference / size if size else difference


# --- times ----------------------------------------------------------------------------------------------------------


def times(results: Results, options: argparse.Namespace, deadline: float) -> None:
    """Compile, then measure, the types in order: what there is no time for is left out."""
    began = time.perf_counter()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    ready: set[tuple[str, ...]] = set()
    compiling = began + 0.65 * (deadline - began)
    in_parallel("times", options, compiling, lambda line: ready.add(tuple(line.split())))
    print(f"compiled in {time.perf_counter() - began:.0f} s by {options.workers} processes", flush=True)
    print(f"microseconds a step of {options.steps}, forward; forward and backward", flush=True)
    for dtype, width, batch in itertools.product(options.dtype or DTYPES, WIDTHS, BATCHES):
        where = {"dtype": dtype, "width": width, "batch": batch}
        rows = []
        for name in ("cuDNN LSTM", "cuDNN GRU", *CELLS):
            if time.perf_counter() > deadline:
                return
            if name in CELLS and (dtype, str(width), str(batch), name) not in ready:
                row: dict[str, Any] = {"cell": name, "call": "not compiled in time"}
            else:
                row = {"cell": name, **measured(name, width, batch, options.steps, dtype)}
            results.add("times", where | row)
            rows.append(row)
        print(f"{dtype} {width} x {batch}: " + " | ".join(map(line, rows)), flush=True)


def timed(dtypes: Sequence[str]) -> Iterator[tuple[str, int, int, str]]:
    """Give what is timed of ours."""
    yield from itertools.product(dtypes, WIDTHS, BATCHES, CELLS)


def measured(name: str, width: int, batch: int, steps: int, dtype: str) -> dict[str, Any]:
    """Return the times of a layer of cuDNN or of one of our cells."""
    if name in CELLS:
        call, _ = ours(name, width, batch, steps, dtype)
        return both(call, steps) | alone(name, width, batch, steps, dtype)
    kind = DTYPES[dtype]
    layer = getattr(nn, name.split()[1])(width, width).to(DEVICE, kind)
    xs = torch.randn(steps, batch, width, device=DEVICE, dtype=kind) * 0.5
    return both(caller(lambda x: layer(x)[0], layer, xs), steps)


def ours(name: str, width: int, batch: int, steps: int, dtype: str) -> tuple[Callable[[bool], Any], nn.Module]:
    """Return a call of one of our cells."""
    kind = DTYPES[dtype]
    cell = CATALOGUE[name](width, width).to(DEVICE, kind)
    xs = torch.randn(steps, batch, width, device=DEVICE, dtype=kind) * 0.5
    return caller(lambda x: ostinato.scan(cell, x)[0], cell, xs), cell


def caller(forward: Callable[[Tensor], Tensor], module: nn.Module, xs: Tensor) -> Callable[[bool], Any]:
    """Return a function that runs a model forward, or forward and backward."""
    x = xs.clone().requires_grad_()
    cotangent: list[Tensor] = []

    def call(training: bool) -> Any:
        if not training:
            with torch.no_grad():
                return forward(xs)
        ys = forward(x)
        if not cotangent:
            cotangent.append(torch.randn_like(ys))
        return torch.autograd.grad(ys, [*module.parameters(), x], cotangent[0])

    return call


def both(call: Callable[[bool], Any], steps: int) -> dict[str, Any]:
    """Return the times of calls, forward and with backward, or what went wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ostinato.errors.EngineWarning)
            return {
                "call": [median(partial(call, training)) * 1e3 / steps for training in (False, True)],
                "host": [hosts(partial(call, training)) for training in (False, True)],
            }
    except Exception as error:  # noqa: BLE001 - the table says what happened
        return {"call": said(error)}


def median(call: Callable[[], Any], repeats: int = 10) -> float:
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


def hosts(call: Callable[[], Any], repeats: int = 10) -> float:
    """Return the median time in microseconds until a call returns, the device having nothing else to do."""
    spent = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    torch.cuda.synchronize()
    return statistics.median(spent) * 1e6


def alone(name: str, width: int, batch: int, steps: int, dtype: str) -> dict[str, Any]:
    """Return the times of the device alone, by replaying what was captured."""
    found: list[Any] = []
    for training in (False, True):
        try:
            call, _ = ours(name, width, batch, steps, dtype)
            found.append(median(captured(partial(call, training))[0].replay) * 1e3 / steps)
        except Exception as error:  # noqa: BLE001 - the table says what happened
            found.append(said(error))
    return {"device": found}


def captured(call: Callable[[], Any]) -> tuple[Any, Any]:
    """Return a call as a CUDA graph, and the tensors that each replay of it fills."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # as PyTorch asks: what is made at the first calls is not for the graph
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call()
    return graph, results


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    if not isinstance(row["call"], list):
        return f"{row['cell']} {row['call']}"
    text = f"{row['cell']} {row['call'][0]:.2f}; {row['call'][1]:.2f}"
    if "device" in row:
        text += " (device " + "; ".join(f"{x:.2f}" if isinstance(x, float) else x for x in row["device"]) + ")"
    return text + f" host {row['host'][0]:.0f}; {row['host'][1]:.0f} us"


# --- streams, devices, graphs ---------------------------------------------------------------------------------------


def streams(results: Results, options: argparse.Namespace, deadline: float) -> None:
    """Check calls on another stream, captured calls, and tensors on several devices."""
    del deadline
    torch.backends.cuda.matmul.allow_tf32 = False
    for ask in (on_a_side_stream, replayed_after_a_change, on_several_devices):
        try:
            found = ask(options.steps)
        except Exception as error:  # noqa: BLE001 - the table says what happened
            found = said(error)
        results.add("streams", {ask.__name__: found})
        print(f"{ask.__name__.replace('_', ' ')}: {found}", flush=True)


def on_a_side_stream(steps: int) -> str:
    """Compare a call on another stream, which the device gets to while it is busy, with one on the first."""
    call, _ = ours("lstm", 256, 16, steps, "float32")
    expected = [tensor.clone() for tensor in call(True)]
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        found = [call(True) for _ in range(3)]
        other, _ = ours("gru", 256, 16, steps, "float32")
        other(True)
    side.synchronize()
    same = all(torch.equal(a, b) for tensors in found for a, b in zip(tensors, expected, strict=True))
    near = max(relative(a, b) for a, b in zip(found[-1], expected, strict=True))
    return f"the same bits: {same}; error {near:.1e}"


def replayed_after_a_change(steps: int) -> str:
    """Compare a graph that is replayed after the weights were changed with a call."""
    call, cell = ours("lstm", 64, 16, steps, "bfloat16")
    graph, ys = captured(partial(call, False))
    graph.replay()
    before = torch.equal(ys, call(False))
    for parameter in cell.parameters():
        parameter.data.mul_(0.5)
    graph.replay()
    return f"the same bits: {before}; after a change: {torch.equal(ys, call(False))}"


def on_several_devices(steps: int) -> str:
    """Ask for a scan whose tensors are on two devices, and for one on the second while the first is the current one."""
    if torch.cuda.device_count() < 2:
        return "there is one device"
    cell = CATALOGUE["lstm"](64, 64).to("cuda:1")
    xs = torch.randn(steps, 4, 64, device="cuda:1")
    found = ostinato.scan(cell, xs)[0]
    near = relative(found, scan_eagerly(cell, xs, initial_state(cell, xs[0]), None, False, None)[0])
    try:
        ostinato.scan(cell, xs.to("cuda:0"))
    except (RuntimeError, ostinato.errors.UsageError) as error:
        return f"on the second: error {near:.1e}; on both: refused, {said(error)}"
    return f"on the second: error {near:.1e}; on both: NOT refused"


# --- loops in Python, compiling -------------------------------------------------------------------------------------


def loops(results: Results, options: argparse.Namespace, deadline: float) -> None:
    """Measure a layer-norm LSTM as a loop in Python, eager and compiled, in microseconds a step."""
    del options
    steps, width, batch = 128, 256, 16
    torch.backends.cuda.matmul.allow_tf32 = True
    cell = CATALOGUE["lstm-layernorm"](width, width).to(DEVICE)
    xs = torch.randn(steps, batch, width, device=DEVICE) * 0.5
    for name, step in (("ours", None), ("eager", cell), ("torch.compile", torch.compile(cell))):

        def loop(x: Tensor, step: Any = step) -> Tensor:
            if step is None:
                return ostinato.scan(cell, x)[0]
            state, ys = initial_state(cell, x[0]), []
            for row in x:
                y, state = step(row, state)
                ys.append(y)
            return torch.stack(ys)

        if time.perf_counter() > deadline:
            return
        row = {"loop": name, **both(caller(loop, cell, xs), steps)}
        results.add("loops", row)
        print(f"layer-norm LSTM, {width} x {batch}, {steps} steps: {row}", flush=True)


def compiled(results: Results, options: argparse.Namespace, deadline: float) -> None:
    """Measure first calls in processes of their own: with nothing on disk, and with what the one before left there."""
    del options
    for name, width, dtype in ALONE:
        with tempfile.TemporaryDirectory() as folder:
            for when in ("cold", "from disk"):
                rest = deadline - time.perf_counter()
                if rest <= 0:
                    return
                environment = dict(os.environ, TRITON_CACHE_DIR=folder)
                command = [sys.executable, __file__, "--first", f"{name}/{width}/{dtype}"]
                try:
                    said_by = subprocess.run(
                        command, env=environment, capture_output=True, text=True, timeout=rest, check=True
                    ).stdout
                    row = {"cell": name, "width": width, "dtype": dtype, "when": when, **json.loads(said_by)}
                except (subprocess.SubprocessError, ValueError) as error:
                    row = {"cell": name, "width": width, "dtype": dtype, "when": when, "error": said(error)}
                results.add("compile", row)
                print(f"first calls, alone: {row}", flush=True)


def first_calls(which: str) -> None:
    """Say how many seconds the first calls of a cell take, forward and with backward."""
    name, width, dtype = which.split("/")
    torch.zeros(8, 8, device=DEVICE) @ torch.zeros(8, 8, device=DEVICE)  # the device and its libraries are not meant
    call, _ = ours(name, int(width), 16, 64, dtype)
    found = {}
    for training, what in ((False, "forward"), (True, "forward and backward")):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call(training)
        torch.cuda.synchronize()
        found[what] = round(time.perf_counter() - began, 2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
