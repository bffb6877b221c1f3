"""The network of a language model: embedding, recurrent stack or causal Transformer, scores of the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn import TokenEmbedding, VariationalDropout, weight_drop
from ostinato.nn.by_name import TRANSFORMER, stack_of


@dataclass(frozen=True)
class NetworkSettings:
    """What the network is built from; see `LanguageModel`."""

    vocabulary_size: int
    cell: str
    embedding_size: int
    hidden_size: int
    num_layers: int
    steps: int
    dropout: float
    input_dropout: float
    embedding_dropout: float
    weight_drop: float
    tie_weights: bool


class LanguageNetwork(nn.Module):
    """Scores for the token after each token.

    Raises:
        UsageError: the settings do not go together.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        size, width = settings.vocabulary_size, settings.embedding_size
        self.embedding = TokenEmbedding(size, width, dropout=settings.embedding_dropout)
        self.input_dropout = VariationalDropout(settings.input_dropout)
        options: dict[str, Any] = {"variational": True}
        if settings.cell == TRANSFORMER:
            options = {"context": settings.steps, "positions": "rotary"}
        self.stack: Any = stack_of(
            settings.cell, width, settings.hidden_size, settings.num_layers, dropout=settings.dropout, **options
        )
        if settings.weight_drop:
            weight_drop(self.stack, "recurrent.weight", settings.weight_drop)
        self.output_dropout = VariationalDropout(settings.dropout)
        # a tied matrix is as wide as the embedding: outputs are brought to that width
        tied_elsewhere = settings.tie_weights and settings.hidden_size != width
        self.narrow = nn.Linear(settings.hidden_size, width, bias=False) if tied_elsewhere else nn.Identity()
        self.scores = nn.Linear(width if settings.tie_weights else settings.hidden_size, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.zeros_(self.scores.bias)
        if settings.tie_weights:
            self.scores.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Read tokens.

        Args:
            tokens: `(steps, batch)`.
            state: of the stack, `None` at the beginning of a text.

        Returns:
            Scores `(steps, batch, vocabulary)`, the stack's outputs before dropout, and its state.
        """
        read = self.input_dropout(self.embedding(tokens))
        ys, state = self.stack(read, state)
        scores: Tensor = self.scores(self.narrow(self.output_dropout(ys)))
        return scores, ys, state

    def start(self, batch: int) -> Any:
        """Return the state at the beginning of a text."""
        like = self.embedding.weight
        return self.stack.initial_state(torch.zeros((batch, like.shape[1]), device=like.device, dtype=like.dtype))


def check_settings(settings: NetworkSettings) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a number is out of range.
    """
    for name in ("embedding_size", "hidden_size", "num_layers", "steps"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected one or more")
    for name in ("dropout", "input_dropout", "embedding_dropout", "weight_drop"):
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected a probability from 0 to 1, 1 excluded")
    if settings.weight_drop and settings.cell == TRANSFORMER:
        raise UsageError("weight_drop is for recurrent weights; a transformer has none: leave it at 0")
