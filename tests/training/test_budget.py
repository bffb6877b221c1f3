"""A schedule ends when the budget does, whichever limit ends it; the clock is one that only the test moves."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ostinato.training import Listener, Step, TrainingConfig, listening, train
from ostinato.training.budget import FIRST_STEPS, WARMUP_SHARE, Budget
from ostinato.training.config import SCHEDULES
from ostinato.training.optimisers import LearningRate
from toy import Rows, make_module, squared_error

CONFIG = TrainingConfig(epochs=1000, schedule="one_cycle", patience=None, progress=False, checkpoint_seconds=math.inf)


class Clock:
    """Time that goes by with each batch: so many seconds for one to train on, so many for one to validate on."""

    def __init__(self, monkeypatch, step=1.0, validation=0.0, first=0.0):
        self.now, self.step, self.validation, self.first, self.rates = 0.0, step, validation, first, []
        for module in ("loop", "pace"):
            monkeypatch.setattr(f"ostinato.training.{module}.monotonic", lambda: self.now)

    def objective(self, module, batch, carry):
        self.now += self.step + self.first if module.training else self.validation
        self.first = self.first if not module.training else 0.0
        return squared_error(module, batch, carry)

    def watch(self, monkeypatch):
        """Keep the rate of each step."""
        whole = LearningRate.set

        def seen(rate, step, done):
            self.rates.append(whole(rate, step, done))
            return self.rates[-1]

        monkeypatch.setattr(LearningRate, "set", seen)


def rates_of(config, budget, seconds, setup, validation):
    """Return the rate of each step and the progress before it, of steps that take so long."""
    rate = LearningRate(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), config)
    gone, progress, found = 0.0, 0.0, []
    for number, own in enumerate(seconds):
        if budget.is_over(gone, validation):
            break
        ready = setup if number >= FIRST_STEPS else 0.0
        progress = max(progress, budget.progress(number, gone, ready, validation))
        found.append((rate.set(number, progress), progress))
        gone += own + (setup / FIRST_STEPS if number < FIRST_STEPS else 0.0)
    return found


@settings(max_examples=80, deadline=None)
@given(
    schedule=st.sampled_from([name for name in SCHEDULES if name != "plateau"]),
    warmup=st.integers(0, 100_000),
    step=st.floats(0.01, 0.3),
    jitter=st.floats(0.0, 3.0),
    limit=st.floats(10.0, 40.0),
    setup=st.floats(0.01, 5.0),
    validation=st.floats(0.0, 1.0),
    steps=st.integers(50, 10_000),
)
def test_progress_never_falls_and_a_warm_up_is_bounded(
    schedule, warmup, step, jitter, limit, setup, validation, steps
) -> None:
    config = TrainingConfig(schedule=schedule, warmup_steps=warmup, learning_rate=1.0, max_seconds=limit)
    seconds = step * np.random.default_rng(steps).uniform(0.1, 1 + jitter, min(steps, 2000))
    found = rates_of(config, Budget(steps, limit), seconds.tolist(), setup, validation)
    progress = [own for _, own in found]
    assert progress == sorted(progress)
    assert 0.0 <= progress[0] <= progress[-1] <= 1.0
    after = [rate for rate, own in found if own >= WARMUP_SHARE]
    assert after == sorted(after, reverse=True)  # once the warm-up is over, no rate rises again


@settings(max_examples=60, deadline=None)
@given(
    step=st.floats(0.02, 0.2),
    limit=st.floats(20.0, 40.0),
    setup=st.floats(0.01, 8.0),
    validation=st.floats(0.0, 1.0),
    warmup=st.integers(0, 100_000),
)
def test_a_schedule_ends_when_the_time_does_and_has_been_at_its_height(step, limit, setup, validation, warmup) -> None:
    config = TrainingConfig(schedule="one_cycle", warmup_steps=warmup, learning_rate=1.0, max_seconds=limit)
    found = rates_of(config, Budget(10**6, limit), [step] * 2000, setup, validation)
    rates = [rate for rate, _ in found]
    assert max(rates) > 0.9
    assert rates[-1] < 0.01
    assert rates.index(max(rates)) <= (WARMUP_SHARE + 0.05) * len(rates) + FIRST_STEPS


def test_a_limit_of_steps_that_comes_first_ends_the_schedule() -> None:
    budget = Budget(100, 1000.0)
    assert budget.progress(50, 40.0, 1.0, 0.0) == 0.5
    assert Budget(100).progress(50, 10**9, 1.0, 0.0) == 0.5


@pytest.mark.parametrize("first", [0.0, 20.0])
def test_a_run_of_less_than_an_epoch_anneals_validates_and_keeps_the_best(monkeypatch, first) -> None:
    clock = Clock(monkeypatch, step=0.1, validation=0.05, first=first)
    clock.watch(monkeypatch)
    config = replace(CONFIG, max_seconds=60.0, warmup_steps=4000, averaging="polyak", averaging_start=5)
    rows = Rows(80_000)  # 10,000 steps an epoch: 1,000 s
    history = train(make_module(), clock.objective, rows, Rows(32, seed=1), config)
    assert max(clock.rates) > 0.9 * config.learning_rate
    assert clock.rates[-1] < 0.01 * config.learning_rate
    assert 6 <= len(history.rows) <= 12
    assert all(0 < row.epoch < 0.1 for row in history.rows)
    assert history.best_epoch in [row.epoch for row in history.rows]
    assert 59.0 <= clock.now <= 60.2  # the last validation counts
    assert history.stopped == "the time limit of 60 s was reached"


def test_validation_that_is_dear_is_rare_and_ends_in_time(monkeypatch) -> None:
    clock = Clock(monkeypatch, step=0.1, validation=1.5)  # four batches: 6 s
    history = train(make_module(), clock.objective, Rows(80_000), Rows(32, seed=1), replace(CONFIG, max_seconds=60.0))
    assert len(history.rows) <= 3
    assert clock.now <= 60.5


def test_patience_counts_epochs_however_often_they_are_validated(monkeypatch) -> None:
    clock = Clock(monkeypatch, step=0.4)

    def objective(module, batch, carry):
        step = clock.objective(module, batch, carry)
        return step if module.training else Step(step.loss * 0 + 1.0, 1)  # never better

    config = replace(CONFIG, max_seconds=1000.0, patience=2)
    history = train(make_module(), objective, Rows(4_000), Rows(32, seed=1), config)  # 200 s an epoch
    assert history.stopped.startswith("no better loss for 2 epochs")
    assert history.rows[-1].epoch == pytest.approx(history.best_epoch + 2, abs=0.01)


def test_averaging_that_would_never_begin_begins_half_way(monkeypatch) -> None:
    seen, module = [], make_module()
    clock = Clock(monkeypatch, step=0.1, validation=0.1)

    def objective(wrapped, batch, carry):
        seen.append((clock.now, wrapped.training, module[0].weight.detach().clone()))
        return clock.objective(wrapped, batch, carry)

    config = replace(CONFIG, max_seconds=20.0, averaging="polyak", averaging_start=3, schedule="constant")
    train(module, objective, Rows(80_000), Rows(8, seed=1, shuffle=False), config)
    late = [weight for now, training, weight in seen if training and now > 13.0]
    last_judged = next(weight for _, training, weight in reversed(seen) if not training)
    # the mean of the weights since half of the time, and not the last ones
    assert not torch.equal(last_judged, late[-1])
    assert (last_judged - torch.stack(late).mean(0)).norm() < (late[0] - late[-1]).norm()


def test_without_a_time_limit_the_clock_changes_nothing(monkeypatch) -> None:
    config = replace(CONFIG, epochs=3, schedule="one_cycle", warmup_steps=7, averaging="ema")
    weights = []
    for step in (0.0, 1000.0):
        module, clock = make_module(), Clock(monkeypatch, step=step, validation=step)
        history = train(module, clock.objective, Rows(), Rows(32, seed=1), config)
        weights.append(module.state_dict())
        assert [row.epoch for row in history.rows] == [1, 2, 3]
    assert all(torch.equal(weights[0][name], own) for name, own in weights[1].items())


@pytest.mark.parametrize("stop", [2, 60, 137, 300])
def test_a_run_with_a_time_limit_that_is_resumed_goes_on_to_the_same_bits(tmp_path, monkeypatch, stop) -> None:
    """Where the clock is the same, so are the numbers: no step, validation or second is lost or counted twice."""
    # times that are sums of powers of two are exact, however they are added
    config = replace(CONFIG, max_seconds=64.0, warmup_steps=50, averaging="polyak", averaging_start=2)
    data = Rows(8_000), Rows(8, seed=1, shuffle=False)  # 125 s an epoch, some 500 steps in all

    def whole(directory, clock, objective, resume=False):
        module = make_module()
        return module, train(module, objective, *data, config, directory=directory, resume=resume)

    clock = Clock(monkeypatch, step=0.125, validation=0.125)
    expected, first = whole(None, clock, clock.objective)
    clock = Clock(monkeypatch, step=0.125, validation=0.125)
    seen = []

    def breaks(module, batch, carry):
        seen.extend([1] * module.training)
        if len(seen) > stop and module.training:
            raise KeyboardInterrupt
        return clock.objective(module, batch, carry)

    with monkeypatch.context() as patched:
        _steps_kept(patched, lambda: len(seen) < 40 or len(seen) > stop - 3)
        with pytest.raises(KeyboardInterrupt):
            whole(tmp_path, clock, breaks)
    resumed, second = whole(tmp_path, clock, clock.objective, resume=True)
    assert [row.epoch for row in second.rows] == [row.epoch for row in first.rows]
    assert [row.seconds for row in second.rows] == pytest.approx([row.seconds for row in first.rows])
    assert all(
        torch.allclose(resumed.state_dict()[name], own, atol=1e-6) for name, own in expected.state_dict().items()
    )


def _steps_kept(patched, is_kept):
    """Have a checkpoint after each step of some: the first ones, and those after which a kill comes."""
    from ostinato.training.loop import _Run

    tell = _Run._tell_expected

    def kept(self, bar):
        tell(self, bar)
        if is_kept():
            self._checkpoint()

    patched.setattr(_Run, "_tell_expected", kept)


class Heard(Listener):
    def __init__(self):
        self.said = []

    def expect(self, expected):
        self.said.append(expected)


@pytest.mark.parametrize(("limit", "seconds"), [(None, 3 * (400 * 0.5 + 0.4) + 30), (120.0, 120.0)])
def test_how_long_it_takes_is_said_once_after_the_first_steps(monkeypatch, limit, seconds) -> None:
    clock, heard = Clock(monkeypatch, step=0.5, validation=0.1, first=30.0), Heard()
    config = replace(CONFIG, epochs=3, max_seconds=limit, patience=4)
    with listening(heard):
        train(make_module(), clock.objective, Rows(3200), Rows(32, seed=1), config)
    (said,) = heard.said
    assert said.seconds == pytest.approx(seconds, rel=0.02)
    assert said.epoch_seconds == pytest.approx(200.4, rel=0.01)
    assert "no better for 4 epochs" in str(said)
    assert ("time limit" in str(said)) == (limit is not None)
