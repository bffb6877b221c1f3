"""How well a language model foretells a text it has not seen, beside models that only count."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.engine import map_state
from ostinato.errors import DataError
from ostinato.nn.losses import bits_per_character, perplexity
from ostinato.tasks.language.adapting import Adapter, DynamicEvaluation
from ostinato.tasks.language.cache import Memory, NeuralCache
from ostinato.tasks.language.network import LanguageNetwork

_PIECE = 512
_SCORES = 1 << 24


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


def corpus_loss(
    network: LanguageNetwork,
    corpus: NDArray[np.int32],
    dynamic: DynamicEvaluation | None = None,
    cache: NeuralCache | None = None,
) -> float:
    """Return the mean negative log-likelihood of a text, read from its beginning to its end as one stream.

    Raises:
        DataError: the text has fewer than two tokens.
    """
    return float(token_losses(network, corpus, dynamic, cache).mean())


def token_losses(
    network: LanguageNetwork,
    corpus: NDArray[np.int32],
    dynamic: DynamicEvaluation | None = None,
    cache: NeuralCache | None = None,
) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each token but the first, in nats, `(tokens - 1,)`.

    Each token is scored before anything is learned or held of it.

    Args:
        network: left as it is.
        corpus: `(tokens,)`.
        dynamic: whether, and how, to go on learning while reading.
        cache: whether, and how, to mix in what came lately.

    Raises:
        DataError: the text has fewer than two tokens.
    """
    if len(corpus) < 2:
        raise DataError(f"the text has {len(corpus)} tokens; expected two or more, to read and to foretell")
    network = network if dynamic is None else deepcopy(network)
    adapter = None if dynamic is None else Adapter(network, dynamic)
    memory = None if cache is None else Memory(cache)
    tokens = torch.from_numpy(np.asarray(corpus, np.int64))
    losses, state = np.empty(len(tokens) - 1), None
    together = _PIECE if dynamic is None else dynamic.steps
    together = max(1, min(together, _SCORES // network.settings.vocabulary_size))
    training = network.training
    network.eval()
    with torch.inference_mode(adapter is None):
        for start in range(0, len(tokens) - 1, together):
            stop = min(start + together, len(tokens) - 1)
            targets = tokens[start + 1 : stop + 1]
            features, _, state = network.read(tokens[start:stop, None], state)
            own = functional.cross_entropy(network.scores(features[:, 0]), targets, reduction="none")
            known = own.detach().double()
            if memory is not None:
                known = memory.mixed(features[:, 0].detach(), targets, known)
            losses[start:stop] = known.numpy()
            if adapter is not None:
                adapter.learn(own.mean())
                state = map_state(Tensor.detach, state)
    network.train(training)
    return losses
