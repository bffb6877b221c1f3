"""Location-aware attention."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ostinato.nn.attention.additive import AdditiveAttention
from ostinato.nn.attention.memory import Memory, masked_softmax


class LocationAttention(AdditiveAttention):
    """Additive attention that sees where it looked before: `score = v . tanh(W query + U memory + L f)`.

    `f` are the previous weights under a convolution, several filters at each position. Before the first query all real
    positions weigh the same.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory.
        hidden_size: of the network; that of the query if left out.
        filters: how many.
        width: of a filter, an odd number of positions.

    Source: J. Chorowski et al., "Attention-based models for speech recognition", NeurIPS 2015, section 2.2.

    >>> import torch
    >>> attention = LocationAttention(6, 4)
    >>> memory = attention.prepare(torch.randn(9, 2, 4))
    >>> _, weights = attention(torch.randn(2, 6), memory)
    >>> context, weights = attention(torch.randn(2, 6), memory, previous=weights)
    >>> tuple(context.shape)
    (2, 4)
    """

    feeds_back: ClassVar[bool] = True

    def __init__(
        self, query_size: int, memory_size: int, hidden_size: int | None = None, *, filters: int = 10, width: int = 31
    ) -> None:
        super().__init__(query_size, memory_size, hidden_size)
        self.filters = nn.Conv1d(1, filters, width, padding=width // 2, bias=False)
        self.location = nn.Linear(filters, self.hidden_size, bias=False)

    def weigh(self, query: Tensor, memory: Memory, previous: Tensor | None) -> Tensor:
        """Return the weights of one query, `(1, batch, query_size)`."""
        real = memory.real.transpose(0, 1)
        if previous is None:
            previous = real.to(query.dtype) / real.sum(1, keepdim=True).clamp_min(1)
        if not previous.shape[1]:
            return previous[None]
        seen = self.location(self.filters(previous[:, None]).transpose(1, 2))
        return masked_softmax(self.energies(query, memory, seen), memory.real)
