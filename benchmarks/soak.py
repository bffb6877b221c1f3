"""A long mixed life of one process: does anything grow?

    python3 dev.py bench soak [--calls 20000] [--json soak.json]

Calls of all sorts, in an order drawn from a seed: layers and cells of many sizes and lengths, training and inference;
cells made, called and dropped; cells whose settings differ, so that each has a plan of its own; streams; several
threads at once. At 0, 5, 25, 50, 75 and 100 % of the calls the table has what the process holds: resident memory,
memory maps, open files, threads, the bytes of the engine's pool, the modules whose plans are kept. A quantity is at a
plateau if it grows by no more than an allowance over the last half.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ostinato
from common import machine, table
from ostinato.cells import CATALOGUE, PLAIN
from ostinato.engine.backends.cpu import memory
from ostinato.engine.run import compiled
from ostinato.errors import EngineWarning

MARKS = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)
WIDTHS = (3, 8, 17, 32)
ALLOWED = {
    "resident, MiB": (8.0, 0.03),
    "memory maps": (8.0, 0.03),
    "open files": (0.0, 0.0),
    "threads": (0.0, 0.0),
    "pool, MiB": (16.0, 0.05),
    "modules with plans": (8.0, 0.0),
    "warnings and errors": (0.0, 0.0),
}
"""By what each may grow over the last half: so much, or so large a share, whichever is more."""


class Leaky(nn.Module):
    """A user's own cell with a setting; each value of it is another plan."""

    def __init__(self, size: int, leak: float) -> None:
        super().__init__()
        self.read, self.recur, self.leak = nn.Linear(size, size), nn.Linear(size, size), leak

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step."""
        h = h + self.leak * ((self.read(x) + self.recur(h)).tanh() - h)
        return h, h


class Life:
    """The calls, each of a kind that is drawn, and what stays alive between them."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.lasting = [(CATALOGUE[name](16, 16), 16) for name in PLAIN]
        self.layers = [kind(16, 24, 2, bidirectional=True) for kind in (ostinato.nn.LSTM, ostinato.nn.GRU)]
        self.streams = [ostinato.stepper(ostinato.cells.LSTMCell(16, 16)) for _ in range(3)]
        self.kinds: dict[Callable[[], None], int] = {
            self.train_a_lasting_cell: 30,
            self.infer_with_a_lasting_cell: 20,
            self.run_a_layer: 20,
            self.make_call_and_drop_a_cell: 8,
            self.make_call_and_drop_a_users_cell: 4,
            self.advance_streams: 14,
            self.make_and_drop_a_stream: 2,
            self.call_from_threads: 2,
        }

    def call(self) -> None:
        """Make one call."""
        self.draw.choices(list(self.kinds), list(self.kinds.values()))[0]()

    def steps(self, width: int) -> tuple[Tensor, Tensor | None]:
        """Return sequences of some size, and lengths or none."""
        time_steps, batch = self.draw.randint(1, 120), self.draw.choice((1, 2, 5, 16, 33))
        lengths = torch.randint(0, time_steps + 1, (batch,)) if self.draw.random() < 0.4 else None
        return torch.randn(time_steps, batch, width), lengths

    def run(self, cell: nn.Module, width: int, training: bool) -> None:
        """Run a cell once, with its backward pass or without."""
        xs, lengths = self.steps(width)
        with torch.set_grad_enabled(training):
            ys, _ = ostinato.scan(cell, xs, lengths=lengths, reverse=self.draw.random() < 0.2)
            if training and ys.requires_grad:
                ys.sum().backward()
        cell.zero_grad(set_to_none=self.draw.random() < 0.5)

    def train_a_lasting_cell(self) -> None:
        """Forward and backward of a cell that stays."""
        self.run(*self.draw.choice(self.lasting), True)

    def infer_with_a_lasting_cell(self) -> None:
        """Forward of a cell that stays."""
        self.run(*self.draw.choice(self.lasting), False)

    def run_a_layer(self) -> None:
        """A drop-in on padded or packed sequences."""
        layer = self.draw.choice(self.layers)
        xs, lengths = self.steps(16)
        given = xs
        if lengths is not None:
            given = nn.utils.rnn.pack_padded_sequence(xs, lengths.clamp(min=1), enforce_sorted=False)
        with torch.set_grad_enabled(self.draw.random() < 0.5):
            ys = layer(given)[0]
            ys = ys if isinstance(ys, Tensor) else ys.data
            if ys.requires_grad:
                ys.sum().backward()
        layer.zero_grad()

    def make_call_and_drop_a_cell(self) -> None:
        """A new cell of the catalogue, in one of a few widths."""
        width = self.draw.choice(WIDTHS)
        self.run(CATALOGUE[self.draw.choice(PLAIN)](width, 2 * width), width, self.draw.random() < 0.5)

    def make_call_and_drop_a_users_cell(self) -> None:
        """A new cell of a user, with a setting that no other had."""
        width = self.draw.choice(WIDTHS)
        self.run(Leaky(width, self.draw.random()), width, True)

    def advance_streams(self) -> None:
        """Some steps of streams that stay; their states are taken and put back."""
        stream = self.draw.choice(self.streams)
        for _ in range(self.draw.randint(1, 5)):
            stream(np.random.default_rng(0).standard_normal((1, 16), dtype=np.float32))
        stream.restore(stream.state())

    def make_and_drop_a_stream(self) -> None:
        """A new stream of a new cell."""
        stream = ostinato.stepper(ostinato.cells.GRUCell(16, 16), batch_size=self.draw.choice((1, 4)))
        stream.reset()
        stream(np.zeros((stream.batch_size, 16), np.float32))

    def call_from_threads(self) -> None:
        """One cell from three threads at once."""
        cell, width = self.draw.choice(self.lasting)
        sizes = [self.draw.randint(1, 60) for _ in range(3)]
        work = [threading.Thread(target=lambda size=size: infer(cell, width, size)) for size in sizes]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()


