"""Linear recurrences cut into pieces that are walked at the same time; `plan.linear` says which are, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ostinato.engine.backends.cpu.kernels import Kernel
from ostinato.engine.backends.cpu.launch import Arguments, Rows, launch

_SHORTEST = 256
"""Steps of a piece at least."""


_PIECES = 4
"""For each thread."""


@dataclass(frozen=True)
class Pieces:
    """What the first walk needs of a linear program."""

    ends: Kernel
    factors: Kernel


def count_of(steps: int) -> int:
    """Return into how many pieces a row of so many steps is cut now."""
    return min(_PIECES * torch.get_num_threads(), steps // _SHORTEST)


def run_in_pieces(
    kernel: Kernel, pieces: Pieces, arguments: Arguments, steps: int, count: int, *, reverse: bool
) -> None:
    """Run a linear program over one row, its steps cut into pieces; see `launch`.

    What is left over when the steps are dealt to `count` pieces of equal length is walked after them.
    """
    length = steps // count
    whole = length * count
    first = steps - whole if reverse else 0
    cut = _cut(arguments, first, whole, count)
    starts = torch.arange(count) * length
    rows = Rows(length, count, torch.arange(count), torch.full((count,), length), starts, whole)
    begin = [start for start, _, _ in arguments.carries]
    opening = _openings(pieces, cut, rows, begin, reverse=reverse)
    closing = [torch.empty_like(start) for start in opening]
    totals = {index: total.new_zeros((count, *total.shape[1:])) for index, total in arguments.totals.items()}
    carries = [(start, end, None) for start, end in zip(opening, closing, strict=True)]
    launch(kernel, replace(cut, carries=carries, totals=totals), rows, reverse=reverse)
    for index, total in totals.items():
        arguments.totals[index] += total.sum(0, keepdim=True)
    final = 0 if reverse else count - 1
    last = [end[final : final + 1].contiguous() for end in closing]
    if whole == steps:
        for (_, end, _), value in zip(arguments.carries, last, strict=True):
            end.copy_(value)
        return
    rest = _cut(arguments, 0 if reverse else whole, steps - whole, 1)
    carries = [(value, end, None) for value, (_, end, _) in zip(last, arguments.carries, strict=True)]
    launch(
        kernel,
        replace(rest, carries=carries),
        Rows(steps - whole, 1, total=steps - whole),
        reverse=reverse,
    )


def _cut(arguments: Arguments, first: int, steps: int, count: int) -> Arguments:
    """Return some steps of one row as `count` rows."""

    def rows(view: Tensor) -> Tensor:
        row = view[first : first + steps, 0]
        return row.view(count, steps // count, *row.shape[1:]).transpose(0, 1)

    views = {key: rows(view) for key, view in arguments.views.items()}
    streams = {key: stream[first : first + steps] for key, stream in arguments.streams.items()}
    return replace(arguments, views=views, streams=streams)


def _openings(
    pieces: Pieces, arguments: Arguments, rows: Rows, begin: Sequence[Tensor], *, reverse: bool
) -> list[Tensor]:
    """Return the state that each piece starts from, `(pieces, ...)` each."""
    zeros = [start.new_zeros((rows.batch, *start.shape[1:])) for start in begin]
    added = _walk(pieces.ends, arguments, rows, zeros, reverse=reverse)
    # how much of each tensor of the start is in each tensor of the end
    columns = []
    for place in range(len(begin)):
        unit = [torch.ones_like(zero) if index == place else zero for index, zero in enumerate(zeros)]
        columns.append(_walk(pieces.factors, arguments, rows, unit, reverse=reverse))
    opening = [torch.empty_like(zero) for zero in zeros]
    state = [start[0] for start in begin]
    for piece in reversed(range(rows.batch)) if reverse else range(rows.batch):
        for target, value in zip(opening, state, strict=True):
            target[piece] = value
        state = [
            sum((column[index][piece] * value for column, value in zip(columns, state, strict=True)), end[piece])
            for index, end in enumerate(added)
        ]
    return opening


def _walk(kernel: Kernel, arguments: Arguments, rows: Rows, starts: Sequence[Tensor], *, reverse: bool) -> list[Tensor]:
    ends = [torch.empty_like(start) for start in starts]
    carries = [(start, end, None) for start, end in zip(starts, ends, strict=True)]
    launch(kernel, replace(arguments, carries=carries, totals={}), rows, reverse=reverse)
    return ends
