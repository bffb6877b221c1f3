"""The network of a classifier: tokens or channels, a recurrent stack or a Transformer, pooling, scores of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn import Recurrent, VariationalDropout, weight_drop
from ostinato.nn.by_name import stack_of
from ostinato.tasks.classify.fronts import ChannelFront, TokenFront
from ostinato.tasks.classify.pooling import Pooling, split_kinds


@dataclass(frozen=True)
class NetworkSettings:
    """What the network is built from; see the estimators.

    Either `tokens` and `embedding_size` are set, for texts, or `channels`, for numeric sequences.
    """

    classes: int
    cell: str
    hidden_size: int
    num_layers: int
    bidirectional: bool
    pooling: str
    dropout: float
    input_dropout: float
    weight_drop: float
    tokens: int = 0
    embedding_size: int = 0
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    frozen: bool = False
    channels: int = 0
    masked: bool = False
    timed: bool = False
    value_dropout: float = 0.0
    convolutions: tuple[int, ...] = ()
    width: int = 5
    stride: int = 1


class ClassifierNetwork(nn.Module):
    """Scores of classes for each sequence.

    Args:
        settings: the sizes and names.
        vectors: `(tokens, embedding_size)` to start from, for texts.

    Raises:
        UsageError: the settings do not go together.
    """

    def __init__(self, settings: NetworkSettings, vectors: NDArray[np.float32] | None = None) -> None:
        super().__init__()
        check_settings(settings)
        self.settings = settings
        self.front: TokenFront | ChannelFront = _front(settings, vectors)
        self.input_dropout = VariationalDropout(settings.input_dropout)
        self.stack: Any = stack_of(
            settings.cell, self.front.output_size, settings.hidden_size, settings.num_layers,
            dropout=settings.dropout, bidirectional=settings.bidirectional,
            **({"variational": True} if settings.cell != "transformer" else {}),
        )  # fmt: skip
        if settings.weight_drop:
            weight_drop(self.stack, "recurrent.weight", settings.weight_drop)
        width = settings.hidden_size * (2 if settings.bidirectional else 1)
        two_ways = settings.bidirectional and isinstance(self.stack, Recurrent)
        self.pooling = Pooling(settings.pooling, width, two_ways=two_ways)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(self.pooling.output_size, settings.classes)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)`.

        Args:
            inputs: tokens `(time, batch)`, or features `(time, batch, features)`.
            lengths: `(batch,)`, each one or more.
        """
        return self.scores(*self.front(inputs, lengths))

    def scores(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)` of what the front gives."""
        scores: Tensor = self.head(self.dropout(self.pooling(self.outputs(xs, lengths), lengths)))
        return scores

    def outputs(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return the stack's outputs, `(time, batch, width)`, of what the front gives."""
        ys: Tensor
        ys, _ = self.stack(self.input_dropout(xs), lengths=lengths)
        return ys


def _front(settings: NetworkSettings, vectors: NDArray[np.float32] | None) -> TokenFront | ChannelFront:
    if settings.tokens:
        return TokenFront(
            settings.tokens, settings.embedding_size,
            embedding_dropout=settings.embedding_dropout, word_dropout=settings.word_dropout,
            vectors=vectors, frozen=settings.frozen,
        )  # fmt: skip
    return ChannelFront(
        settings.channels, masked=settings.masked, timed=settings.timed, value_dropout=settings.value_dropout,
        convolutions=settings.convolutions, width=settings.width, stride=settings.stride,
        causal=not settings.bidirectional,
    )  # fmt: skip


def check_settings(settings: NetworkSettings) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a number is out of range.
    """
    sizes = ["hidden_size", "num_layers", "width", "stride", *(["embedding_size"] if settings.tokens else [])]
    for name in sizes:
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected one or more")
    for name in ("dropout", "input_dropout", "weight_drop", "embedding_dropout", "word_dropout", "value_dropout"):
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected a probability from 0 to 1, 1 excluded")
    if settings.weight_drop and settings.cell == "transformer":
        raise UsageError("weight_drop is for recurrent weights; a transformer has none: leave it at 0")
    split_kinds(settings.pooling)
