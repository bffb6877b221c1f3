"""Scores over a vocabulary, and their loss: of all tokens, or of some where there are very many.

A layer here gives exact scores, `(..., vocabulary)`, with probabilities as softmax, and `loss`, a mean in nats; they
differ in what the loss costs in training.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.output import linear_cross_entropy
from ostinato.nn.products import QuickLinear

Proposal = Literal["unigram", "log_uniform"]
_NARROWER = 4.0


class FullSoftmax(QuickLinear):
    """A linear layer; its loss is the cross-entropy over the whole vocabulary.

    >>> import torch
    >>> layer = FullSoftmax(3, 5)
    >>> xs, targets = torch.randn(7, 2, 3), torch.randint(5, (7, 2))
    >>> found, expected = layer.loss(xs, targets), functional.cross_entropy(layer(xs).flatten(0, 1), targets.flatten())
    >>> torch.allclose(found, expected)
    True
    """

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of `targets`, `(...)`, those of -100 left out; `features` are `(..., width)`."""
        return linear_cross_entropy(features, self.weight, targets, self.bias)


class SampledSoftmax(FullSoftmax):
    """A linear layer whose loss, in training, is over the target and some tokens that are drawn, shared by a batch.

    The sum over the vocabulary is estimated by `samples` tokens drawn with replacement, each weighted by one over how
    often it was to be expected; the target itself is in the sum for certain, and left out of what is drawn. As samples
    grow the gradient becomes that of the whole softmax. In evaluation the loss is exact.

    Args:
        width: features.
        size: of the vocabulary.
        samples: how many tokens are drawn for a batch.
        probabilities: `(size,)`, what they are drawn by, see `proposal`; `None`: all alike.

    Raises:
        ShapeError: `probabilities` is of another size.
        UsageError: there are no samples, or a probability is not above 0.

    Sources: Y. Bengio and J.-S. Senecal, "Adaptive importance sampling to accelerate training of a neural probabilistic
    language model", IEEE Transactions on Neural Networks, 2008; S. Jean et al., "On using very large target vocabulary
    for neural machine translation", ACL 2015.
    """

    cumulated: Tensor
    expected: Tensor

    def __init__(self, width: int, size: int, samples: int, probabilities: NDArray[np.float64] | None = None) -> None:
        super().__init__(width, size)
        if samples < 1:
            raise UsageError(f"samples is {samples}; expected one or more")
        given = np.full(size, 1.0 / size) if probabilities is None else np.asarray(probabilities, np.float64)
        if given.shape != (size,):
            raise ShapeError(f"probabilities have shape {given.shape}; expected ({size},)")
        if not given.min() > 0:
            raise UsageError("probabilities holds one that is not above 0; expected that every token can be drawn")
        self.samples = samples
        shares = torch.from_numpy(given / given.sum())
        self.register_buffer("cumulated", shares.cumsum(0))
        self.register_buffer("expected", (shares.log() + math.log(samples)).float())

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of `targets`, `(...)`, those of -100 left out; `features` are `(..., width)`."""
        if not self.training:
            return super().loss(features, targets)
        rows, wanted = _real(features, targets)
        places = torch.rand(self.samples, device=rows.device, dtype=torch.float64)
        drawn = torch.searchsorted(self.cumulated, places).clamp_(max=self.out_features - 1)
        # one look-up for both, so that there is one gradient as large as the matrix and not two
        used = functional.embedding(torch.cat([wanted, drawn]), self.weight)
        offsets = self.bias[torch.cat([wanted, drawn])]
        wanted_scores = (rows * used[: len(wanted)]).sum(1) + offsets[: len(wanted)]
        others = functional.linear(rows, used[len(wanted) :], offsets[len(wanted) :] - self.expected[drawn])
        others = others.masked_fill(wanted[:, None] == drawn, -math.inf)
        return (torch.logaddexp(wanted_scores, others.logsumexp(1)) - wanted_scores).mean()


class AdaptiveSoftmax(nn.Module):
    """Frequent tokens by themselves; rare ones in clusters, each with a narrower layer that is computed when needed.

    Args:
        width: features.
        size: of the vocabulary.
        cutoffs: how many of the most frequent tokens stand by themselves, and where each cluster but the last ends; see
            `adaptive_cutoffs`.
        counts: `(size,)`, how often each token occurs, by which they are put in order; `None`: they are in order.

    Raises:
        ShapeError: `counts` is of another size.
        UsageError: the cutoffs do not rise from 1 to less than `size`.

    Source: E. Grave, A. Joulin, M. Cisse, D. Grangier and H. Jegou, "Efficient softmax approximation for GPUs", ICML
    2017.

    >>> import torch
    >>> layer = AdaptiveSoftmax(8, 100, (10, 40))
    >>> layer(torch.randn(3, 8)).exp().sum(1).allclose(torch.ones(3))
    True
    """

    rank: Tensor

    def __init__(
        self, width: int, size: int, cutoffs: tuple[int, ...], counts: NDArray[np.int64] | None = None
    ) -> None:
        super().__init__()
        if not cutoffs or any(a >= b for a, b in pairwise((0, *cutoffs, size))):
            raise UsageError(f"cutoffs are {cutoffs}; expected rising numbers from 1 to {size - 1}")
        if counts is not None and counts.shape != (size,):
            raise ShapeError(f"counts have shape {counts.shape}; expected ({size},)")
        self.layers = nn.AdaptiveLogSoftmaxWithLoss(
            width, size, list(cutoffs), _narrower(width, len(cutoffs)), head_bias=True
        )
        order = np.arange(size) if counts is None else np.argsort(-counts, kind="stable")
        rank = torch.empty(size, dtype=torch.long)
        rank[torch.from_numpy(order)] = torch.arange(size)
        self.register_buffer("rank", rank)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logarithms of all tokens' probabilities, `(..., vocabulary)`, for features `(..., width)`."""
        found: Tensor = self.layers.log_prob(features.reshape(-1, features.shape[-1]))
        return found[:, self.rank].view(*features.shape[:-1], len(self.rank))

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of `targets`, `(...)`, those of -100 left out; `features` are `(..., width)`."""
        rows, wanted = _real(features, targets)
        found: Tensor = self.layers(rows, self.rank[wanted]).loss
        return found


def _real(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    rows, wanted = features.flatten(0, -2), targets.flatten()
    real = wanted >= 0
    return (rows, wanted) if bool(real.all()) else (rows[real], wanted[real])


def proposal(kind: Proposal, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by what probabilities a sampled softmax draws tokens.

    Args:
        kind: `"unigram"`: by counts to the power of 0.75 (T. Mikolov et al., NIPS 2013), each counted once more;
            `"log_uniform"`: by Zipf's law over the order of counts.
        counts: `(size,)`, how often each token occurs.

    Raises:
        UsageError: the kind is not known.

    >>> proposal("log_uniform", np.array([1, 9])).round(2).tolist()
    [0.37, 0.63]
    """
    if kind == "unigram":
        weights = (counts + 1.0) ** 0.75
    elif kind == "log_uniform":
        ranks = np.empty(len(counts))
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        weights = np.log1p(1.0 / (ranks + 1.0))
    else:
        raise UsageError(f'proposal is "{kind}"; expected "unigram" or "log_uniform"')
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def adaptive_cutoffs(counts: NDArray[np.int64], width: int, most: int = 3) -> tuple[int, ...]:
    """Return the cutoffs at which an adaptive softmax costs least, by the products that a token needs in the mean.

    Args:
        counts: `(size,)`, how often each token occurs.
        width: features.
        most: clusters at most.

    >>> adaptive_cutoffs(np.array([100, 50, 20, 5, 1, 1, 1, 1, 1, 1, 1, 1]), 64, most=1)
    (4,)
    """
    size = len(counts)
    shares = np.sort(counts + 1.0)[::-1] / (counts.sum() + size)
    reached = np.concatenate([[0.0], np.cumsum(shares)])
    places = np.unique(np.geomspace(min(4, size - 1), size - 1, 25).astype(np.int64)).tolist()
    choices = [chosen for clusters in range(1, most + 1) for chosen in combinations(places, clusters)]
    return min(choices, key=lambda chosen: _cost(chosen, reached, width))


def _narrower(width: int, clusters: int) -> float:
    """Return by what each cluster is narrower than the one before: a quarter, or less where little would be left."""
    return min(_NARROWER, max(1.0, math.pow(width, 1.0 / clusters) * 0.999999))


def _cost(cutoffs: tuple[int, ...], reached: NDArray[np.float64], width: int) -> float:
    """Return the multiplications for one token: the head for all, each cluster for its share of tokens."""
    total = float(width * (cutoffs[0] + len(cutoffs)))
    for number, (first, last) in enumerate(pairwise((*cutoffs, len(reached) - 1)), 1):
        narrowed = int(width // _narrower(width, len(cutoffs)) ** number)
        total += float(reached[last] - reached[first]) * narrowed * (width + last - first)
    return total
