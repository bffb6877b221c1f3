"""What stands before the recurrent stack of a text classifier: embeddings of tokens."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data.text import Specials
from ostinato.nn import TokenEmbedding


class TokenFront(nn.Module):
    """Embeddings of tokens.

    Args:
        tokens: how many there are.
        size: features of each.
        embedding_dropout: the probability that a token's vector is missing everywhere in a batch.
        word_dropout: the probability that a token is read as unknown, each by itself (M. Iyyer et al., ACL 2015, leave
            it out); so the vector of unknown tokens is trained too.
        vectors: `(tokens, size)` to start from.
        frozen: keep these as they are.
    """

    def __init__(
        self,
        tokens: int,
        size: int,
        *,
        embedding_dropout: float,
        word_dropout: float,
        vectors: NDArray[np.float32] | None,
        frozen: bool,
    ) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(tokens, size, dropout=embedding_dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)
        if vectors is not None:
            with torch.no_grad():
                self.embedding.weight.copy_(torch.from_numpy(vectors))
        self.embedding.weight.requires_grad_(not frozen)
        self.word_dropout, self.output_size = word_dropout, size

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors `(time, batch, size)` of tokens `(time, batch)`, and the lengths."""
        if self.training and self.word_dropout:
            lost = torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
            tokens = tokens.masked_fill(lost, Specials().unk)
        vectors: Tensor = self.embedding(tokens)
        return vectors, lengths
