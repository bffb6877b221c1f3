"""Reading a text as one stream: how well each token was predicted, by the model as it is or as it adapts."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
from ostinato.tasks.base.kneser_ney import KneserNey
from ostinato.tasks.base.units import Sums, Units, blocks, mean_of
from ostinato.tasks.language.adapting import Adapter, DynamicEvaluation
from ostinato.tasks.language.cache import Memory, NeuralCache
from ostinato.tasks.language.mixing import Mixture, seen_by_gate
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.texts import Tokens

Losses = NDArray[np.float64]
_PIECE = 512
_BLOCK = 200
_GATE_RATE, _FURTHEST = 0.1, 10.0
_SCORES = 1 << 24
_BEGINNINGS, _BEGINNING = 24, 100


@dataclass(frozen=True)
class NGrams:
    """What followed the few tokens before, see `KneserNey`; of the order that was best on the validation part."""

    model: KneserNey

    @property
    def called(self) -> str:
        """Its name, with the order."""
        return f"{self.model.order}-gram, Kneser-Ney"

    def predict(self, tokens: Tokens) -> Losses:
        """Return the loss of each token but the first, in nats."""
        return self.model.losses(tokens.numbers)


@dataclass(frozen=True)
class Unigrams:
    """The share of each token in training, each counted once more."""

    counts: NDArray[np.int64]

    def predict(self, tokens: Tokens) -> Losses:
        """Return the loss of each token but the first, in nats."""
        counts = self.counts + 1.0
        found: Losses = -np.log(counts[tokens.numbers[1:]] / counts.sum())
        return found


def measures(losses: Losses) -> dict[str, float]:
    """Return a mean loss as it is usually given, all of them a token."""
    loss = float(losses.mean())
    return {"nats": loss, "bits": bits_per_character(loss), "perplexity": perplexity(loss)}


def loss_units(losses: Losses) -> Units:
    """Return the measures by blocks of text, of 200 tokens or more: what is far apart hangs together little."""
    owners = blocks(len(losses), _BLOCK)
    count = int(owners[-1]) + 1
    nats, tokens = mean_of(losses, owners, count), np.bincount(owners, minlength=count)
    sums = Sums(np.stack([nats.values * tokens, tokens], -1), lambda each: np.exp(each[:, 0] / each[:, 1]))
    bits = mean_of(losses / math.log(2), owners, count)
    return Units(count, f"blocks of {int(tokens[0])} tokens", {"nats": nats, "bits": bits, "perplexity": sums})


def token_losses(
    network: LanguageNetwork,
    tokens: NDArray[Any],
    dynamic: DynamicEvaluation | None = None,
    cache: NeuralCache | None = None,
    mixture: Mixture | None = None,
) -> Losses:
    """Return the negative log-likelihood of each token but the first, in nats, `(tokens - 1,)`.

    Each token is scored before anything is learned or held of it.

    Args:
        network: left as it is.
        tokens: `(tokens,)`.
        dynamic: whether, and how, to learn while reading.
        cache: whether, and how, to mix in what came recently.
        mixture: the n-grams that the network is mixed with, `None` for none. They do not learn, but where the network
            does, the gate moves towards the one that predicted better.

    Raises:
        DataError: the text has fewer than two tokens.
    """
    if len(tokens) < 2:
        raise DataError(f"the text has {len(tokens)} tokens; expected two or more, to read and to predict")
    network = network if dynamic is None else deepcopy(network)
    adapter = None if dynamic is None else Adapter(network, dynamic)
    memory = None if cache is None else Memory(cache)
    numbers = torch.from_numpy(np.asarray(tokens, np.int64))
    losses, state, offset = np.empty(len(numbers) - 1), None, 0.0
    training = network.training
    network.eval()
    with torch.inference_mode(adapter is None):
        for first, stop in _pieces(len(losses), network, _PIECE if dynamic is None else dynamic.steps):
            targets = numbers[first + 1 : stop + 1]
            features, _, state = network.read(numbers[first:stop, None], state)
            scores = network.scores(features[:, 0])
            known, pull = known_losses(scores.detach(), numbers.numpy(), first, stop, mixture, offset)
            if memory is not None:
                known = memory.mixed(features[:, 0].detach(), targets, known)
            losses[first:stop] = known.numpy()
            if adapter is not None:
                offset = min(max(offset + _GATE_RATE * pull, -_FURTHEST), _FURTHEST)
                adapter.learn(functional.cross_entropy(scores, targets))
                state = map_state(Tensor.detach, state)
    network.train(training)
    return losses


def read_both(network: LanguageNetwork, ngrams: KneserNey, tokens: NDArray[Any]) -> tuple[Losses, Losses, Losses]:
    """Return what a gate is fitted on, of each token of a text but the first.

    Returns:
        The network's log-probabilities and the n-grams' probabilities, `(tokens - 1,)`, and what a gate sees,
        `(tokens - 1, features)`.
    """
    numbers, state = torch.from_numpy(np.asarray(tokens, np.int64)), None
    reading = ngrams.read(tokens)
    network_logs, seen = [], []
    with torch.inference_mode():
        for first, stop in _pieces(len(numbers) - 1, network, _PIECE):
            features, _, state = network.read(numbers[first:stop, None], state)
            logs = network.scores(features[:, 0]).double().log_softmax(-1)
            network_logs.append(logs.gather(1, numbers[first + 1 : stop + 1, None])[:, 0].numpy())
            seen.append(seen_by_gate(logs, reading.left[:, first:stop]))
    return np.concatenate(network_logs), reading.probabilities[-1], np.concatenate(seen)


def read_for_gate(network: LanguageNetwork, ngrams: KneserNey, tokens: NDArray[Any]) -> tuple[Losses, Losses, Losses]:
    """Return what a gate is fitted on: a text, as `read_both` has it, and beginnings within it, each read by itself.

    A text that is read as one stream begins once, but later ones begin anywhere, and how much a network knows at a
    beginning is another matter.
    """
    last = len(tokens) - _BEGINNING
    firsts = np.linspace(0, last, _BEGINNINGS).astype(int).tolist() if last >= _BEGINNINGS * _BEGINNING else []
    parts = [read_both(network, ngrams, tokens)]
    parts += [read_both(network, ngrams, tokens[first : first + _BEGINNING]) for first in firsts]
    logs, probabilities, seen = (np.concatenate(each) for each in zip(*parts, strict=True))
    return logs, probabilities, seen


def known_losses(
    scores: Tensor, text: NDArray[np.int64], first: int, stop: int, mixture: Mixture | None, offset: float = 0.0
) -> tuple[Tensor, float]:
    """Return the losses of the tokens after places `first` to `stop` of a text, `(places,)`, in nats.

    Beside them stands where they pull the gate, see `Mixture.losses`.

    Args:
        scores: of the network, `(places, vocabulary)`.
        text: what is read, and as much before it as n-grams look at.
        first: where the places begin.
        stop: where they end.
        mixture: the n-grams that the network is mixed with.
        offset: of the gate.
    """
    if mixture is None:
        targets = torch.from_numpy(text[first + 1 : stop + 1])
        return functional.cross_entropy(scores, targets, reduction="none").double(), 0.0
    begin = max(0, first + 1 - mixture.reach)
    return mixture.losses(scores, text[begin : stop + 1], first + 1 - begin, offset)


def _pieces(count: int, network: LanguageNetwork, most: int) -> Iterator[tuple[int, int]]:
    together = max(1, min(most, _SCORES // network.embedding.weight.shape[0]))
    return ((first, min(first + together, count)) for first in range(0, count, together))
