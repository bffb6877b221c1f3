"""A small cell to be changed between two scans, and what must then hold."""

import dataclasses

import torch
from torch import nn

import ostinato
from ostinato.engine.front.state import call_cell
from ostinato.engine.run import compiled


class Base(nn.Module):
    """A small cell whose gain is found in a way of its own."""

    hidden_size = 4

    def __init__(self, **attributes):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)
        for name, value in attributes.items():
            setattr(self, name, value)

    def gain(self):
        return 1.0

    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h)) * self.gain()
        return h, h


def loop(cell, xs, state):
    ys = []
    for x in xs:
        y, state = call_cell(cell, x, state)
        ys.append(y)
    return torch.stack(ys)


def assert_follows(cell, change, *, compiles=True) -> None:
    """Scan, change something, scan again: both are what a plain loop gives."""
    xs, start = torch.randn(5, 3, 3), torch.randn(3, 4)
    for step in (lambda: None, change):
        step()
        found = ostinato.scan(cell, xs, start)[0]
        torch.testing.assert_close(found, loop(cell, xs, start), rtol=1e-4, atol=1e-4)
        # once more: the plan is used again
        torch.testing.assert_close(ostinato.scan(cell, xs, start)[0], found)
    if compiles:
        assert all(isinstance(plan, compiled.Ready) for plan in compiled._plans[cell].values())


@dataclasses.dataclass
class Config:
    gain: float = 2.0
    inner: object = None
