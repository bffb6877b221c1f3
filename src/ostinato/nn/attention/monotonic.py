"""Monotonic attention: from left to right, one position at a time, so that it can follow a stream."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ostinato.engine import scan
from ostinato.nn.attention.additive import AdditiveAttention
from ostinato.nn.attention.memory import Memory


class _Passing(nn.Module):
    """`q' = kept * q + came`: how likely the search comes to a position; `x` is `(kept, came)`."""

    hidden_size = 1

    def forward(self, x: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Go on to the next position."""
        q = x[..., :1] * q + x[..., 1:]
        return q, q


class MonotonicAttention(AdditiveAttention):
    """Attention that walks over the memory and stops where it finds something; the next query continues from there.

    In training the weights are the probabilities of stopping at each position, all ways of walking taken together:

        q[i, j] = (1 - p[i, j - 1]) q[i, j - 1] + a[i - 1, j]
        a[i, j] = p[i, j] q[i, j],    p = sigmoid(score + noise)

    In evaluation the walk stops at the first position, from the last one on, whose `p` is above one half; the weights
    are one there and zero elsewhere, or zero everywhere if the walk runs past the end. They may sum to less than one.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory.
        hidden_size: of the network; that of the query if left out.
        noise: deviation of the noise that drives `p` towards zero or one in training.
        bias: what scores start from, so that walks do not stop at once.

    Source: C. Raffel et al., "Online and linear-time attention by enforcing monotonic alignments", ICML 2017, equations
    8 to 12 and section 2.5. The recurrence over positions is walked by the engine, so nothing is divided by what may
    vanish.

    >>> import torch
    >>> attention = MonotonicAttention(6, 4).eval()
    >>> _, weights = attention(torch.randn(7, 2, 6), attention.prepare(torch.randn(9, 2, 4)))
    >>> places = weights.argmax(-1)
    >>> bool(((weights == 0) | (weights == 1)).all())
    True
    """

    feeds_back: ClassVar[bool] = True

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        hidden_size: int | None = None,
        *,
        noise: float = 1.0,
        bias: float = -2.0,
    ) -> None:
        super().__init__(query_size, memory_size, hidden_size)
        self.noise = noise
        self.gain = nn.Parameter(torch.tensor(self.hidden_size**-0.5))
        self.bias = nn.Parameter(torch.tensor(bias))
        self.passing = _Passing()

    def weigh(self, query: Tensor, memory: Memory, previous: Tensor | None) -> Tensor:
        """Return the weights of one query, `(1, batch, query_size)`."""
        direction = self.score.weight[0] / self.score.weight.norm()
        terms = torch.tanh(self.query(query)[:, :, None] + memory.keys.transpose(0, 1))
        scores = self.gain * (terms @ direction)[0] + self.bias
        real = memory.real.transpose(0, 1)
        if previous is None:
            previous = torch.zeros_like(scores)
            if scores.shape[1]:
                previous = previous.index_fill(1, scores.new_zeros(1, dtype=torch.long), 1.0) * real
        if self.training:
            noisy = scores + self.noise * torch.randn_like(scores)
            return self._expected(noisy.sigmoid() * real, previous)[None]
        return self._hard((scores > 0) & real, previous)[None]

    def _expected(self, p: Tensor, previous: Tensor) -> Tensor:
        if not p.shape[1]:
            return previous
        kept = torch.cat([torch.zeros_like(p[:, :1]), 1 - p[:, :-1]], 1)
        steps = torch.stack([kept, previous], -1).transpose(0, 1)
        q, _ = scan(self.passing, steps, p.new_zeros(p.shape[0], 1))
        return p * q[..., 0].t()

    @staticmethod
    def _hard(stops: Tensor, previous: Tensor) -> Tensor:
        """Return one at the first stop from the last place on; a walk that has ended stays so."""
        reached = previous.cumsum(1) > 0
        chosen = stops & reached
        first = chosen & (chosen.cumsum(1) == 1)
        return first.to(previous.dtype)
