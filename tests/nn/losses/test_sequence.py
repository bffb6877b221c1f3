"""Losses of steps: against torch.nn's, weighed by hand, and untouched by padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses
from ostinato.nn.heads import Quantiles

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any)


def _padded(values, lengths):
    real = torch.arange(values.shape[0])[:, None] < torch.tensor(lengths)
    return torch.where(
        real.view(*real.shape, *[1] * (values.dim() - 2)), values, torch.full_like(values, float("nan"))
    ), real


WEIGHT = torch.tensor([1.0, 3.0, 0.5, 2.0])
LOSSES = {
    "cross entropy": lambda x, y, n, **o: losses.cross_entropy(x, y.argmax(-1), n, **o),
    "smoothed": lambda x, y, n, **o: losses.cross_entropy(x, y.argmax(-1), n, label_smoothing=0.1, **o),
    "weighted": lambda x, y, n, **o: losses.cross_entropy(
        x, y.argmax(-1), n, weight=torch.tensor([1.0, 3, 0.5, 2]), **o
    ),
    "focal": lambda x, y, n, **o: losses.cross_entropy(x, y.argmax(-1), n, focus=2.0, **o),
    "frames": lambda x, y, n, **o: losses.frame_cross_entropy(x, y, n, **o),
    "squared": lambda x, y, n, **o: losses.squared_error(x, y, n, **o),
    "quantiles": lambda x, y, n, **o: losses.quantile_loss(x, y[..., 0], [0.1, 0.5, 0.8, 0.9], n, **o),
}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(LOSSES)), LENGTHS)
def test_padding_changes_nothing(name, lengths) -> None:
    run = LOSSES[name]
    torch.manual_seed(0)
    values, targets = torch.randn(6, len(lengths), 4).double(), torch.rand(6, len(lengths), 4).double()
    shown, real = _padded(values, lengths)
    shown.requires_grad_()
    summed = run(shown, targets, torch.tensor(lengths), reduction="sum")
    (grad,) = torch.autograd.grad(summed, shown)
    assert (grad[~real] == 0).all()
    each = run(shown, targets, torch.tensor(lengths), reduction="none")
    assert (each[~real] == 0).all()
    expected = sum(
        run(values[:n, row : row + 1], targets[:n, row : row + 1], None, reduction="sum")
        for row, n in enumerate(lengths)
        if n
    )
    torch.testing.assert_close(summed, expected)
    if name != "weighted":
        torch.testing.assert_close(run(shown, targets, torch.tensor(lengths)), summed / sum(lengths))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_on_the_real_steps(smoothing) -> None:
    scores, targets = torch.randn(5, 3, 4), torch.randint(4, (5, 3))
    lengths, weight = torch.tensor([5, 2, 3]), torch.tensor([1.0, 2.0, 0.5, 3.0])
    real = torch.arange(5)[:, None] < lengths
    for own in (None, weight):
        expected = functional.cross_entropy(scores[real], targets[real], own, label_smoothing=smoothing)
        found = losses.cross_entropy(scores, targets, lengths, weight=own, label_smoothing=smoothing)
        if own is None or not smoothing:  # torch divides by other weights when it smooths
            torch.testing.assert_close(found, expected)
    one = losses.cross_entropy(scores[0], targets[0])
    torch.testing.assert_close(one, functional.cross_entropy(scores[0], targets[0]))


def test_focal_loss_and_pinball_loss_are_what_their_formulas_say() -> None:
    scores, targets = torch.randn(5, 3, 4), torch.randint(4, (5, 3))
    p = scores.softmax(-1).gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(losses.cross_entropy(scores, targets, focus=2.0), (-((1 - p) ** 2) * p.log()).mean())
    values, wanted = torch.randn(5, 3, 2), torch.randn(5, 3)
    head = Quantiles([0.2, 0.7])
    expected = head.loss(values, wanted, torch.ones(())).mean() / 2
    torch.testing.assert_close(losses.quantile_loss(values, wanted, [0.2, 0.7]), expected)


def test_penalties_weigh_activations_and_their_changes() -> None:
    ys = torch.randn(5, 2, 3)
    lengths = torch.tensor([5, 1])
    flat = torch.cat([ys[:, 0], ys[:1, 1]])
    torch.testing.assert_close(losses.activation_penalty(ys, lengths), flat.square().mean())
    torch.testing.assert_close(losses.slowness_penalty(ys, lengths), (ys[1:, 0] - ys[:-1, 0]).square().mean())
    assert losses.slowness_penalty(ys[:1]) == 0
    assert losses.perplexity(math.log(8)) == pytest.approx(8)
    assert losses.perplexity(1e9) == math.inf
    assert losses.bits_per_step(math.log(8)) == pytest.approx(3)


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    with pytest.raises(ShapeError, match=r"scores have shape \(5, 2, 3\) and targets \(2, 5\)"):
        losses.cross_entropy(torch.zeros(5, 2, 3), torch.zeros(2, 5).long())
    with pytest.raises(ShapeError, match=r"lengths have shape \(3,\); expected \(2,\)"):
        losses.cross_entropy(torch.zeros(5, 2, 3), torch.zeros(5, 2).long(), torch.tensor([1, 2, 3]))
    with pytest.raises(UsageError, match="no real steps"):
        losses.squared_error(torch.zeros(5, 2, 3), torch.zeros(5, 2, 3), torch.tensor([0, 0]))
    with pytest.raises(UsageError, match="one or more of each class"):
        losses.class_weights([3, 0])
    with pytest.raises(UsageError, match="reduction is 'max'"):
        losses.squared_error(torch.zeros(5, 2, 3), torch.zeros(5, 2, 3), reduction="max")
