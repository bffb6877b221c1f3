"""Multi-head attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.nn.attention.memory import Attention, Memory, masked_softmax
from ostinato.nn.products import QuickLinear


class MultiHeadAttention(Attention):
    """Several scaled dot products side by side, each over projections of its own.

    The context is as wide as the query: `concat(heads) W`. The weights that are returned are the mean of the heads'.

    Args:
        query_size: features of a query and of the context.
        memory_size: features of a step of the memory.
        heads: how many; they share the width of the query evenly.

    Raises:
        UsageError: the width cannot be shared evenly.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.2.

    >>> import torch
    >>> attention = MultiHeadAttention(6, 4, heads=3)
    >>> context, weights = attention(torch.randn(2, 6), attention.prepare(torch.randn(9, 2, 4)))
    >>> tuple(context.shape), tuple(weights.shape)
    ((2, 6), (2, 9))
    """

    def __init__(self, query_size: int, memory_size: int, *, heads: int = 4) -> None:
        super().__init__(query_size, memory_size)
        if query_size % heads:
            raise UsageError(f"query_size is {query_size}; expected a multiple of the {heads} heads")
        self.heads = heads
        self.query = QuickLinear(query_size, query_size)
        self.key = QuickLinear(memory_size, 2 * query_size)  # keys, then values
        self.output = QuickLinear(query_size, query_size)

    def keys(self, values: Tensor) -> Tensor:
        """Return keys and values of all heads, `(source, batch, 2 * query_size)`."""
        keys: Tensor = self.key(values)
        return keys

    def forward(self, query: Tensor, memory: Memory, previous: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look into a memory; see `Attention.forward`."""
        if query.dim() == 2:
            contexts, weights = self.forward(query[None], memory, previous)
            return contexts[0], weights[0]
        keys, values = memory.keys.chunk(2, -1)
        weights = self._head_weights(query, keys, memory.real)
        source, batch = values.shape[:2]
        spread = values.view(source, batch, self.heads, self.query_size // self.heads)
        joined = torch.einsum("hqbs,sbhd->qbhd", weights, spread).flatten(2)
        empty = ~memory.real.any(0)
        contexts = self.output(joined).masked_fill(empty[:, None], 0.0)
        return contexts, weights.mean(0)

    def _head_weights(self, query: Tensor, keys: Tensor, real: Tensor) -> Tensor:
        steps, batch, _ = query.shape
        width = self.query_size // self.heads
        queries = self.query(query).view(steps, batch, self.heads, width)
        scores = torch.einsum("qbhd,sbhd->hqbs", queries, keys.view(*keys.shape[:2], self.heads, width))
        return masked_softmax(scores / math.sqrt(width), real)
