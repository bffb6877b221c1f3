"""One of the processes of `test_ddp.py`: trains a model on its share of each batch and keeps the weights."""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import ostinato

ROWS, STEPS, FEATURES, UNITS = 8, 9, 5, 6
WAYS = {
    "plain": {},
    "views": {"gradient_as_bucket_view": True},
    "unused": {"find_unused_parameters": True},
    "static": {"static_graph": True, "gradient_as_bucket_view": True},
    "accumulated": {"gradient_as_bucket_view": True},
    "small buckets": {"bucket_cap_mb": 0.0005, "gradient_as_bucket_view": True},
}
"""What is given to `DistributedDataParallel`; in `accumulated`, every other batch is not synchronised."""


class Own(nn.Module):
    """A user's own cell, with two biases that are added to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.recur = nn.Linear(FEATURES, UNITS), nn.Linear(UNITS, UNITS)
        self.norm = nn.LayerNorm(UNITS)
        self.leak = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = h + self.leak * (self.norm(self.read(x) + self.recur(h)).tanh() - h)
        return h.sigmoid() * h, h


class Scanned(nn.Module):
    """A cell over whole sequences, as a user writes it."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, xs: Tensor, lengths: Tensor) -> Tensor:
        return ostinato.scan(self.cell, xs, lengths=lengths, batch_first=True)[0]


class Model(nn.Module):
    """A recurrent layer and a head; the parameters of a second head are used by some batches only."""

    def __init__(self, kind: str, unused: bool) -> None:
        super().__init__()
        self.kind = kind
        self.layer: nn.Module = {
            "lstm": lambda: ostinato.nn.LSTM(FEATURES, UNITS, 2, batch_first=True, bidirectional=True),
            "gru": lambda: ostinato.nn.GRU(FEATURES, UNITS, batch_first=True),
            "recurrent": lambda: ostinato.nn.Recurrent(ostinato.cells.LSTMCell(FEATURES, UNITS), num_layers=2),
            "torch cell": lambda: Scanned(nn.LSTMCell(FEATURES, UNITS)),
            "own": lambda: Scanned(Own()),
        }[kind]()
        width = 2 * UNITS if kind == "lstm" else UNITS
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(1 + unused))

    def forward(self, xs: Tensor, lengths: Tensor, batch: int) -> Tensor:
        """Return one number a row."""
        if self.kind in ("lstm", "gru"):
            ys = self.layer(xs)[0]
        elif self.kind == "recurrent":
            ys = self.layer(xs.transpose(0, 1))[0].transpose(0, 1)
        else:
            ys = self.layer(xs, lengths)
        head: Tensor = self.heads[batch % len(self.heads)](ys.mean(1))
        return head


KINDS = ("lstm", "gru", "recurrent", "torch cell", "own")


def model_of(kind: str, way: str) -> Model:
    """Return the model that all processes start from."""
    torch.manual_seed(0)
    return Model(kind, way == "unused").double()


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return the whole batches: inputs, lengths, targets."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(ROWS, STEPS, FEATURES, dtype=torch.float64, generator=generator),
            torch.randint(1, STEPS + 1, (ROWS,), generator=generator),
            torch.randn(ROWS, 1, dtype=torch.float64, generator=generator),
        )
        for _ in range(6)
    ]


def train(model: nn.Module, way: str, share: slice, clip: bool = True) -> None:
    """Train on a share of the rows of each batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for number, (xs, lengths, target) in enumerate(batches()):
        waits = way == "accumulated" and number % 2 == 0
        own = model.no_sync() if waits and isinstance(model, DistributedDataParallel) else nullcontext()
        with own:
            guess = model(xs[share], lengths[share], number)
            (guess - target[share]).square().mean().backward()
        if waits:
            continue
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        # kept as memory: with views of buckets it must stay where it is
        optimizer.zero_grad(set_to_none=number % 3 == 0)


def work(rank: int, count: int, folder: str) -> None:
    """Train every kind of model every way; the first process keeps the weights."""
    torch.set_num_threads(1)
    meeting = (Path(folder) / "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    rows = ROWS // count
    for kind in KINDS:
        for way, options in WAYS.items():
            model = DistributedDataParallel(model_of(kind, way), **options)
            train(model, way, slice(rank * rows, (rank + 1) * rows))
            torch.save(model.module.state_dict(), Path(folder) / f"{kind}, {way}, {rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
