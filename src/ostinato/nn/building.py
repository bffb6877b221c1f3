"""Making the cells of a stack: twins of one, from functions, or a list of different ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ostinato.engine import call_cell, initial_state
from ostinato.errors import UsageError
from ostinato.nn.rebuild import CellFactory, factory_of


def make_cells(
    cell: nn.Module | CellFactory | Sequence[nn.Module | CellFactory],
    num_layers: int,
    directions: int,
    input_size: int | None,
    *,
    widened: int,
    tie: bool,
) -> list[nn.Module]:
    """Return the cells of a stack: layer 0 forward, layer 0 backward, layer 1 forward, and so on.

    Args:
        cell: for all layers, or a list with one for each.
        num_layers: how many layers.
        directions: one or two.
        input_size: features of a step; needed for functions.
        widened: how many times as wide as a cell's output the output of a layer is.
        tie: whether all layers are the same cells.

    Raises:
        UsageError: a cell cannot be made again, or does not read what the layer before gives.
    """
    given = list(cell) if isinstance(cell, Sequence) else [cell] * num_layers
    if not isinstance(given[0], nn.Module) and input_size is None:
        raise UsageError("Recurrent was given a function that makes cells; pass input_size=... as well")
    width = _input_size(given[0], input_size)
    cells: list[nn.Module] = []
    for index, kind in enumerate(given):
        if tie and index:
            _check_tied(width, index, cells[0])
            cells += cells[:directions]
            continue
        as_it_is = isinstance(kind, nn.Module) and (index == 0 or kind is not given[0])
        layer = _make_layer(kind, width, directions, as_it_is=as_it_is)
        _check_width(layer[0], width, index)
        cells += layer
        if len(given) > 1 or directions > 1:
            width = widened * _output_size(layer[0], _known(width, layer[0]))
    return cells


def output_size(cells: Sequence[nn.Module], directions: int, index: int, input_size: int, widened: int) -> int:
    """Return how wide the output of a layer is."""
    return widened * _output_size(cells[index * directions], input_size)


def _make_layer(
    kind: nn.Module | CellFactory, width: int | None, directions: int, *, as_it_is: bool
) -> list[nn.Module]:
    make = factory_of(kind) if isinstance(kind, nn.Module) else kind
    cells = [kind] if as_it_is and isinstance(kind, nn.Module) else [make(_known(width, kind))]
    return cells + [make(_known(width, cells[0])) for _ in range(directions - 1)]


def _input_size(kind: nn.Module | CellFactory, input_size: int | None) -> int | None:
    found = getattr(kind, "input_size", None) if isinstance(kind, nn.Module) else None
    return found if isinstance(found, int) else input_size


def _known(width: int | None, cell: object) -> int:
    if width is None:
        raise UsageError(f"the input size of {type(cell).__name__} is not known; pass input_size=...")
    return width


def _check_width(cell: nn.Module, width: int | None, index: int) -> None:
    reads = getattr(cell, "input_size", width)
    if isinstance(reads, int) and width is not None and reads != width:
        raise UsageError(
            f"layer {index} ({type(cell).__name__}) reads {reads} features, but layer {index - 1} gives {width}; "
            f"make it with input_size {width}"
        )


def _check_tied(width: int | None, index: int, first: nn.Module) -> None:
    reads = getattr(first, "input_size", width)
    if reads != width:
        raise UsageError(
            f"tie=True makes layer {index} the same cell as layer 0, which reads {reads} features, but layer "
            f"{index - 1} gives {width}; the layers' inputs and outputs must be equally wide"
        )


def _output_size(cell: nn.Module, input_size: int) -> int:
    """Return how wide a cell's outputs are, by trying one row: a projection makes them narrower than the state."""
    reference = next(cell.parameters(), torch.zeros(()))
    row = torch.zeros((1, input_size), device=reference.device, dtype=reference.dtype)
    with torch.no_grad():
        output, _ = call_cell(cell, row, initial_state(cell, row))
    return output.shape[-1]
