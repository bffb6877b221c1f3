"""What Transformer layers are made of: attention to oneself with a memory of what was read, and feed-forward parts."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.nn.products import QuickLinear
from ostinato.nn.transformer.positions import rotated

Activation = Literal["relu", "gelu", "swiglu"]


class Cache(NamedTuple):
    """Keys and values of the steps that a layer has read; what is its state."""

    keys: Tensor
    """`(batch, past, width)`."""
    values: Tensor
    """`(batch, past, width)`."""
    places: Tensor
    """`(batch, past)`: the places of the steps, or -1 where a slot holds padding."""


class Frame(NamedTuple):
    """Where the steps of a call stand, the same for all layers."""

    places: Tensor
    """`(batch, time)`: from the beginning of each sequence."""
    real: Tensor | None
    """Boolean `(batch, time)`; `None` where all are."""


class SelfAttention(nn.Module):
    """Multi-head attention of the steps of a sequence to one another.

    Args:
        width: features.
        heads: how many.
        causal: whether a step looks only at itself and those before it.
        context: how many of the latest steps it looks at, itself included; `None` for all.
        rotary: whether places turn queries and keys.
        dropout: on weights, in training.
    """

    def __init__(
        self, width: int, heads: int, *, causal: bool, context: int | None, rotary: bool, dropout: float
    ) -> None:
        super().__init__()
        if width % heads or (rotary and (width // heads) % 2):
            what = "an even multiple" if rotary else "a multiple"
            raise UsageError(f"hidden_size is {width}; expected {what} of the {heads} heads")
        self.heads, self.causal, self.context = heads, causal, context
        self.rotary, self.dropout = rotary, dropout
        self.inputs = QuickLinear(width, 3 * width)
        self.output = QuickLinear(width, width)

    def forward(self, xs: Tensor, frame: Frame, cache: Cache | None) -> tuple[Tensor, Cache]:
        """Look at steps `(batch, time, width)` and at those of the cache; return outputs, and the cache with both."""
        query, keys, values = self.inputs(xs).chunk(3, -1)
        if self.rotary:
            query, keys = (
                rotated(self._split(each), frame.places).transpose(1, 2).flatten(2) for each in (query, keys)
            )
        places = frame.places if frame.real is None else frame.places.masked_fill(~frame.real, -1)
        known = Cache(keys, values, places)
        if cache is not None and cache.places.shape[1]:
            known = Cache(*(torch.cat(parts, 1) for parts in zip(cache, known, strict=True)))
        alone = known.keys.shape[1] == xs.shape[1] and frame.real is None
        whole = self.context is None or known.keys.shape[1] <= self.context
        mask = None if alone and whole else self._mask(frame, known)
        attended = functional.scaled_dot_product_attention(
            self._split(query), self._split(known.keys), self._split(known.values), mask,
            self.dropout if self.training else 0.0, is_causal=mask is None and self.causal,
        )  # fmt: skip
        return self.output(attended.transpose(1, 2).flatten(2)), self._latest(known)

    def _split(self, xs: Tensor) -> Tensor:
        """Return `(batch, time, width)` by heads, `(batch, heads, time, width of one)`."""
        return xs.view(*xs.shape[:2], self.heads, xs.shape[2] // self.heads).transpose(1, 2)

    def _mask(self, frame: Frame, known: Cache) -> Tensor:
        """Return which steps each step looks at, `(batch, 1, time, known)`."""
        places, others = frame.places[:, :, None], known.places[:, None, :]
        seen = (others >= 0).expand(-1, places.shape[1], -1)
        if self.causal:
            seen = seen & (others <= places)
        if self.context is not None:
            seen = seen & (places - others < self.context)
        # a padded step looks at itself: without anything to look at its numbers, though unused, would be NaN
        steps, all_steps = places.shape[1], others.shape[2]
        itself = torch.eye(steps, dtype=torch.bool, device=places.device)
        return (seen | functional.pad(itself, (all_steps - steps, 0)))[:, None]

    def _latest(self, known: Cache) -> Cache:
        """Return what later steps may still look at."""
        if self.context is None or known.places.shape[1] < self.context:
            return known
        count = self.context - 1
        order = torch.argsort(known.places, dim=1, stable=True)[:, known.places.shape[1] - count :]
        spread = order[..., None].expand(-1, -1, known.keys.shape[2])
        return Cache(known.keys.gather(1, spread), known.values.gather(1, spread), known.places.gather(1, order))


class FeedForward(nn.Module):
    """Two layers on each step; `"swiglu"` gates one product by another (N. Shazeer, arXiv 2002.05202, 2020)."""

    def __init__(self, width: int, hidden: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        if activation not in ("relu", "gelu", "swiglu"):
            raise UsageError(f'activation is {activation!r}; expected "relu", "gelu" or "swiglu"')
        self.activation, self.dropout = activation, nn.Dropout(dropout)
        self.inner = QuickLinear(width, 2 * hidden if activation == "swiglu" else hidden)
        self.outer = QuickLinear(hidden, width)

    def forward(self, xs: Tensor) -> Tensor:
        """Return `(..., width)` of `(..., width)`."""
        inner = self.inner(xs)
        if self.activation == "swiglu":
            gate, value = inner.chunk(2, -1)
            inner = functional.silu(gate) * value
        else:
            inner = functional.relu(inner) if self.activation == "relu" else functional.gelu(inner)
        outer: Tensor = self.outer(self.dropout(inner))
        return outer


class Part(nn.Module):
    """The frame around each part of a layer: normalisation before it (or after), dropout, and a way around it.

    Source of the order: R. Xiong et al., "On layer normalization in the Transformer architecture", ICML 2020.
    """

    def __init__(self, width: int, dropout: float, *, pre_norm: bool) -> None:
        super().__init__()
        self.norm, self.dropout, self.pre_norm = nn.LayerNorm(width), nn.Dropout(dropout), pre_norm

    def before(self, xs: Tensor) -> Tensor:
        """Return what the part reads."""
        read: Tensor = self.norm(xs) if self.pre_norm else xs
        return read

    def after(self, xs: Tensor, ys: Tensor) -> Tensor:
        """Return the part's output `ys` joined with what came in."""
        joined = xs + self.dropout(ys)
        given: Tensor = joined if self.pre_norm else self.norm(joined)
        return given
