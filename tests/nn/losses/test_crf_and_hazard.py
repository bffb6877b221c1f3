"""The conditional random field against sums over every tag sequence; survival against counting."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses


def _crf(tags=3, forbidden=None):
    torch.manual_seed(0)
    crf = losses.LinearChainCRF(tags, forbidden).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return crf


def _every_path(crf, scores):
    """Return the score of every tag sequence of one row."""
    transitions, first, last = crf._parts()
    found = {}
    for path in itertools.product(range(crf.tags), repeat=len(scores)):
        value = first[path[0]] + last[path[-1]] + sum(scores[t, tag] for t, tag in enumerate(path))
        value = value + sum(transitions[a, b] for a, b in itertools.pairwise(path))
        found[path] = float(value.detach())
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.booleans())
def test_the_crf_sums_over_every_tag_sequence(lengths, grammar) -> None:
    crf = _crf(3, losses.forbidden_transitions(["O", "B-X", "I-X"]) if grammar else None)
    longest = max(lengths)
    scores = torch.randn(longest, len(lengths), 3, dtype=torch.double)
    real = torch.arange(longest)[:, None] < torch.tensor(lengths)
    shown = torch.where(real[..., None], scores, torch.full_like(scores, float("nan")))
    targets = torch.randint(2, (longest, len(lengths)))
    found = crf(shown, targets, torch.tensor(lengths), reduction="none")
    decoded, marginals = crf.decode(shown, torch.tensor(lengths)), crf.marginals(shown, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        if not length:
            assert found[row] == 0
            assert decoded[row] == []
            continue
        every = _every_path(crf, scores[:length, row])
        total = math.log(sum(math.exp(value) for value in every.values()))
        own = tuple(targets[:length, row].tolist())
        assert float(found[row]) == pytest.approx(total - every[own])
        assert tuple(decoded[row]) == max(every, key=every.__getitem__)
        for t, tag in itertools.product(range(length), range(3)):
            share = sum(math.exp(value - total) for path, value in every.items() if path[t] == tag)
            assert float(marginals[t, row, tag]) == pytest.approx(share, abs=1e-9)
        assert (marginals[length:, row] == 0).all()


def test_gradients_of_the_crf_are_right_to_finite_differences() -> None:
    crf = _crf(3)
    scores = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)
    targets, lengths = torch.randint(3, (4, 2)), torch.tensor([4, 2])
    parameters = [crf.transitions, crf.starts, crf.ends]

    def run(scores, *_):
        return crf(scores, targets, lengths)

    assert torch.autograd.gradcheck(run, (scores, *parameters))
    copy.deepcopy(crf)  # nothing of the computation is left in it


def test_scores_far_apart_stay_finite_and_right() -> None:
    crf = _crf(4).float()
    scores = 40 * torch.randn(50, 3, 4)
    targets = torch.randint(4, (50, 3))
    found = crf(scores, targets)
    double = copy.deepcopy(crf).double()(scores.double(), targets)
    assert float(found.detach()) == pytest.approx(float(double.detach()), rel=1e-5)


def test_grammars_of_spans() -> None:
    tags = ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"]
    forbidden = losses.forbidden_transitions(tags, "IOBES")
    allowed = {(tags[a], tags[b]) for a in range(9) for b in range(9) if not forbidden.between[a, b]}
    assert ("B-A", "E-A") in allowed
    assert ("E-A", "S-B") in allowed
    assert ("B-A", "O") not in allowed
    assert ("B-A", "E-B") not in allowed
    assert [tag for tag, no in zip(tags, forbidden.first, strict=True) if not no] == ["O", "B-A", "S-A", "B-B", "S-B"]
    assert [tag for tag, no in zip(tags, forbidden.last, strict=True) if not no] == ["O", "E-A", "S-A", "E-B", "S-B"]
    with pytest.raises(UsageError, match='tag "E-A" is not of the scheme BIO'):
        losses.forbidden_transitions(tags)
    with pytest.raises(ShapeError, match=r"expected \(time, batch, 3\)"):
        _crf().decode(torch.zeros(4, 2, 5))


# --- hazards ---------------------------------------------------------------------------------------------------------


def test_hazards_give_the_likelihood_of_what_was_seen() -> None:
    torch.manual_seed(0)
    scores = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    times, events = torch.tensor([0, 2, 4, 3]), torch.tensor([True, False, True, False])
    h = scores.sigmoid()
    expected = 0
    for row in range(4):
        t = int(times[row])
        alive = torch.prod(1 - h[:t, row])
        expected -= torch.log(alive * (h[t, row] if events[row] else 1 - h[t, row])) / 4
    torch.testing.assert_close(losses.hazard_loss(scores, times, events), expected)
    assert torch.autograd.gradcheck(lambda own: losses.hazard_loss(own, times, events), (scores,))
    curve = losses.survival_curve(scores)
    torch.testing.assert_close(curve[2, 1], torch.prod(1 - h[:3, 1]))
    # what may happen adds up to one: the event at some step, or none
    chances = torch.cat([torch.ones(1, 4).double(), curve])
    torch.testing.assert_close(((chances[:-1] - chances[1:]).sum(0) + curve[-1]), torch.ones(4).double())


def test_concordance_counts_pairs() -> None:
    torch.manual_seed(0)
    risks, times = torch.randn(30).round(decimals=1), torch.randint(0, 8, (30,))
    events = torch.rand(30) < 0.6
    good, pairs = 0.0, 0
    for i, j in itertools.permutations(range(30), 2):
        if events[i] and times[i] < times[j]:
            pairs += 1
            good += 1.0 if risks[i] > risks[j] else 0.5 if risks[i] == risks[j] else 0.0
    assert losses.concordance(risks, times, events) == pytest.approx(good / pairs)
    with pytest.raises(UsageError, match="no two rows can be compared"):
        losses.concordance(risks, times, torch.zeros(30, dtype=torch.bool))


def test_brier_scores_are_squared_errors_and_make_up_for_the_censored() -> None:
    torch.manual_seed(0)
    curves = torch.rand(6, 200, dtype=torch.double).sort(0, descending=True).values
    times, everyone = torch.randint(0, 6, (200,)), torch.ones(200, dtype=torch.bool)
    plain = torch.stack([((times > t).double() - curves[t]).square().mean() for t in range(6)])
    torch.testing.assert_close(losses.brier_score(curves, times, everyone), plain)
    # the same people, some of them lost from sight at random: nearly the same scores
    many = torch.randint(0, 6, (60_000,))
    flat = torch.linspace(0.9, 0.2, 6, dtype=torch.double)[:, None].expand(6, 60_000)
    whole = losses.brier_score(flat, many, torch.ones(60_000, dtype=torch.bool))
    lost = torch.randint(0, 12, (60_000,))
    seen = many <= lost
    found = losses.brier_score(flat, torch.where(seen, many, lost), seen)
    torch.testing.assert_close(found[:5], whole[:5], atol=0.01, rtol=0.05)


def test_times_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="times run from 0 to 5; expected 0 to 4"):
        losses.hazard_loss(torch.zeros(5, 2), torch.tensor([0, 5]), torch.tensor([True, True]))
    with pytest.raises(ShapeError):
        losses.hazard_loss(torch.zeros(5, 2), torch.tensor([0]), torch.tensor([True]))
