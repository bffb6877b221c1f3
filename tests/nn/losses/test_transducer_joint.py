"""The transducer's loss in pieces, against the loss of all logits at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses


def _parts(seed, steps, places, batch, classes=5, dtype=torch.float64):
    torch.manual_seed(seed)
    joint = losses.TransducerJoint(3, 4, 6, classes).to(dtype)
    encoded = torch.randn(steps, batch, 3, dtype=dtype, requires_grad=True)
    predicted = torch.randn(places, batch, 4, dtype=dtype, requires_grad=True)
    targets = torch.randint(1, classes, (batch, places - 1))
    return joint, encoded, predicted, targets


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 999),
    rows=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=3),
    most=st.sampled_from([1, 60, 1 << 20]),
)
def test_loss_and_gradients_in_pieces_are_those_of_all_logits(seed, rows, most) -> None:
    joint, encoded, predicted, targets = _parts(seed, 6, 5, len(rows))
    lengths, target_lengths = torch.tensor([row[0] for row in rows]), torch.tensor([row[1] for row in rows])
    inputs = [encoded, predicted, *joint.parameters()]
    whole = losses.transducer_loss(joint(encoded, predicted), targets, lengths, target_lengths)
    expected = torch.autograd.grad(whole, inputs)
    found = losses.transducer_joint_loss(joint, encoded, predicted, targets, lengths, target_lengths, most=most)
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-12)
    for own, other in zip(torch.autograd.grad(found, inputs), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)


def test_what_stands_in_padding_is_not_read() -> None:
    joint, encoded, predicted, targets = _parts(1, 5, 4, 2)
    lengths, target_lengths = torch.tensor([5, 2]), torch.tensor([1, 3])
    clean = losses.transducer_joint_loss(joint, encoded, predicted, targets, lengths, target_lengths)
    with torch.no_grad():
        encoded[2:, 1] = float("nan")
        predicted[2:, 0] = float("nan")
    targets[0, 1:] = 99
    found = losses.transducer_joint_loss(joint, encoded, predicted, targets, lengths, target_lengths)
    assert found.item() == clean.item()
    found.backward()
    assert all(own.grad.isfinite().all() for own in joint.parameters())


def test_gradient_is_right() -> None:
    joint, encoded, predicted, targets = _parts(2, 4, 3, 2)
    lengths, target_lengths = torch.tensor([4, 2]), torch.tensor([1, 2])
    assert torch.autograd.gradcheck(
        lambda x, y: losses.transducer_joint_loss(
            joint, x, y, targets, lengths, target_lengths, reduction="none", most=40
        ),
        (encoded, predicted),
    )


def test_only_a_piece_of_the_logits_is_kept() -> None:
    joint, encoded, predicted, targets = _parts(3, 60, 20, 4, classes=50, dtype=torch.float32)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda own: sizes.append(own.numel()) or own, lambda own: own):
        loss = losses.transducer_joint_loss(joint, encoded, predicted, targets, most=20 * 4 * 50 * 3)
    assert max(sizes) < 60 * 20 * 4 * 50 / 10
    loss.backward()
    assert encoded.grad.isfinite().all()


def test_half_precision_is_summed_in_float32() -> None:
    joint, encoded, predicted, targets = _parts(4, 5, 3, 2, dtype=torch.bfloat16)
    assert losses.transducer_joint_loss(joint, encoded, predicted, targets).dtype is torch.float32


def test_what_does_not_fit_is_refused() -> None:
    joint, encoded, predicted, targets = _parts(5, 4, 3, 2)
    with pytest.raises(ShapeError, match="predicted has 1 rows a batch; expected 2"):
        losses.transducer_joint_loss(joint, encoded, predicted[:, :1], targets)
    with pytest.raises(ShapeError, match=r"targets has shape \(2, 1\); expected \(2, 2\)"):
        losses.transducer_joint_loss(joint, encoded, predicted, targets[:, :1])
    with pytest.raises(UsageError, match="which is the blank"):
        losses.transducer_joint_loss(joint, encoded, predicted, targets * 0)
