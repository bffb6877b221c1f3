"""The engine at sizes that nobody tuned for: training steps at sizes drawn from a seed, beside PyTorch's in turns.

    python3 dev.py bench sizes [--seed 0] [--sizes 40] [--kinds lstm,gru] [--threads 1,2] [--seconds 600]

Batch 1 to 256, steps 5 to 1,000, inputs and units 8 to 1,024, each log-uniform, as far as a training step of an LSTM
of that size stays within `--gflop`; with `--edges` one of the four is very small or very large at each size. The
drop-ins stand beside `torch.nn`, padded and with lengths of 10 to 100 % beside packed ones, and with the options of
`size_kinds.py`; cells of no library beside their own Python loop. Every pair runs in turns in one process, and outputs
and gradients are compared first; a ratio is the median over the turns, above one where ours is faster. With one thread
the time is that of the thread, so that other programs count for little. `--forward` leaves the backward pass out.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from common import keep, machine, table
from engine_cells import Size
from engine_timing import difference
from ostinato.nn.dropin import choice
from size_kinds import OPTIONS, USUAL, Kind, Step, drawn_cells, kind_of

TURN_SECONDS = 0.004
FEWEST_TURNS = 3
LARGEST = Size(256, 1000, 1024, 1024)
SMALLEST = Size(1, 5, 8, 8)
EDGES = (Size(1, 1, 1, 1), Size(1, 4, 4, 8)), (Size(512, 1000, 1024, 1024), Size(2048, 2000, 2048, 2048))
"""Very small, from and to; very large."""


def drawn(seed: int, count: int, gflop: float, edges: bool = False) -> Iterator[Size]:
    """Yield so many sizes that stay within the budget; each with one number at an edge, if that is asked for."""
    generator = torch.Generator().manual_seed(seed)
    while count:
        place = torch.rand(4, generator=generator)
        numbers = _between(SMALLEST, LARGEST, place)
        if edges:
            which, end = (int(torch.randint(bound, (), generator=generator)) for bound in (4, 2))
            numbers[which] = _between(*EDGES[end], place)[which]
        size = Size(*numbers)
        if flop(size) <= gflop * 1e9:
            count -= 1
            yield size


def _between(low: Size, high: Size, place: torch.Tensor) -> list[int]:
    """Return numbers that lie so far, from 0 to 1 and on a logarithmic scale, between two sizes."""
    first, last = (torch.tensor(dataclasses.astuple(size)).log() for size in (low, high))
    return [int(number) for number in torch.exp(first + place * (last - first)).round()]


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
    wrong = difference(first, theirs(), tolerance=kind.tolerance)
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
    parser.add_argument("--kinds", default=",".join(USUAL), help=(
        f"of {', '.join(USUAL)}; lstm, gru or rnn with one of {', '.join(filter(None, OPTIONS))}; cell:NAME, or "
        "drawn:COUNT for so many cells of the catalogue"
    ))  # fmt: skip
    parser.add_argument("--edges", action="store_true", help="very small and very large sizes")
    parser.add_argument("--threads", default="1,2", help="numbers of threads")
    parser.add_argument("--gflop", type=float, default=20.0, help="of a training step of an LSTM, at most")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all measurements together")
    parser.add_argument("--forward", action="store_true", help="without gradients")
    parser.add_argument(
        "--engine", action="store_true", help="every call through the engine, also where `choice` would not"
    )
    parser.add_argument("--keep", action="store_true", help="keep the tables in benchmarks/results/sizes.md")
    return parser.parse_args()


def asked(names: str, seed: int) -> list[Kind]:
    """Return the kinds that are asked for, or end with a sentence that says which one is unknown."""
    wanted: list[str] = []
    for name in names.split(","):
        wanted += drawn_cells(seed, int(name[6:])) if name.startswith("drawn:") else [name]
    try:
        return [kind_of(name) for name in wanted]
    except KeyError as error:
        sys.exit(f"--kinds has {error.args[0]}; expected some of those that --help lists")


def main() -> None:
    """Measure, and print the tables."""
    given = arguments()
    kinds = asked(given.kinds, given.seed)
    if given.engine:
        choice.pays = lambda *_: True  # type: ignore[assignment]
    sizes = given.only or list(drawn(given.seed, given.sizes, given.gflop, given.edges))
    cases = [(kind, size, int(threads)) for threads in given.threads.split(",") for kind in kinds for size in sizes]
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
        f"{'given sizes' if given.only else f'{len(sizes)} sizes, seed {given.seed}'}"
        f"{', at the edges' if given.edges else ''}, {given.seconds:g} s\n\n"
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
