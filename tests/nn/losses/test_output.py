"""The output layer and its loss in one: against the two one after the other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import products
from ostinato.nn.losses import linear_cross_entropy, output
from ostinato.nn.products import QuickLinear, product


def two_steps(hidden, weight, target, bias, smoothing, reduction):
    scores = functional.linear(hidden, weight, bias).flatten(0, -2)
    return functional.cross_entropy(scores, target.flatten(), label_smoothing=smoothing, reduction=reduction)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 4), st.integers(1, 6), st.integers(2, 30),
    st.sampled_from([0.0, 0.1]), st.booleans(), st.sampled_from(["mean", "sum"]), st.integers(0, 1000),
    st.sampled_from([0, output._FEW]),
)  # fmt: skip
def test_loss_and_gradients_are_those_of_the_two_steps(
    time, batch, features, classes, smoothing, biased, reduction, seed, few
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(time, batch, features, generator=generator).requires_grad_()
    weight = torch.randn(classes, features, generator=generator).requires_grad_()
    bias = torch.randn(classes, generator=generator).requires_grad_() if biased else None
    target = torch.randint(classes, (time, batch), generator=generator)
    target[torch.rand(time, batch, generator=generator) < 0.3] = -100
    target[0, 0] = classes - 1
    inputs = [own for own in (hidden, weight, bias) if own is not None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "_FEW", few)
        found = linear_cross_entropy(hidden, weight, target, bias, label_smoothing=smoothing, reduction=reduction)
    wanted = two_steps(hidden, weight, target, bias, smoothing, reduction)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for own, other in zip(torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * wanted, inputs), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_pieces_add_up_in_double_precision(monkeypatch) -> None:
    monkeypatch.setattr(output, "_FEW", 0)
    monkeypatch.setattr(output, "_PIECE", 1)
    monkeypatch.setattr(output, "_ROWS", 2)
    torch.manual_seed(0)
    hidden = torch.randn(7, 3, dtype=torch.double, requires_grad=True)
    weight, bias = torch.randn(5, 3, dtype=torch.double, requires_grad=True), torch.randn(5, dtype=torch.double)
    target = torch.tensor([0, 1, 2, 3, 4, 0, -100])
    assert torch.autograd.gradcheck(
        lambda h, w: linear_cross_entropy(h, w, target, bias, label_smoothing=0.2), (hidden, weight)
    )


@pytest.mark.parametrize("few", [0, output._FEW])
def test_a_matrix_that_is_used_twice_gets_both_gradients(monkeypatch, few) -> None:
    monkeypatch.setattr(output, "_FEW", few)
    torch.manual_seed(0)
    table = nn.Embedding(11, 4)
    tokens, target = torch.randint(11, (6, 2)), torch.randint(11, (6, 2))
    found = torch.autograd.grad(linear_cross_entropy(table(tokens), table.weight, target), table.weight)[0]
    wanted = torch.autograd.grad(two_steps(table(tokens), table.weight, target, None, 0.0, "mean"), table.weight)[0]
    torch.testing.assert_close(found, wanted)


def test_nothing_to_foretell_has_no_loss() -> None:
    hidden = torch.randn(2, 3, requires_grad=True)
    loss = linear_cross_entropy(hidden, torch.randn(5, 3), torch.tensor([-100, -100]))
    loss.backward()
    assert loss.item() == 0.0
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_mistakes_are_named() -> None:
    hidden, weight, target = torch.randn(2, 3), torch.randn(5, 3), torch.tensor([0, 4])
    with pytest.raises(ShapeError, match=r"weight \(3, 5\); expected"):
        linear_cross_entropy(hidden, weight.t(), target)
    with pytest.raises(ShapeError, match=r"target has shape \(1,\); expected \(2,\)"):
        linear_cross_entropy(hidden, weight, target[:1])
    with pytest.raises(ShapeError, match=r"bias has shape \(3,\); expected \(5,\)"):
        linear_cross_entropy(hidden, weight, target, torch.zeros(3))
    with pytest.raises(UsageError, match="from 0 to 5; there are 5 classes"):
        linear_cross_entropy(hidden, weight, torch.tensor([0, 5]))
    with pytest.raises(UsageError, match="label_smoothing is 2"):
        linear_cross_entropy(hidden, weight, target, label_smoothing=2)
    with pytest.raises(UsageError, match="reduction is 'none'"):
        linear_cross_entropy(hidden, weight, target, reduction="none")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_products_are_those_of_torch(rows, features, outputs, turned) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_LEAST", 1)  # small ones are left to torch otherwise
        _compare_products(rows, features, outputs, turned)


def _compare_products(rows, features, outputs, turned) -> None:
    torch.manual_seed(0)
    xs = torch.randn(features, rows).t() if turned else torch.randn(rows, features)
    weight, bias = torch.randn(outputs, features), torch.randn(outputs)
    torch.testing.assert_close(product(xs, weight, bias), functional.linear(xs, weight, bias), rtol=1e-4, atol=1e-4)


def test_a_quick_linear_layer_is_a_linear_layer(monkeypatch) -> None:
    monkeypatch.setattr(products, "_LEAST", 1)
    monkeypatch.setattr(products, "_ALIGNED", 1)
    torch.manual_seed(0)
    theirs = nn.Linear(6, 9)
    ours = QuickLinear(6, 9)
    ours.load_state_dict(theirs.state_dict())
    xs = torch.randn(4, 3, 6, requires_grad=True)
    inputs = [xs, *ours.parameters()]
    found = torch.autograd.grad(ours(xs).square().sum(), inputs)
    wanted = torch.autograd.grad(theirs(xs).square().sum(), [xs, *theirs.parameters()])
    for own, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(ours(xs[0, 0]), theirs(xs[0, 0]), rtol=1e-4, atol=1e-4)
    (by_xs,) = torch.autograd.grad(ours(xs).square().sum(), xs, create_graph=True)
    (their_by_xs,) = torch.autograd.grad(theirs(xs).square().sum(), xs, create_graph=True)
    second = torch.autograd.grad(by_xs.square().sum(), ours.weight)[0]
    torch.testing.assert_close(second, torch.autograd.grad(their_by_xs.square().sum(), theirs.weight)[0])
    assert torch.autograd.gradcheck(ours.double(), (torch.randn(2, 6, dtype=torch.double, requires_grad=True),))


def test_a_quick_linear_layer_leaves_what_it_cannot_do_to_pytorch(monkeypatch) -> None:
    monkeypatch.setattr(products, "_LEAST", 1)
    monkeypatch.setattr(products, "_ALIGNED", 1)
    layer, xs = QuickLinear(6, 9), torch.randn(4, 6)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(torch.randn(4, 7))
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(xs, xs))).tangent
    torch.testing.assert_close(tangent, xs @ layer.weight.t())
    with FlopCounterMode(display=False) as counter:
        layer(xs)
    assert counter.get_total_flops() == 2 * 4 * 6 * 9


@pytest.mark.parametrize("few", [0, output._FEW])
def test_targets_of_any_whole_numbers_are_classes(monkeypatch, few) -> None:
    monkeypatch.setattr(output, "_FEW", few)
    hidden, weight, target = torch.randn(5, 4), torch.randn(7, 4), torch.randint(7, (5,))
    wanted = linear_cross_entropy(hidden, weight, target)
    for kind in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(linear_cross_entropy(hidden, weight, target.to(kind)), wanted)
    with pytest.raises(UsageError, match="float32; expected whole numbers"):
        linear_cross_entropy(hidden, weight, target.float())
