"""The network of a language model: embedding, recurrent stack or causal Transformer, scores of the next token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine import leaves, map_state
from ostinato.engine.front.watch import is_watched
from ostinato.nn import TokenEmbedding, TransformerStack, VariationalDropout, weight_drop
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.losses import activation_regularisation, temporal_activation_regularisation
from ostinato.nn.recurrent import Recurrent
from ostinato.nn.rows import Rows
from ostinato.nn.softmax import AdaptiveSoftmax, FullSoftmax, SampledSoftmax, proposal
from ostinato.tasks.language.parameters import LanguageParameters
from ostinato.tasks.language.suiting import ties_weights
from ostinato.tasks.language.texts import LanguageEncoder
from ostinato.training.objective import Carry, Step


class LanguageNetwork(nn.Module):
    """Scores for the token after each token.

    Args:
        parameters: of the model.
        encoder: its vocabulary and dropout, and how often each token occurs in training, which a sampled or adaptive
            softmax goes by unless its weights and order are to be loaded.
    """

    def __init__(self, parameters: LanguageParameters, encoder: LanguageEncoder) -> None:
        super().__init__()
        size = len(encoder.vocabulary)
        width = parameters.embedding_size or parameters.hidden_size
        self.embedding = TokenEmbedding(size, width, dropout=parameters.embedding_dropout)
        self.input_dropout = VariationalDropout(encoder.input_dropout)
        tied = ties_weights(parameters)
        options: dict[str, Any] = {"variational": True}
        if parameters.cell == TRANSFORMER:
            options = {"context": parameters.steps, "positions": "rotary"}
        self.stack: Any = stack_of(
            parameters.cell, width, parameters.hidden_size, parameters.num_layers, dropout=encoder.dropout, **options
        )
        if parameters.weight_drop:
            weight_drop(self.stack, "recurrent.weight", parameters.weight_drop)
        self.output_dropout = VariationalDropout(encoder.dropout)
        # a tied matrix is as wide as the embedding: outputs are brought to that width
        tied_elsewhere = tied and parameters.hidden_size != width
        self.narrow = nn.Linear(parameters.hidden_size, width, bias=False) if tied_elsewhere else nn.Identity()
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.scores = _scores(parameters, encoder, width if tied else parameters.hidden_size)
        if tied:
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
        rows = self._rows(tokens)
        ys, state = self.stack(self.input_dropout(self.embedding(tokens)) if rows is None else rows, state)
        features: Tensor = self.narrow(self.output_dropout(ys))
        return features, ys, state

    def _rows(self, tokens: Tensor) -> Rows | None:
        """Return what the stack reads as rows of a table, where equal tokens are read alike and nobody looks on.

        In training alone: what a model says does not depend on how many tokens it reads at once, to the last bit.
        """
        parts = (self.embedding, self.input_dropout, self.stack)
        if not self.training or self.input_dropout.rate or not isinstance(self.stack, Recurrent):
            return None
        if any(map(is_watched, parts)):
            return None
        return self.embedding.rows(tokens)

    def start(self, batch: int) -> Any:
        """Return the state at the beginning of a text."""
        like = self.embedding.weight
        return self.stack.initial_state(torch.zeros((batch, like.shape[1]), device=like.device, dtype=like.dtype))


def _scores(
    parameters: LanguageParameters, encoder: LanguageEncoder, width: int
) -> FullSoftmax | SampledSoftmax | AdaptiveSoftmax:
    size, counts = len(encoder.vocabulary), encoder.counts
    if encoder.output == "adaptive":
        return AdaptiveSoftmax(width, size, encoder.cutoffs, counts)
    made = FullSoftmax(width, size)
    if encoder.output == "sampled":
        weights = None if counts is None else proposal(parameters.proposal, counts)
        made = SampledSoftmax(width, size, parameters.samples, weights)
    nn.init.zeros_(made.bias)
    return made


_STARTS = 0.05
"""The share of rows, in each piece of training text, that are read as the beginning of a text."""


class LanguageObjective:
    """Cross-entropy of the next token, and in training the penalties on activations.

    In training, some rows forget what came before, wherever they are (G. Melis, C. Dyer and P. Blunsom, "On the state
    of the art of evaluation in neural language models", 2018, section 4). Without that a network sees the state at the
    beginning before as few tokens as there are rows, and after any other may never come into its own: a text that
    began otherwise had 7 nats a character to its end where the same text from its 100th character on had 2.4.

    Args:
        activation: weight of the mean square of the stack's outputs.
        temporal: weight of the mean square of their change from step to step.
    """

    def __init__(self, activation: float = 0.0, temporal: float = 0.0) -> None:
        self.activation, self.temporal = activation, temporal

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:
        """Read a piece of the text."""
        tokens, targets = batch
        if module.training and carry is not None:
            carry = _with_starts(module, carry, tokens.shape[1])
        loss, ys, state = module(tokens, carry, targets)
        if module.training and self.activation:
            loss = loss + activation_regularisation(ys, scale=self.activation)
        if module.training and self.temporal:
            loss = loss + temporal_activation_regularisation(ys, scale=self.temporal)
        return Step(loss, int((targets >= 0).sum()), state)


def _with_starts(module: Any, carry: Carry, rows: int) -> Carry:
    """Return a state in which some rows are at the beginning of a text."""
    if isinstance(module.stack, TransformerStack):  # what it has read leaves its context anyway
        return carry
    chosen = torch.rand(rows) < _STARTS
    if not chosen.any():
        return carry
    starts = iter(leaves(module.start(rows)))

    def at_start(leaf: Tensor) -> Tensor:
        return torch.where(chosen.to(leaf.device).view(-1, *[1] * (leaf.dim() - 1)), next(starts), leaf)

    return map_state(at_start, carry)
