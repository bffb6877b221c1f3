"""Attention by products of query and memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.nn.attention.memory import Attention, Memory, masked_softmax
from ostinato.nn.products import QuickLinear


class DotAttention(Attention):
    """Attention by the dot product: `score = query . memory`, of equal width.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory; the same.
        scaled: divide scores by the square root of the width, as Vaswani et al. (2017) do.

    Raises:
        UsageError: query and memory are not equally wide.

    Source: M. Luong, H. Pham and C. Manning, "Effective approaches to attention-based neural machine translation",
    EMNLP 2015, section 3.1.

    >>> import torch
    >>> attention = DotAttention(4, 4)
    >>> contexts, weights = attention(torch.randn(7, 2, 4), attention.prepare(torch.randn(9, 2, 4)))
    >>> tuple(contexts.shape), tuple(weights.shape)
    ((7, 2, 4), (7, 2, 9))
    """

    def __init__(self, query_size: int, memory_size: int, *, scaled: bool = False) -> None:
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise UsageError(
                f"queries have {query_size} features and the memory {memory_size}; a dot product needs equal widths "
                "(GeneralAttention takes any)"
            )
        self.scaled = scaled

    def weigh(self, query: Tensor, memory: Memory, previous: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return the weights of queries."""
        scores = torch.bmm(query.transpose(0, 1), memory.keys.permute(1, 2, 0)).transpose(0, 1)
        scale = 1 / math.sqrt(memory.keys.shape[-1]) if self.scaled else 1.0
        return masked_softmax(scores * scale, memory.real)


class GeneralAttention(DotAttention):
    """Attention by a bilinear form: `score = query . W memory`.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory.
        scaled: divide scores by the square root of the query's width.

    Source: M. Luong, H. Pham and C. Manning, "Effective approaches to attention-based neural machine translation",
    EMNLP 2015, section 3.1.

    >>> import torch
    >>> attention = GeneralAttention(6, 4)
    >>> contexts, _ = attention(torch.randn(7, 2, 6), attention.prepare(torch.randn(9, 2, 4)))
    >>> tuple(contexts.shape)
    (7, 2, 4)
    """

    def __init__(self, query_size: int, memory_size: int, *, scaled: bool = False) -> None:
        super().__init__(query_size, query_size, scaled=scaled)
        self.memory_size = memory_size
        self.key = QuickLinear(memory_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Return `W memory`."""
        keys: Tensor = self.key(values)
        return keys
