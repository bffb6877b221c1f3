"""The Transformer from one sequence to another, under the interface of `EncoderDecoder`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ostinato.nn.attention import Memory, MultiHeadAttention
from ostinato.nn.losses.output import linear_cross_entropy
from ostinato.nn.products import QuickLinear
from ostinato.nn.transformer.blocks import Activation, Cache, FeedForward, Frame, Part, SelfAttention
from ostinato.nn.transformer.positions import sinusoids
from ostinato.nn.transformer.stack import TransformerStack, frame_of


@dataclass(frozen=True)
class TransformerState:
    """Where decoding stands, one row a hypothesis."""

    caches: tuple[Cache, ...]
    memories: tuple[Memory, ...]
    weights: Tensor | None
    """Of the last look into the source, `(batch, source)`: the mean of the top layer's heads."""

    def select(self, rows: Tensor, *, memory: bool = True) -> TransformerState:
        """Return the state of some rows in a given order; see `DecoderState.select`."""
        return TransformerState(
            tuple(Cache(*(part.index_select(0, rows) for part in cache)) for cache in self.caches),
            tuple(each.select(rows) for each in self.memories) if memory else self.memories,
            None if self.weights is None else self.weights.index_select(0, rows),
        )


class TransformerEncoderDecoder(nn.Module):
    """A Transformer encoder and decoder for tokens; `encode`, `start`, `step` and calls as in `EncoderDecoder`.

    Args:
        source_size: tokens of the source; or a module from sources to `(time, batch, hidden_size)`.
        target_size: tokens of the target.
        hidden_size: features within.
        num_layers: of the encoder, and of the decoder.
        heads: of attention.
        feed_forward: features inside the feed-forward parts; four times `hidden_size` if left out.
        activation: `"gelu"`, `"relu"` or `"swiglu"`.
        pre_norm: normalise before each part rather than after it.
        dropout: in training.
        tie_weights: use the target's embedding as the matrix of the scores.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    >>> import torch
    >>> model = TransformerEncoderDecoder(30, 20, 8, num_layers=1, heads=2)
    >>> sources, targets = torch.randint(30, (9, 2)), torch.randint(20, (7, 2))
    >>> scores, weights = model(sources, targets, source_lengths=torch.tensor([9, 5]))
    >>> tuple(scores.shape), tuple(weights.shape)
    ((7, 2, 20), (7, 2, 9))
    """

    def __init__(
        self,
        source_size: int | nn.Module,
        target_size: int,
        hidden_size: int,
        num_layers: int = 3,
        *,
        heads: int = 4,
        feed_forward: int | None = None,
        activation: Activation = "gelu",
        pre_norm: bool = True,
        dropout: float = 0.1,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        feed_forward = feed_forward or 4 * hidden_size
        self.hidden_size = hidden_size
        self.front = _embedding(source_size, hidden_size) if isinstance(source_size, int) else source_size
        self.encoder = TransformerStack(
            hidden_size, hidden_size, num_layers, heads=heads, feed_forward=feed_forward, causal=False,
            activation=activation, pre_norm=pre_norm, dropout=dropout,
        )  # fmt: skip
        self.embedding = _embedding(target_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            _DecoderLayer(
                SelfAttention(hidden_size, heads, causal=True, context=None, rotary=False, dropout=dropout),
                MultiHeadAttention(hidden_size, hidden_size, heads=heads),
                FeedForward(hidden_size, feed_forward, activation, dropout),
                dropout,
                pre_norm=pre_norm,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size) if pre_norm else nn.Identity()
        self.scores = QuickLinear(hidden_size, target_size)
        if tie_weights:
            self.scores.weight = self.embedding.weight

    def encode(self, sources: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Read sources, `(time, batch)` tokens or what the front takes; return the memory and its lengths."""
        memory, _ = self.encoder(self.front(sources), lengths=lengths)
        return memory, lengths

    def start(self, encoded: tuple[Tensor, Tensor | None]) -> TransformerState:
        """Return where decoding begins."""
        memory, lengths = encoded
        empty = memory.new_zeros(memory.shape[1], 0, self.hidden_size)
        places = torch.zeros((memory.shape[1], 0), dtype=torch.long, device=memory.device)
        looks = [layer.look for layer in self.layers if isinstance(layer, _DecoderLayer)]
        memories = tuple(look.prepare(memory, lengths) for look in looks)
        return TransformerState(tuple(Cache(empty, empty, places) for _ in self.layers), memories, None)

    def step(self, tokens: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """Read one token a row, `(batch,)`; return scores `(batch, vocabulary)` and the new state."""
        rows, weights, state = self._read(tokens[None], state, None)
        return self.score(rows[0]), replace(state, weights=weights[0])

    def forward(
        self,
        sources: Tensor,
        targets: Tensor,
        *,
        source_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return scores and attention weights; arguments as in `EncoderDecoder.forward`."""
        rows, weights = self.read(
            sources, targets, source_lengths=source_lengths, target_lengths=target_lengths,
            teacher_forcing=teacher_forcing, choose=choose,
        )  # fmt: skip
        return self.score(rows), weights

    def score(self, readouts: Tensor) -> Tensor:
        """Return scores `(..., vocabulary)` of readouts `(..., features)`."""
        scores: Tensor = self.scores(readouts)
        return scores

    def loss(self, readouts: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy of tokens `(...)` by readouts `(..., features)`; see `linear_cross_entropy`."""
        scores = self.scores
        return linear_cross_entropy(readouts, scores.weight, targets, scores.bias, label_smoothing=label_smoothing)

    def read(
        self,
        sources: Tensor,
        targets: Tensor,
        *,
        source_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return readouts `(time, batch, features)` and attention weights; see `EncoderDecoder.read`."""
        state = self.start(self.encode(sources, source_lengths))
        if teacher_forcing >= 1.0 or not len(targets):
            rows, weights, _ = self._read(targets, state, target_lengths)
            return rows, weights
        read: list[Tensor] = []
        looks: list[Tensor] = []
        given = targets[0]
        for t in range(len(targets)):
            if t:
                scores = self.score(read[-1].detach())
                chosen = scores.argmax(-1) if choose is None else choose(scores)
                forced = torch.rand(chosen.shape, device=chosen.device) < teacher_forcing
                given = torch.where(forced, targets[t], chosen)
            row, weights, state = self._read(given[None], state, None)
            read.append(row[0])
            looks.append(weights[0])
        return torch.stack(read), torch.stack(looks)

    def _read(
        self, targets: Tensor, state: TransformerState, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor, TransformerState]:
        """Read target tokens, `(time, batch)`, after those of the state."""
        tokens = targets.transpose(0, 1)
        frame = frame_of(tokens, state.caches, lengths)
        rows = self.embedding(tokens) * math.sqrt(self.hidden_size)
        rows = self.dropout(rows + sinusoids(frame.places, self.hidden_size).to(rows.dtype))
        caches = []
        weights = rows.new_zeros(len(targets), len(tokens), 0)
        for layer, cache, memory in zip(self.layers, state.caches, state.memories, strict=True):
            rows, cache, weights = layer(rows, frame, cache, memory)
            caches.append(cache)
        return self.norm(rows).transpose(0, 1), weights, replace(state, caches=tuple(caches))


class _DecoderLayer(nn.Module):
    """One layer: attention to the target so far, to the source, then a feed-forward part."""

    def __init__(
        self,
        attention: SelfAttention,
        look: MultiHeadAttention,
        forward: FeedForward,
        dropout: float,
        *,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.attention, self.look, self.feed_forward = attention, look, forward
        width = look.query_size
        self.first, self.second, self.third = (Part(width, dropout, pre_norm=pre_norm) for _ in range(3))

    def forward(self, xs: Tensor, frame: Frame, cache: Cache, memory: Memory) -> tuple[Tensor, Cache, Tensor]:
        """Return `(batch, time, width)`, the cache, and weights `(time, batch, source)`."""
        ys, cache = self.attention(self.first.before(xs), frame, cache)
        xs = self.first.after(xs, ys)
        contexts, weights = self.look(self.second.before(xs).transpose(0, 1), memory)
        xs = self.second.after(xs, contexts.transpose(0, 1))
        return self.third.after(xs, self.feed_forward(self.third.before(xs))), cache, weights


def _embedding(tokens: int, width: int) -> nn.Embedding:
    table = nn.Embedding(tokens, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table
