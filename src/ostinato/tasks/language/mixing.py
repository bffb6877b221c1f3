"""A network and n-grams as one model: a gate gives each its share of the next token, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.tasks.base.kneser_ney import KneserNey

Floats = NDArray[np.float64]
_UNITS = 16
_LEAST_LEFT = 1e-3
_PENALTY, _PLACES = 1e-3, 5.0
_TURNS = 60


@dataclass(frozen=True)
class Gate:
    """The share of the network in the probabilities of the next token, by what is known before it comes.

    A layer of tanh units, and a logistic one, over `seen_by` of the gate.

    Args:
        means, scales: `(features,)`, of what it sees.
        hidden: `(units, features)`; hidden_bias: `(units,)`.
        out: `(units,)`; out_bias: `(1,)`.

    Raises:
        ValueError: the sizes do not belong together, as in a file that was changed.
    """

    means: Floats
    scales: Floats
    hidden: Floats
    hidden_bias: Floats
    out: Floats
    out_bias: Floats

    def __post_init__(self) -> None:
        """Hold the sizes against each other."""
        units, features = self.hidden.shape
        shapes = [(features,), (features,), (units,), (units,), (1,)]
        arrays = [self.means, self.scales, self.hidden_bias, self.out, self.out_bias]
        if [one.shape for one in arrays] != shapes or not (self.scales > 0).all():
            raise ValueError("the parts of a gate do not belong together")
        if not all(np.isfinite(one).all() for one in (*arrays, self.hidden)):
            raise ValueError("a gate has a number that is not finite")

    @classmethod
    def even(cls, order: int) -> Gate:
        """Return a gate that gives the network half, where nothing is known of how good either is."""
        features = features_of(order)
        zeros = np.zeros(_UNITS)
        return cls(np.zeros(features), np.ones(features), np.zeros((_UNITS, features)), zeros, zeros, np.zeros(1))

    @property
    def features(self) -> int:
        """How many numbers it sees at a place."""
        return len(self.means)

    def shares(self, seen: Floats, offset: float = 0.0) -> Floats:
        """Return the share of the network at each place, `(places,)`, for `(places, features)`.

        Args:
            seen: see `seen_by_gate`.
            offset: added to the logit of each share.
        """
        units = np.tanh((seen - self.means) / self.scales @ self.hidden.T + self.hidden_bias)
        found: Floats = 1.0 / (1.0 + np.exp(-np.clip(units @ self.out + self.out_bias[0] + offset, -30.0, 30.0)))
        return found


@dataclass(frozen=True)
class Mixture:
    """The probabilities of a network and of n-grams, mixed by a gate: `share * network + (1 - share) * n-grams`.

    Args:
        ngrams: of the training text.
        gate: fitted on text that they have not counted.
    """

    ngrams: KneserNey
    gate: Gate

    @property
    def reach(self) -> int:
        """How many tokens before the next one n-grams look at."""
        return self.ngrams.order - 1

    def losses(self, scores: Tensor, text: NDArray[np.int64], given: int, offset: float = 0.0) -> tuple[Tensor, float]:
        """Return the loss of tokens, in nats, `(places,)`, and where they pull the gate: above 0, to the network.

        Args:
            scores: of the network, `(places, vocabulary)`.
            text: the tokens, and before them `given` ones that they are read after, `reach` if there are as many.
            given: how many of these are context alone.
            offset: added to the logit of the network's share.
        """
        logs = scores.double().log_softmax(-1)
        reading = self.ngrams.read(text, given=given)
        network_logs = logs.gather(1, torch.from_numpy(text[given:])[:, None])[:, 0].numpy()
        shares = self.gate.shares(seen_by_gate(logs, reading.left), offset)
        losses = mixed_losses(network_logs, reading.probabilities[-1], shares)
        # the gradient of the likelihood by the logit: what each share would have been, its token known, less the share
        pull = float((shares * (np.exp(network_logs + losses) - 1.0)).sum())
        return torch.from_numpy(losses), pull

    def logs(self, scores: Tensor, context: Sequence[int]) -> Tensor:
        """Return the log-probabilities of all tokens after a context, `(vocabulary,)`, by the network's scores."""
        logs = scores.double().log_softmax(-1)
        probabilities, left = self.ngrams.distributions(context)
        share = float(self.gate.shares(seen_by_gate(logs[None], left[:, None]))[0])
        return (share * logs.exp() + (1.0 - share) * torch.from_numpy(probabilities[-1])).log()


def mixed_losses(logs: Floats, probabilities: Floats, shares: Floats) -> Floats:
    """Return the loss of a mixture: of a network by its log-probabilities, of n-grams by their probabilities."""
    with np.errstate(divide="ignore"):
        found: Floats = -np.logaddexp(np.log(shares) + logs, np.log1p(-shares) + np.log(probabilities))
    return found


def seen_by_gate(logs: Tensor, left: Floats) -> Floats:
    """Return what a gate goes by, `(places, features)`.

    It is the entropy of the network and its highest log-probability; and for each length of a context, what it leaves
    to shorter ones, as a logarithm, and whether it was seen at all.

    Args:
        logs: log-probabilities of the network, `(places, vocabulary)`.
        left: of the n-grams, `(orders, places)`.
    """
    entropy = -(logs.exp() * logs).nan_to_num(0.0).sum(-1)
    return np.stack(
        [entropy.numpy(), logs.amax(-1).numpy(), *np.log(np.maximum(left, _LEAST_LEFT)), *(left < 1).astype(float)], 1
    )


def fit_gate(logs: Floats, probabilities: Floats, seen: Floats) -> Gate:
    """Return the gate under which a held-out text is most likely.

    Its weights are held near zero, more so where there is little text; nothing of the text may have been counted by
    the n-grams, which know what they have counted by heart.

    Args:
        logs: the network's log-probabilities of the tokens that came, `(places,)`.
        probabilities: of the same tokens by the n-grams, `(places,)`.
        seen: see `seen_by_gate`.
    """
    means, scales = seen.mean(0), np.maximum(seen.std(0), 1e-3)
    xs, network_logs = torch.from_numpy((seen - means) / scales), torch.from_numpy(logs)
    other = torch.from_numpy(probabilities).log()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden = nn.Linear(seen.shape[1], _UNITS, dtype=torch.float64)
        out = nn.Linear(_UNITS, 1, dtype=torch.float64)
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)
    weights = [*hidden.parameters(), *out.parameters()]
    penalty = max(_PENALTY, _PLACES / len(logs))
    optimizer = torch.optim.LBFGS(weights, max_iter=_TURNS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        given = out(hidden(xs).tanh())[:, 0]
        likelihood = torch.logaddexp(
            nn.functional.logsigmoid(given) + network_logs, nn.functional.logsigmoid(-given) + other
        )
        size = penalty * (hidden.weight.square().sum() + out.weight.square().sum())
        value: Tensor = size + out.bias.square().sum() / len(logs) - likelihood.mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    own_weights = [weight.detach().numpy() for weight in weights]
    return Gate(means, scales, own_weights[0], own_weights[1], own_weights[2][0], own_weights[3])


def features_of(order: int) -> int:
    """Return how many numbers a gate sees, beside n-grams of an order."""
    return 2 + 2 * order
