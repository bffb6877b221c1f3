"""The event predictor: what it learns, what it says of whole cases, and what it refuses."""

import json
import math
from datetime import datetime

import numpy as np
import pytest

import ostinato
from event_logs import HOURS, SMALL, make_log, rows_of
from ostinato import EventPredictor
from ostinato.data import EventLog, read_event_log
from ostinato.errors import ColumnError, DataError, UsageError
from ostinato.tasks.base import running
from ostinato.tasks.events.cases import Cases, encode_log

# --- what it learns --------------------------------------------------------------------------------------------------


def test_an_end_that_depends_on_the_beginning_and_waits_are_learned_better_than_by_counting(model) -> None:
    values = model.scores_.values
    assert values["model"]["accuracy"] > values["last activity (Markov)"]["accuracy"] + 0.05
    assert values["model"]["MAE next, days"] < values["mean by last activity"]["MAE next, days"]
    assert values["model"]["MAE left, days"] < values["mean by last activity"]["MAE left, days"]
    assert "against" in model.summary_.verdict
    assert "MAE next, days" in str(model.scores_)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "num_layers": 2, "dropout": 0.1, "time_loss": "mae", "members": 2, "trees": True},
        {"cell": "transformer", "context": 6, "time_loss": "log_mae", "order": "file"},
        {"cell": "lstm", "time_weight": 0.0, "first_prefix": 2, "count_end": False},
    ],
    ids=["gru", "transformer", "lstm"],
)
@pytest.mark.slow
@pytest.mark.ci
def test_every_option_is_trained_saved_and_answers_the_same_after(options, tmp_path) -> None:
    log = make_log(60)
    own = EventPredictor(epochs=2, **{**SMALL, **options}).fit(log)
    own.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    assert isinstance(other, EventPredictor)
    assert other.get_params() == own.get_params()
    assert other.scores_ == own.scores_
    assert other.summary_ == own.summary_
    assert list(other.answers(log)) == list(own.answers(log))
    assert other.evaluate(log) == own.evaluate(log)


