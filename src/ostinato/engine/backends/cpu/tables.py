"""Lengths of rows as programs of jobs read them: one table of whole numbers, made with little around it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import ge
from typing import Any, NamedTuple

import torch
from torch import Tensor

_FEW = 100
"""Rows up to which Python sorts sooner than PyTorch has called three operations: 8 rows take 3 microseconds, not 20."""


class Table(NamedTuple):
    """Which steps the rows of a batch have, and where their streams lie."""

    addresses: tuple[int, ...]
    """Of the rows by falling length, of their lengths in that order, of each row's first position in streams, and, of
    packed sequences, of how many rows each step has."""
    total: int
    """Steps of all rows."""
    lengths: Sequence[int] | Tensor
    """Of the rows as they come; a copy, for the caller's may be changed afterwards."""
    memory: Any
    """What holds the table."""
    sizes: Sequence[int] | None = None
    """Of packed sequences: how many rows each step has."""


def table_of(lengths: Tensor, steps: int) -> Table | None:
    """Sort the rows of a batch for programs; none if a length is below zero or above the steps that there are."""
    if len(lengths) > _FEW:
        return _of_many(lengths, steps)
    numbers: list[int] = lengths.tolist()
    order = sorted(range(len(numbers)), key=numbers.__getitem__, reverse=True)
    if numbers[order[0]] > steps or numbers[order[-1]] < 0:
        return None
    starts = list(accumulate(numbers, initial=0))
    total = starts.pop()
    memory = array("q", [*order, *map(numbers.__getitem__, order), *starts])
    place, size = memory.buffer_info()[0], memory.itemsize * len(numbers)
    return Table((place, place + size, place + 2 * size), total, numbers, memory)


def _of_many(lengths: Tensor, steps: int) -> Table | None:
    lengths = lengths.to(torch.int64, copy=True)
    falling, order = torch.sort(lengths, descending=True, stable=True)
    if int(falling[0]) > steps or int(falling[-1]) < 0:
        return None
    ends = torch.cumsum(lengths, 0)
    memory = order, falling, ends - lengths
    addresses = memory[0].data_ptr(), memory[1].data_ptr(), memory[2].data_ptr()
    return Table(addresses, int(ends[-1]), lengths, memory)


def table_of_packed(sizes: Sequence[int], positions: int) -> Table | None:
    """Return the table of packed sequences, whose rows come by falling length; none if these are no sizes of them."""
    if sum(sizes) != positions or sizes[-1] < 1 or not all(map(ge, sizes, sizes[1:])):
        return None
    lengths, length = [], len(sizes)
    for row in range(sizes[0]):
        while sizes[length - 1] <= row:
            length -= 1
        lengths.append(length)
    starts = list(accumulate(lengths, initial=0))
    total = starts.pop()
    memory = array("q", [*range(len(lengths)), *lengths, *starts, *sizes])
    place, size = memory.buffer_info()[0], memory.itemsize * len(lengths)
    return Table(tuple(place + part * size for part in range(4)), total, lengths, memory, sizes)
