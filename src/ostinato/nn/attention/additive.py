"""Additive attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.nn.attention.memory import Attention, Memory, masked_softmax
from ostinato.nn.products import QuickLinear


class AdditiveAttention(Attention):
    """Attention by a small network: `score = v . tanh(W query + U memory)`.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory.
        hidden_size: of the network; that of the query if left out.

    Shapes, errors: see `Attention.forward`.

    Source: D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and translate",
    ICLR 2015, appendix A.1.2.

    >>> import torch
    >>> attention = AdditiveAttention(6, 4)
    >>> memory = attention.prepare(torch.randn(9, 2, 4), torch.tensor([9, 5]))
    >>> context, weights = attention(torch.randn(2, 6), memory)
    >>> tuple(context.shape), bool((weights[1, 5:] == 0).all())
    ((2, 4), True)
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int | None = None) -> None:
        super().__init__(query_size, memory_size)
        hidden_size = hidden_size or query_size
        self.hidden_size = hidden_size
        self.query = QuickLinear(query_size, hidden_size, bias=False)
        self.key = QuickLinear(memory_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Return `U memory`."""
        keys: Tensor = self.key(values)
        return keys

    def weigh(self, query: Tensor, memory: Memory, previous: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return the weights of queries."""
        return masked_softmax(self.energies(query, memory), memory.real)

    def energies(self, query: Tensor, memory: Memory, more: Tensor | None = None) -> Tensor:
        """Return scores `(steps, batch, source)`; `more`, `(batch, source, hidden_size)`, is added inside the tanh."""
        keys = memory.keys.transpose(0, 1)
        terms = self.query(query)[:, :, None] + (keys if more is None else keys + more)
        scores: Tensor = self.score(torch.tanh(terms))
        return scores[..., 0]
