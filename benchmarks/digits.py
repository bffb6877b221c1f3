"""Handwritten digits, one pixel after the other: 8 x 8 from scikit-learn, in their order and in a random one.

    python benchmarks/digits.py [--cells lstm,transformer] [--seeds 3] [--tasks permuted] [--epochs 100]

1,797 digits, a fifth of each kind held out for the test; 64 steps of one number, the class from the last output. Every
cell has one layer (two where a cell's units stand apart) and the same number of parameters, the Transformer two layers;
60 epochs of Adam, from .003 down in a straight line, batches of 64, gradients clipped at 1. Permuted: the same random
order of pixels for all. Test accuracy after the last epoch, the median of the seeds, with the least and the greatest;
"diverged" where the loss was finite no more.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from cell_tasks import Clock, Columns, Model, bars, options, run_all, spread, stamp
from common import RESULTS, keep, table

PARAMETERS, BATCH = 17_000, 64
EPOCHS = 60
TASKS = {"in order": EPOCHS, "permuted": EPOCHS}


def digits(task: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training and test pixels, `(64, digits, 1)`, and classes."""
    pixels, classes = load_digits(return_X_y=True)
    parts = train_test_split(pixels / 16, classes, test_size=0.2, stratify=classes, random_state=0)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0)) if task == "permuted" else torch.arange(64)
    xs, test_xs = (torch.tensor(own, dtype=torch.float32).t()[order][..., None] for own in parts[:2])
    ys, test_ys = (torch.tensor(own) for own in parts[2:])
    return xs, test_xs, ys, test_ys


def train(task: str, cell: str, seed: int, most: float) -> dict[str, Any]:
    """Train one model and return its accuracy at the end."""
    xs, test_xs, ys, test_ys = digits(task)
    model = Model(cell, 1, 10, PARAMETERS)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(seed)
    clock = Clock()
    for epoch in range(int(most)):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - epoch / most)
        for rows in torch.randperm(len(ys), generator=generator).split(BATCH):
            with clock:
                loss = nn.functional.cross_entropy(model(xs[:, rows])[-1], ys[rows])
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
        if not loss.isfinite():
            return {"accuracy": float("-inf"), "epochs": epoch + 1, "seconds": round(clock.spent, 1)}
    with torch.no_grad():
        accuracy = float((model(test_xs)[-1].argmax(-1) == test_ys).float().mean())
    return {"accuracy": accuracy, "epochs": int(most), "seconds": round(clock.spent, 1)}


def main() -> None:
    """Run what is not finished and write the table of all that is."""
    own = options(__doc__ or "", "epochs", TASKS, transformer=True)
    records = run_all("digits", own, train)
    rows: list[list[object]] = []
    columns: Columns = {task: {} for task in TASKS}
    for cell, all_runs in records.usual().items():
        row = [cell]
        for task in TASKS:
            runs = [run for run in all_runs if run["task"] == task]
            row.append(spread(run["accuracy"] for run in runs))
            if runs:
                columns[task][cell] = [run["accuracy"] for run in runs]
        rows.append(row)
    head = ["model", *(f"accuracy, {task}" for task in TASKS)]
    text = (__doc__ or "").split("\n\n", 2)
    where = f"{stamp()}; about {PARAMETERS:,} parameters"
    others = records.apart("accuracy")
    keep("digits.md", f"# {text[0]}\n\n{where}\n\n{text[2]}\n{table(head, rows)}{others}")
    bars(RESULTS / "digits.png", "Digits, pixel by pixel", "accuracy", columns, {"chance": 0.1})


if __name__ == "__main__":
    main()
