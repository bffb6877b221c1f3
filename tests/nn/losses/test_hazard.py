"""Likelihoods and metrics of a time to an event, against sums over outcomes and pairs written out."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses

seeds = st.integers(0, 2**16)
watched_rows = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=4)


def _random(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _rows(rows):
    rows = [(steps, came and steps > 0) for steps, came in rows]
    return rows, torch.tensor([steps for steps, _ in rows]), torch.tensor([came for _, came in rows])


@settings(deadline=None, max_examples=30)
@given(seed=seeds, rows=watched_rows)
def test_hazard_loss_is_the_product_of_chances_whatever_stands_in_padding(seed, rows) -> None:
    rows, lengths, event = _rows(rows)
    logits = _random(seed, 8, len(rows))
    hazards = torch.sigmoid(logits).tolist()
    for row, (steps, _) in enumerate(rows):
        logits[steps:, row] = float("nan")
    logits.requires_grad_()
    found = losses.hazard_loss(logits, event, lengths, reduction="none")
    found.sum().backward()
    for row, (steps, came) in enumerate(rows):
        chance = math.prod(1 - hazards[t][row] for t in range(steps - came))
        chance *= hazards[steps - 1][row] if came else 1
        assert found[row].item() == pytest.approx(-math.log(chance), abs=1e-10)
        alone = logits.detach()[:steps, row : row + 1].clone().requires_grad_()
        losses.hazard_loss(alone, event[row : row + 1]).backward()
        torch.testing.assert_close(logits.grad[:steps, row], alone.grad[:, 0], rtol=1e-12, atol=1e-12)
        assert not logits.grad[steps:, row].any()


@settings(deadline=None, max_examples=30)
@given(seed=seeds, rows=watched_rows, causes=st.integers(1, 3))
def test_deephit_loss_is_the_mass_of_what_may_have_happened(seed, rows, causes) -> None:
    rows, lengths, event = _rows(rows)
    logits = _random(seed, 6, len(rows), causes)
    cause = event.long() * (1 + torch.arange(len(rows)) % causes)
    found = losses.deephit_loss(logits, cause, lengths, reduction="none")
    survival = losses.deephit_survival(logits)
    for row, (steps, _) in enumerate(rows):
        weight = {(t, k): math.exp(logits[t, row, k - 1]) for t in range(6) for k in range(1, causes + 1)}
        total = 1 + sum(weight.values())
        later = 1 + sum(w for (t, _), w in weight.items() if t >= steps)
        chance = weight[steps - 1, int(cause[row])] if cause[row] else later
        assert found[row].item() == pytest.approx(-math.log(chance / total), abs=1e-10)
        if steps:
            assert survival[steps - 1, row].item() == pytest.approx(later / total)
    if causes == 1:
        torch.testing.assert_close(losses.deephit_loss(logits[..., 0], event, lengths, reduction="none"), found)


@pytest.mark.parametrize("loss", [losses.hazard_loss, losses.deephit_loss])
def test_all_outcomes_together_have_probability_one_and_gradients_are_right(loss) -> None:
    logits = _random(1, 4, 1)
    outcomes = [(t, True) for t in range(1, 5)] + [(4, False)]
    chances = [loss(logits, torch.tensor([came]), torch.tensor([t])).neg().exp() for t, came in outcomes]
    torch.testing.assert_close(sum(chances), torch.ones((), dtype=torch.float64))
    batch = _random(2, 4, 3).requires_grad_()
    event, lengths = torch.tensor([True, False, False]), torch.tensor([3, 2, 0])
    assert torch.autograd.gradcheck(lambda x: loss(x, event, lengths, reduction="none"), batch)
    torch.testing.assert_close(loss(batch, event, lengths), loss(batch, event, lengths, reduction="none").mean())


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[300.0], [-300.0]], requires_grad=True)
    loss = losses.hazard_loss(logits, torch.tensor([True]))
    loss.backward()
    assert loss.item() == 600
    sure = losses.hazard_loss(torch.tensor([[30.0]]), torch.tensor([True]))
    assert sure.item() == pytest.approx(math.exp(-30.0))
    assert logits.grad.isfinite().all()


def test_survival_is_what_the_loss_of_a_censored_row_says() -> None:
    logits = _random(3, 5, 2)
    for t, curve in enumerate(losses.survival_curve(logits), 1):
        loss = losses.hazard_loss(logits, torch.tensor([False, False]), torch.tensor([t, t]), reduction="none")
        torch.testing.assert_close(curve, loss.neg().exp())


def test_durations_become_intervals_by_the_rule_of_halves() -> None:
    ends = torch.tensor([1.0, 3.0])
    durations = torch.tensor([0.0, 1.0, 1.1, 3.0, 3.1])
    lengths, event = losses.discretise(durations, torch.ones(5, dtype=torch.bool), ends)
    assert lengths.tolist() == [1, 1, 2, 2, 2]
    assert event.tolist() == [True, True, True, True, False]
    durations = torch.tensor([0.4, 0.5, 1.9, 2.0, 9.0])
    lengths, event = losses.discretise(durations, torch.zeros(5, dtype=torch.bool), ends)
    assert lengths.tolist() == [0, 1, 1, 2, 2]
    assert not event.any()


people = st.lists(
    st.tuples(st.integers(1, 6), st.booleans(), st.integers(0, 4)), min_size=2, max_size=9
)  # duration, event, risk: small numbers, so that there are ties


@settings(deadline=None, max_examples=60)
@given(people=people)
def test_concordance_counts_pairs(people) -> None:
    good, comparable = 0.0, 0
    for (time, came, risk), (other_time, other_came, other_risk) in itertools.permutations(people, 2):
        if came and (time < other_time or (time == other_time and not other_came)):
            comparable += 1
            good += 1.0 if risk > other_risk else 0.5 if risk == other_risk else 0.0
    durations, event, risk = (torch.tensor(column) for column in zip(*people, strict=True))
    if comparable:
        found = losses.concordance_index(risk.double(), durations.double(), event)
        assert found == pytest.approx(good / comparable)
    else:
        with pytest.raises(UsageError, match="no pair of rows can be compared"):
            losses.concordance_index(risk.double(), durations.double(), event)


def test_concordance_does_not_depend_on_the_blocks(monkeypatch) -> None:
    risk, durations, event = torch.randn(50), torch.rand(50), torch.rand(50) < 0.6
    whole = losses.concordance_index(risk, durations, event)
    monkeypatch.setattr("ostinato.nn.losses.survival._BLOCK", 150)
    assert losses.concordance_index(risk, durations, event) == whole


def _product_limit(people, happened, leaves_before, until):
    """Return the product over times for which `until(time)` holds, by its definition."""
    chance = 1.0
    for time in sorted({t for t, came, _ in people if happened(came) and until(t)}):
        count = sum(t == time and happened(came) for t, came, _ in people)
        at_risk = sum(t > time or (t == time and not leaves_before(came)) for t, came, _ in people)
        chance *= 1 - count / at_risk
    return chance


@settings(deadline=None, max_examples=60)
@given(people=people, seed=seeds)
def test_brier_scores_and_kaplan_meier_are_their_definitions(people, seed) -> None:
    durations, event, _ = (torch.tensor(column) for column in zip(*people, strict=True))
    times, chances = losses.kaplan_meier(durations, event)
    for time, chance in zip(times, chances, strict=True):
        expected = _product_limit(people, bool, lambda _: False, lambda t, until=time: t <= until)
        assert chance.item() == pytest.approx(expected)
    longest = max(t for t, _, _ in people)
    if longest < 2:
        return
    grid = torch.arange(0.5, longest, 0.5)
    survival = torch.rand(len(grid), len(people), generator=torch.Generator().manual_seed(seed))

    def watched(until):
        return _product_limit(people, lambda came: not came, bool, until)

    expected = []
    for time, row in zip(grid.tolist(), survival.double().tolist(), strict=True):
        errors = [
            chance**2 / watched(lambda t, end=t0: t < end)
            if came and t0 <= time
            else (1 - chance) ** 2 / watched(lambda t, end=time: t <= end)
            if t0 > time
            else 0.0
            for (t0, came, _), chance in zip(people, row, strict=True)
        ]
        expected.append(sum(errors) / len(people))
    found = losses.brier_scores(survival, grid, durations.double(), event)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    area = sum((a + b) / 4 for a, b in itertools.pairwise(expected))
    integrated = losses.integrated_brier_score(survival, grid, durations.double(), event)
    assert integrated == pytest.approx(area / (grid[-1] - grid[0]).item())


def test_the_true_chances_have_the_best_scores_under_censoring() -> None:
    torch.manual_seed(0)
    rate = torch.rand(4000) + 0.2
    time, censoring = torch.empty(4000).exponential_() / rate, torch.empty(4000).exponential_(0.3)
    durations, event = torch.minimum(time, censoring), time <= censoring
    grid = torch.linspace(0.1, 3, 30)
    true = (-rate * grid[:, None]).exp()
    best = losses.integrated_brier_score(true, grid, durations, event)
    assert best < losses.integrated_brier_score(true**1.3, grid, durations, event)
    assert best < losses.integrated_brier_score(true**0.7, grid, durations, event)
    # the variance of the outcome itself, which censoring must not bias
    variance = torch.trapezoid((true * (1 - true)).mean(1), grid).item() / 2.9
    assert best == pytest.approx(variance, rel=0.03)
    assert losses.concordance_index(rate, durations, event) > 0.55


def test_training_finds_the_hazards_of_censored_data() -> None:
    torch.manual_seed(0)
    hazards = torch.tensor([0.1, 0.3, 0.2, 0.5])
    came = torch.rand(4, 5000) < hazards[:, None]
    first = torch.where(came.any(0), came.int().argmax(0), 4)
    censored_after = torch.randint(1, 5, (5000,))
    event = first < censored_after
    lengths = torch.where(event, first + 1, censored_after)
    logits = torch.zeros(4, 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=50)

    def closure():
        optimiser.zero_grad()
        loss = losses.hazard_loss(logits.expand(4, 5000), event, lengths)
        loss.backward()
        return loss

    optimiser.step(closure)
    torch.testing.assert_close(torch.sigmoid(logits.detach()[:, 0]), hazards, atol=0.04, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    logits, event = torch.zeros(3, 2), torch.tensor([True, False])
    with pytest.raises(UsageError, match="row 0 has an event but no step"):
        losses.hazard_loss(logits, event, torch.tensor([0, 1]))
    with pytest.raises(UsageError, match="event has type torch.int64; expected booleans"):
        losses.hazard_loss(logits, event.long())
    with pytest.raises(ShapeError, match=r"event has shape \(1,\); expected \(2,\)"):
        losses.hazard_loss(logits, event[:1])
    with pytest.raises(UsageError, match="event runs from 0 to 3; expected 0 to 2"):
        losses.deephit_loss(torch.zeros(3, 2, 2), torch.tensor([3, 0]))
    with pytest.raises(UsageError, match="expected them to rise from above 0"):
        losses.discretise(torch.ones(2), event, torch.tensor([0.0, 1.0]))
    with pytest.raises(UsageError, match="row 1: the duration is negative"):
        losses.discretise(torch.tensor([1.0, -1.0]), event, torch.tensor([1.0, 2.0]))
    with pytest.raises(UsageError, match="expected all before the longest duration, 2"):
        losses.brier_scores(torch.zeros(1, 2), torch.tensor([2.0]), torch.tensor([1.0, 2.0]), event)
    with pytest.raises(UsageError, match="expected them to rise"):
        losses.brier_scores(torch.zeros(2, 2), torch.tensor([1.0, 0.5]), torch.tensor([1.0, 2.0]), event)
    with pytest.raises(UsageError, match="expected two or more to integrate over"):
        losses.integrated_brier_score(torch.zeros(1, 2), torch.tensor([1.0]), torch.tensor([1.0, 2.0]), event)
