"""What a call costs beside its arithmetic: small calls of layers, cells and steppers, in microseconds.

    python3 dev.py bench call_cost [--match lstm] [--against PATH] [--processes 2] [--json costs.json]

One row; 100 steps of 128 units and 5 of 8 for the layers, 10 of 16 for every cell of the catalogue; forward without
gradients, and forward with backward. One thread; the time is that of the thread, so that other processes count for
little. `torch.nn` stands beside where it has the same.

With `--against`, PATH is another checkout of this repository: three processes, this one's source, the other's, and
this one's again, take turns of some milliseconds on each row. The third says how much is noise. Rows that look slower
or are noisy are measured again, longer; the exit code tells whether any is then slower by more than `--limit` and the
noise.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common import ROOT, machine, table

WORKER = Path(__file__).resolve().parent / "call_cost_worker.py"


class Worker:
    """A process that runs rows from one source tree, a block of calls at a time."""

    def __init__(self, tree: Path) -> None:
        source = tree / "src"
        if not (source / "ostinato").is_dir():
            sys.exit(f"{source} holds no ostinato; give the root of a checkout")
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names: list[str] = json.loads(self._line())

    def block(self, name: str) -> tuple[float, float | None]:
        """Return the microseconds of a call in one block: ours, and PyTorch's where there is one."""
        assert self._process.stdin is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        ours, theirs = json.loads(self._line())
        return ours, theirs

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process that measures has ended; its message is above")
        return line


@dataclass(frozen=True)
class Blocks:
    """What the blocks of one row gave, each list in the order of the rounds."""

    this: list[float]
    torch: list[float]
    other: list[float]
    again: list[float]

    def __add__(self, more: Blocks) -> Blocks:
        return Blocks(self.this + more.this, self.torch + more.torch, self.other + more.other, self.again + more.again)

    @property
    def ratio(self) -> float:
        """Ours over the other tree's: each round by itself, then the median."""
        both = [statistics.mean(pair) for pair in zip(self.this, self.again, strict=True)]
        return statistics.median(a / b for a, b in zip(both, self.other, strict=True))

    @property
    def noise(self) -> float:
        """By how much two processes of this very tree differ."""
        return abs(statistics.median(a / b for a, b in zip(self.again, self.this, strict=True)) - 1)


def measure(workers: Sequence[Worker], name: str, rounds: int) -> Blocks:
    """Run one row in turns; every other round the other way about."""
    found: list[list[float]] = [[] for _ in range(3)]
    theirs: list[float] = []
    for turn in range(rounds):
        order = list(enumerate(workers))
        for index, worker in order if turn % 2 else reversed(order):
            ours, torch_time = worker.block(name)
            found[index].append(ours)
            if index == 0 and torch_time is not None:
                theirs.append(torch_time)
    return Blocks(found[0], theirs, found[1], found[2])


def measure_all(trees: Sequence[Path], match: str, processes: int, rounds: int) -> dict[str, Blocks]:
    """Measure every row that matches, again in so many sets of processes: where memory lies makes a difference."""
    found: dict[str, Blocks] = {}
    for _ in range(processes):
        workers = [Worker(tree) for tree in trees]
        names = [name for name in workers[0].names if re.search(match, name)]
        if len(workers) > 1:
            names = [name for name in names if name in workers[1].names]
        for name in names:
            blocks = measure(workers, name, rounds)
            found[name] = found[name] + blocks if name in found else blocks
            print(".", end="", file=sys.stderr, flush=True)
        for worker in workers:
            worker.end()
    print(file=sys.stderr)
    return found


def line(name: str, blocks: Blocks) -> list[str]:
    """Return one row of the table."""
    mine = statistics.median(blocks.this)
    theirs = f"{statistics.median(blocks.torch):.1f}" if blocks.torch else ""
    row = [name, theirs, f"{mine:.1f}"]
    if blocks.other:
        row += [f"{statistics.median(blocks.other):.1f}", f"{blocks.ratio:.3f}", f"{blocks.noise:.3f}"]
    return row


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--match", default="", help="a regular expression for the names of rows")
    parser.add_argument("--against", type=Path, help="the root of another checkout")
    parser.add_argument("--processes", type=int, default=2, help="sets of processes, one after the other")
    parser.add_argument("--rounds", type=int, default=12, help="blocks of a row in each process")
    parser.add_argument("--limit", type=float, default=0.05, help="by what share a row may be slower")
    parser.add_argument("--json", type=Path, help="where the figures go")
    return parser.parse_args()


def slower(found: dict[str, Blocks], limit: float) -> list[str]:
    """Return the rows that are slower by more than the limit and the noise."""
    return [name for name, blocks in found.items() if blocks.ratio > 1 + limit + blocks.noise]


def verdict(found: dict[str, Blocks], limit: float) -> str:
    """Say in words what the ratios come to."""
    worst = max(found, key=lambda name: found[name].ratio)
    noise = sorted(blocks.noise for blocks in found.values())
    ratios = statistics.median(blocks.ratio for blocks in found.values())
    over = slower(found, limit)
    return "\n".join(
        [
            f"This over the other: median {ratios:.3f}, worst {found[worst].ratio:.3f} ({worst}).",
            f"This against itself: median {statistics.median(noise):.3f} apart, at most {noise[-1]:.3f}.",
            f"Slower by more than {limit:.0%} and the noise: {', '.join(over) or 'none'}.",
        ]
    )


def main() -> int:
    """Measure and print the table."""
    given = arguments()
    trees = [ROOT] if given.against is None else [ROOT, given.against.resolve(), ROOT]
    found = measure_all(trees, given.match, given.processes, given.rounds)
    if not found:
        sys.exit(f"no row matches {given.match}")
    if given.against is not None:
        unsure = [own for own, blocks in found.items() if blocks.ratio > 1 + given.limit or blocks.noise > given.limit]
        for name in unsure:
            found[name] = measure_all(trees, f"^{re.escape(name)}$", given.processes, 4 * given.rounds)[name]
    head = ["call, µs", "torch.nn", "this"] + ([] if given.against is None else ["other", "this / other", "noise"])
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, one thread; {machine()}"
    print(f"# What a call costs\n\n{stamp}\n\n{table(head, [line(*item) for item in found.items()])}")
    if given.json is not None:
        given.json.write_text(json.dumps({name: asdict(own) for name, own in found.items()}) + "\n", encoding="utf-8")
    if given.against is None:
        return 0
    print(f"\n{verdict(found, given.limit)}")
    return int(bool(slower(found, given.limit)))


if __name__ == "__main__":
    sys.exit(main())
