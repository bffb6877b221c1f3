"""Losses of steps against PyTorch's own on the real steps alone, and against numbers worked by hand."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loss_padding import assert_padding_changes_nothing, lengths_of_batches
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses

WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0], dtype=torch.float64)
LEVELS = (0.1, 0.5, 0.9)


def _rows(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(2).sum((0, 2)) if values.dim() > 2 else values.sum(0)


# each loss as one number a row, and the last dimensions of its prediction and its target (None: classes)
STEPWISE = {
    "cross_entropy": (
        lambda x, y, n: _rows(losses.cross_entropy(x, y, n, weight=WEIGHT, label_smoothing=0.1, reduction="none")),
        (5,),
        None,
    ),
    "focal_loss": (lambda x, y, n: _rows(losses.focal_loss(x, y, n, weight=WEIGHT, reduction="none")), (5,), None),
    "squared_error": (lambda x, y, n: _rows(losses.squared_error(x, y, n, reduction="none")), (3,), (3,)),
    "quantile_loss": (lambda x, y, n: _rows(losses.quantile_loss(x, y, LEVELS, n, reduction="none")), (2, 3), (2,)),
    "binary": (lambda x, y, n: _rows(losses.binary_cross_entropy(x, y, n, reduction="none")), (4,), (4,)),
    "binary_focal": (lambda x, y, n: _rows(losses.binary_focal_loss(x, y, n, reduction="none")), (4,), (4,)),
    "activation": (lambda x, y, n: _rows(losses.activation_regularisation(x, n, reduction="none")), (4,), (4,)),
    "temporal_activation": (
        lambda x, y, n: _rows(losses.temporal_activation_regularisation(x, n, reduction="none")),
        (4,),
        (4,),
    ),
}


@pytest.mark.parametrize("name", STEPWISE)
@settings(deadline=None, max_examples=20)
@given(lengths=lengths_of_batches, seed=st.integers(0, 2**16))
def test_padding_changes_neither_losses_nor_gradients(name, lengths, seed) -> None:
    loss, width, target_width = STEPWISE[name]
    generator = torch.Generator().manual_seed(seed)
    predictions = [torch.randn(n, *width, generator=generator, dtype=torch.float64) for n in lengths]
    if target_width is None:
        targets = [torch.randint(5, (n,), generator=generator) for n in lengths]
    else:
        targets = [torch.rand(n, *target_width, generator=generator, dtype=torch.float64).round() for n in lengths]
    assert_padding_changes_nothing(loss, predictions, targets)


@settings(deadline=None, max_examples=30)
@example(lengths=[2], smoothing=0.1, weighted=True, reduction="mean", seed=1038)  # only classes of weight zero
@given(
    lengths=lengths_of_batches,
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    weighted=st.booleans(),
    reduction=st.sampled_from(["mean", "sum"]),
    seed=st.integers(0, 2**16),
)
def test_cross_entropy_is_pytorchs_over_the_real_steps(lengths, smoothing, weighted, reduction, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(lengths)
    logits = torch.randn(7, len(lengths), 5, generator=generator, dtype=torch.float64)
    target = torch.randint(5, (7, len(lengths)), generator=generator)
    target[0, 0] = -100
    real = torch.arange(7)[:, None] < lengths
    kept = real & (target != -100)
    weight = WEIGHT if weighted else None
    expected = functional.cross_entropy(
        logits[kept], target[kept], weight=weight, label_smoothing=smoothing, reduction=reduction
    )
    found = losses.cross_entropy(logits, target, lengths, weight=weight, label_smoothing=smoothing, reduction=reduction)
    if not kept.any() or (weighted and reduction == "mean" and WEIGHT[target[kept]].sum() == 0):
        expected = torch.zeros((), dtype=torch.float64)  # PyTorch has 0 / 0 there
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_one_class_a_sequence_is_judged_at_its_last_real_step() -> None:
    logits, target = torch.randn(6, 3, 4), torch.tensor([1, 3, 0])
    lengths = torch.tensor([6, 2, 0])
    found = losses.cross_entropy(logits, target, lengths, reduction="none")
    expected = functional.cross_entropy(torch.stack([logits[5, 0], logits[1, 1]]), target[:2], reduction="none")
    assert torch.equal(found, torch.cat([expected, torch.zeros(1)]))
    torch.testing.assert_close(losses.cross_entropy(logits, target, lengths), expected.mean())


def test_sequences_of_no_steps_have_loss_zero() -> None:
    nothing = torch.zeros(0, 2, 4, requires_grad=True)
    for loss in (
        losses.cross_entropy(nothing, torch.tensor([1, 3])),
        losses.cross_entropy(nothing, torch.zeros(0, 2, dtype=torch.long)),
        losses.squared_error(nothing, torch.zeros(0, 2, 4)),
        losses.binary_cross_entropy(nothing, torch.zeros(0, 2, 4)),
        losses.focal_loss(nothing, torch.tensor([1, 3])),
        losses.activation_regularisation(nothing),
    ):
        assert loss.item() == 0
        loss.backward()


def test_one_class_a_sequence_may_come_without_steps() -> None:
    logits, target = torch.randn(3, 4), torch.tensor([1, 3, 0])
    torch.testing.assert_close(losses.cross_entropy(logits, target), functional.cross_entropy(logits, target))
    with pytest.raises(ShapeError, match="one answer a sequence, but lengths were given"):
        losses.cross_entropy(logits, target, torch.tensor([1, 1, 1]))


def test_a_batch_without_a_real_element_has_loss_and_gradient_zero() -> None:
    logits = torch.randn(3, 2, 4, requires_grad=True)
    loss = losses.cross_entropy(logits, torch.zeros(3, 2, dtype=torch.long), torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_means_divide_by_what_is_real() -> None:
    lengths = torch.tensor([4, 1])
    ones, zeros = torch.ones(4, 2, 3), torch.zeros(4, 2, 3)
    assert losses.squared_error(ones, zeros, lengths).item() == 1
    assert losses.squared_error(ones, zeros, lengths, reduction="sum").item() == 15
    assert losses.binary_cross_entropy(zeros, ones, lengths).item() == pytest.approx(3 * math.log(2))
    assert losses.activation_regularisation(ones, lengths).item() == 2
    # one pair of steps in the first row moves by 1 in every feature, of three pairs; the second row has no pair
    step = torch.cat([zeros[:2], ones[2:]])
    assert losses.temporal_activation_regularisation(step, lengths).item() == pytest.approx(1 / 3)
    assert losses.temporal_activation_regularisation(step[:1]).item() == 0


def test_quantile_loss_is_least_at_the_quantile() -> None:
    sample = torch.arange(1.0, 100.0)[:, None]
    tried = torch.arange(1.0, 100.0)
    found = torch.stack([losses.quantile_loss(q.expand(99, 1, 1), sample, (0.8,)) for q in tried])
    assert tried[found.argmin()].item() == 80


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_focal_loss_without_gamma_is_the_cross_entropy(weight) -> None:
    logits, target = torch.randn(4, 2, 5, dtype=torch.float64), torch.randint(5, (4, 2))
    found = losses.focal_loss(logits, target, gamma=0.0, weight=weight, reduction="none")
    torch.testing.assert_close(found, losses.cross_entropy(logits, target, weight=weight, reduction="none"))
    frames = torch.rand(4, 2, 5, dtype=torch.float64).round()
    torch.testing.assert_close(
        losses.binary_focal_loss(logits, frames, gamma=0.0), losses.binary_cross_entropy(logits, frames)
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_is_its_formula(gamma) -> None:
    logits, target = torch.randn(6, 5, dtype=torch.float64), torch.randint(5, (6,))
    p = torch.softmax(logits, -1)[torch.arange(6), target]
    torch.testing.assert_close(
        losses.focal_loss(logits, target, gamma=gamma, reduction="none"), -((1 - p) ** gamma) * p.log()
    )
    frames = torch.rand(6, 1, 5, dtype=torch.float64).round()
    q = torch.where(frames > 0, torch.sigmoid(logits[:, None]), torch.sigmoid(-logits[:, None]))
    share = torch.where(frames > 0, 0.25, 0.75)
    torch.testing.assert_close(
        losses.binary_focal_loss(logits[:, None], frames, gamma=gamma, positive_share=0.25, reduction="none"),
        (-share * (1 - q) ** gamma * q.log()).sum(-1),
    )
    assert torch.autograd.gradcheck(lambda x: losses.focal_loss(x, target, gamma=gamma), logits.requires_grad_())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_a_sure_answer_has_a_finite_gradient(gamma) -> None:
    logits = torch.tensor([[500.0, 0.0]], requires_grad=True)
    losses.focal_loss(logits, torch.tensor([0]), gamma=gamma).backward()
    assert logits.grad.isfinite().all()


def test_class_weights_are_their_formulas() -> None:
    counts = torch.tensor([90, 10, 0])
    torch.testing.assert_close(losses.class_weights(counts), torch.tensor([100 / 180, 5.0, 0.0]))
    torch.testing.assert_close(
        losses.class_weights(counts, "square_root"), torch.tensor([math.sqrt(100 / 180), math.sqrt(5.0), 0.0])
    )
    effective = torch.tensor([1 / (1 - 0.9**90), 1 / (1 - 0.9**10)])
    torch.testing.assert_close(losses.class_weights(counts, "effective", beta=0.9)[:2], effective * 2 / effective.sum())
    assert losses.class_weights(counts, "effective", beta=0.0).tolist() == [1.0, 1.0, 0.0]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any))
def test_balanced_weights_make_every_seen_class_count_alike(counts) -> None:
    counts = torch.tensor(counts, dtype=torch.float64)
    shares = losses.class_weights(counts) * counts
    torch.testing.assert_close(shares[counts > 0], (counts.sum() / (counts > 0).sum()).expand(int((counts > 0).sum())))


def test_perplexity_and_bits_are_those_of_a_uniform_guess() -> None:
    nats = torch.tensor(math.log(32.0))
    assert losses.perplexity(nats).item() == pytest.approx(32)
    assert losses.bits_per_character(nats).item() == pytest.approx(5)
    assert losses.bits_per_character(math.log(32.0), tokens_per_character=0.2) == pytest.approx(1)
    assert losses.perplexity(1e6) == math.inf


def test_what_does_not_fit_is_refused() -> None:
    logits, target = torch.zeros(3, 2, 4), torch.zeros(3, 2, dtype=torch.long)
    with pytest.raises(ShapeError, match=r"row 1 of lengths is 4; expected 0 to 3"):
        losses.cross_entropy(logits, target, torch.tensor([3, 4]))
    with pytest.raises(ShapeError, match=r"lengths has shape \(2,\) and type torch.float32"):
        losses.cross_entropy(logits, target, torch.tensor([3.0, 2.0]))
    wrong = target.clone()
    wrong[2, 1] = 4
    with pytest.raises(UsageError, match="row 1, step 2: target is 4; expected a class from 0 to 3"):
        losses.cross_entropy(logits, wrong)
    with pytest.raises(UsageError, match="row 1: target is -1"):
        losses.cross_entropy(logits[0], torch.tensor([0, -1]))
    with pytest.raises(UsageError, match="target has type torch.float32"):
        losses.cross_entropy(logits, target.float())
    with pytest.raises(ShapeError, match=r"target has shape \(2, 2\)"):
        losses.cross_entropy(logits, target[:2])
    with pytest.raises(UsageError, match='reduction is "avg"'):
        losses.cross_entropy(logits, target, reduction="avg")
    with pytest.raises(UsageError, match="label_smoothing is 2"):
        losses.cross_entropy(logits, target, label_smoothing=2)
    with pytest.raises(UsageError, match="expected them to rise"):
        losses.quantile_loss(torch.zeros(3, 2, 2), torch.zeros(3, 2), (0.9, 0.1))
    with pytest.raises(UsageError, match="gamma is -1"):
        losses.focal_loss(logits, target, gamma=-1)
    with pytest.raises(UsageError, match="expected none below zero and one above"):
        losses.class_weights(torch.tensor([0, 0]))
    with pytest.raises(UsageError, match='scheme "x" is not known'):
        losses.class_weights(torch.tensor([1, 2]), "x")
