"""Attention against formulas by hand and torch.nn, and what padding must not change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.attention import (
    AdditiveAttention,
    DotAttention,
    GeneralAttention,
    LocationAttention,
    MonotonicAttention,
    MultiHeadAttention,
)

KINDS = {
    "additive": lambda: AdditiveAttention(6, 4, 5),
    "dot": lambda: DotAttention(6, 6),
    "scaled dot": lambda: DotAttention(6, 6, scaled=True),
    "general": lambda: GeneralAttention(6, 4),
    "multi-head": lambda: MultiHeadAttention(6, 4, heads=3),
    "location": lambda: LocationAttention(6, 4, 5, filters=3, width=5),
    "monotonic": lambda: MonotonicAttention(6, 4, 5, noise=0.0),
}


def _made(name):
    torch.manual_seed(0)
    return KINDS[name]().double()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 3))
def test_padding_changes_neither_results_nor_gradients(name, lengths, steps) -> None:
    attention = _made(name)
    longest = max(lengths)
    values = torch.randn(longest, len(lengths), attention.memory_size, dtype=torch.double)
    query = torch.randn(steps, len(lengths), 6, dtype=torch.double)
    real = torch.arange(longest)[:, None] < torch.tensor(lengths)
    padded = torch.where(real[..., None], values, torch.full_like(values, float("nan"))).requires_grad_()
    contexts, weights = attention(query, attention.prepare(padded, torch.tensor(lengths)))
    assert (weights.movedim(-1, 0)[~real[:, None].expand(-1, steps, -1)] == 0).all()
    (found,) = torch.autograd.grad(contexts.square().sum(), padded, allow_unused=True)
    for row, length in enumerate(lengths):
        alone = values[:length, row : row + 1].detach().requires_grad_()
        own, own_weights = attention(query[:, row : row + 1], attention.prepare(alone))
        torch.testing.assert_close(own, contexts[:, row : row + 1])
        torch.testing.assert_close(own_weights, weights[:, row : row + 1, :length])
        if length and steps:
            (grad,) = torch.autograd.grad(own.square().sum(), alone)
            torch.testing.assert_close(grad, found[:length, row : row + 1])
            assert (found[length:, row] == 0).all()
        else:
            assert (own == 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_many_queries_are_as_one_after_the_other(name) -> None:
    attention = _made(name)
    memory = attention.prepare(torch.randn(7, 3, attention.memory_size, dtype=torch.double), torch.tensor([7, 2, 5]))
    query = torch.randn(4, 3, 6, dtype=torch.double)
    together, all_weights = attention(query, memory)
    weights = None
    for one, context, expected in zip(query, together, all_weights, strict=True):
        found, weights = attention(one, memory, weights)
        torch.testing.assert_close(found, context)
        torch.testing.assert_close(weights, expected)
    rows = torch.tensor([2, 0, 0])
    torch.testing.assert_close(attention(query[0][rows], memory.select(rows))[0], together[0][rows])


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_right_to_finite_differences(name) -> None:
    attention = _made(name)
    query = torch.randn(2, 2, 6, dtype=torch.double, requires_grad=True)
    values = torch.randn(4, 2, attention.memory_size, dtype=torch.double, requires_grad=True)

    def run(query, values):
        return attention(query, attention.prepare(values, torch.tensor([4, 3])))

    assert torch.autograd.gradcheck(run, (query, values))


def _softmax(scores):
    exponents = np.exp(scores - scores.max())
    return exponents / exponents.sum()


def test_scores_are_what_the_papers_say() -> None:
    query, values = np.random.default_rng(0).normal(size=6), np.random.default_rng(1).normal(size=(5, 4))

    def found(attention, memory):
        prepared = attention.prepare(torch.tensor(memory)[:, None])
        return attention(torch.tensor(query)[None], prepared)[1][0].detach().numpy()

    own = _made("additive")
    w, u, b, v = (p.detach().numpy() for p in (own.query.weight, own.key.weight, own.key.bias, own.score.weight[0]))
    np.testing.assert_allclose(
        found(own, values), _softmax(np.array([v @ np.tanh(w @ query + u @ m + b) for m in values]))
    )
    own = _made("general")
    w = own.key.weight.detach().numpy()
    np.testing.assert_allclose(found(own, values), _softmax(np.array([query @ w @ m for m in values])))
    wide = np.random.default_rng(2).normal(size=(5, 6))
    np.testing.assert_allclose(found(_made("dot"), wide), _softmax(wide @ query))
    np.testing.assert_allclose(found(_made("scaled dot"), wide), _softmax(wide @ query / 6**0.5))


def test_location_scores_see_the_previous_weights() -> None:
    own = _made("location")
    values = torch.randn(5, 1, 4, dtype=torch.double)
    query = torch.randn(1, 6, dtype=torch.double)
    before = torch.rand(1, 5, dtype=torch.double)
    _, weights = own(query, own.prepare(values), before)
    padded = np.pad(before[0].numpy(), 2)
    filters = own.filters.weight[:, 0].detach().numpy()
    features = np.array([[filters[k] @ padded[j : j + 5] for k in range(3)] for j in range(5)])
    location = features @ own.location.weight.detach().numpy().T
    inner = own.query(query).detach().numpy() + own.key(values[:, 0]).detach().numpy() + location
    expected = _softmax(np.tanh(inner) @ own.score.weight[0].detach().numpy())
    np.testing.assert_allclose(weights[0].detach().numpy(), expected)


def test_multi_head_attention_is_torchs_with_the_same_weights() -> None:
    ours, theirs = _made("multi-head"), nn.MultiheadAttention(6, 3, kdim=4, vdim=4).double()
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(ours.key.weight[:6])
        theirs.v_proj_weight.copy_(ours.key.weight[6:])
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    query, values = torch.randn(3, 2, 6, dtype=torch.double), torch.randn(5, 2, 4, dtype=torch.double)
    lengths = torch.tensor([5, 3])
    contexts, weights = ours(query, ours.prepare(values, lengths))
    blank = torch.arange(5) >= lengths[:, None]
    expected, theirs_weights = theirs(query, values, values, key_padding_mask=blank)
    torch.testing.assert_close(contexts, expected)
    torch.testing.assert_close(weights.transpose(0, 1), theirs_weights)


def test_expected_stops_are_the_mean_of_many_walks() -> None:
    own = _made("monotonic")
    with torch.no_grad():
        own.bias.fill_(-0.3)
        own.gain.fill_(2.0)
    memory = own.prepare(torch.randn(6, 1, 4, dtype=torch.double))
    query = torch.randn(3, 1, 6, dtype=torch.double)
    _, expected = own(query, memory)
    # the probabilities of stopping, and walks drawn with them
    terms = torch.tanh(own.query(query)[:, 0, None] + memory.keys[:, 0])
    p = torch.sigmoid(own.gain * (terms @ (own.score.weight[0] / own.score.weight.norm())) + own.bias).detach().numpy()
    rng, walks = np.random.default_rng(0), 20_000
    counts = np.zeros((3, 6))
    for _ in range(walks):
        place = 0
        for step in range(3):
            while place < 6 and rng.random() >= p[step, place]:
                place += 1
            if place == 6:
                break
            counts[step, place] += 1
    np.testing.assert_allclose(expected[:, 0].detach().numpy(), counts / walks, atol=0.015)


def test_hard_walks_never_go_back() -> None:
    own = _made("monotonic").eval()
    with torch.no_grad():
        own.bias.fill_(0.2)
        own.gain.fill_(3.0)
    memory = own.prepare(torch.randn(12, 20, 4, dtype=torch.double))
    _, weights = own(torch.randn(9, 20, 6, dtype=torch.double), memory)
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    for row in weights.transpose(0, 1):
        places = [int(one.argmax()) if one.any() else 12 for one in row]
        assert places == sorted(places)


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match="equal widths"):
        DotAttention(6, 4)
    with pytest.raises(UsageError, match="multiple of the 4 heads"):
        MultiHeadAttention(6, 4)
    own = _made("additive")
    with pytest.raises(ShapeError, match=r"memory has shape \(5, 2, 3\); expected \(source, batch, 4\)"):
        own.prepare(torch.zeros(5, 2, 3))
    with pytest.raises(ShapeError, match=r"query has shape \(2, 5\); expected \(batch, 6\)"):
        own(torch.zeros(2, 5), own.prepare(torch.zeros(5, 2, 4, dtype=torch.double)))
