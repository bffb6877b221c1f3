"""What attention looks at, and what all kinds of it share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError


@dataclass(frozen=True)
class Memory:
    """A batch of memories with their keys, padded positions told from real ones."""

    values: Tensor
    """`(source, batch, memory features)`; zero where padded."""
    keys: Tensor
    """`(source, batch, key features)`."""
    real: Tensor
    """Boolean `(source, batch)`."""

    def select(self, rows: Tensor) -> Memory:
        """Return the memories of some rows of the batch, in a given order: `rows` holds their numbers."""
        return replace(
            self,
            values=self.values.index_select(1, rows),
            keys=self.keys.index_select(1, rows),
            real=self.real.index_select(1, rows),
        )


class Attention(nn.Module):
    """What all kinds share: checks, one query or many, weighted sums.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory.
    """

    feeds_back: ClassVar[bool] = False
    """Whether the weights of one query are needed for the next, so that many queries go one by one."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.query_size, self.memory_size = query_size, memory_size

    def prepare(self, memory: Tensor, lengths: Tensor | None = None) -> Memory:
        """Project the keys of a memory, once for all queries.

        Args:
            memory: `(source, batch, memory_size)`.
            lengths: `(batch,)` real steps; what stands after them is never looked at.

        Raises:
            ShapeError: the memory has other dimensions.
        """
        if memory.dim() != 3 or memory.shape[-1] != self.memory_size:
            raise ShapeError(f"memory has shape {tuple(memory.shape)}; expected (source, batch, {self.memory_size})")
        places = torch.arange(memory.shape[0], device=memory.device)[:, None]
        ends = torch.full((memory.shape[1],), memory.shape[0]) if lengths is None else lengths
        real = places < ends.to(memory.device)
        values = memory.masked_fill(~real[..., None], 0.0)
        return Memory(values, self.keys(values), real)

    def forward(self, query: Tensor, memory: Memory, previous: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look into a memory.

        Args:
            query: `(batch, query_size)`, or `(steps, batch, query_size)` for many.
            memory: from `prepare`.
            previous: the weights of the query before, `(batch, source)`, for kinds that look at them; `None` at first.

        Returns:
            The contexts, `(batch, memory_size)`, and the weights, `(batch, source)`; `(steps, ...)` for many queries.
            The weights of a memory sum to one; an empty memory has the context zero.

        Raises:
            ShapeError: the query has other dimensions.
        """
        if query.dim() not in (2, 3) or query.shape[-1] != self.query_size:
            raise ShapeError(f"query has shape {tuple(query.shape)}; expected (batch, {self.query_size}) or with steps")
        if query.dim() == 2:
            weights = self.weigh(query[None], memory, previous)[0]
            return context_of(weights[None], memory)[0], weights
        if self.feeds_back:
            rows = []
            for one in query:
                previous = self.weigh(one[None], memory, previous)[0]
                rows.append(previous)
            weights = torch.stack(rows) if rows else query.new_zeros(0, query.shape[1], memory.values.shape[0])
        else:
            weights = self.weigh(query, memory, None)
        return context_of(weights, memory), weights

    def keys(self, values: Tensor) -> Tensor:
        """Return the keys of memory values, `(source, batch, ...)`."""
        return values

    def weigh(self, query: Tensor, memory: Memory, previous: Tensor | None) -> Tensor:
        """Return weights, `(steps, batch, source)`, of queries `(steps, batch, query_size)`."""
        raise NotImplementedError


def masked_softmax(scores: Tensor, real: Tensor) -> Tensor:
    """Return the softmax of `(..., batch, source)` over the real positions of `(source, batch)`; without any, zeros."""
    mask = real.transpose(0, 1)
    weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), -1)
    return weights * mask


def context_of(weights: Tensor, memory: Memory) -> Tensor:
    """Return weighted sums of the values, `(steps, batch, features)`, for weights `(steps, batch, source)`."""
    contexts = torch.bmm(weights.transpose(0, 1), memory.values.transpose(0, 1))
    return contexts.transpose(0, 1)
