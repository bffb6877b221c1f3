"""Sequences whose steps are rows of a table, such as the vectors of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Rows:
    """A sequence whose steps are rows of a table, which whoever reads it may multiply once for all that are alike.

    Args:
        table: `(rows, features)`.
        places: whole numbers `(time, batch)` from 0 to `rows`, that excluded: the row of each step.

    >>> rows = Rows(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1], [1], [0]]))
    >>> rows.dense()[:, 0].tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """

    table: Tensor
    places: Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of the sequences, `(time, batch, features)`."""
        return torch.Size((*self.places.shape, self.table.shape[1]))

    def dense(self) -> Tensor:
        """Return the sequences, `(time, batch, features)`."""
        return functional.embedding(self.places, self.table)

    def transpose(self) -> Rows:
        """Return the same with time and batch exchanged."""
        return Rows(self.table, self.places.transpose(0, 1).contiguous())

    def are_few(self) -> bool:
        """Tell whether the table has so few rows that work on all of them is little beside work on all steps."""
        return 2 * len(self.table) <= self.places.numel()
