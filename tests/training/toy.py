"""A small regression to train on, shared by the tests and by the subprocesses that they kill."""

import sys
import time
from pathlib import Path

import torch
from torch import nn

from ostinato.training import Batch, Step, TrainingConfig, train


class Rows:
    """Random rows in random order, the same ones in the same epoch."""

    def __init__(self, count=96, size=8, seed=0, shuffle=True):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(count, 4, generator=generator)
        self.y = self.x.sin().sum(1, keepdim=True)
        self.size, self.shuffle, self.delay = size, shuffle, 0.0

    def __len__(self):
        return -(-len(self.x) // self.size)

    def batches(self, epoch):
        order = torch.arange(len(self.x))
        if self.shuffle:
            order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(epoch))
        for index in order.split(self.size):
            time.sleep(self.delay)
            yield Batch((self.x[index], self.y[index]))


def squared_error(module, batch, carry):
    return Step(nn.functional.mse_loss(module(batch[0]), batch[1]), len(batch[0]))


def make_module():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))


CONFIG = TrainingConfig(
    epochs=4,
    schedule="cosine",
    optimizer="adamw",
    learning_rate=1e-2,
    checkpoint_seconds=0.0,
    patience=None,
    progress=False,
)


def run(directory, delay=0.0):
    module, rows = make_module(), Rows()
    rows.delay = delay
    train(module, squared_error, rows, Rows(32, seed=1, shuffle=False), CONFIG, directory=directory, resume=True)
    return module


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    module = run(folder, delay=float(sys.argv[2]))
    torch.save(module.state_dict(), folder / "final.pt")
