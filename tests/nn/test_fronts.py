"""What stands in front of stacks: embeddings, convolutions; and weights that are dropped."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.cells import GRUCell, LSTMCell
from ostinato.engine.plan.graph import Unsupported
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import ConvolutionalFront, Recurrent, SpectrogramFront, TokenEmbedding, weight_drop

FRONTS = {
    "plain": lambda: ConvolutionalFront(4, [3, 5]),
    "strided": lambda: ConvolutionalFront(4, [3, 5], width=(5, 3), stride=(2, 3)),
    "causal": lambda: ConvolutionalFront(4, [3, 5], width=4, stride=2, causal=True),
    "spectrogram": lambda: SpectrogramFront(4, [2, 3]),
}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(FRONTS)), st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_a_padded_row_gives_what_it_gives_alone(name, lengths) -> None:
    torch.manual_seed(0)
    front = FRONTS[name]().double()
    longest = max(lengths)
    xs = torch.randn(longest, len(lengths), 4, dtype=torch.double)
    real = torch.arange(longest)[:, None] < torch.tensor(lengths)
    padded = torch.where(real[..., None], xs, torch.full_like(xs, float("nan"))).requires_grad_()
    ys, shorter = front(padded, torch.tensor(lengths))
    (grad,) = torch.autograd.grad(ys.square().sum(), padded)
    assert (grad[~real] == 0).all()
    for row, (length, count) in enumerate(zip(lengths, shorter.tolist(), strict=True)):
        alone = xs[:length, row : row + 1].clone().requires_grad_()
        own, none = front(alone)
        assert none is None
        assert len(own) == count
        torch.testing.assert_close(own[:, 0], ys[:count, row])
        assert (ys[count:, row] == 0).all()
        torch.testing.assert_close(torch.autograd.grad(own.square().sum(), alone)[0][:, 0], grad[:length, row])


engine_scan = sys.modules["ostinato.engine.run.scan"]


def test_a_causal_front_does_not_look_ahead() -> None:
    front = FRONTS["causal"]()
    xs = torch.randn(12, 1, 4)
    later = xs.clone()
    later[8:] += 1
    same = (front(xs)[0] == front(later)[0]).all(-1)[:, 0]
    assert same[:2].all()
    assert not same[2:].any()


def test_fronts_refuse_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="expected odd numbers, or causal=True"):
        ConvolutionalFront(4, [3], width=4)
    with pytest.raises(UsageError, match="one for each of 2 convolutions"):
        ConvolutionalFront(4, [3, 3], stride=[1, 2, 3])
    with pytest.raises(ShapeError, match=r"expected \(time, batch, 4\)"):
        ConvolutionalFront(4, [3])(torch.zeros(5, 2, 3))
    with pytest.raises(ShapeError, match=r"expected \(time, batch, 40\)"):
        SpectrogramFront(40, [2])(torch.zeros(5, 2, 3))


def test_whole_words_are_missing_at_random_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    embedding = TokenEmbedding(2000, 4, dropout=0.25, vectors=np.ones((2000, 4)))
    tokens = torch.arange(2000).repeat(2, 1)
    vectors = embedding(tokens)
    missing = (vectors == 0).all(-1)
    assert torch.equal(missing[0], missing[1])
    assert 0.2 < missing.float().mean() < 0.3
    assert torch.equal(vectors[~missing], torch.full_like(vectors[~missing], 1 / 0.75))
    assert (embedding.eval()(tokens) == 1).all()


def test_given_vectors_are_kept_and_tokens_checked() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    embedding = TokenEmbedding(5, 3, 0, vectors=vectors, frozen=True)
    np.testing.assert_allclose(embedding(torch.arange(1, 5)), vectors[1:], rtol=1e-6)
    assert (embedding(torch.tensor([0])) == 0).all()
    assert not embedding.weight.requires_grad
    with pytest.raises(UsageError, match="there is a token 7; expected 0 to 4"):
        embedding(torch.tensor([1, 7]))
    with pytest.raises(UsageError, match="there is a token -1"):
        embedding(torch.tensor([-1]))
    with pytest.raises(ShapeError, match=r"vectors have shape \(5, 2\); expected \(5, 3\)"):
        TokenEmbedding(5, 3, vectors=vectors[:, :2])


@pytest.mark.slow
@pytest.mark.ci
def test_dropped_weights_are_the_same_at_all_steps_and_others_in_the_next_call() -> None:
    torch.manual_seed(0)
    stack = Recurrent(LSTMCell(3, 16), 2)
    whole = {name: value.clone() for name, value in stack.state_dict().items()}
    xs = torch.randn(9, 4, 3)
    expected = stack(xs)[0]
    assert weight_drop(stack, "recurrent.weight", 0.5) is stack
    first, second = stack(xs)[0], stack(xs)[0]
    assert not torch.allclose(first, second)
    torch.testing.assert_close(stack.eval()(xs)[0], expected)
    # one mask a call: the eager loop over a cell whose weight is that of the mask gives the same
    torch.manual_seed(1)
    cell = weight_drop(GRUCell(3, 8), "recurrent.weight", 0.5)
    with nn.utils.parametrize.cached():
        weight = cell.recurrent.weight.detach().clone()
        ys, _ = ostinato.scan(cell, xs)
    plain = GRUCell(3, 8)
    state = {name.replace("parametrizations.weight.original", "weight"): own for name, own in cell.state_dict().items()}
    plain.load_state_dict({**state, "recurrent.weight": weight})
    torch.testing.assert_close(ys, ostinato.scan(plain, xs)[0])
    for own in stack.cells:
        nn.utils.parametrize.remove_parametrizations(own.recurrent, "weight", leave_parametrized=False)
    assert stack.state_dict().keys() == whole.keys()


def test_dropped_weights_get_gradients_where_they_were_not_missing() -> None:
    torch.manual_seed(0)
    cell = weight_drop(GRUCell(3, 8), "recurrent.weight", 0.5)
    ostinato.scan(cell, torch.randn(9, 4, 3))[0].square().sum().backward()
    grad = cell.recurrent.parametrizations.weight.original.grad
    assert 0.3 < (grad == 0).float().mean() < 0.7
    with pytest.raises(UsageError, match='GRUCell has no weight "hidden.weight"; it has input.weight'):
        weight_drop(GRUCell(3, 8), "hidden.weight")
    with pytest.raises(UsageError, match="rate is 1"):
        weight_drop(GRUCell(3, 8), "recurrent.weight", 1)


def test_gradients_belong_to_the_weights_that_were_used() -> None:
    torch.manual_seed(0)
    cell = weight_drop(GRUCell(3, 4), "recurrent.weight", 0.5).double()
    xs = torch.randn(6, 2, 3, dtype=torch.double, requires_grad=True)

    def run(xs):
        torch.manual_seed(5)  # the same weights are missing each time
        return ostinato.scan(cell, xs)[0]

    assert torch.autograd.gradcheck(run, (xs,))


@pytest.mark.parametrize("name", ["lstm", "gru-reset-before", "indrnn"])
def test_dropped_weights_are_compiled_and_equal_the_eager_loop(name, monkeypatch) -> None:
    torch.manual_seed(0)
    cell = ostinato.cells.CATALOGUE[name](3, 8)
    which = next(own for own, _ in cell.named_parameters() if own.startswith("recurrent"))
    weight_drop(cell, which, 0.5)
    xs, lengths = torch.randn(9, 4, 3, requires_grad=True), torch.tensor([9, 1, 5, 9])

    def run() -> list[torch.Tensor]:
        torch.manual_seed(3)
        cell.zero_grad()
        xs.grad = None
        ys, _ = ostinato.scan(cell, xs, lengths=lengths)
        ys.square().sum().backward()
        return [ys.detach(), xs.grad.clone(), *[own.grad.clone() for own in cell.parameters()]]

    calls = []
    whole = engine_scan.scan_compiled
    monkeypatch.setattr(engine_scan, "scan_compiled", lambda *own: calls.append(whole(*own)) or calls[-1])
    compiled = run()
    assert len(calls) == 1
    assert not isinstance(calls[0], Unsupported)
    monkeypatch.setenv("OSTINATO_ENGINE", "off")
    torch.testing.assert_close(compiled, run(), rtol=1e-4, atol=1e-5)
    assert len(calls) == 1
