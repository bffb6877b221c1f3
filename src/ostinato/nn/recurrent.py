"""`Recurrent`: any cell as a layer, stacked, in one direction or both."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ostinato.engine import State, call_cell, initial_state, scan
from ostinato.errors import UsageError
from ostinato.nn.rebuild import CellFactory, factory_of

LayerStates: TypeAlias = "tuple[State, ...]"


class Recurrent(nn.Module):
    """A stack of recurrent layers of any cell.

    Args:
        cell: a cell (used as the first layer; further layers and directions are new cells of the same settings), or a
            function `input_size -> cell`.
        num_layers: how many layers; each reads the outputs of the one before.
        input_size: features of a step; needed only when `cell` is a function.
        bidirectional: also walk each sequence from its end; the two outputs are concatenated, forward first.
        dropout: share of each layer's outputs set to zero in training before the next layer reads them (0 to 1).
        batch_first: whether inputs and outputs are `(batch, time, features)` rather than `(time, batch, features)`.

    Raises:
        UsageError: an argument is out of range, or more cells like the given one cannot be made.

    Sources: M. Schuster and K. Paliwal, "Bidirectional recurrent neural networks", 1997; dropout between layers as in
    W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014.

    >>> import torch, ostinato
    >>> layer = ostinato.nn.Recurrent(ostinato.cells.GRUCell(3, 5), num_layers=2, bidirectional=True)
    >>> ys, last = layer(torch.randn(7, 2, 3))
    >>> tuple(ys.shape), len(last)
    ((7, 2, 10), 4)
    """

    def __init__(
        self,
        cell: nn.Module | CellFactory,
        num_layers: int = 1,
        *,
        input_size: int | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise UsageError(f"num_layers is {num_layers}; expected one or more")
        if not 0.0 <= dropout <= 1.0:
            raise UsageError(f"dropout is {dropout}; expected a share from 0 to 1")
        self.num_layers, self.bidirectional, self.batch_first = num_layers, bidirectional, batch_first
        self.dropout = nn.Dropout(dropout)
        self.cells = nn.ModuleList(_make_cells(cell, num_layers, 2 if bidirectional else 1, input_size))

    def forward(
        self, xs: Tensor, state: LayerStates | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, LayerStates]:
        """Run the stack over time.

        Args:
            xs: `(time, batch, features)`, or `(batch, time, features)` with `batch_first`.
            state: one state for each cell, in the order that `last` has them; `None` for the initial ones.
            lengths: `(batch,)`; see `ostinato.scan`.

        Returns:
            The last layer's outputs, `(time, batch, directions * output features)`, and the last states: a tuple of
            layer 0 forward, layer 0 backward, layer 1 forward, and so on.
        """
        if self.batch_first:
            xs = xs.transpose(0, 1)
        states = self._starts(state)
        last: list[State] = []
        for index, directions in enumerate(self._layers()):
            if index:
                xs = self.dropout(xs)
            runs = [
                scan(cell, xs, next(states), lengths=lengths, reverse=way == 1) for way, cell in enumerate(directions)
            ]
            xs = torch.cat([ys for ys, _ in runs], -1) if len(runs) > 1 else runs[0][0]
            last += [final for _, final in runs]
        return (xs.transpose(0, 1) if self.batch_first else xs), tuple(last)

    def step(self, x: Tensor, state: LayerStates) -> tuple[Tensor, LayerStates]:
        """Advance the stack one step: `x` is `(batch, features)`; dropout between layers acts as in `forward`.

        Raises:
            UsageError: the stack is bidirectional, so that its first output needs the whole sequence.
        """
        if self.bidirectional:
            raise UsageError("a bidirectional stack cannot run step by step: its outputs need the end of the sequence")
        new_states: list[State] = []
        for index, cell in enumerate(self.cells):
            x, new_state = call_cell(cell, self.dropout(x) if index else x, state[index])
            new_states.append(new_state)
        return x, tuple(new_states)

    def initial_state(self, x: Tensor) -> LayerStates:
        """Return the states that the stack starts from, for one step `x` of shape `(batch, features)`."""
        states: list[State] = []
        for directions in self._layers():
            starts = [initial_state(cell, x) for cell in directions]
            with torch.no_grad():
                outputs = [call_cell(cell, x, start)[0] for cell, start in zip(directions, starts, strict=True)]
            x = torch.cat(outputs, -1)
            states += starts
        return tuple(states)

    def _layers(self) -> Iterator[list[nn.Module]]:
        width = 2 if self.bidirectional else 1
        bounds = range(0, len(self.cells) + 1, width)
        return ([self.cells[i] for i in range(a, b)] for a, b in pairwise(bounds))

    def _starts(self, state: LayerStates | None) -> Iterator[State | None]:
        if state is None:
            return iter([None] * len(self.cells))
        if not isinstance(state, tuple) or len(state) != len(self.cells):
            found = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
            raise UsageError(
                f"state is {found}; expected a tuple of {len(self.cells)} states, one for each layer and direction"
            )
        return iter(state)


def _make_cells(
    cell: nn.Module | CellFactory, num_layers: int, directions: int, input_size: int | None
) -> list[nn.Module]:
    if isinstance(cell, nn.Module):
        make, first = factory_of(cell), cell
        input_size = getattr(cell, "input_size", input_size)
    else:
        if input_size is None:
            raise UsageError("Recurrent was given a function that makes cells; pass input_size=... as well")
        make, first = cell, cell(input_size)
    cells = [first]
    if directions == 1 and num_layers == 1:
        return cells
    if input_size is None:
        raise UsageError(f"the input size of {type(first).__name__} is not known; pass input_size=...")
    cells += [make(input_size) for _ in range(directions - 1)]
    for _ in range(num_layers - 1):
        width = directions * _output_size(first, input_size)
        cells += [make(width) for _ in range(directions)]
    return cells


def _output_size(cell: nn.Module, input_size: int) -> int:
    """Return how wide a cell's outputs are, by trying one row: a projection makes them narrower than the state."""
    reference = next(cell.parameters(), torch.zeros(()))
    row = torch.zeros((1, input_size), device=reference.device, dtype=reference.dtype)
    with torch.no_grad():
        output, _ = call_cell(cell, row, initial_state(cell, row))
    return output.shape[-1]