@pytest.mark.parametrize("epochs", [1, 4], ids=["in training", "in training again"])
@pytest.mark.slow
@pytest.mark.ci
def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch, epochs) -> None:
    log, options = make_log(60), {**SMALL, "epochs": 3, "dropout": 0.3}
    whole = EventPredictor(**options).fit(log)
    train, done = running.train, iter(range(1, 99))

    def stopped(*args, **kwargs):
        def stop(_):
            if next(done) == epochs:
                raise KeyboardInterrupt

        return train(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        EventPredictor(**options).fit(log, directory=tmp_path)
    monkeypatch.undo()
    rest = EventPredictor(**options).fit(log, directory=tmp_path, resume=True)
    assert len(rest.history_.rows) == 3
    assert rest.scores_ == whole.scores_


@pytest.mark.slow
def test_newest_cases_are_learned_from_too_when_it_is_trained_again() -> None:
    log = make_log(60)
    newest = [int(case[1:]) >= 40 for case in log["case"]]
    log["activity"] = [f"new {name}" if new else name for new, name in zip(newest, log["activity"], strict=True)]
    own = {}
    for refit in (False, True):
        own[refit] = EventPredictor(refit=refit, test=0.0, validation=1 / 3, **{**SMALL, "epochs": 4}).fit(log)
    assert "new open" in own[True].fitted_.model.encoder.known
    assert "new open" not in own[False].fitted_.model.encoder.known
    assert own[True].history_.rows[0].validation_loss > 0  # of the first training, which chose the epoch
    assert own[True].summary_.scores == {}


# --- what is said of cases -------------------------------------------------------------------------------------------


def test_a_case_goes_on_to_its_end_with_times_that_rise(model) -> None:
    begun = [{"activity": "open", "time": "2024-02-01 08:00"}, {"activity": "check", "time": "2024-02-01 09:00"}]
    expected = model.continue_case(begun)
    assert expected[-1] == {"activity": "(end of case)"}
    assert "close" in [event["activity"] for event in expected]
    times = [event["time"] for event in expected[:-1]]
    assert times == sorted(times)
    assert times[0] > "2024-02-01 09:00"
    drawn = model.continue_case(begun, sample=True, seed=1, length=2)
    assert drawn == model.continue_case(begun, sample=True, seed=1, length=2)
    assert len(drawn) <= 2
    with pytest.raises(UsageError, match="one or more to continue from"):
        model.continue_case([])


def test_the_score_of_a_case_is_its_mean_log_likelihood_and_highest_for_the_strange(model) -> None:
    log = make_log(20, seed=5)
    for activity, hour in (("close", 0), ("open", 1), ("sang", 2)):
        for name, value in (("case", "odd"), ("activity", activity), ("time", datetime(2024, 3, 1, hour))):
            log[name].append(value)
    scores = {own["case"]: own for own in model.score_cases(log)}
    assert max(scores, key=lambda case: scores[case]["score"]) == "odd"
    case = "c0"
    events = [row for row in rows_of(log) if row["case"] == case]
    stream, losses = model.stream(), []
    firsts = model.fitted_.model.encoder.firsts
    losses.append(-math.log((firsts[events[0]["activity"]] + 1) / (sum(firsts.values()) + len(HOURS) + 1)))
    for row, following in zip(events, [*(own["activity"] for own in events[1:]), "(end of case)"], strict=True):
        losses.append(-math.log(stream.push(row)["probabilities"][following]))
    assert scores[case]["score"] == pytest.approx(np.mean(losses), rel=1e-3)


def test_lines_are_read_as_the_file_is(model) -> None:
    log = make_log(5)
    text = [f"{c},{a},{t}" for c, a, t in zip(log["case"], log["activity"], log["time"], strict=True)]
    expected = list(model.answers(log))
    assert list(model.answers(["case,activity,time", *text])) == expected
    as_json = [json.dumps({**row, "time": str(row["time"])}) for row in rows_of(log)]
    assert list(model.answers(iter(as_json))) == expected
    with pytest.raises(DataError, match="there are no events"):
        list(model.answers([]))
    with pytest.raises(DataError, match='row 1 of the events has no "time"'):
        list(model.answers(["case,activity", "1,open"]))
    with pytest.raises(DataError, match="no JSON object"):
        list(model.answers(['{"case": 1}', "{oh"]))


def test_padding_changes_nothing(model) -> None:
    log = read_event_log(make_log(30), case="case", activity="activity", time="time")
    own = model.fitted_.model
    cases = encode_log(own.encoder, log)
    together = model.task.predict(own, cases)
    alone = [model.task.predict(own, Cases((case,))) for case in cases.cases]
    expected = np.concatenate([own.probabilities for own in alone])
    np.testing.assert_allclose(together.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(together.seconds, np.concatenate([own.seconds for own in alone]), rtol=1e-3)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "grru"}, 'cell "grru" is not known'),
        ({"dropout": 1.0}, "dropout is 1.0; expected a share"),
        ({"test": 1.0}, "test is 1.0; expected a share"),
        ({"hidden_size": 0}, "hidden_size is 0; expected one or more"),
        ({"order": "time"}, 'order is "time"; expected one of start, file'),
        ({"time_loss": "mse"}, 'time_loss is "mse"; expected one of lognormal'),
        ({"first_prefix": 0}, "first_prefix is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options, said) -> None:
    with pytest.raises(UsageError, match=said):
        EventPredictor(**{**SMALL, **options}).fit(make_log(12))


def test_logs_that_are_missing_wrong_or_too_short_are_refused(tmp_path, model) -> None:
    with pytest.raises(DataError, match="does not exist"):
        EventPredictor(**SMALL).fit(tmp_path / "nothing.csv")
    with pytest.raises(ColumnError, match='no column "Case"'):
        EventPredictor(case="Case", **SMALL).fit(make_log(5))
    with pytest.raises(DataError, match="leaves 0 cases to train on"):
        EventPredictor(validation=0.9, test=0.6, **SMALL).fit(make_log(1))
    one = {"case": [1], "activity": ["open"], "time": ["2024-01-01"]}
    with pytest.raises(DataError, match="nothing to judge"):
        model.evaluate(one, count_end=False)
    with pytest.raises(UsageError, match="not fitted"):
        EventPredictor().stream()
    with pytest.raises(UsageError, match="max_cases is 0"):
        model.stream(max_cases=0)


@pytest.mark.slow
@pytest.mark.ci
def test_a_log_of_one_kind_of_case_of_one_event_is_learned() -> None:
    log = EventLog("cases", ("a", "b", "c"), (("x",),) * 3, (np.zeros(1),) * 3, np.arange(3))
    own = EventPredictor(epochs=2, **SMALL).fit(log)
    assert own.scores_.values["model"].keys() == {"accuracy", "macro F1", "cross-entropy", "calibration error"}
    assert next(own.answers(log))["probabilities"].keys() == {"x", "(end of case)"}
