"""From one sequence to another: an encoder, a memory, a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ostinato.nn.bridge import Bridge
from ostinato.nn.decoder import DecoderState, RecurrentDecoder
from ostinato.nn.recurrent import LayerStates, Recurrent


@dataclass(frozen=True)
class Encoded:
    """What an encoder made of a batch of sources."""

    memory: Tensor
    """`(source, batch, features)`."""
    lengths: Tensor | None
    last: LayerStates
    """The last states of its layers."""


class EncoderDecoder(nn.Module):
    """A recurrent encoder and a recurrent decoder with attention, of any cells.

    Args:
        front: from sources to what the encoder reads, `(time, batch, features)`: an embedding for tokens, a linear
            layer for measurements.
        encoder: the stack that reads the source, in one direction or both.
        decoder: see `RecurrentDecoder`; its attention's memory is as wide as the encoder's outputs.

    Sources: I. Sutskever, O. Vinyals and Q. Le, "Sequence to sequence learning with neural networks", NeurIPS 2014;
    D. Bahdanau, K. Cho and Y. Bengio, ICLR 2015.

    >>> import torch, ostinato
    >>> from torch import nn
    >>> from ostinato.nn import Recurrent, RecurrentDecoder
    >>> from ostinato.nn.attention import AdditiveAttention
    >>> encoder = Recurrent(ostinato.cells.GRUCell(6, 8), bidirectional=True)
    >>> stack = Recurrent(ostinato.cells.GRUCell(6 + 16, 8))
    >>> attention = AdditiveAttention(8, 16)
    >>> decoder = RecurrentDecoder(nn.Embedding(20, 6), stack, 20, attention=attention, reading="before")
    >>> model = EncoderDecoder(nn.Embedding(30, 6), encoder, decoder)
    >>> sources, targets = torch.randint(30, (9, 2)), torch.randint(20, (7, 2))
    >>> scores, weights = model(sources, targets, source_lengths=torch.tensor([9, 5]))
    >>> tuple(scores.shape), tuple(weights.shape)
    ((7, 2, 20), (7, 2, 9))
    """

    def __init__(self, front: nn.Module, encoder: Recurrent, decoder: RecurrentDecoder) -> None:
        super().__init__()
        self.front, self.encoder, self.decoder = front, encoder, decoder
        first = decoder.stack.cells[0]
        width = getattr(first, "input_size", decoder.embedding.embedding_dim)
        self.bridge = Bridge(encoder, decoder.stack, width)

    def encode(self, sources: Tensor, lengths: Tensor | None = None) -> Encoded:
        """Read sources, `(time, batch)` tokens or `(time, batch, features)`; `lengths` is `(batch,)`."""
        memory, last = self.encoder(self.front(sources), lengths=lengths)
        return Encoded(memory, lengths, last)

    def start(self, encoded: Encoded) -> DecoderState:
        """Return where decoding begins."""
        return self.decoder.start(self.bridge(encoded.last), encoded.memory, encoded.lengths)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token a row, `(batch,)`; return scores `(batch, vocabulary)` and the new state."""
        return self.decoder.step(tokens, state)

    def forward(
        self,
        sources: Tensor,
        targets: Tensor,
        *,
        source_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return scores `(time, batch, vocabulary)` for what follows each target token, and attention weights.

        Args:
            sources: `(source, batch)` tokens, or what `front` takes.
            targets: `(time, batch)` tokens, the first one the mark of the beginning.
            source_lengths: `(batch,)`.
            target_lengths: `(batch,)`.
            teacher_forcing: see `RecurrentDecoder.forward`.
            choose: likewise.
        """
        readouts, weights = self.read(
            sources, targets, source_lengths=source_lengths, target_lengths=target_lengths,
            teacher_forcing=teacher_forcing, choose=choose,
        )  # fmt: skip
        return self.score(readouts), weights

    def read(
        self,
        sources: Tensor,
        targets: Tensor,
        *,
        source_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return readouts `(time, batch, features)`, which `score` makes scores of; all else as in `forward`."""
        state = self.start(self.encode(sources, source_lengths))
        readouts, weights, _ = self.decoder.read(
            targets, state, lengths=target_lengths, teacher_forcing=teacher_forcing, choose=choose
        )
        return readouts, weights

    def score(self, readouts: Tensor) -> Tensor:
        """Return scores `(..., vocabulary)` of readouts `(..., features)`."""
        return self.decoder.score(readouts)

    def loss(self, readouts: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy of tokens `(...)` by readouts `(..., features)`; see `linear_cross_entropy`."""
        return self.decoder.loss(readouts, targets, label_smoothing=label_smoothing)
