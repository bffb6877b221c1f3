"""Networks of irregular measurements: what a cell reads of a step, its layers, and members beside each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ostinato.cells import CATALOGUE
from ostinato.data.health.summaries import KEPT, READ, TIMES
from ostinato.engine import State, leaves, map_state
from ostinato.nn.by_name import stack_of
from ostinato.nn.recurrent import Recurrent

MISSING_AWARE = "gru-d"
GAPS = ("cfc", "t-lstm")


class Reader(nn.Module):
    """What a cell reads of a step, `(..., numbers)` of `summaries.of_batch`.

    GRU-D reads values, masks and time gaps of each variable, and nothing else. Any other cell reads the last value of
    each variable, whether it was measured now, how long ago it was, and the time; the last feature is the time since
    the step before, as cells of uneven time (CfC, T-LSTM) want it.
    """

    def __init__(self, cell: object, variables: int) -> None:
        super().__init__()
        self.variables, self.by_mask = variables, cell == MISSING_AWARE
        self.width = READ * variables if self.by_mask else 3 * variables + TIMES

    def forward(self, x: Tensor) -> Tensor:
        """Return what is read, `(..., width)`."""
        return self.of(x)

    def of(self, x: Tensor) -> Tensor:
        """Return the numbers that are read of all, `(..., width)`."""
        size = self.variables
        if self.by_mask:
            return x[..., : READ * size]
        mask, last = x[..., size : 2 * size], x[..., READ * size : (READ + 1) * size]
        fresh = x[..., (READ + KEPT - 1) * size : (READ + KEPT) * size]
        return torch.cat([last, mask, fresh, x[..., -TIMES:]], -1)


class StepCell(nn.Module):
    """All members as one cell with one flat state, so that a step of all of them is one compiled call.

    Args:
        network: with `members` that have a `reader`, a `stack` and a `step`, in evaluation mode.
        width: numbers of a step.
    """

    def __init__(self, network: Any, width: int) -> None:
        super().__init__()
        self.members = network.members
        self.input_size = width
        with torch.no_grad():
            start = self._starts(torch.zeros(1, width))
        self.shapes = [leaf.shape[1:] for leaf in leaves(start)]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.like = map_state(lambda leaf: leaf.detach(), start)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance a step; return what the members say, one after the other, `(batch, numbers)`."""
        parts = iter(torch.split(state, self.sizes, -1))
        shapes = iter(self.shapes)
        states = map_state(lambda _: next(parts).reshape(-1, *next(shapes)), self.like)
        found = [member.step(x, value) for member, value in zip(self.members, states, strict=True)]
        flat = [leaf.flatten(1) for leaf in leaves(tuple(new for _, new in found))]
        return torch.cat([y for y, _ in found], -1), torch.cat(flat, -1)

    def initial_state(self, x: Tensor) -> Tensor:
        """Return where all members start, flat."""
        return torch.cat([leaf.flatten(1) for leaf in leaves(self._starts(x))], -1)

    def _starts(self, x: Tensor) -> State:
        return tuple(member.stack.initial_state(member.reader(x)) for member in self.members)


def stack_of_measurements(parameters: Any, width: int) -> Any:
    """Return the layers that `cell`, `hidden_size`, `num_layers` and `dropout` of parameters ask for.

    Args:
        parameters: of a task.
        width: of what is read of a step, see `Reader`.
    """
    cell, size, layers = parameters.cell, parameters.hidden_size, parameters.num_layers
    if isinstance(cell, str) and (cell == MISSING_AWARE or cell in GAPS):
        kinds = [CATALOGUE[cell](width, size)]
        if layers > 1:  # what layers above read has no gaps
            kinds += [CATALOGUE["gru"](size, size) for _ in range(layers - 1)]
        return Recurrent(kinds, layers, dropout=parameters.dropout)
    return stack_of(cell, width, size, layers, dropout=parameters.dropout)
