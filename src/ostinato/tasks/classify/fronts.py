"""What stands before the recurrent stack: embeddings of tokens, or channels with what is missing marked."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data.text import Specials
from ostinato.nn import ConvolutionalFront, TokenEmbedding


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


class ChannelFront(nn.Module):
    """Standardised channels, marks of what is missing, time gaps; then perhaps convolutions over time.

    A step's features are its values, zero where missing; with `masked` as many marks, one where missing; with `timed`
    the gap since the step before.

    Args:
        channels: how many.
        masked: whether marks are there.
        timed: whether the gap is there.
        value_dropout: the probability that a value is hidden in training, marked as missing.
        convolutions: channels after each; none: no convolutions.
        width, stride, causal: of them, see `ConvolutionalFront`.
    """

    def __init__(
        self,
        channels: int,
        *,
        masked: bool,
        timed: bool,
        value_dropout: float,
        convolutions: tuple[int, ...],
        width: int,
        stride: int,
        causal: bool,
    ) -> None:
        super().__init__()
        self.channels, self.value_dropout = channels, value_dropout
        self.output_size = channels * (1 + masked) + timed
        self.convolutions: ConvolutionalFront | None = None
        if convolutions:
            self.convolutions = ConvolutionalFront(
                self.output_size, convolutions, width=width, stride=stride, causal=causal
            )
            self.output_size = convolutions[-1]

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(time, batch, output_size)` and the lengths, shorter after convolutions with a stride."""
        if self.training and self.value_dropout:
            features = self._hidden(features)
        if self.convolutions is None:
            return features, lengths
        shorter, counts = self.convolutions(features, lengths)
        return shorter, lengths if counts is None else counts

    def _hidden(self, features: Tensor) -> Tensor:
        count = self.channels
        lost = torch.rand(features[..., :count].shape, device=features.device) < self.value_dropout
        values = features[..., :count].masked_fill(lost, 0.0)
        marks = features[..., count : 2 * count].masked_fill(lost, 1.0)
        return torch.cat([values, marks, features[..., 2 * count :]], -1)
