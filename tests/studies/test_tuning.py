"""The search for parameters: against a function whose minimum is known, after a kill, and what is refused."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato import Forecaster
from ostinato.errors import DataError, TrainingError, UsageError
from ostinato.options import option, training
from ostinato.report.page import render
from ostinato.studies.study import alone_in
from ostinato.studies.tuning import Choice, Range
from ostinato.studies.tuning.space import default_space, parse_search, read_space
from ostinato.studies.tuning.storage import mend_journal
from ostinato.tasks.base import fitting
from ostinato.tasks.base.about import About, Parameters
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.summary import Summary
from ostinato.training import EpochRow, History
from ostinato.training.listeners import tell_begin, tell_end, tell_epoch

pytest.importorskip("optuna")


@dataclass(kw_only=True, eq=False, repr=False)
class BowlParameters(Parameters):
    about: ClassVar[About] = About("bowl", "bowl", "find the deepest point")

    x: float = option(0.9, "where")
    cell: str = option("lstm", "a cell", group="model")
    epochs: int = training(5, "passes", low=1)
    hidden_size: int = option(4, "units", group="model", low=1)


class Bowl(Estimator, BowlParameters):
    """An estimator whose validation loss is `(x - 0.3)^2 + 0.1 [cell is not gru] + 1 / epoch`."""

    fits: list = []  # noqa: RUF012, shared on purpose
    delay = 0.0

    def fit(self, data, *, validation=None, test=None, directory=None, resume=False):
        if data == "bad":
            raise DataError("the data is bad")
        self.fits.append([self.x, 0])
        tell_begin(nn.Linear(2, 3))
        if self.x > 5:
            raise UsageError(f"x is {self.x}; expected at most 5")
        rows = []
        for epoch in range(1, self.epochs + 1):
            time.sleep(self.delay)
            loss = (self.x - 0.3) ** 2 + 0.1 * (self.cell != "gru") + 1 / epoch
            rows.append(EpochRow(epoch, loss, math.nan if data == "none" else loss, 0.1, 1.0, epoch, 1.0))
            self.fits[-1][1] = epoch
            tell_epoch(rows[-1])
        tell_end(History(tuple(rows), self.epochs, "done"))
        self.fits[-1].append("evaluated on the test part")
        self.summary_ = Summary(
            "Bowl", "bowl", {}, 9, 1.0, (), (), 1, "done", "", {"model": {"error": loss}}, {"error": "lower"}, "Fitted."
        )
        return self

    def save(self, folder):
        (Path(folder) / "model.json").write_text(repr(self.x))

    @classmethod
    def load(cls, folder, *, cell=None):
        return cls(x=float((Path(folder) / "model.json").read_text())).fit("loaded")


@pytest.fixture(autouse=True)
def fits():
    Bowl.fits.clear()
    return Bowl.fits


SPACE = {"x": "-1:1", "cell": "gru,lstm"}


# --- the search ---


def test_the_minimum_is_found_and_the_given_parameters_come_first(fits, tmp_path) -> None:
    heard = []
    found = ostinato.tune(Bowl(), "data", SPACE, trials=30, pruning=False, directory=tmp_path, on_trial=heard.append)
    assert abs(found.best.parameters["x"] - 0.3) < 0.2
    assert found.best.parameters["cell"] == "gru"
    assert found.best.value == pytest.approx((found.best.parameters["x"] - 0.3) ** 2 + 0.2)
    assert found.trials[0].parameters == {"x": 0.9, "cell": "lstm"}
    assert found.given == pytest.approx(0.36 + 0.1 + 0.2)
    assert [trial.number for trial in heard] == list(range(30))
    assert set(found.importances) == {"x", "cell"}
    assert sum(found.importances.values()) == pytest.approx(1)
    assert "x" in found.mattered
    assert "% lower. Each was fitted once, and the lowest of several is partly luck" in found.verdict
    # the model is fitted with the best parameters, and only it was evaluated
    assert found.model.x == found.best.parameters["x"]
    assert [fit[0] for fit in fits if fit[-1] == "evaluated on the test part"] == [found.model.x]


def test_few_trials_rank_no_parameters(fits, tmp_path) -> None:
    found = ostinato.tune(Bowl(), "data", SPACE, trials=4, directory=tmp_path)
    assert not found.importances
    assert "what mattered: too few trials to tell: " in str(found)
    assert "and 20 are needed (--trials)" in found.mattered
    assert "Too few trials to tell: " in render(found.summary())


def test_a_trial_that_is_not_worth_it_is_stopped_at_once(fits, tmp_path) -> None:
    found = ostinato.tune(Bowl(epochs=9), "data", SPACE, trials=20, directory=tmp_path)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < 9 for trial in pruned)
    ran = fits[1:-1]  # without the count of weights and the last fit
    assert [fit[1] for fit in ran] == [trial.epochs for trial in found.trials]
    Bowl.fits.clear()
    whole = ostinato.tune(Bowl(epochs=9), "data", SPACE, trials=8, pruning=False, directory=tmp_path / "whole")
    assert all(trial.state == "complete" for trial in whole.trials)


def test_the_same_call_goes_on_and_does_nothing_twice(fits, tmp_path) -> None:
    first = ostinato.tune(Bowl(), "data", SPACE, trials=6, directory=tmp_path)
    Bowl.fits.clear()
    again = ostinato.tune(Bowl(), "data", SPACE, trials=6, directory=tmp_path)
    assert again.trials == first.trials
    assert [fit for fit in fits if fit[1]] == [[first.best.parameters["x"], 5, "evaluated on the test part"]]  # load
    more = ostinato.tune(Bowl(), "data", SPACE, trials=9, directory=tmp_path)
    assert more.trials[:6] == first.trials
    values = [trial.parameters["x"] for trial in more.trials]
    assert len(set(values)) == 9  # the sampler does not start over
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [int(row["trial"]) for row in rows] == list(range(9))


def test_parameters_that_do_not_go_together_fail_alone(tmp_path) -> None:
    found = ostinato.tune(Bowl(), "data", {"x": [0.5, 7.0, 0.4]}, trials=8, directory=tmp_path)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed
    assert all(trial.note == "x is 7.0; expected at most 5" for trial in failed)
    assert found.best.parameters["x"] == 0.4
    with pytest.raises(TrainingError, match="no trial came to its end .the last failed: x is [78].0"):
        ostinato.tune(Bowl(), "data", {"x": [7.0, 8.0]}, trials=20, directory=tmp_path / "all")


def test_a_time_limit_ends_the_search_within_an_epoch(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Bowl, "delay", 0.02)
    found = ostinato.tune(Bowl(epochs=20), "data", SPACE, trials=1000, max_seconds=1.5, directory=tmp_path)
    assert len(found.trials) < 100  # of 1,000, which sleep for 400 seconds
    assert found.trials[-1].note in ("the time limit was reached", "")


def test_a_search_has_a_report(tmp_path) -> None:
    found = ostinato.tune(Bowl(), "data", SPACE, trials=8, directory=tmp_path)
    page = render(found.summary())
    for part in ("The course of the search", "best so far", "What mattered", "Trials, the best first", "-1:1"):
        assert part in page


def test_a_real_estimator_is_tuned_without_its_test_part(tmp_path, monkeypatch) -> None:
    looked, real = [], fitting.judge
    monkeypatch.setattr(fitting, "judge", lambda *a, **k: looked.append(1) or real(*a, **k))
    wave = {"y": [math.sin(i / 6) for i in range(260)]}
    model = Forecaster(4, context=16, segment=4, hidden_size=4, epochs=2, progress=False)
    found = ostinato.tune(model, wave, {"learning_rate": "1e-4:1e-1:log"}, trials=3, directory=tmp_path)
    assert len(looked) == 1
    assert min(row["validation_loss"] for row in found.model.summary_.history) == pytest.approx(found.best.value)
    assert ostinato.load(tmp_path).learning_rate == found.best.parameters["learning_rate"]
    with pytest.raises(DataError, match="needs a validation part"):
        ostinato.tune(model.unfitted(validation=0), wave, {"hidden_size": "2:4"}, trials=1)


# --- what is refused ---


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"width": "1:2"}, 'has no parameter "width" to search; it has validation, test, x'),
        ({}, "nothing to search"),
        ({"x": "1:2:3:4"}, "expected LOW:HIGH"),
        ({"x": "2:1"}, "no numbers from a low to a high one"),
        ({"x": "a:b"}, "has no numbers"),
        ({"x": "0:1:log"}, "begins at 0 or below"),
        ({"x": "0:1:2"}, "a step that does not go into it"),
        ({"x": "0:inf"}, "no numbers from a low to a high one"),
        ({"x": "nan:1"}, "no numbers from a low to a high one"),
        ({"hidden_size": "1.5:8"}, "not whole"),
        ({"hidden_size": "4,many"}, 'searched at "many"; expected a value such as 4'),
        ({"cell": "1:2"}, "is no number"),
        ({"cell": "gru"}, "one value"),
        ({"cell": ["gru"]}, "two values or more"),
        ({"x": Range(2.0, 1.0)}, "no numbers from a low to a high one"),
    ],
)
def test_a_space_that_cannot_be_meant_is_refused(space, said, tmp_path) -> None:
    with pytest.raises(UsageError, match=said):
        ostinato.tune(Bowl(), "data", space, directory=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["hidden_size", "=1:2", "x="])
def test_a_search_without_its_parts_is_refused(text) -> None:
    with pytest.raises(UsageError, match="is no NAME=RANGE"):
        parse_search([text])
    with pytest.raises(UsageError, match="given twice"):
        parse_search(["x=1:2", "x=1:3"])


def test_wrong_data_wrong_parameters_and_other_folders_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="the data is bad"):
        ostinato.tune(Bowl(), "bad", SPACE, directory=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(DataError, match="needs a validation part"):
        ostinato.tune(Bowl(), "none", SPACE, directory=tmp_path / "none")
    for name in ("trials", "workers", "max_seconds"):
        with pytest.raises(UsageError, match=f"{name} is 0"):
            ostinato.tune(Bowl(), "data", SPACE, **{name: 0})
    ostinato.tune(Bowl(), "data", SPACE, trials=1, directory=tmp_path / "study")
    with pytest.raises(UsageError, match="another study: its search of x is -1:1, here it is -2:1"):
        ostinato.tune(Bowl(), "data", {**SPACE, "x": "-2:1"}, directory=tmp_path / "study")
    with alone_in(tmp_path / "study"), pytest.raises(UsageError, match="another process is at work"):
        ostinato.tune(Bowl(), "data", SPACE, directory=tmp_path / "study")


# --- the space ---


@given(
    low=st.floats(1e-6, 1e3), factor=st.floats(1.5, 1e3), log=st.booleans(),
    a=st.integers(-50, 50), width=st.integers(2, 90), step=st.none() | st.integers(1, 2),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_range_is_what_its_text_says(low, factor, log, a, width, step) -> None:
    text = f"{low!r}:{low * factor!r}" + (":log" if log else "")
    assert read_space({"x": text}, Bowl()) == {"x": Range(low, low * factor, log)}
    text = f"{a}:{a + width}" + (f":{step}" if step else "")
    found = read_space({"hidden_size": text}, Bowl())["hidden_size"]
    assert found == Range(a, a + width, step=step, whole=True)
    assert str(found) == text


def test_values_have_the_type_of_their_parameter() -> None:
    assert read_space({"x": "0:1"}, Bowl())["x"].whole is False
    assert read_space({"hidden_size": "8,16"}, Bowl())["hidden_size"] == Choice((8, 16))
    assert read_space({"x": "1,2"}, Bowl())["x"].values == (1, 2)
    model = ostinato.LanguageModel()
    assert read_space({"tie_weights": "true,false"}, model)["tie_weights"] == Choice((True, False))
    assert read_space({"gradient_clip": "none,0.5"}, model)["gradient_clip"] == Choice((None, 0.5))
    assert read_space({"embedding_size": "16:64"}, model)["embedding_size"].whole  # it is None now
    assert {"learning_rate", "hidden_size", "dropout"} == set(default_space(model))
    for name, dimension in default_space(model).items():
        own = model.get_params()[name]
        assert own is None or dimension.holds(own)  # None: chosen by the size of the data


# --- broken off ---


def test_a_torn_journal_is_mended(tmp_path) -> None:
    first = ostinato.tune(Bowl(), "data", SPACE, trials=5, directory=tmp_path)
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 5, "wor')
    mend_journal(tmp_path)
    assert journal.read_bytes() == whole
    journal.write_bytes(whole + b'{"op_code": 5, "wor')
    (tmp_path / "study.journal.lock").touch()
    assert ostinato.tune(Bowl(), "data", SPACE, trials=6, directory=tmp_path).trials[:5] == first.trials


_SCRIPT = """
import sys, ostinato
from test_tuning import Bowl, SPACE
Bowl.delay = 0.1
ostinato.tune(Bowl(epochs=4), "data", SPACE, trials=12, workers=int(sys.argv[2]), directory=sys.argv[1])
"""


def _start(folder, workers):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(folder), str(workers)], env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_search_goes_on_and_its_workers_end_with_it(tmp_path, workers) -> None:
    journal = tmp_path / "study.journal"
    running = _start(tmp_path, workers)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 40:
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    time.sleep(1.0)
    before = journal.stat().st_size
    time.sleep(1.0)
    assert journal.stat().st_size == before  # nobody is at work any more
    assert _start(tmp_path, workers).wait(120) == 0
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert len(rows) == 12
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    assert (tmp_path / "model.json").exists()


@pytest.mark.slow
def test_workers_share_the_trials(tmp_path) -> None:
    found = ostinato.tune(Bowl(), "data", SPACE, trials=10, workers=2, directory=tmp_path)
    assert len(found.trials) == 10
    assert abs(found.best.parameters["x"] - 0.3) < 0.5
