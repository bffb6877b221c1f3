"""The network of a translator: recurrent encoder and decoder with attention, or a Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn import EncoderDecoder, RecurrentDecoder, TransformerEncoderDecoder
from ostinato.nn.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention, MultiHeadAttention
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.decoder import DecoderState, Reading, context_size
from ostinato.nn.recurrent import Recurrent
from ostinato.nn.transformer.seq2seq import TransformerState

AttentionName = Literal["additive", "dot", "general", "multihead", "none"]
ATTENTIONS: tuple[AttentionName, ...] = ("additive", "dot", "general", "multihead", "none")
State = DecoderState | TransformerState


@dataclass(frozen=True)
class NetworkSettings:
    """What the network is built from; see `Translator`."""

    source_size: int
    target_size: int
    shared: bool
    cell: str
    attention: AttentionName
    reading: Reading
    input_feeding: bool
    embedding_size: int
    hidden_size: int
    num_layers: int
    dropout: float
    tie_weights: bool


class TranslationNetwork(nn.Module):
    """Scores for each token of a translation; `encode`, `start` and `step` as in `EncoderDecoder`.

    Raises:
        UsageError: the settings do not go together.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.model: Any = _transformer(settings) if settings.cell == TRANSFORMER else _recurrent(settings)

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

    @property
    def looks(self) -> bool:
        """Whether there is attention to look at."""
        return self.settings.attention != "none" or self.settings.cell == TRANSFORMER


class _Front(nn.Module):
    """An embedding with dropout on it."""

    def __init__(self, embedding: nn.Embedding, dropout: float) -> None:
        super().__init__()
        self.embedding, self.dropout = embedding, nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.dropout(self.embedding(tokens))
        return vectors


def _recurrent(settings: NetworkSettings) -> EncoderDecoder:
    width, size = settings.embedding_size, settings.hidden_size
    target = _embedding(settings.target_size, width)
    source = target if settings.shared else _embedding(settings.source_size, width)
    options = {"num_layers": settings.num_layers, "dropout": settings.dropout}
    # half of the units in each direction: the memory is then as wide as the decoder's outputs
    encoder: Any = stack_of(settings.cell, width, size // 2, bidirectional=True, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        memory = encoder.eval()(torch.zeros(1, 1, width))[0].shape[-1]
    attention = _attention(settings, size, memory)
    fed = context_size(attention) if attention is not None and settings.reading == "before" else 0
    readout = width if settings.tie_weights else size
    fed += readout if settings.input_feeding else 0
    stack: Any = stack_of(settings.cell, width + fed, size, **options)  # type: ignore[arg-type]
    decoder = RecurrentDecoder(
        target, stack, settings.target_size, attention=attention, reading=settings.reading, readout_size=readout,
        input_feeding=settings.input_feeding, tie_weights=settings.tie_weights, dropout=settings.dropout,
    )  # fmt: skip
    nn.init.zeros_(decoder.scores.bias)
    assert isinstance(encoder, Recurrent)
    return EncoderDecoder(_Front(source, settings.dropout), encoder.train(), decoder)


def _attention(settings: NetworkSettings, query: int, memory: int) -> Attention | None:
    if settings.attention == "none":
        return None
    if settings.attention == "additive":
        return AdditiveAttention(query, memory)
    if settings.attention == "dot":
        return DotAttention(query, memory)
    if settings.attention == "general":
        return GeneralAttention(query, memory)
    return MultiHeadAttention(query, memory, heads=_heads(query))


def _transformer(settings: NetworkSettings) -> TransformerEncoderDecoder:
    size = settings.hidden_size
    model = TransformerEncoderDecoder(
        settings.source_size, settings.target_size, size, settings.num_layers, heads=_heads(size),
        dropout=settings.dropout, tie_weights=settings.tie_weights,
    )  # fmt: skip
    nn.init.zeros_(model.scores.bias)
    if settings.shared:
        model.front = model.embedding
    return model


def _heads(width: int) -> int:
    """Return how many heads share a width: up to eight, of 32 features or more where there are as many."""
    return next(count for count in (8, 4, 2, 1) if width % count == 0 and width // count >= min(width, 32))


def _embedding(size: int, width: int) -> nn.Embedding:
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table


def check_settings(settings: NetworkSettings) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a setting is out of range, or two do not go together.
    """
    for name in ("embedding_size", "hidden_size", "num_layers"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected one or more")
    if not 0.0 <= settings.dropout < 1.0:
        raise UsageError(f"dropout is {settings.dropout}; expected a probability from 0 to 1, 1 excluded")
    if settings.attention not in ATTENTIONS:
        raise UsageError(f'attention is "{settings.attention}"; expected one of {", ".join(ATTENTIONS)}')
    if settings.cell == TRANSFORMER:
        if settings.embedding_size != settings.hidden_size:
            raise UsageError("a transformer's embedding_size is its hidden_size; leave embedding_size out")
        if settings.input_feeding or settings.reading != "after":
            raise UsageError("input_feeding and reading are of recurrent decoders; leave them out for a transformer")
    elif settings.hidden_size % 2:
        raise UsageError(f"hidden_size is {settings.hidden_size}; expected an even number, half for each direction")
