"""Epochs of small models as a user trains them, tokens a second beside `torch.nn`, in turns in one process.

    python3 dev.py bench epochs [--rounds 9] [--keep]

Two runs: a character model (embedding, LSTM of 128 units, output layer; 32 rows of 64 steps, the state carried from one
piece of the text to the next), and the fine-tuning of the same model on one row, 16 characters at a time, as they come
in. Ours is once the same model with one line changed, `ostinato.nn.LSTM` for `torch.nn.LSTM`, and once as our language
models are built, a stack of `ostinato.nn` that reads rows of the embedding. All start from the same weights. Adam is as
each library's users get it (ours: that of our training loop, which is fused), or fused in both. One thread, whose time
it is, so that other programs count for little. The losses of both stand beside.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import ostinato
from common import keep, machine, table
from ostinato.nn import Recurrent, TokenEmbedding
from ostinato.training import TrainingConfig
from ostinato.training.optimisers import make_optimizer

VOCABULARY, UNITS = 65, 128


class Characters(nn.Module):
    """A character model around a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, UNITS)
        self.layer = layer
        self.output = nn.Linear(UNITS, VOCABULARY)

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return logits `(time, batch, vocabulary)` and the last state."""
        ys, state = self.layer(self.embedding(tokens), state)
        return self.output(ys), state


class Stacked(nn.Module):
    """The same with layers of ours throughout, from the weights of a character model."""

    def __init__(self, like: Characters) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(VOCABULARY, UNITS, vectors=like.embedding.weight.detach())
        cell, layer = ostinato.cells.LSTMCell(UNITS, UNITS), like.layer
        with torch.no_grad():
            cell.input.weight.copy_(layer.weight_ih_l0)
            cell.input.bias.copy_(layer.bias_ih_l0 + layer.bias_hh_l0)
            cell.recurrent.weight.copy_(layer.weight_hh_l0)
        self.layer = Recurrent(cell)
        self.output = copy.deepcopy(like.output)

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return logits `(time, batch, vocabulary)` and the last state."""
        rows = self.embedding.rows(tokens)
        ys, (state,) = self.layer(self.embedding(tokens) if rows is None else rows, state and (state,))
        return self.output(ys), state


@dataclass(frozen=True)
class Run:
    """What is trained on."""

    name: str
    rows: int
    steps: int
    pieces: int
    """Of an epoch."""
    wanted: float


RUNS = (Run("characters, 32 x 64", 32, 64, 20, 2.0), Run("one row as it comes in, 1 x 16", 1, 16, 100, 3.0))


def text(run: Run) -> Tensor:
    """Return characters `(time, rows)` that follow from one another, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)
    jumps = torch.randint(1, 4, (run.steps * run.pieces + 1, run.rows), generator=generator)
    return jumps.cumsum(0) % VOCABULARY


def epoch(model: nn.Module, optimiser: torch.optim.Optimizer, tokens: Tensor, steps: int) -> float:
    """Train over a text once, the state carried along; return the mean loss."""
    state, total, count = None, 0.0, 0
    for start in range(0, len(tokens) - 1, steps):
        logits, state = model(tokens[start : start + steps], state)
        state = tuple(part.detach() for part in state)
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[start + 1 : start + 1 + steps].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total, count = total + loss.item(), count + 1
    return total / count


def compared(run: Run, fused: bool, stacked: bool, rounds: int) -> list[str]:
    """Return one row of the table."""
    tokens = text(run)
    torch.manual_seed(0)
    theirs = Characters(nn.LSTM(UNITS, UNITS))
    ours: nn.Module = Stacked(theirs) if stacked else Characters(ostinato.nn.LSTM(UNITS, UNITS))
    if not stacked:
        ours.load_state_dict(theirs.state_dict())
    models: dict[str, tuple[nn.Module, torch.optim.Optimizer]] = {
        "ours": (ours, make_optimizer(list(ours.parameters()), TrainingConfig(optimizer="adam", learning_rate=1e-3))),
        "theirs": (theirs, torch.optim.Adam(theirs.parameters(), fused=fused or None)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    losses: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name in models if turn % 2 else reversed(models):
            began = time.thread_time()
            losses[name] = epoch(*models[name], tokens, run.steps)
            if turn:  # the first one compiles
                seconds[name].append(time.thread_time() - began)
    count = run.rows * run.steps * run.pieces
    rates = {name: count / statistics.median(times) for name, times in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["theirs"], strict=True))
    adam = "fused in both" if fused else "as it comes"
    return [
        run.name, "stack" if stacked else "one line", adam,
        f"{rates['ours']:,.0f}", f"{rates['theirs']:,.0f}", f"{ratio:.2f}",
        f"{run.wanted:g}", f"{losses['ours']:.3f}", f"{losses['theirs']:.3f}",
    ]  # fmt: skip


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each that count")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results/epochs.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for run in RUNS:
        for stacked, fused in ((False, False), (True, False), (True, True)):
            rows.append(compared(run, fused, stacked, given.rounds))
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    head = ["run", "ours", "Adam", "ours, tokens/s", "torch.nn", "ratio", "wanted", "loss", "torch.nn"]
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, one thread; {machine()}"
    found = f"# Epochs of small models\n\n{stamp}, {given.rounds} epochs each in turns\n\n{table(head, rows)}"
    if given.keep:
        keep("epochs.md", found)
    else:
        print(found)


if __name__ == "__main__":
    main()
