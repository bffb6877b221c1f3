"""Heads of frames: probabilities add up to one, frames are drawn as often as they are likely, rules are kept."""

from itertools import product

import pytest
import torch
from torch.nn import functional

from ostinato.tasks.music.drawing import BEST, Sampling
from ostinato.tasks.music.heads import Rule, make_head

NOTES, FEATURES = 5, 3
HEADS = ["voices", "nade", "independent"]
ALL = torch.tensor(list(product([0.0, 1.0], repeat=NOTES)))


def head_of(name, scale=0.7):
    torch.manual_seed(0)
    head = make_head(name, FEATURES, NOTES, 7, 0.0)
    with torch.no_grad():
        for own in head.parameters():
            own.copy_(torch.randn(own.shape) * scale)
    return head.eval()


def probabilities(head, features):
    with torch.no_grad():
        return (-head.losses(features.expand(len(ALL), -1), ALL).double()).exp()


@pytest.mark.parametrize("name", HEADS)
def test_the_probabilities_of_all_frames_add_up_to_one(name) -> None:
    assert probabilities(head_of(name), torch.randn(1, FEATURES)).sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_frames_are_drawn_as_often_as_they_are_likely(name) -> None:
    head, features, count = head_of(name), torch.randn(1, FEATURES), 40_000
    generator = torch.Generator().manual_seed(1)
    rule = Rule.none(count, NOTES)
    with torch.no_grad():
        drawn, weight = head.draw(features.expand(count, -1), Sampling(), rule, generator)
    assert weight.abs().max() < 1e-4
    numbers = (drawn.long() * 2 ** torch.arange(NOTES - 1, -1, -1)).sum(1)
    shares = torch.bincount(numbers, minlength=len(ALL)) / count
    assert (shares - probabilities(head, features)).abs().max() < 0.01


@pytest.mark.parametrize("name", HEADS)
def test_weighted_draws_under_a_rule_estimate_how_likely_the_rule_is(name) -> None:
    """Importance sampling: the mean weight is the chance of all frames that the rule allows."""
    head, features, count = head_of(name, 0.3), torch.randn(1, FEATURES), 40_000
    must = torch.tensor([[False, False, True, False, False]])
    may = torch.tensor([[True, True, True, False, True]])
    rule = Rule(must.expand(count, -1), may.expand(count, -1), NOTES)
    with torch.no_grad():
        drawn, weight = head.draw(features.expand(count, -1), Sampling(), rule, torch.Generator().manual_seed(2))
    assert bool(drawn[:, 2].all())
    assert not bool(drawn[:, 3].any())
    allowed = (ALL[:, 2] == 1) & (ALL[:, 3] == 0)
    assert weight.double().exp().mean().item() == pytest.approx(
        probabilities(head, features)[allowed].sum().item(), rel=0.05
    )


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("sampling", [BEST, Sampling(), Sampling(0.5, 0.8)])
def test_no_more_notes_sound_than_may_unless_they_must(name, sampling) -> None:
    head, rows = head_of(name), 200
    features, generator = 3 * torch.randn(rows, FEATURES), torch.Generator().manual_seed(3)
    must = torch.rand(rows, NOTES, generator=generator) < 0.3
    may = must | (torch.rand(rows, NOTES, generator=generator) < 0.8)
    with torch.no_grad():
        drawn, _ = head.draw(features, sampling, Rule(must, may, 2), generator)
    assert bool((drawn | ~must).all())
    assert bool((may | ~drawn).all())
    assert bool((drawn.sum(1) <= must.sum(1).clamp(min=2)).all())


def test_nade_is_the_product_of_its_conditionals() -> None:
    """By the equations of the paper, note by note."""
    head, features = head_of("nade"), torch.randn(1, FEATURES)
    frame = torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0]])
    with torch.no_grad():
        a, b = head.hidden_bias(features)[0], head.bias(features)[0]
        loss = torch.zeros(())
        for i in range(NOTES):
            p = torch.sigmoid(head.say[i] @ torch.sigmoid(a) + b[i])
            loss = loss + functional.binary_cross_entropy(p, frame[0, i])
            a = a + frame[0, i] * head.read[i]
        assert head.losses(features, frame).item() == pytest.approx(loss.item(), abs=1e-5)


def test_gradients_of_the_voices_reach_every_weight() -> None:
    head = make_head("voices", FEATURES, NOTES, 7, 0.0)
    head.losses(torch.randn(len(ALL), FEATURES), ALL).sum().backward()
    assert all(bool((own.grad != 0).any()) for own in head.parameters())
