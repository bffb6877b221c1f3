"""J. S. Bach's chorales, frame by frame: which of 88 notes sound next.

    python benchmarks/jsb.py [--cells lstm,gru] [--seeds 3] [--seconds 120]

The split and the frames of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent (2012): 229, 76 and 77 chorales; mean
negative log-likelihood of a frame, in nats, over all frames but each chorale's first. Every cell has one layer and
the same number of parameters, variational dropout on inputs and dropout on outputs, Adam, a learning rate that falls
when the validation loss does not; the weights of the epoch with the best validation loss are tested once. Published
for about 300,000 parameters (S. Bai, Z. Kolter and V. Koltun, 2018): LSTM 8.45, GRU 8.43, TCN 8.10.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from scipy.io import loadmat
from torch import Tensor, nn

from cell_tasks import Clock, Columns, Model, bars, options, run_all, spread, stamp
from common import RESULTS, data_file, keep, table
from ostinato.nn import VariationalDropout
from ostinato.nn.losses import binary_cross_entropy

PARAMETERS, BATCH = 150_000, 16
DROPOUT_IN, DROPOUT_OUT, RATE = 0.2, 0.5, 4e-3


def chorales() -> dict[str, list[Tensor]]:
    """Return the chorales of each part, `(frames, 88)`."""
    found = loadmat(data_file("polyphonic_mat/JSB_Chorales.mat"))
    parts = {"train": "traindata", "validation": "validdata", "test": "testdata"}
    return {part: [torch.tensor(own, dtype=torch.float32) for own in found[name][0]] for part, name in parts.items()}


def batches(pieces: list[Tensor], order: list[int]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield inputs, targets, `(time, batch, 88)`, and lengths."""
    for start in range(0, len(order), BATCH):
        own = [pieces[index] for index in order[start : start + BATCH]]
        padded = nn.utils.rnn.pad_sequence(own)
        yield padded[:-1], padded[1:], torch.tensor([len(piece) - 1 for piece in own])


def test_loss(model: nn.Module, pieces: list[Tensor]) -> float:
    """Return nats a frame."""
    total, frames = 0.0, 0
    model.eval()
    with torch.no_grad():
        for xs, ys, lengths in batches(pieces, list(range(len(pieces)))):
            total += float(binary_cross_entropy(model(xs, lengths), ys, lengths, reduction="sum"))
            frames += int(lengths.sum())
    model.train()
    return total / frames


def train(_: str, cell: str, seed: int, seconds: float) -> dict[str, Any]:
    """Train one cell; the validation loss chooses the epoch."""
    data = chorales()
    model, missing = Model(cell, 88, 88, PARAMETERS, DROPOUT_OUT, layers=1), VariationalDropout(DROPOUT_IN)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=6)
    generator = torch.Generator().manual_seed(seed)
    clock, best, kept, epoch = Clock(), float("inf"), copy.deepcopy(model.state_dict()), 0
    while clock.spent < seconds and optimiser.param_groups[0]["lr"] > RATE / 40:
        with clock:
            order = torch.randperm(len(data["train"]), generator=generator).tolist()
            for xs, ys, lengths in batches(data["train"], order):
                loss = binary_cross_entropy(model(missing(xs), lengths), ys, lengths)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
        epoch += 1
        found = test_loss(model, data["validation"])
        schedule.step(found)
        if found < best:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    units = model.head.in_features
    return {
        "validation": best, "test": test_loss(model, data["test"]), "epochs": epoch, "seconds": round(clock.spent, 1),
        "units": units,
    }  # fmt: skip


def main() -> None:
    """Run what is not finished and write the table of all that is."""
    own = options(__doc__ or "", "seconds", {"jsb": 60})
    records = run_all("jsb", own, train)
    rows = []
    columns: Columns = {"test": {}}
    for cell, runs in records.usual().items():
        parts = [spread((run[part] for run in runs), 4) for part in ("test", "validation", "epochs", "seconds")]
        rows.append([cell, runs[0]["units"], *parts])
        columns["test"][cell] = [run["test"] for run in runs]
    rows.sort(key=lambda row: float(str(row[2]).split()[0]))
    head = ["cell", "units", "test", "validation", "epochs", "seconds"]
    text = (__doc__ or "").split("\n\n", 2)
    where = f"{stamp()}; about {PARAMETERS:,} parameters"
    others = records.apart("test")
    keep("jsb.md", f"# {text[0]}\n\n{where}\n\n{text[2]}\n{table(head, rows)}{others}")
    lines = {"GRU, published": 8.43, "TCN, published": 8.10}
    bars(RESULTS / "jsb.png", "Chorales", "nats a frame, test", columns, lines, most=14)


if __name__ == "__main__":
    main()
