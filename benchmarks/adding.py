"""The adding problem: two marked numbers of a long sequence are to be added.

    python benchmarks/adding.py [--cells lstm,gru] [--seeds 3] [--tasks 600] [--steps 5000]

Each step is a number between 0 and 1 and a mark, which is one at a random step of each half of the sequence (S.
Hochreiter and J. Schmidhuber, 1997, in the form of Q. Le, N. Jaitly and G. Hinton, 2015). To answer one always gives
a mean squared error of .167. Every cell has one layer (two where a cell's units stand apart), the same number of
parameters, Adam at .002, batches of 50 new sequences, gradients clipped at 1, and as many steps: 4,000 at 200, 2,000 at
600; a run ends early below .001. The constants of coRNN belong to a task: it has its authors' and their .02; IndRNN has
its authors' bound. Error of 1,000 sequences that are never trained on, the best of a look every 50 steps; "diverged"
where it was never finite. Median of the seeds, with the least and the greatest. Published at 600 (S. Bai, Z. Kolter
and V. Koltun, 2018): LSTM .164, GRU 5.3e-5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cell_tasks import Clock, Columns, Model, bars, options, run_all, spread, stamp
from common import RESULTS, keep, table

PARAMETERS, BATCH, SOLVED = 17_000, 50, 0.01
LENGTHS = {"200": 4000, "600": 2000}
"""How many steps each length has."""
RATES = {"cornn": 2e-2}
"""What the authors of a cell use for this very task: T. K. Rusch and S. Mishra, 2021, in their published code."""


def constants(cell: str, length: int) -> dict[str, float]:
    """Return what the authors of a cell give it for this very task, beside its sizes (`RATES`; S. Li et al., 2018)."""
    own = {"cornn": {"step": 0.06, "stiffness": 66.0, "damping": 15.0}, "indrnn": {"bound": 2 ** (1 / length)}}
    return own.get(cell, {})


def sequences(length: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return `(length, count, 2)` and the sums, `(count,)`."""
    values = torch.rand(length, count, generator=generator)
    half = length // 2
    first, second = (torch.randint(half, (count,), generator=generator) + start for start in (0, half))
    rows = torch.arange(count)
    marks = torch.zeros(length, count)
    marks[first, rows] = marks[second, rows] = 1
    return torch.stack([values, marks], -1), values[first, rows] + values[second, rows]


def train(task: str, cell: str, seed: int, most: float) -> dict[str, Any]:
    """Train one cell and return its error and what it took."""
    length = int(task)
    model = Model(cell, 2, 1, PARAMETERS, constants=constants(cell, length))
    test = sequences(length, 1000, torch.Generator().manual_seed(10_000))
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), RATES.get(cell, 2e-3))
    clock, steps, best, solved = Clock(), 0, float("inf"), None
    while steps < most and best > 1e-3:
        for _ in range(50):
            with clock:
                xs, sums = sequences(length, BATCH, generator)
                loss = (model(xs)[-1, :, 0] - sums).square().mean()
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
            steps += 1
        if not loss.isfinite():
            break  # its weights are lost
        with torch.no_grad():
            error = float((model(test[0])[-1, :, 0] - test[1]).square().mean())
        best = min(best, error) if error == error else best
        if solved is None and best < SOLVED:
            solved = steps
    return {"error": best, "steps": steps, "solved": solved, "seconds": round(clock.spent, 1)}


def main() -> None:
    """Run what is not finished and write the table of all that is."""
    own = options(__doc__ or "", "steps", LENGTHS)
    records = run_all("adding", own, train)
    rows: list[list[object]] = []
    columns: Columns = {length: {} for length in LENGTHS}
    for cell, all_runs in records.usual().items():
        row = [cell]
        for length in LENGTHS:
            runs = [run for run in all_runs if run["task"] == length]
            solved = [run for run in runs if run["solved"]]
            row += [
                spread(run["error"] for run in runs),
                f"{len(solved)} of {len(runs)}" if runs else "",
                spread((run["solved"] for run in solved), 4),
            ]
            if runs:
                columns[length][cell] = [run["error"] for run in runs]
        rows.append(row)
    parts = ("error", f"below {SOLVED}", "after steps")
    head = ["cell", *(f"{part}, {length}" for length in LENGTHS for part in parts)]
    text = (__doc__ or "").split("\n\n", 2)
    where = f"{stamp()}; about {PARAMETERS:,} parameters"
    others = records.apart("error")
    keep("adding.md", f"# {text[0]}\n\n{where}\n\n{text[2]}\n{table(head, rows)}{others}")
    lines = {"always one": 0.1667, "solved": SOLVED}
    bars(RESULTS / "adding.png", "The adding problem", "mean squared error", columns, lines, log=True)


if __name__ == "__main__":
    main()