def infer(cell: nn.Module, width: int, steps: int) -> None:
    """Run a cell without gradients."""
    with torch.no_grad():
        ostinato.scan(cell, torch.randn(steps, 4, width))


wrong: list[str] = []
"""What went wrong so far: a warning that a cell runs in the eager loop, an error in a thread."""


def listen() -> None:
    """Note the warnings of the engine and the errors of threads."""
    usual, ending = warnings.showwarning, threading.excepthook

    def note(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, EngineWarning):
            wrong.append(str(message))
        usual(message, category, *rest, **more)

    def end(hook: threading.ExceptHookArgs) -> None:
        wrong.append(f"{hook.exc_type.__name__}: {hook.exc_value}")
        ending(hook)

    warnings.simplefilter("always", EngineWarning)
    warnings.showwarning, threading.excepthook = note, end


def held() -> dict[str, float]:
    """Return what the process holds now."""
    gc.collect()
    status = dict(each.split(":", 1) for each in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return {
        "resident, MiB": int(status["VmRSS"].split()[0]) / 1024,
        "memory maps": len(Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()),
        "open files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(status["Threads"]),
        "pool, MiB": kept_bytes() / 2**20,
        "modules with plans": modules_with_plans(),
        "warnings and errors": len(wrong),
    }


def kept_bytes() -> int:
    """Return the bytes that the pool keeps for later."""
    return sum(size * len(blocks) for size, blocks in list(memory._free.items()))


def modules_with_plans() -> int:
    """Return for how many cells the engine keeps plans."""
    return len(compiled._plans)


def grown(name: str, middle: float, end: float) -> str:
    """Say whether a quantity is at a plateau."""
    most, share = ALLOWED[name]
    grows = end - middle
    return "plateau" if grows <= max(most, share * middle) else f"GROWS by {grows:.0f} over the last half"


def main() -> int:
    """Run and print the table; the exit code tells whether anything grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    if not Path("/proc/self/maps").exists():
        sys.exit("this soak reads /proc, which only Linux has")
    torch.manual_seed(given.seed)
    listen()
    life, began = Life(given.seed), time.monotonic()
    marks = [round(mark * given.calls) for mark in MARKS]
    found: dict[int, dict[str, float]] = {0: held()}
    for call in range(1, given.calls + 1):
        life.call()
        if call in marks:
            found[call] = held()
            print(f"{call:,} calls, {time.monotonic() - began:.0f} s: {found[call]}", file=sys.stderr, flush=True)
    middle, end = found[marks[3]], found[marks[-1]]
    rows = [
        [name, *(f"{each[name]:,.0f}" for each in found.values()), grown(name, middle[name], end[name])]
        for name in ALLOWED
    ]
    if wrong:
        rows[-1][-1] = f"first: {wrong[0]}"
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}, {time.monotonic() - began:.0f} s"
    print(f"# A soak\n\n{stamp}\n\n{table(['after calls', *(f'{call:,}' for call in found), ''], rows)}")
    if given.json is not None:
        given.json.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return int(any(row[-1] != "plateau" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
