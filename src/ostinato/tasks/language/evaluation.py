"""How well a language model foretells a text it has not seen, beside models that only count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ostinato.errors import DataError
from ostinato.nn.losses import bits_per_character, perplexity
from ostinato.tasks.language.network import LanguageNetwork

_PIECE = 512


@dataclass(frozen=True)
class LanguageScores:
    """The mean negative log-likelihood of a token, in nats, of the model and of its baselines."""

    protocol: str
    tokens: int
    """How many were foretold."""
    unknown: float
    """The share of them that the vocabulary does not have; foretelling "unknown" counts as right."""
    losses: Mapping[str, float]
    """`"model"` and the baselines' names."""

    @property
    def perplexity(self) -> float:
        """Of the model."""
        return perplexity(self.losses["model"])

    @property
    def bits(self) -> float:
        """Of the model, a token."""
        return bits_per_character(self.losses["model"])

    def plain(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        return {"tokens": self.tokens, "losses": dict(self.losses), "perplexity": self.perplexity}

    def __str__(self) -> str:
        lines = [f"{self.protocol}; {self.tokens:,} tokens, {100 * self.unknown:.1f} % of them unknown", ""]
        lines.append(f"{'':>24} {'nats':>8} {'bits':>8} {'perplexity':>11}")
        for name, loss in self.losses.items():
            lines.append(f"{name:>24} {loss:8.4f} {bits_per_character(loss):8.4f} {perplexity(loss):11.2f}")
        return "\n".join(lines)


def corpus_loss(network: LanguageNetwork, corpus: NDArray[np.int32]) -> float:
    """Return the mean negative log-likelihood of a text, read from its beginning to its end as one stream.

    Raises:
        DataError: the text has fewer than two tokens.
    """
    return float(token_losses(network, corpus).mean())


def token_losses(network: LanguageNetwork, corpus: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each token but the first, in nats, `(tokens - 1,)`; see `corpus_loss`."""
    if len(corpus) < 2:
        raise DataError(f"the text has {len(corpus)} tokens; expected two or more, to read and to foretell")
    tokens = torch.from_numpy(np.asarray(corpus, np.int64))[:, None]
    losses, state = np.empty(len(tokens) - 1), None
    training = network.training
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(tokens) - 1, _PIECE):
            stop = min(start + _PIECE, len(tokens) - 1)
            scores, _, state = _read(network, tokens[start:stop], state)
            own = functional.cross_entropy(scores[:, 0], tokens[start + 1 : stop + 1, 0], reduction="none")
            losses[start:stop] = own.numpy()
    network.train(training)
    return losses


def _read(network: LanguageNetwork, tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
    found: tuple[torch.Tensor, torch.Tensor, Any] = network(tokens, state)
    return found
