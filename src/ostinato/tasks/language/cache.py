"""A neural cache: what came recently is likely to come again where the model is in a like state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ostinato.errors import UsageError


@dataclass(frozen=True)
class NeuralCache:
    """A mixture of the model with the tokens it has read recently.

    A token `x[i + 1]` that came after the output `h[i]` has the weight `exp(flatness * h[t] . h[i])` at `t`; the
    weights of each token, as shares, are the cache's probabilities.

    Args:
        window: how many tokens it holds.
        flatness: theta in the paper; 0: each token by how often it came.
        share: lambda in the paper: that of the cache in the mixture.

    Raises:
        UsageError: a number is out of range.

    Source: E. Grave, A. Joulin and N. Usunier, "Improving neural language models with a continuous cache", ICLR 2017.
    """

    window: int = 500
    flatness: float = 0.3
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UsageError(f"window is {self.window}; expected one or more")
        if self.flatness < 0:
            raise UsageError(f"flatness is {self.flatness}; expected 0 or more")
        if not 0 <= self.share < 1:
            raise UsageError(f"share is {self.share}; expected a share from 0 to 1, 1 excluded")


class Memory:
    """What a cache holds: outputs, and the tokens that came after them."""

    def __init__(self, cache: NeuralCache) -> None:
        self.cache = cache
        self.outputs: Tensor | None = None  # (held, features)
        self.tokens = torch.zeros(0, dtype=torch.long)

    def mixed(self, features: Tensor, targets: Tensor, losses: Tensor) -> Tensor:
        """Return the losses of the mixture, and then hold the piece.

        Args:
            features: `(steps, features)`, the outputs in a row.
            targets: `(steps,)`, the tokens that came after each; each is held only for the outputs after it.
            losses: `(steps,)`, the model's own, in nats.
        """
        held = 0 if self.outputs is None else len(self.outputs)
        outputs = features if self.outputs is None else torch.cat([self.outputs, features])
        tokens = torch.cat([self.tokens, targets])
        here, there = held + torch.arange(len(features))[:, None], torch.arange(len(outputs))
        seen = (there < here) & (there >= here - self.cache.window)
        scores = (self.cache.flatness * features @ outputs.T).masked_fill(~seen, -math.inf)
        shares = torch.nan_to_num(scores.softmax(1))  # no numbers where nothing has been seen
        cached = (shares * (tokens == targets[:, None])).sum(1).double()
        known = seen.any(1)
        part = self.cache.share
        mixture = ((1 - part) * (-losses).exp() + part * cached).log().neg()
        self._hold(outputs, tokens)
        return torch.where(known, mixture, losses)

    def scores(self, feature: Tensor, scores: Tensor) -> Tensor:
        """Return the logarithms of the mixture's probabilities, `(vocabulary,)`, after one output `(features,)`."""
        logs = scores.log_softmax(-1)
        if self.outputs is None:
            return logs
        weights = (self.cache.flatness * self.outputs @ feature).softmax(0)
        cached = torch.zeros_like(logs).index_add_(0, self.tokens, weights.to(logs.dtype))
        return ((1 - self.cache.share) * logs.exp() + self.cache.share * cached).log()

    def hold(self, feature: Tensor, token: int) -> None:
        """Hold one output `(features,)` and the token that came after it."""
        outputs = feature[None] if self.outputs is None else torch.cat([self.outputs, feature[None]])
        self._hold(outputs, torch.cat([self.tokens, torch.tensor([token])]))

    def _hold(self, outputs: Tensor, tokens: Tensor) -> None:
        self.outputs, self.tokens = outputs[-self.cache.window :], tokens[-self.cache.window :]
