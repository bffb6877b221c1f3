"""Embeddings of tokens."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.rows import Rows


class TokenEmbedding(nn.Embedding):
    """`torch.nn.Embedding` for text: whole words missing in training, weights from elsewhere, clear errors.

    Args:
        num_embeddings: how many tokens.
        embedding_dim: features of each.
        padding_idx: a token whose vector is zero and stays so.
        dropout: the probability that a token's vector is missing everywhere in a batch; the rest is scaled up.
        vectors: `(num_embeddings, embedding_dim)` to start from.
        frozen: keep these vectors as they are.

    Raises:
        ShapeError: the vectors have another shape.
        UsageError: the dropout is out of range.

    Source of the dropout: Y. Gal and Z. Ghahramani, NeurIPS 2016, section 4.2.

    >>> import torch
    >>> embedding = TokenEmbedding(10, 4, padding_idx=0, dropout=0.1)
    >>> tuple(embedding(torch.tensor([[1, 2, 0], [3, 3, 9]])).shape)
    (2, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dropout: float = 0.0,
        vectors: NDArray[Any] | Tensor | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        if not 0.0 <= dropout < 1.0:
            raise UsageError(f"dropout is {dropout}; expected a probability from 0 to 1, 1 excluded")
        self.dropout = dropout
        if vectors is not None:
            given = torch.as_tensor(vectors, dtype=self.weight.dtype)
            if given.shape != self.weight.shape:
                raise ShapeError(f"vectors have shape {tuple(given.shape)}; expected {tuple(self.weight.shape)}")
            with torch.no_grad():
                self.weight.copy_(given)
                if padding_idx is not None:
                    self.weight[padding_idx] = 0
        self.weight.requires_grad_(not frozen)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the vectors of whole numbers `(...)`, `(..., embedding_dim)`.

        Raises:
            UsageError: a token is out of range.
        """
        self._check(tokens)
        vectors, kept = super().forward(tokens), self._kept()
        return vectors if kept is None else vectors * kept[tokens]

    def rows(self, tokens: Tensor) -> Rows | None:
        """Return the vectors of whole numbers `(time, batch)` as rows of a table, for layers that gain by it.

        Where tokens repeat, a layer multiplies each once. None where vectors are few for so many tokens, or are made
        in another way; `forward` gives them then.
        """
        if 2 * self.num_embeddings > tokens.numel() or not self._is_plain() or type(self).forward is not _forward:
            return None
        self._check(tokens)
        kept = self._kept()
        return Rows(self.weight if kept is None else self.weight * kept, tokens)

    def _is_plain(self) -> bool:
        """Tell whether a vector is a row of the weight and no more."""
        return self.padding_idx is None and self.max_norm is None and not self.scale_grad_by_freq and not self.sparse

    def _kept(self) -> Tensor | None:
        """Return what vectors are multiplied with, `(num_embeddings, 1)`; none where none is dropped."""
        if not (self.training and self.dropout):
            return None
        kept = torch.rand(self.num_embeddings, 1, device=self.weight.device) >= self.dropout
        return kept.to(self.weight.dtype) / (1 - self.dropout)

    def _check(self, tokens: Tensor) -> None:
        if not tokens.numel():
            return
        least, most = torch.aminmax(tokens)
        if int(least) < 0 or int(most) >= self.num_embeddings:
            bad = tokens[(tokens < 0) | (tokens >= self.num_embeddings)]
            raise UsageError(f"there is a token {int(bad[0])}; expected 0 to {self.num_embeddings - 1}")


_forward = TokenEmbedding.forward
