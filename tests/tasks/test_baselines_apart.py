"""Baselines stand beside a model and never in its way: each is fitted apart, in a bounded time, after it is written."""

import numpy as np
import pytest

import ostinato
from laws import CASES
from ostinato.errors import OutOfTime, UsageError
from ostinato.tasks.base import allowance as allowances
from ostinato.tasks.base.allowance import Allowance, deadline, seconds_beside
from ostinato.tasks.base.baselines import made_apart
from ostinato.tasks.base.suited import Suited

ALL = pytest.mark.parametrize("kind", CASES)


@pytest.fixture(scope="module", autouse=True)
def _time_for_baselines() -> None:
    """Leave the time of baselines as it is: it is what this file is about."""


def made(kind):
    return CASES[kind].make().set_params(epochs=1)


def fails(error):
    def fit():
        raise error

    return fit


def beside(monkeypatch, model, **makers):
    """Put more baselines before and behind those of a model's task."""
    whole = type(model.task).baselines
    first, *rest = makers.items()

    def more(task, fitted, train, validation):
        return {first[0]: first[1], **whole(task, fitted, train, validation), **dict(rest)}

    monkeypatch.setattr(type(model.task), "baselines", more)


@ALL
@pytest.mark.slow
@pytest.mark.ci
def test_a_kill_while_baselines_are_fitted_leaves_a_model_and_one_that_fails_takes_nothing_with_it(
    kind, monkeypatch, tmp_path
) -> None:
    data = CASES[kind].data(False, 0)
    model = made(kind)
    with monkeypatch.context() as patched:
        beside(patched, model, killed=fails(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            model.fit(data, directory=tmp_path)
    left = ostinato.load(tmp_path)
    assert not left.fitted_.compared
    verdict = left.evaluate(data).verdict
    assert "no baselines stand beside it" in verdict
    assert "resume=True" in verdict
    assert "no baselines stand beside it" in left.summary_.verdict

    beside(
        monkeypatch, model, broken=fails(ValueError("no value is positive")), greedy=fails(MemoryError()),
        absent=fails(UsageError("its data has holes; fill them")),
    )  # fmt: skip
    model.fit(data, directory=tmp_path, resume=True)
    scores = model.scores_
    assert scores is not None
    names = set(scores.values) - {"model"}
    assert names
    assert not names & {"broken", "greedy", "absent"}
    assert "The baseline broken is left out: ValueError: no value is positive." in scores.verdict
    assert "The baseline greedy is left out: there was not enough memory." in scores.verdict
    assert "The baseline absent is left out: its data has holes; fill them." in scores.verdict
    # MiniRocket is left out of tests that are not about it
    assert {name for name in scores.details["left out"] if "MiniRocket" not in name} == {"broken", "greedy", "absent"}
    again = ostinato.load(tmp_path)
    assert again.fitted_.compared
    assert again.fitted_.left_out == model.fitted_.left_out
    assert set(again.fitted_.baselines) == names
    assert {"training", "calibration", "baselines", "judging"} <= set(again.fitted_.seconds)
    before, after = left.fitted_.model.network.state_dict(), again.fitted_.model.network.state_dict()
    for name, value in before.items():  # to compare it trains nothing
        np.testing.assert_array_equal(after[name].numpy(), value.numpy())


def test_a_baseline_that_fails_where_it_predicts_is_left_out_of_an_evaluation(monkeypatch) -> None:
    model = made("sequence tagger").fit(CASES["sequence tagger"].data(False, 0))
    own = model.fitted_.baselines["hidden Markov model"]
    monkeypatch.setattr(type(own), "predict", lambda self, examples: 1 / 0)
    scores = model.evaluate(CASES["sequence tagger"].data(False, 3))
    assert "hidden Markov model" not in scores.values
    assert "most frequent tag of the word" in scores.values
    assert "The baseline hidden Markov model is left out: ZeroDivisionError: division by zero." in scores.verdict


def test_where_nothing_is_held_out_a_baseline_that_fails_is_still_said(monkeypatch) -> None:
    model = made("sequence tagger").set_params(test=0.0)
    beside(monkeypatch, model, broken=fails(ValueError("no value")))
    assert "The baseline broken is left out" in model.fit(CASES["sequence tagger"].data(False, 0)).summary_.verdict


def test_a_mapping_of_baselines_that_cannot_be_made_costs_no_model(monkeypatch) -> None:
    model = made("sequence tagger")
    monkeypatch.setattr(type(model.task), "baselines", lambda *_: fails(ValueError("no value"))())
    scores = model.fit(CASES["sequence tagger"].data(False, 0)).scores_
    assert set(scores.values) == {"model"}
    assert "All baselines are left out: ValueError: no value." in scores.verdict


# --- time -------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(allowances.time, "monotonic", lambda: self.now)

    def works(self, seconds):
        """Return work that asks every second whether it may go on."""

        def work():
            for _ in range(seconds):
                deadline().check()
                self.now += 1.0
            return seconds

        return work


def test_one_that_takes_too_long_is_stopped_and_the_others_have_their_share(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    makers = {"slow": clock.works(10**6), "slower": clock.works(10**6), "quick": clock.works(3), "last": clock.works(1)}
    found, left_out = made_apart(makers, Allowance(40.0, 4))
    assert found == {"quick": 3, "last": 1}
    assert left_out == {
        "slow": "its share of the time, 25 s, was used up",
        "slower": "its share of the time, 5 s, was used up",
    }
    assert clock.now <= 40.0


def test_what_one_leaves_the_next_may_take_and_what_heeds_no_deadline_is_paid_by_those_after_it(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    found, left_out = made_apart({"quick": clock.works(1), "long": clock.works(34)}, Allowance(40.0, 2))
    assert (set(found), left_out) == ({"quick", "long"}, {})

    def deaf():
        clock.now += 100.0
        return 1

    found, left_out = made_apart({"deaf": deaf, "late": clock.works(3), "simple": lambda: 2}, Allowance(40.0, 3))
    assert found == {"deaf": 1, "simple": 2}
    assert "used up" in left_out["late"]


def test_outside_of_a_fit_there_is_no_deadline() -> None:
    assert deadline().left() == np.inf
    deadline().check()
    with pytest.raises(OutOfTime), Allowance(0.0, 1).piece():
        pass
    assert deadline().left() == np.inf


def test_baselines_have_twenty_seconds_or_a_quarter_of_the_training() -> None:
    assert [seconds_beside(own) for own in (1.0, 80.0, 400.0)] == [20.0, 20.0, 100.0]


# --- passes that suit the data ----------------------------------------------------------------------------------------


@ALL
@pytest.mark.slow
@pytest.mark.ci
def test_epochs_that_nobody_says_suit_the_size_of_the_data(kind, monkeypatch) -> None:
    if kind == "sequence classifier":
        pytest.skip("its passes follow from the plan of its networks: from lengths too")
    model = made(kind).set_params(epochs=None)
    task = model.task._of(model) if hasattr(model.task, "_of") else model.task  # that of series, or of keys
    monkeypatch.setattr(type(task), "suited", Suited(steps=4, least=2, most=3))
    model.fit(CASES[kind].data(False, 0))
    assert 2 <= len(model.history_.rows) <= 3
