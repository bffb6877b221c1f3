"""The Transformer against torch.nn's, in chunks, as a stream, padded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import TransformerStack

OPTIONS = {
    "plain": {},
    "context": {"context": 4},
    "rotary": {"positions": "rotary"},
    "rotary, context": {"positions": "rotary", "context": 3},
    "learned": {"positions": "learned", "max_positions": 12},
    "post-norm, relu": {"pre_norm": False, "activation": "relu"},
    "swiglu": {"activation": "swiglu"},
}


def _stack(name="plain", **more) -> TransformerStack:
    torch.manual_seed(0)
    return TransformerStack(5, 8, 2, heads=2, **OPTIONS[name], **more).double().eval()


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("causal", [False, True])
def test_layers_are_torchs_with_the_same_weights(pre_norm, activation, causal) -> None:
    torch.manual_seed(0)
    ours = TransformerStack(
        8, 8, 2, heads=2, feed_forward=12, pre_norm=pre_norm, activation=activation, causal=causal, positions="rotary"
    ).double()
    for layer in ours.layers:
        layer.attention.rotary = False
    layer = nn.TransformerEncoderLayer(8, 2, 12, 0.0, activation, norm_first=pre_norm)
    theirs = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8) if pre_norm else None, enable_nested_tensor=False)
    theirs = theirs.double()
    with torch.no_grad():
        for mine, peer in zip(ours.layers, theirs.layers, strict=True):
            mine.attention.inputs.weight.copy_(peer.self_attn.in_proj_weight)
            mine.attention.inputs.bias.copy_(peer.self_attn.in_proj_bias)
            for ours_part, theirs_part in [
                (mine.attention.output, peer.self_attn.out_proj),
                (mine.feed_forward.inner, peer.linear1),
                (mine.feed_forward.outer, peer.linear2),
                (mine.first.norm, peer.norm1),
                (mine.second.norm, peer.norm2),
            ]:
                ours_part.load_state_dict(theirs_part.state_dict())
    xs, lengths = torch.randn(6, 3, 8, dtype=torch.double), torch.tensor([6, 2, 4])
    blank = torch.arange(6) >= lengths[:, None]
    mask = nn.Transformer.generate_square_subsequent_mask(6, dtype=torch.double) if causal else None
    expected = theirs(xs, mask=mask, src_key_padding_mask=torch.zeros(3, 6).double().masked_fill(blank, float("-inf")))
    found, _ = ours(xs, lengths=lengths)
    real = ~blank.t()
    torch.testing.assert_close(found[real], expected[real])
    assert (found[~real] == 0).all()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(OPTIONS)), st.booleans(), st.lists(st.integers(0, 7), min_size=1, max_size=4))
def test_a_padded_batch_gives_what_its_sequences_give_one_by_one(name, causal, lengths) -> None:
    stack = _stack(name, causal=causal)
    xs = torch.randn(7, len(lengths), 5, dtype=torch.double)
    real = torch.arange(7)[:, None] < torch.tensor(lengths)
    padded = torch.where(real[..., None], xs, torch.full_like(xs, float("nan"))).requires_grad_()
    ys, _ = stack(padded, lengths=torch.tensor(lengths))
    (grad,) = torch.autograd.grad(ys.square().sum(), padded)
    assert (ys[~real] == 0).all()
    assert (grad[~real] == 0).all()
    for row, length in enumerate(lengths):
        if length:
            alone = xs[:length, row : row + 1].detach().requires_grad_()
            own, _ = stack(alone)
            torch.testing.assert_close(own, ys[:length, row : row + 1])
            torch.testing.assert_close(torch.autograd.grad(own.square().sum(), alone)[0], grad[:length, row : row + 1])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(OPTIONS)), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=3)
)
def test_chunks_of_any_lengths_give_what_the_whole_gives(name, rows) -> None:
    stack = _stack(name)
    first, second = (torch.tensor(own) for own in zip(*rows, strict=True))
    pieces = [torch.randn(4, len(rows), 5, dtype=torch.double) for _ in range(2)]
    ys, state = stack(pieces[0], lengths=first)
    zs, _ = stack(pieces[1], state, lengths=second)
    for row, (a, b) in enumerate(rows):
        if a + b == 0:
            continue
        whole = torch.cat([pieces[0][:a, row : row + 1], pieces[1][:b, row : row + 1]])
        expected, _ = stack(whole)
        found = torch.cat([ys[:a, row : row + 1], zs[:b, row : row + 1]])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_stepper_gives_the_numbers_of_the_whole_sequence(name) -> None:
    stack = _stack(name).float()
    xs = torch.randn(10, 2, 5)
    expected = stack(xs)[0].detach().numpy()
    step = ostinato.stepper(stack, batch_size=2)
    for t, (x, y) in enumerate(zip(xs.numpy(), expected, strict=True)):
        if t == 5:
            saved = step.state()
        np.testing.assert_allclose(step(x), y, atol=1e-5)
    step.restore(saved)
    np.testing.assert_allclose(step(xs[5].numpy()), expected[5], atol=1e-5)


def test_a_bounded_context_bounds_the_state_and_what_is_seen() -> None:
    stack = _stack("context")
    xs = torch.randn(30, 1, 5, dtype=torch.double)
    _, state = stack(xs)
    assert state[0][0].shape[1] == 3
    other = xs.clone()
    other[0] += 1  # two layers of context four: seven steps at most
    changed = (stack(xs)[0] != stack(other)[0]).any(-1)[:, 0]
    assert changed[:7].all()
    assert not changed[7:].any()


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match="hidden_size is 8; expected a multiple of the 3 heads"):
        TransformerStack(5, 8, heads=3)
    with pytest.raises(UsageError, match="expected an even multiple of the 8 heads"):
        TransformerStack(5, 8, heads=8, positions="rotary")
    with pytest.raises(UsageError, match="step 13 of a sequence has no learned position; there are 12"):
        _stack("learned")(torch.zeros(13, 1, 5, dtype=torch.double))
    with pytest.raises(UsageError, match="not causal cannot run step by step"):
        ostinato.stepper(_stack(causal=False))
    with pytest.raises(ShapeError, match=r"xs has shape \(4, 2, 3\); expected \(time, batch, 5\)"):
        _stack()(torch.zeros(4, 2, 3))
    whole = _stack(causal=False)
    with pytest.raises(UsageError, match="takes no state"):
        whole(torch.zeros(4, 2, 5), whole.initial_state(torch.zeros(2, 5)))
    for options in ({"positions": "none"}, {"activation": "tanh"}, {"num_layers": 0}, {"context": 0}):
        with pytest.raises(UsageError):
            TransformerStack(5, 8, **options)
