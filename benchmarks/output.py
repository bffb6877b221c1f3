"""The output layer and its cross-entropy: in one, and as two steps of PyTorch.

    python benchmarks/output.py

Forward and backward, one thread; rows x features, classes. The two take turns; medians of 15.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn import functional

from cell_tasks import stamp
from common import keep, table
from ostinato.nn.losses import linear_cross_entropy

SIZES = ((400, 200, 10_000, 0.0), (2048, 256, 6000, 0.1), (2048, 320, 70, 0.0), (640, 200, 50_000, 0.0))


def measure(rows: int, features: int, classes: int, smoothing: float) -> tuple[float, float]:
    """Return milliseconds of ours and of PyTorch's."""
    hidden = torch.randn(rows, features, requires_grad=True)
    weight, bias = torch.randn(classes, features, requires_grad=True), torch.zeros(classes, requires_grad=True)
    target = torch.randint(classes, (rows,))
    ways = {
        "ours": lambda: linear_cross_entropy(hidden, weight, target, bias, label_smoothing=smoothing),
        "torch": lambda: functional.cross_entropy(
            functional.linear(hidden, weight, bias), target, label_smoothing=smoothing
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(18):
        for name, loss in ways.items():
            hidden.grad = weight.grad = bias.grad = None
            began = time.process_time()
            loss().backward()
            if turn > 2:
                times[name].append(1e3 * (time.process_time() - began))
    ours, theirs = (statistics.median(own) for own in times.values())
    return ours, theirs


def main() -> None:
    """Measure and keep the table."""
    torch.set_num_threads(1)
    rows = []
    for size in SIZES:
        ours, theirs = measure(*size)
        what = f"{size[0]} x {size[1]}, {size[2]:,}" + (", smoothed" if size[3] else "")
        rows.append([what, f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.2f}"])
    text = table(["size", "in one, ms", "two steps, ms", "ratio"], rows)
    keep("output.md", f"# {(__doc__ or '').splitlines()[0]}\n\n{stamp()}\n\n{text}")


if __name__ == "__main__":
    main()
