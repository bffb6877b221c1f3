"""Loss curves with products of bfloat16 beside those of float32: whether they differ by more than seeds do.

    python3 dev.py bench half_curves [--seeds 3] [--steps 300] [--match adding] [--keep]

Two tasks: characters of Shakespeare (an LSTM of 256 units, 32 rows of 64 steps, the state carried on; bits a character
of a held-out piece) and the adding problem (a GRU of 128 units over 40 steps; mean square of what it is off by). Each
seed trains twice from the same weights on the same batches, in float32 and under autocast to bfloat16. Both are
evaluated in float32. The distance between the two is set beside how far seeds lie apart in float32.
"""

from __future__ import annotations

import argparse
import datetime
import math
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import ostinato
from common import data_file, keep, machine, table
from ostinato.training import TrainingConfig
from ostinato.training.direct import clip_gradients
from ostinato.training.optimisers import make_optimizer

MARKS = 4
"""How often a curve is read."""


class Characters(nn.Module):
    """A language model, and its text."""

    unit = "bits a character"

    def __init__(self) -> None:
        super().__init__()
        text = data_file("tinyshakespeare/input.txt").read_text(encoding="utf-8")
        known = {character: place for place, character in enumerate(sorted(set(text)))}
        numbers = torch.tensor([known[character] for character in text])
        self.text, self.held_out = numbers[:-20_001], numbers[-20_001:]
        self.embedding, self.layer = nn.Embedding(len(known), 256), ostinato.nn.LSTM(256, 256)
        self.output = nn.Linear(256, len(known))
        self.state: tuple[Tensor, Tensor] | None = None

    def loss(self, step: int) -> Tensor:
        """Return the loss of a batch; the state goes on from the one before."""
        rows, steps = 32, 64
        columns = self.text[: len(self.text) // rows * rows].view(rows, -1).t()
        start = step * steps % (len(columns) - steps - 1)
        loss, state = self._read(columns[start : start + steps + 1], self.state)
        self.state = (state[0].detach(), state[1].detach())
        return loss

    def _read(self, tokens: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        ys, state = self.layer(self.embedding(tokens[:-1]), state)
        scores = self.output(ys).float()
        return functional.cross_entropy(scores.flatten(0, 1), tokens[1:].flatten()), state

    def judged(self) -> float:
        """Return the loss of the held-out piece."""
        return float(self._read(self.held_out[:, None], None)[0]) / math.log(2)


class Adding(nn.Module):
    """The adding problem (S. Hochreiter and J. Schmidhuber, 1997)."""

    unit = "mean square"

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.output = ostinato.nn.GRU(2, 128), nn.Linear(128, 1)

    def loss(self, step: int, rows: int = 64) -> Tensor:
        """Return the loss of a batch."""
        generator = torch.Generator().manual_seed(step)
        numbers, marks = torch.rand(40, rows, generator=generator), torch.zeros(40, rows)
        for half in range(2):
            marks[torch.randint(20, (rows,), generator=generator) + 20 * half, torch.arange(rows)] = 1
        ys, _ = self.layer(torch.stack([numbers, marks], -1))
        return (self.output(ys[-1]).float()[:, 0] - (numbers * marks).sum(0)).square().mean()

    def judged(self) -> float:
        """Return the loss of a thousand sequences that were not seen."""
        return float(self.loss(10**9, 1000))


@dataclass(frozen=True)
class Run:
    """What is trained, for how long."""

    name: str
    kind: type[Characters | Adding]
    rate: float
    longer: int
    """By how many times more steps than the first."""


RUNS = (Run("characters, LSTM of 256", Characters, 3e-3, 1), Run("adding, GRU of 128", Adding, 2e-3, 4))


def curve(run: Run, seed: int, half: bool, steps: int) -> Iterator[float]:
    """Train, and give the loss at each mark."""
    torch.manual_seed(seed)
    model = run.kind()
    weights = list(model.parameters())
    optimiser = make_optimizer(weights, TrainingConfig(optimizer="adam", learning_rate=run.rate))
    for step in range(steps):
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            loss = model.loss(step + seed * steps)
        optimiser.zero_grad()
        loss.backward()
        clip_gradients(weights, 1.0)
        optimiser.step()
        if (step + 1) % (steps // MARKS) == 0:
            with torch.no_grad():
                yield model.judged()


def compared(run: Run, seeds: int, steps: int) -> list[list[str]]:
    """Return a row for each mark."""
    steps = steps * run.longer // MARKS * MARKS
    found = []
    for half in (False, True):
        found.append([list(curve(run, seed, half, steps)) for seed in range(seeds)])
        print(run.name, "bfloat16" if half else "float32", found[-1], file=sys.stderr, flush=True)
    full, other = (np.array(each) for each in found)
    return [
        [
            run.name, str((mark + 1) * (steps // MARKS)), run.kind.unit,
            f"{full[:, mark].mean():.4f}", f"{other[:, mark].mean():.4f}",
            f"{(other - full)[:, mark].mean():+.4f}", f"{(other - full)[:, mark].std(ddof=1):.4f}",
            f"{full[:, mark].std(ddof=1):.4f}",
        ]
        for mark in range(MARKS)
    ]  # fmt: skip


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="updates of the first task; the second takes four times")
    parser.add_argument("--match", default="", help="part of the name of the tasks that run")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results/half_curves.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for run in RUNS if given.match in run.name for row in compared(run, given.seeds, given.steps)]
    head = [
        "task", "updates", "loss", "float32", "bfloat16", "bfloat16 - float32", "its deviation over seeds",
        "deviation of float32 over seeds",
    ]  # fmt: skip
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}, {given.seeds} seeds"
    found = f"# Loss curves with products of bfloat16\n\n{stamp}\n\n{table(head, rows)}"
    if given.keep:
        keep("half_curves.md", found)
    else:
        print(found)


if __name__ == "__main__":
    main()
