"""Learned initial states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.cells import RecurrentDropout
from ostinato.engine import State, initial_state, leaves, map_state
from ostinato.errors import UsageError


class LearnedStarts(nn.Module):
    """Parameters that cells start from, the same for all rows of a batch; they begin at the cells' own starts.

    Args:
        cells: of a stack, in order.
        input_size: features of a step, for cells that do not say.

    Raises:
        UsageError: a cell keeps in its state what is drawn again for each sequence, or its input size is not known.

    Source: M. Forcada and R. Carrasco, "Learning the initial state of a second-order recurrent neural network during
    regular-language inference", Neural Computation 7(5), 1995.
    """

    def __init__(self, cells: Sequence[nn.Module], input_size: int | None) -> None:
        super().__init__()
        self.values = nn.ParameterList()
        self._shapes: list[State] = []
        for cell in cells:
            if any(isinstance(module, RecurrentDropout) for module in cell.modules()):
                raise UsageError("a state that holds a dropout mask cannot be learned; leave learn_initial_state out")
            start = initial_state(cell, _zero_row(cell, input_size))
            self._shapes.append(map_state(lambda _: torch.empty(0), start))
            self.values.extend(nn.Parameter(leaf[0].detach().clone()) for leaf in leaves(start))

    def forward(self, batch: int) -> tuple[State, ...]:
        """Return a state for each cell, `(batch, ...)` each."""
        values = iter(self.values)

        def next_start(_: Tensor) -> Tensor:
            value: Tensor = next(values)
            return value.expand(batch, *value.shape)

        return tuple(map_state(next_start, shape) for shape in self._shapes)


def _zero_row(cell: nn.Module, input_size: int | None) -> Tensor:
    width = getattr(cell, "input_size", input_size)
    if not isinstance(width, int):
        raise UsageError(f"the input size of {type(cell).__name__} is not known; pass input_size=...")
    like = next(cell.parameters(), torch.zeros(()))
    return torch.zeros((1, width), device=like.device, dtype=like.dtype)
