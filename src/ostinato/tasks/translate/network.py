"""The network of a translator: recurrent encoder and decoder with attention, or a Transformer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ostinato.nn import EncoderDecoder, RecurrentDecoder, TransformerEncoderDecoder
from ostinato.nn.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention, MultiHeadAttention
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.decoder import DecoderState, context_size
from ostinato.nn.recurrent import Recurrent
from ostinato.nn.transformer.seq2seq import TransformerState
from ostinato.tasks.translate.parameters import TranslationParameters

State = DecoderState | TransformerState


class TranslationNetwork(nn.Module):
    """Scores for each token of a translation; `encode`, `start` and `step` as in `EncoderDecoder`.

    Args:
        parameters: of the translator.
        source, target: tokens of each side.
    """

    def __init__(self, parameters: TranslationParameters, source: int, target: int) -> None:
        super().__init__()
        assert parameters.hidden_size is not None, "the task decides what nobody said"
        assert parameters.dropout is not None
        self.hidden_size: int = parameters.hidden_size
        transformer = parameters.cell == TRANSFORMER
        self.looks = transformer or parameters.attention != "none"
        """Whether there is attention to look at."""
        self.model: Any = (_transformer if transformer else _recurrent)(parameters, source, target)

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target: Tensor,
        target_lengths: Tensor,
        given: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> tuple[Tensor, int]:
        """Return the mean cross-entropy of all real tokens of a batch, in nats, and how many they are.

        Args:
            source: `(source, batch)`.
            source_lengths: `(batch,)`.
            target: `(time, batch)`, from the mark of the beginning to that of the end.
            target_lengths: `(batch,)`, both marks counted.
            given: the share of tokens that the decoder reads as they are in the target; the others are its own.
            label_smoothing: the share of each target that goes to all tokens alike.
        """
        readouts, _ = self.model.read(
            source, target[:-1], source_lengths=source_lengths, target_lengths=target_lengths - 1, teacher_forcing=given
        )
        # scores are most of the work: none for padding
        places = torch.arange(len(target) - 1, device=target.device)[:, None]
        real = places < target_lengths - 1
        targets = target[1:][real]
        loss: Tensor = self.model.loss(readouts[real], targets, label_smoothing=label_smoothing)
        return loss, len(targets)

    def start(self, sources: Tensor, lengths: Tensor) -> State:
        """Read sources, `(source, batch)`; return where decoding begins."""
        state: State = self.model.start(self.model.encode(sources, lengths))
        return state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, Any]:
        """Read one token a row, `(batch,)`; return scores `(batch, vocabulary)` and the new state."""
        found: tuple[Tensor, Any] = self.model.step(tokens, state)
        return found


class _Front(nn.Module):
    """An embedding with dropout on it."""

    def __init__(self, embedding: nn.Embedding, dropout: float) -> None:
        super().__init__()
        self.embedding, self.dropout = embedding, nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.dropout(self.embedding(tokens))
        return vectors


def _recurrent(parameters: TranslationParameters, sources: int, targets: int) -> EncoderDecoder:
    size, dropout = parameters.hidden_size or 0, parameters.dropout or 0.0
    width = parameters.embedding_size or size
    target = _embedding(targets, width)
    source = target if parameters.shared_vocabulary else _embedding(sources, width)
    options = {"num_layers": parameters.num_layers, "dropout": dropout}
    # half of the units in each direction: the memory is then as wide as the decoder's outputs
    encoder: Any = stack_of(parameters.cell, width, size // 2, bidirectional=True, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        memory = encoder.eval()(torch.zeros(1, 1, width))[0].shape[-1]
    attention = _attention(parameters, size, memory)
    fed = context_size(attention) if attention is not None and parameters.reading == "before" else 0
    readout = width if parameters.tie_weights else size
    fed += readout if parameters.input_feeding else 0
    stack: Any = stack_of(parameters.cell, width + fed, size, **options)  # type: ignore[arg-type]
    decoder = RecurrentDecoder(
        target, stack, targets, attention=attention, reading=parameters.reading, readout_size=readout,
        input_feeding=parameters.input_feeding, tie_weights=parameters.tie_weights, dropout=dropout,
    )  # fmt: skip
    nn.init.zeros_(decoder.scores.bias)
    assert isinstance(encoder, Recurrent)
    return EncoderDecoder(_Front(source, dropout), encoder.train(), decoder)


def _attention(parameters: TranslationParameters, query: int, memory: int) -> Attention | None:
    if parameters.attention == "none":
        return None
    if parameters.attention == "additive":
        return AdditiveAttention(query, memory)
    if parameters.attention == "dot":
        return DotAttention(query, memory)
    if parameters.attention == "general":
        return GeneralAttention(query, memory)
    return MultiHeadAttention(query, memory, heads=_heads(query))


def _transformer(parameters: TranslationParameters, sources: int, targets: int) -> TransformerEncoderDecoder:
    size, dropout = parameters.hidden_size or 0, parameters.dropout or 0.0
    model = TransformerEncoderDecoder(
        sources, targets, size, parameters.num_layers, heads=_heads(size),
        dropout=dropout, tie_weights=parameters.tie_weights,
    )  # fmt: skip
    nn.init.zeros_(model.scores.bias)
    if parameters.shared_vocabulary:
        model.front = model.embedding
    return model


def _heads(width: int) -> int:
    """Return how many heads share a width: up to eight, of 32 features or more where there are as many."""
    return next(count for count in (8, 4, 2, 1) if width % count == 0 and width // count >= min(width, 32))


def _embedding(size: int, width: int) -> nn.Embedding:
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table
