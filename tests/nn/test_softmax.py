"""Scores over large vocabularies against the whole softmax."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.softmax import AdaptiveSoftmax, SampledSoftmax, adaptive_cutoffs, proposal

COUNTS = np.random.default_rng(0).permutation((1e4 / np.arange(1, 201)).astype(np.int64))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 20), st.randoms())
def test_adaptive_chances_add_up_to_one_and_its_loss_is_their_logarithm(size, width, random) -> None:
    counts = np.array([random.randrange(50) for _ in range(size)])
    layer = AdaptiveSoftmax(width, size, adaptive_cutoffs(counts, width), counts)
    xs, targets = torch.randn(9, 2, width), torch.randint(size, (9, 2))
    scores = layer(xs)
    assert scores.shape == (9, 2, size)
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(9, 2))
    torch.testing.assert_close(layer.loss(xs, targets), -scores.gather(-1, targets[..., None]).mean())
    targets[0] = -100
    torch.testing.assert_close(layer.loss(xs, targets), -scores[1:].gather(-1, targets[1:, :, None]).mean())


def test_the_most_frequent_tokens_stand_by_themselves() -> None:
    layer = AdaptiveSoftmax(8, 200, (10, 50), COUNTS)
    assert set(torch.argsort(layer.rank)[:10].tolist()) <= set(np.argsort(-COUNTS)[:12].tolist())


def test_cutoffs_cost_less_than_those_chosen_without_the_counts() -> None:
    from ostinato.nn.softmax import _cost

    shares = np.sort(COUNTS + 1.0)[::-1]
    reached = np.concatenate([[0], np.cumsum(shares / shares.sum())])
    found = _cost(adaptive_cutoffs(COUNTS, 64), reached, 64)
    assert found <= min(_cost(other, reached, 64) for other in ((50, 100), (100, 150), (20, 100)))
    assert found < 64 * 200


@pytest.mark.parametrize("kind", ["unigram", "log_uniform"])
def test_the_gradient_of_a_sampled_softmax_approaches_that_of_the_whole_as_samples_grow(kind) -> None:
    torch.manual_seed(0)
    xs, targets = torch.randn(40, 16), torch.randint(200, (40,))
    weight = torch.randn(200, 16) * 0.3

    def gradient(samples):
        layer = SampledSoftmax(16, 200, samples or 1, proposal(kind, COUNTS))
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.zero_()
        layer.train(samples is not None)
        return torch.autograd.grad(layer.loss(xs, targets), layer.weight)[0]

    exact = gradient(None)

    def distance(samples):
        return float(sum((gradient(samples) - exact).norm() for _ in range(4)) / 4 / exact.norm())

    far, near, nearest = distance(20), distance(2000), distance(200_000)
    assert nearest < 0.02 < near < far
    assert near < far / 4  # as one over the square root: a tenth


def test_the_estimated_sum_over_the_vocabulary_has_no_bias() -> None:
    torch.manual_seed(0)
    layer = SampledSoftmax(4, 200, 50, proposal("unigram", COUNTS)).train()
    x, target = torch.randn(1, 4), torch.tensor([3])
    scores = layer(x)[0]
    # exp(loss + score of the target) is the estimated sum
    sums = [float((layer.loss(x, target) + scores[3]).exp().detach()) for _ in range(4000)]
    assert np.mean(sums) == pytest.approx(float(scores.detach().exp().sum()), rel=0.01)


def test_evaluation_is_over_all_tokens() -> None:
    layer = SampledSoftmax(4, 200, 3).eval()
    xs, targets = torch.randn(5, 4), torch.randint(200, (5,))
    torch.testing.assert_close(layer.loss(xs, targets), functional.cross_entropy(layer(xs), targets))


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cutoffs are \(5, 5\)"):
        AdaptiveSoftmax(8, 20, (5, 5))
    with pytest.raises(UsageError, match="samples is 0"):
        SampledSoftmax(8, 20, 0)
    with pytest.raises(ShapeError, match=r"expected \(20,\)"):
        SampledSoftmax(8, 20, 5, np.ones(3))
    with pytest.raises(UsageError, match='proposal is "zipf"'):
        proposal("zipf", COUNTS)
