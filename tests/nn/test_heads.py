"""Heads against SciPy's distributions and against numbers worked by hand."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn.functional import softplus

from ostinato.errors import UsageError
from ostinato.nn.heads import Gaussian, NegativeBinomialHead, Point, Quantiles, StudentTHead

LEVELS = (0.1, 0.5, 0.9)
ONE = torch.ones(())


def test_quantile_loss_is_the_pinball_loss_twice_its_mean() -> None:
    raw = torch.tensor([[1.0, 2.0, 3.0]])
    loss = Quantiles(LEVELS).loss(raw, torch.tensor([2.5]), ONE)
    assert loss.item() == pytest.approx(2 * (0.1 * 1.5 + 0.5 * 0.5 + 0.1 * 0.5) / 3)


def test_quantiles_come_in_order_and_are_interpolated() -> None:
    head = Quantiles(LEVELS)
    raw = torch.tensor([[3.0, 1.0, 2.0]])
    assert head.quantiles(raw, LEVELS, ONE).tolist() == [[1.0, 2.0, 3.0]]
    torch.testing.assert_close(head.quantiles(raw, (0.05, 0.3, 0.7), ONE), torch.tensor([[1.0, 1.5, 2.5]]))
    assert head.point(raw, ONE).item() == 2.0


def _peer(name, raw, scale):
    raw = raw.double()
    spread = softplus(raw[..., 1]).numpy()
    if name == "gaussian":
        return scipy.stats.norm(raw[..., 0].numpy(), spread + 1e-6)
    if name == "student_t":
        return scipy.stats.t(2 + softplus(raw[..., 2]).numpy(), raw[..., 0].numpy(), spread + 1e-6)
    mean, count = (softplus(raw[..., 0]) * scale + 1e-6).numpy(), 1 / (spread + 1e-4)
    return scipy.stats.nbinom(count, count / (count + mean))


@pytest.mark.parametrize(
    ("name", "head"),
    [("gaussian", Gaussian()), ("student_t", StudentTHead()), ("negative_binomial", NegativeBinomialHead())],
)
def test_distributions_are_those_of_scipy(name, head) -> None:
    raw = torch.randn(6, head.size)
    counts = name == "negative_binomial"
    scale = torch.full((6,), 7.0 if counts else 1.0)
    target = torch.arange(6.0) / scale
    peer = _peer(name, raw, scale)
    density = peer.logpmf(np.arange(6)) if counts else peer.logpdf(target.numpy())
    np.testing.assert_allclose(-head.loss(raw, target, scale), density, rtol=1e-4, atol=1e-4)
    expected = np.stack([peer.ppf(level) for level in LEVELS], -1) / scale.numpy()[:, None]
    np.testing.assert_allclose(head.quantiles(raw, LEVELS, scale), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", [Quantiles(LEVELS), Gaussian(), StudentTHead(), NegativeBinomialHead()])
def test_samples_fall_below_a_quantile_as_often_as_it_says(head) -> None:
    raw = torch.randn(1, head.size).sort(-1).values.expand(20000, -1)
    scale = torch.full((20000,), 50.0)
    drawn = head.sample(raw, scale, torch.Generator().manual_seed(1))
    middle = head.quantiles(raw[:1], (0.5,), scale[:1])[0, 0]
    # half of a discrete or clipped distribution may lie on the median itself
    assert (drawn < middle).float().mean() <= 0.52
    assert (drawn <= middle).float().mean() >= 0.48


def test_what_a_head_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expected levels between 0 and 1"):
        Quantiles((0.5, 1.0))
    with pytest.raises(UsageError, match='loss "l7" is not known'):
        Point("l7")
    with pytest.raises(UsageError, match="a point forecast has no quantiles"):
        Point().quantiles(torch.zeros(1, 1), LEVELS, ONE)
