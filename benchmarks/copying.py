"""Copy memory: ten symbols are to be said again after a long wait.

    python benchmarks/copying.py [--cells lstm,gru] [--seeds 3] [--tasks 1000] [--steps 5000]

Ten symbols of eight, then blanks for the delay, then a mark that asks for them (S. Hochreiter and J. Schmidhuber,
1997, in the form of M. Arjovsky, A. Shah and Y. Bengio, 2016). Who remembers nothing but when to speak has a loss of
10 ln 8 / (delay + 20). Every cell has one layer (two where a cell's units stand apart), the same number of parameters,
Adam at .002, batches of 32 new sequences, gradients clipped at 1, and as many steps: 3,000 at 200, 1,000 at 1,000. Loss
over all steps and the share of the ten symbols that are right, on 500 sequences that are never trained on, the best of
a look every 50 steps; "diverged" where the loss was never finite. Median of the seeds, with the least and the greatest.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cell_tasks import Clock, Columns, Model, bars, options, run_all, spread, stamp
from common import RESULTS, keep, table

PARAMETERS, BATCH, SYMBOLS = 17_000, 32, 10
DELAYS = {"200": 3000, "1000": 1000}
"""How many steps each delay has."""


def sequences(delay: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return one-hot inputs `(delay + 20, count, 10)` and targets `(delay + 20, count)`; 0 is the blank, 9 the mark."""
    said = torch.randint(1, 9, (SYMBOLS, count), generator=generator)
    inputs = torch.zeros(delay + 2 * SYMBOLS, count, dtype=torch.long)
    inputs[:SYMBOLS] = said
    inputs[delay + SYMBOLS - 1] = 9
    targets = torch.zeros_like(inputs)
    targets[-SYMBOLS:] = said
    return functional.one_hot(inputs, 10).float(), targets


def train(task: str, cell: str, seed: int, most: float) -> dict[str, Any]:
    """Train one cell and return its loss and what it took."""
    delay = int(task)
    model = Model(cell, 10, 9, PARAMETERS)
    xs, targets = sequences(delay, 500, torch.Generator().manual_seed(10_000))
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    clock, steps, best, right = Clock(), 0, float("inf"), 0.0
    while steps < most and right < 0.9999:
        for _ in range(50):
            with clock:
                inputs, wanted = sequences(delay, BATCH, generator)
                loss = functional.cross_entropy(model(inputs).flatten(0, 1), wanted.flatten())
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
            steps += 1
        if not loss.isfinite():
            break  # its weights are lost
        with torch.no_grad():
            scores = model(xs)
        found = float(functional.cross_entropy(scores.flatten(0, 1), targets.flatten()))
        if found < best:
            best = found
            right = float((scores[-SYMBOLS:].argmax(-1) == targets[-SYMBOLS:]).float().mean())
    return {"loss": best, "right": right, "steps": steps, "seconds": round(clock.spent, 1)}


def main() -> None:
    """Run what is not finished and write the table of all that is."""
    own = options(__doc__ or "", "steps", DELAYS)
    records = run_all("copying", own, train)
    rows: list[list[object]] = []
    columns: Columns = {delay: {} for delay in DELAYS}
    for cell, all_runs in records.usual().items():
        row = [cell]
        for delay in DELAYS:
            runs = [run for run in all_runs if run["task"] == delay]
            row += [spread(run[part] for run in runs) for part in ("loss", "right")]
            if runs:
                columns[delay][cell] = [run["right"] for run in runs]
        rows.append(row)
    head = ["cell", *(f"{part}, {delay}" for delay in DELAYS for part in ("loss", "right"))]
    trivial = ", ".join(f"{SYMBOLS * math.log(8) / (int(delay) + 20):.4f} at {delay}" for delay in DELAYS)
    text = (__doc__ or "").split("\n\n", 2)
    where = f"{stamp()}; about {PARAMETERS:,} parameters; remembering nothing: {trivial}"
    others = records.apart("loss", "right")
    keep("copying.md", f"# {text[0]}\n\n{where}\n\n{text[2]}\n{table(head, rows)}{others}")
    bars(RESULTS / "copying.png", "Copy memory", "share of symbols that are right", columns, {"chance": 1 / 8})


if __name__ == "__main__":
    main()
