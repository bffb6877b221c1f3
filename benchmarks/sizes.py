"""The engine at sizes that nobody tuned for: training steps at sizes drawn from a seed, beside PyTorch's in turns.

    python3 dev.py bench sizes [--seed 0] [--sizes 40] [--kinds lstm,gru] [--threads 1,2] [--seconds 600]

Batch 1 to 256, steps 5 to 1,000, inputs and units 8 to 1,024, each log-uniform, as far as a training step of an LSTM
of that size stays within `--gflop`. The drop-ins stand beside `torch.nn`, padded and with lengths of 10 to 100 % beside
packed ones; cells of no library beside their own Python loop. Every pair runs in turns in one process, and outputs and
gradients are compared first; a ratio is the median over the turns, above one where ours is faster. With one thread the
time is that of the thread, so that other programs count for little. `--forward` leaves the backward pass out.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from common import keep, machine, table
from engine_cells import SLSTM, LayerNormLSTM, Size, walk
from engine_timing import difference
from ostinato.nn.dropin import choice

TURN_SECONDS = 0.004
FEWEST_TURNS = 3
LARGEST = Size(256, 1000, 1024, 1024)
SMALLEST = Size(1, 5, 8, 8)

Step = Callable[[], list[Tensor]]


class MinimalGatedCell(nn.Module):
    """One gate for all (G.-B. Zhou et al., "Minimal gated unit for recurrent neural networks", 2016, section 3)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)
        self.hidden_size = hidden_size

    def initial_state(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return x.new_zeros((x.shape[0], self.hidden_size))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step."""
        f = torch.sigmoid(self.gate(torch.cat([x, h], -1)))
        n = torch.tanh(self.candidate(torch.cat([x, f * h], -1)))
        h = (1 - f) * h + f * n
        return h, h


@dataclass(frozen=True)
class Kind:
    """What is compared at every size."""

    name: str
    least: float | None
    """What every ratio has to reach, if that is asked for."""
    mean: float
    """What the geometric mean has to reach."""
    pair: Callable[[Size, bool], tuple[Step, Step]]


def layers(kind: str, size: Size, backward: bool) -> tuple[Step, Step]:
    """Return training steps of a drop-in and of its namesake with the same weights."""
    theirs = getattr(nn, kind)(size.inputs, size.hidden)
    ours = getattr(ostinato.nn, kind)(size.inputs, size.hidden)
    ours.load_state_dict(theirs.state_dict())
    xs = torch.randn(size.steps, size.batch, size.inputs)
    return step(ours, lambda: ours(xs)[0], backward), step(theirs, lambda: theirs(xs)[0], backward)


def packed(kind: str, size: Size, backward: bool) -> tuple[Step, Step]:
    """Return training steps of both on packed sequences, whose lengths run from a tenth to all of the steps."""
    theirs = getattr(nn, kind)(size.inputs, size.hidden)
    ours = getattr(ostinato.nn, kind)(size.inputs, size.hidden)
    ours.load_state_dict(theirs.state_dict())
    xs = torch.randn(size.steps, size.batch, size.inputs)
    lengths = torch.randint(max(1, size.steps // 10), size.steps + 1, (size.batch,))
    lengths[0] = size.steps

    def run(layer: nn.Module) -> Tensor:
        given = pack_padded_sequence(xs, lengths, enforce_sorted=False)
        found: Tensor = layer(given)[0].data
        return found

    return step(ours, partial(run, ours), backward), step(theirs, partial(run, theirs), backward)


def cells(kind: type[nn.Module], size: Size, backward: bool) -> tuple[Step, Step]:
    """Return training steps of a cell by `scan` and by its Python loop."""
    cell = kind(size.inputs, size.hidden)
    xs = torch.randn(size.steps, size.batch, size.inputs)
    return (
        step(cell, lambda: ostinato.scan(cell, xs)[0], backward),
        step(cell, lambda: walk(cell, xs), backward),
    )


def step(module: nn.Module, run: Callable[[], Tensor], backward: bool) -> Step:
    """Return a step that gives outputs and gradients; the gradient of the outputs is made once."""
    parameters = list(module.parameters())
    cotangents: list[Tensor] = []

    def train() -> list[Tensor]:
        for parameter in parameters:
            parameter.grad = None
        ys = run()
        if not cotangents:
            cotangents.append(torch.randn(ys.shape, generator=torch.Generator().manual_seed(1)))
        ys.backward(cotangents[0])
        return [ys, *(parameter.grad for parameter in parameters if parameter.grad is not None)]

    def infer() -> list[Tensor]:
        with torch.no_grad():
            return [run()]

    return train if backward else infer


KINDS = {
    "lstm": Kind("LSTM", 0.97, 1.35, partial(layers, "LSTM")),
    "gru": Kind("GRU", 1.0, 3.0, partial(layers, "GRU")),
    "rnn": Kind("RNN", 1.0, 2.5, partial(layers, "RNN")),
    "lstm-lengths": Kind("LSTM, lengths 10-100 %", None, 4.0, partial(packed, "LSTM")),
    "gru-lengths": Kind("GRU, lengths 10-100 %", None, 4.0, partial(packed, "GRU")),
    "layer-norm": Kind("layer-norm LSTM", None, 8.0, partial(cells, LayerNormLSTM)),
    "slstm": Kind("sLSTM", None, 8.0, partial(cells, SLSTM)),
    "mgu": Kind("minimal gated unit", None, 8.0, partial(cells, MinimalGatedCell)),
}


def drawn(seed: int, count: int, gflop: float) -> Iterator[Size]:
    """Yield so many sizes that stay within the budget."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.tensor([SMALLEST.batch, SMALLEST.steps, SMALLEST.inputs, SMALLEST.hidden]).log()
    high = torch.tensor([LARGEST.batch, LARGEST.steps, LARGEST.inputs, LARGEST.hidden]).log()
    while count:
        place = torch.rand(4, generator=generator)
        size = Size(*(int(number) for number in torch.exp(low + place * (high - low)).round()))
        if flop(size) <= gflop * 1e9:
            count -= 1
            yield size


def flop(size: Size) -> float:
    """Return the floating-point operations of the products of a training step of an LSTM."""
    return 3.0 * 2 * size.batch * size.steps * 4 * size.hidden * (size.inputs + size.hidden)


def ratio(ours: Step, theirs: Step, clock: Callable[[], float], budget: float) -> tuple[float, float, float]:
    """Return seconds of ours, of theirs, and how many times as fast ours is: each turn by itself, then the median."""
    for call in (ours, theirs):
        _turn(call, clock)
    turns: list[tuple[float, float]] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + budget
        while len(turns) < FEWEST_TURNS or time.perf_counter() < end:
            if len(turns) % 2:
                one = _turn(ours, clock)
                turns.append((one, _turn(theirs, clock)))
            else:
                other = _turn(theirs, clock)
                turns.append((_turn(ours, clock), other))
    finally:
        gc.enable()
    fast, slow = (statistics.median(pair) for pair in zip(*turns, strict=True))
    return fast, slow, statistics.median(b / a for a, b in turns)


def _turn(call: Step, clock: Callable[[], float]) -> float:
    """Return the mean seconds of the calls that a turn has time for; the first one warms caches and does not count."""
    call()
    count, began, end = 0, clock(), time.perf_counter() + TURN_SECONDS
    while not count or time.perf_counter() < end:
        call()
        count += 1
    return (clock() - began) / count


@dataclass(frozen=True)
class Line:
    """One measurement."""

    kind: Kind
    threads: int
    size: Size
    ours: float
    theirs: float
    ratio: float

    def row(self) -> list[str]:
        """Return it as a row of a table."""
        work = flop(self.size) / 1e9
        return [
            self.kind.name, str(self.threads), str(self.size), f"{work:.2f}", f"{self.ours * 1e3:.3g}",
            f"{self.theirs * 1e3:.3g}", f"{self.ratio:.2f}",
        ]  # fmt: skip


def measure(kind: Kind, size: Size, threads: int, budget: float, backward: bool) -> Line:
    """Compare outputs and gradients, then times, at one size."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours, theirs = kind.pair(size, backward)
    first = [tensor.detach().clone() for tensor in ours()]
    wrong = difference(first, theirs())
    if wrong is not None:
        print(f"{kind.name} at {size}: {wrong}", file=sys.stderr)
    clock = time.thread_time if threads == 1 else time.perf_counter
    return Line(kind, threads, size, *ratio(ours, theirs, clock, budget))


def summary(lines: Sequence[Line]) -> str:
    """Return a table with the mean, the least and how many are below what is asked for, by kind and threads."""
    rows = []
    for kind, threads in dict.fromkeys((line.kind, line.threads) for line in lines):
        group = [line for line in lines if line.kind is kind and line.threads == threads]
        ratios = [line.ratio for line in group]
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        worst = min(group, key=lambda line: line.ratio)
        limit = 1.0 if kind.least is None else kind.least
        below = sum(ratio < limit for ratio in ratios)
        met = mean >= kind.mean and (kind.least is None or not below)
        rows.append([
            kind.name, str(threads), f"{mean:.2f}", f"{kind.mean:g}", f"{worst.ratio:.2f} ({worst.size})",
            "" if kind.least is None else f"{kind.least:g}", f"{below} of {len(group)}", "yes" if met else "no",
        ])  # fmt: skip
    head = ["what", "threads", "geometric mean", "wanted", "least", "wanted", "below that, or 1", "met"]
    return table(head, rows)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="that sizes are drawn from")
    parser.add_argument("--sizes", type=int, default=40, help="how many")
    parser.add_argument("--only", type=lambda text: Size(*map(int, text.split("x"))), action="append",
                        metavar="BxTxIxH", help="this size instead of drawn ones; may be given again")  # fmt: skip
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--threads", default="1,2", help="numbers of threads")
    parser.add_argument("--gflop", type=float, default=20.0, help="of a training step of an LSTM, at most")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all measurements together")
    parser.add_argument("--forward", action="store_true", help="without gradients")
    parser.add_argument(
        "--engine", action="store_true", help="every call through the engine, also where `choice` would not"
    )
    parser.add_argument("--keep", action="store_true", help="keep the tables in benchmarks/results/sizes.md")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the tables."""
    given = arguments()
    unknown = [name for name in given.kinds.split(",") if name not in KINDS]
    if unknown:
        sys.exit(f"--kinds has {', '.join(unknown)}; expected some of {', '.join(KINDS)}")
    if given.engine:
        choice.pays = lambda *_: True  # type: ignore[assignment]
    sizes = given.only or list(drawn(given.seed, given.sizes, given.gflop))
    cases = [
        (KINDS[name], size, int(threads))
        for threads in given.threads.split(",") for name in given.kinds.split(",") for size in sizes
    ]  # fmt: skip
    lines: list[Line] = []
    end = time.perf_counter() + given.seconds
    for done, case in enumerate(cases):
        left = (end - time.perf_counter()) / (len(cases) - done)
        lines.append(measure(*case, max(0.0, left * 0.8), not given.forward))
        print(" | ".join(lines[-1].row()), file=sys.stderr, flush=True)
    processor = next(
        (line.split(":")[1].strip() for line in _text("/proc/cpuinfo").splitlines() if line.startswith("model name")),
        "",
    )
    what = "forward" if given.forward else "forward and backward"
    head = ["what", "threads", "batch x steps x input x hidden", "GFLOP (LSTM)", "ours, ms", "theirs, ms", "ratio"]
    text = (
        f"# Sizes\n\n{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {processor}; {machine()}; {what}; "
        f"{'given sizes' if given.only else f'{len(sizes)} sizes, seed {given.seed}'}, {given.seconds:g} s\n\n"
        f"{summary(lines)}\n\n{table(head, [line.row() for line in lines])}"
    )
    if given.keep:
        keep("sizes.md", text)
    else:
        print(text)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
