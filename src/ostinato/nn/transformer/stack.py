"""A Transformer that can stand where a recurrent stack stands: over whole sequences, in chunks, or step by step."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn.norms import check_features
from ostinato.nn.products import QuickLinear
from ostinato.nn.transformer.blocks import Activation, Cache, FeedForward, Frame, Part, SelfAttention
from ostinato.nn.transformer.positions import LearnedPositions, sinusoids

Positions = Literal["sinusoidal", "learned", "rotary"]
Caches: TypeAlias = "tuple[tuple[Tensor, Tensor, Tensor], ...]"


class TransformerStack(nn.Module):
    """Transformer layers under the interface of `Recurrent`.

    A causal stack has a state, the keys and values of what it has read: a sequence in chunks gives what it gives whole,
    and `ostinato.stepper` runs it step by step. With `context` that state is bounded. A stack that is not causal reads
    whole sequences, as a bidirectional one does.

    Args:
        input_size: features of a step; led through a linear layer if they are not `hidden_size`.
        hidden_size: features within and of outputs.
        num_layers: how many layers.
        heads: of attention; they share `hidden_size` evenly.
        feed_forward: features inside the feed-forward parts; four times `hidden_size` if left out.
        causal: whether a step looks only at itself and those before.
        context: how many of the latest steps a step looks at, itself included; `None` for all.
        positions: how steps know where they stand: `"sinusoidal"`, `"learned"` or `"rotary"`.
        max_positions: how many places are learned.
        activation: `"gelu"`, `"relu"` or `"swiglu"`.
        pre_norm: normalise before each part and once at the end, rather than after each part.
        dropout: in training, on inputs, weights and parts' outputs.
        batch_first: whether sequences are `(batch, time, features)`.

    Raises:
        UsageError: a setting is out of range.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    >>> import torch
    >>> stack = TransformerStack(3, 8, num_layers=2, heads=2).eval()
    >>> xs = torch.randn(7, 2, 3)
    >>> ys, last = stack(xs, lengths=torch.tensor([7, 4]))
    >>> first, state = stack(xs[:5])
    >>> torch.allclose(stack(xs[5:], state)[0][:, :1], ys[5:, :1], atol=1e-5)
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 2,
        *,
        heads: int = 4,
        feed_forward: int | None = None,
        causal: bool = True,
        context: int | None = None,
        positions: Positions = "sinusoidal",
        max_positions: int = 1024,
        activation: Activation = "gelu",
        pre_norm: bool = True,
        dropout: float = 0.0,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        if positions not in ("sinusoidal", "learned", "rotary"):
            raise UsageError(f'positions is {positions!r}; expected "sinusoidal", "learned" or "rotary"')
        if num_layers < 1 or (context is not None and context < 1):
            raise UsageError(f"num_layers is {num_layers} and context {context}; expected one or more")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.causal, self.bidirectional, self.batch_first = causal, not causal, batch_first
        self.positions = positions
        self.input = QuickLinear(input_size, hidden_size) if input_size != hidden_size else nn.Identity()
        self.learned = LearnedPositions(max_positions, hidden_size) if positions == "learned" else None
        self.dropout = nn.Dropout(dropout)
        rotary = positions == "rotary"
        self.layers = nn.ModuleList(
            _Layer(
                SelfAttention(hidden_size, heads, causal=causal, context=context, rotary=rotary, dropout=dropout),
                FeedForward(hidden_size, feed_forward or 4 * hidden_size, activation, dropout),
                dropout,
                pre_norm=pre_norm,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size) if pre_norm else nn.Identity()

    def forward(
        self, xs: Tensor, state: Caches | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Caches]:
        """Run over time; see `Recurrent.forward`. The state is `(keys, values, places)` for each layer.

        Raises:
            ShapeError: `xs` has other features.
            UsageError: a state is given to a stack that is not causal.
        """
        check_features(xs, self.input_size)
        if state is not None and not self.causal:
            raise UsageError("a stack that is not causal reads whole sequences; it takes no state")
        rows = xs if self.batch_first else xs.transpose(0, 1)
        frame = frame_of(rows, state, lengths)
        if frame.real is not None:
            rows = rows.masked_fill(~frame.real[..., None], 0.0)
        rows = self.dropout(self._placed(self.input(rows), frame.places))
        caches = []
        for index, layer in enumerate(self.layers):
            rows, cache = layer(rows, frame, None if state is None else Cache(*state[index]))
            caches.append(tuple(cache))
        ys = self.norm(rows)
        if frame.real is not None:
            ys = ys.masked_fill(~frame.real[..., None], 0.0)
        return (ys if self.batch_first else ys.transpose(0, 1)), cast(Caches, tuple(caches))

    def step(self, x: Tensor, state: Caches) -> tuple[Tensor, Caches]:
        """Advance one step: `x` is `(batch, features)`.

        Raises:
            UsageError: the stack is not causal.
        """
        if not self.causal:
            raise UsageError("a stack that is not causal cannot run step by step: it reads whole sequences")
        ys, state = self.forward(x[:, None] if self.batch_first else x[None], state)
        return (ys[:, 0] if self.batch_first else ys[0]), state

    def initial_state(self, x: Tensor) -> Caches:
        """Return empty caches for one step `x` of shape `(batch, features)`."""
        empty = x.new_zeros(x.shape[0], 0, self.hidden_size)
        places = torch.zeros((x.shape[0], 0), dtype=torch.long, device=x.device)
        return tuple((empty, empty, places) for _ in self.layers)

    def _placed(self, rows: Tensor, places: Tensor) -> Tensor:
        if self.learned is not None:
            vectors: Tensor = self.learned(places)
            return rows + vectors
        if self.positions == "sinusoidal":
            # inputs as large as what tells them apart
            scale = math.sqrt(self.hidden_size) if isinstance(self.input, nn.Identity) else 1.0
            return rows * scale + sinusoids(places, self.hidden_size).to(rows.dtype)
        return rows


class _Layer(nn.Module):
    """One layer: attention to the sequence itself, then a feed-forward part."""

    def __init__(self, attention: SelfAttention, forward: FeedForward, dropout: float, *, pre_norm: bool) -> None:
        super().__init__()
        width = attention.output.out_features
        self.attention, self.feed_forward = attention, forward
        self.first, self.second = (Part(width, dropout, pre_norm=pre_norm) for _ in range(2))

    def forward(self, xs: Tensor, frame: Frame, cache: Cache | None) -> tuple[Tensor, Cache]:
        """Return `(batch, time, width)` and the cache."""
        ys, cache = self.attention(self.first.before(xs), frame, cache)
        xs = self.first.after(xs, ys)
        return self.second.after(xs, self.feed_forward(self.second.before(xs))), cache


def frame_of(rows: Tensor, state: Any, lengths: Tensor | None) -> Frame:
    """Return where the steps of `(batch, time, ...)` stand after those of a state."""
    batch, time = rows.shape[:2]
    steps = torch.arange(time, device=rows.device)
    first = torch.zeros(batch, dtype=torch.long, device=rows.device)
    if state is not None and state[0][2].shape[1]:
        first = state[0][2].max(1).values + 1
    real = None if lengths is None else steps < lengths.to(rows.device)[:, None]
    return Frame(first[:, None] + steps, real)
