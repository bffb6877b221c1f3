"""The network of a language model: embedding, recurrent stack or causal Transformer, scores of the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn import TokenEmbedding, VariationalDropout, weight_drop
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.softmax import AdaptiveSoftmax, FullSoftmax, Proposal, SampledSoftmax, proposal

Output = Literal["softmax", "sampled", "adaptive"]
OUTPUTS: tuple[Output, ...] = ("softmax", "sampled", "adaptive")


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
    output: Output = "softmax"
    samples: int = 1024
    proposal: Proposal = "unigram"
    cutoffs: tuple[int, ...] = ()


class LanguageNetwork(nn.Module):
    """Scores for the token after each token.

    Args:
        settings: what it is built from.
        counts: `(vocabulary,)`, how often each token occurs in training, which a sampled or adaptive softmax goes by;
            `None`: its weights and order are to be loaded.

    Raises:
        UsageError: the settings do not go together.
    """

    def __init__(self, settings: NetworkSettings, counts: NDArray[np.int64] | None = None) -> None:
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
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.scores = _scores(settings, width if settings.tie_weights else settings.hidden_size, counts)
        if settings.tie_weights:
            self.scores.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: Any = None, targets: Tensor | None = None) -> tuple[Tensor, Tensor, Any]:
        """Read tokens.

        Args:
            tokens: `(steps, batch)`.
            state: of the stack, `None` at the beginning of a text.
            targets: `(steps, batch)`, the tokens that come, -100 where there is none.

        Returns:
            Scores `(steps, batch, vocabulary)`, or their mean loss if there are targets; the stack's outputs before
            dropout, and its state.
        """
        features, ys, state = self.read(tokens, state)
        found: Tensor = self.scores(features) if targets is None else self.scores.loss(features, targets)
        return found, ys, state

    def read(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Read tokens; as `forward`, but return what the scores are made of, `(steps, batch, features)`."""
        read = self.input_dropout(self.embedding(tokens))
        ys, state = self.stack(read, state)
        features: Tensor = self.narrow(self.output_dropout(ys))
        return features, ys, state

    def start(self, batch: int) -> Any:
        """Return the state at the beginning of a text."""
        like = self.embedding.weight
        return self.stack.initial_state(torch.zeros((batch, like.shape[1]), device=like.device, dtype=like.dtype))


def _scores(
    settings: NetworkSettings, width: int, counts: NDArray[np.int64] | None
) -> FullSoftmax | SampledSoftmax | AdaptiveSoftmax:
    size = settings.vocabulary_size
    if settings.output == "adaptive":
        return AdaptiveSoftmax(width, size, settings.cutoffs, counts)
    made = FullSoftmax(width, size)
    if settings.output == "sampled":
        chances = None if counts is None else proposal(settings.proposal, counts)
        made = SampledSoftmax(width, size, settings.samples, chances)
    nn.init.zeros_(made.bias)
    return made


def check_settings(settings: NetworkSettings) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a number is out of range.
    """
    for name in ("embedding_size", "hidden_size", "num_layers", "steps", "samples"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected one or more")
    for name in ("dropout", "input_dropout", "embedding_dropout", "weight_drop"):
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected a probability from 0 to 1, 1 excluded")
    if settings.weight_drop and settings.cell == TRANSFORMER:
        raise UsageError("weight_drop is for recurrent weights; a transformer has none: leave it at 0")
    if settings.output not in OUTPUTS:
        raise UsageError(f'output is "{settings.output}"; expected one of {", ".join(OUTPUTS)}')
    if settings.output == "adaptive" and settings.tie_weights:
        raise UsageError(
            "tie_weights needs a matrix with a row for each token, which an adaptive softmax has not; leave it out, or "
            'choose output="sampled"'
        )
