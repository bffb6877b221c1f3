"""Stacks by name, so that an application can say `cell="gru"` or `cell="transformer"`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import Any

from torch import nn

from ostinato.cells import CATALOGUE, PLAIN
from ostinato.errors import OstinatoError, UsageError
from ostinato.nn.recurrent import Recurrent
from ostinato.nn.transformer import TransformerStack
from ostinato.options import Cell

TRANSFORMER = "transformer"


def _nearest(given: str) -> str:
    near = difflib.get_close_matches(given, (*PLAIN, TRANSFORMER), 1, 0.6)
    return f'; did you mean "{near[0]}"?' if near else f"; choose one of {', '.join((*PLAIN, TRANSFORMER))}"


def cell_name(cell: Cell) -> str:
    """Return what a cell is called: its name, or that of a class or function of the user's own."""
    return cell if isinstance(cell, str) else str(getattr(cell, "__name__", type(cell).__name__))


def check_cell(cell: Cell, also: Collection[str] = ()) -> None:
    """Refuse a name that is no cell's.

    Args:
        cell: a name, or a class or function of the user's own.
        also: names that are known beside `PLAIN`, such as those of cells that read time gaps.

    Raises:
        UsageError: there is no such cell.
    """
    if callable(cell) or cell in also:
        return
    if cell != TRANSFORMER and cell not in PLAIN:
        raise UsageError(f'cell "{cell}" is not known{_nearest(cell)}')


def _made(cell: Callable[..., Any], input_size: int, hidden_size: int) -> nn.Module:
    """Return a cell of the user's own."""
    name = cell_name(cell)
    try:
        made = cell(input_size, hidden_size)
    except OstinatoError:
        raise
    except TypeError as error:
        raise UsageError(
            f"the cell {name} is made of an input and a hidden size, {name}(8, 16), but {error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise UsageError(f"the cell {name} gives a {type(made).__name__}; expected a torch.nn.Module")
    return made


def stack_of(
    cell: Cell,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    dropout: float = 0.0,
    bidirectional: bool = False,
    **options: Any,
) -> Recurrent | TransformerStack:
    """Return a stack of layers.

    Args:
        cell: a name from `ostinato.cells.PLAIN`, `"transformer"`, or a class, or function, that makes a cell of an
            input and a hidden size.
        input_size: features of a step.
        hidden_size: units, or features within the Transformer.
        num_layers: how many layers.
        dropout: between layers; in the Transformer within them too.
        bidirectional: read both ways; a Transformer is then not causal, and its output is as wide as two directions.
        options: more of `Recurrent`, or of `TransformerStack`.

    Raises:
        UsageError: there is no such cell.

    >>> stack_of("transformer", 3, 12).causal
    True
    """
    if cell == TRANSFORMER:
        width = 2 * hidden_size if bidirectional else hidden_size
        # rotary positions turn pairs of features, so that a head needs an even number of them
        unit = 2 if options.get("positions") == "rotary" and width % 2 == 0 else 1
        heads = next(
            count for count in (8, 4, 2, 1) if width % (unit * count) == 0 and width // count >= min(width, 16)
        )
        return TransformerStack(
            input_size, width, num_layers, heads=heads, causal=not bidirectional, dropout=dropout, **options
        )
    check_cell(cell)
    made = _made(cell, input_size, hidden_size) if callable(cell) else CATALOGUE[cell](input_size, hidden_size)
    return Recurrent(made, num_layers, input_size=input_size, dropout=dropout, bidirectional=bidirectional, **options)
