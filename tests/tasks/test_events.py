"""The event predictor: what comes next, when, in whole logs and in a stream, and what it is measured against."""

import json
import math
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato import EventPredictor
from ostinato.data import EventLog, read_event_log
from ostinato.errors import ColumnError, CorruptArtifact, DataError, DataWarning, StreamRowError, UsageError
from ostinato.tasks.base import running
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.base.fitting import Given, read_parts
from ostinato.tasks.events.baselines import LastActivities, WaitsByActivity
from ostinato.tasks.events.boosting import (
    Boosting,
    TimeTrees,
    _chosen_rounds,
    _chosen_time_rounds,
    _grown,
    _grown_times,
    _table,
)
from ostinato.tasks.events.cases import Case, Cases, encode_log, fit_encoder, scaled_waits
from ostinato.tasks.events.covariates import useless
from ostinato.tasks.events.features import Clock, Pieces, Seen, time_numbers, weekdays
from ostinato.tasks.events.mixture import Mixture
from ostinato.tasks.events.network import PieceLayer
from ostinato.tasks.events.times import TimeScale

SMALL = {
    "hidden_size": 16,
    "members": 1,
    "trees": False,
    "embedding_size": 6,
    "progress": False,
    "learning_rate": 1e-2,
    "batch_size": 16,
}
HOURS = {"open": 1.0, "check": 24.0, "fix": 5.0, "wait": 48.0, "close": 0.0, "reject": 0.0}


def make_log(cases: int, seed: int = 0) -> dict[str, list]:
    """A log in which the end of a case and its waits depend on its first event."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {"case": [], "activity": [], "time": []}
    for number in range(cases):
        kind = rng.integers(2)
        steps = ["open", "check"] if kind else ["fix", "check"]
        steps += ["wait"] * int(rng.integers(1, 3)) + (["close"] if kind else ["reject"])
        at = datetime(2024, 1, 1) + timedelta(hours=7 * number)
        for step in steps:
            for name, value in (("case", f"c{number}"), ("activity", step), ("time", at)):
                rows[name].append(value)
            at += timedelta(hours=HOURS[step] * (1 + 3 * int(kind)) * float(rng.uniform(0.9, 1.1)))
    return rows


def rows_of(log: dict[str, list]) -> list[dict]:
    return [dict(zip(log, row, strict=True)) for row in zip(*log.values(), strict=True)]


@pytest.fixture(scope="module")
def model() -> EventPredictor:
    return EventPredictor(epochs=15, **SMALL).fit(make_log(240))


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
@pytest.mark.ci
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


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("times", ["dates", "numbers", "none"])
@pytest.mark.slow
@pytest.mark.ci
def test_a_stream_of_many_cases_says_what_the_batch_says(cell, times) -> None:
    log = make_log(40, seed=3)
    if times == "numbers":
        log["time"] = [round((at - datetime(2024, 1, 1)).total_seconds()) for at in log["time"]]
    if times == "none":
        del log["time"]
    own = EventPredictor(cell=cell, epochs=1, time=None if times == "none" else "time", **SMALL).fit(log)
    expected = {answer["case"]: answer for answer in own.answers(log)}
    stream, last = own.stream(), {}
    # events of all cases side by side, the first ones of each first
    seen: Counter[str] = Counter()
    placed = []
    for row in rows_of(log):
        placed.append((seen[row["case"]], row))
        seen[row["case"]] += 1
    for _, row in sorted(placed, key=lambda pair: pair[0]):
        last[row["case"]] = stream.push(row)
    assert len(stream) == len(expected) == 40
    for case, answer in expected.items():
        assert last[case]["next"] == answer["next"]
        for name, value in answer["probabilities"].items():
            assert last[case]["probabilities"][name] == pytest.approx(value, abs=1e-5)
        for name in answer:
            if name.startswith(("in_", "left_")):
                assert last[case][name] == pytest.approx(answer[name], rel=1e-3, abs=1e-4)
    assert ("in_days" in answer) == (times == "dates")


def test_what_is_kept_of_a_case_does_not_grow_and_the_oldest_case_is_forgotten(model) -> None:
    stream = model.stream(max_cases=2)
    sizes = set()
    for number in range(30):
        stream.push({"case": "a", "activity": "wait", "time": f"2024-01-{number + 1:02}"})
        sizes.add(sum(part.nbytes for part in _leaves(stream.kept())))
    assert len(sizes) == 1
    fresh = stream.push({"case": "b", "activity": "open", "time": "2024-01-01"})
    stream.push({"case": "c", "activity": "open", "time": "2024-01-01"})
    assert len(stream) == 2  # "a" is forgotten
    again = stream.push({"case": "a", "activity": "open", "time": "2024-01-01"})
    assert again["probabilities"] == pytest.approx(fresh["probabilities"])
    assert stream.close("a")
    assert not stream.close("a")


def _leaves(state):
    if isinstance(state, dict):
        state = list(state.values())
    if not isinstance(state, (list, tuple)):
        return [np.asarray(state)]
    return [leaf for part in state for leaf in _leaves(part)]


def test_an_unknown_activity_and_a_missing_time_are_answered(model) -> None:
    stream = model.stream()
    for row in (
        {"case": 1, "activity": "sang", "time": "2024-05-01 10:00"},
        {"case": 1, "activity": "check", "time": None},
        "1,wait,2024-05-01 11:00",
        {"case": 1, "activity": "wait", "time": datetime(2024, 5, 2)},
        {"case": 1, "activity": "wait", "time": "2024-05-02T02:00:00+01:00"},
    ):
        answer = stream.push(row)
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert math.isfinite(answer["in_days"])
    json.dumps(answer)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"activity": "wait", "time": "2024-01-01"}, 'it has no "case"'),
        ({"case": 1, "activity": "", "time": "2024-01-01"}, 'it has no "activity"'),
        ({"case": 1, "activity": "wait"}, 'it has no "time"'),
        ({"case": 1, "activity": "wait", "time": "soon"}, 'its time is "soon"; expected one such as'),
        ({"case": 1, "activity": "wait", "time": 7}, "its time is 7; expected one such as"),
        ("1,wait", "it has 2 cells"),
        ([1, 2], "it is a list"),
        ({"case": {"a": 1}, "activity": "wait", "time": "2024-01-01"}, 'its "case" is a dict'),
        ({"case": 1, "activity": ["wait"], "time": "2024-01-01"}, 'its "activity" is a list'),
        ({"case": 0, "activity": "wait", "time": "2023-12-31"}, "in the order of time"),
        ({"case": 0, "activity": "wait", "time": "2924-01-02"}, r"comes 328[0-9]{3} days.* more than a pause"),
        ({"case": 0, "activity": "wait", "time": "9999-12-31"}, "more than a pause"),
    ],
)
def test_a_bad_event_is_named_and_changes_nothing(model, row, said) -> None:
    stream, other = model.stream(), model.stream()
    for own in (stream, other):
        own.push({"case": 0, "activity": "open", "time": "2024-01-01"})
    with pytest.raises(StreamRowError, match=said):
        stream.push(row)
    good = {"case": 0, "activity": "check", "time": "2024-01-02"}
    assert stream.push(good) == other.push(good)


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


# --- times -----------------------------------------------------------------------------------------------------------


def test_times_of_an_event_are_told_as_numbers_and_what_is_not_known_is_missing() -> None:
    moment = datetime(2024, 1, 3, 6)  # a Wednesday
    walls = np.array([(moment - datetime(1970, 1, 1)).total_seconds()])
    flat = Clock.fit(np.zeros(0))  # all hours alike: working time is time
    row = time_numbers(flat, [2], np.array([60.0]), np.array([3600.0]), (walls, walls - 60, walls - 3600))[0]
    assert row == pytest.approx(
        [math.log(61), math.log(3601), math.log(61), math.log(3601), math.log(3), 0.25, (2 + 0.25) / 7, 1]
    )
    assert weekdays(walls).tolist() == [3]
    nothing = np.array([math.nan])
    row = time_numbers(flat, [0], nothing, nothing, (nothing, nothing, nothing))[0]
    assert np.isnan(row).tolist() == [True] * 4 + [False] + [True] * 3
    assert weekdays(nothing).tolist() == [0]


def test_working_time_passes_when_things_happen_and_adds_up() -> None:
    monday = 4 * 86400.0
    office = monday + np.concatenate([day * 86400 + np.arange(9, 17) * 3600 + 60.0 for day in range(5)])
    clock = Clock.fit(np.tile(office, 50))
    at = monday + np.array([8, 9, 17, 24 + 9, 5 * 24, 7 * 24]) * 3600.0
    passed = np.diff(clock(at))
    assert passed[1] > 20 * passed[0]  # a working day against the hour before it
    assert passed[2] < passed[1] / 5  # a night
    assert passed[4] < passed[3] / 5  # a weekend
    assert clock(at[:1] + 7 * 86400) - clock(at[:1]) == pytest.approx([7 * 86400])
    assert clock.rate(np.array([monday + 10 * 3600, math.nan]))[0] > 3


def test_pieces_are_the_share_passed_of_each_and_a_missing_number_is_the_middle_one_and_said() -> None:
    numbers = np.stack([np.append(np.arange(100.0), np.nan), np.full(101, 7.0)], -1)
    layer = PieceLayer(Pieces.fit(numbers))
    found = layer(torch.tensor([[-5.0, 7.0], [49.5, 7.0], [1e9, 7.0], [math.nan, 7.0]])).numpy()
    assert found.shape == (4, 12 + 1)  # a column with one number has no pieces
    assert found[0].tolist() == [0] * 13
    assert found[1, :12].sum() == pytest.approx(6, abs=1e-5)
    assert found[2].tolist() == [1] * 12 + [0]
    np.testing.assert_allclose(found[3, :12], found[1, :12], atol=1e-6)
    assert found[3, 12] == 1


# --- other columns, trees, the mixture -------------------------------------------------------------------------------


def make_desk(cases: int, seed: int = 0) -> dict[str, list]:
    """A log in which what comes next depends on who does it, on an amount and the hour; three columns are useless."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {
        name: [] for name in ("case", "activity", "time", "who", "amount", "event id", "unit", "code")
    }
    for number in range(cases):
        who, amount = ("ann", "bob", None)[rng.integers(3)], float(rng.uniform(0, 100))
        at = datetime(2024, 1, 1) + timedelta(hours=5.3 * number)
        first = ["read", "write"] if at.hour < 12 else ["write", "read"]
        for step in ["open", *first, "big" if amount > 60 else "small", f"close {who or 'any'}"]:
            values = (f"c{number}", step, at, who, round(amount, 2), len(rows["case"]), "kg", step.upper())
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
            at += timedelta(minutes=float(rng.uniform(1, 9)))
    return rows


@pytest.fixture(scope="module")
def desk() -> EventPredictor:
    return EventPredictor(**{**SMALL, "trees": True, "epochs": 20}).fit(make_desk(200))


def test_other_columns_and_the_hour_are_read_where_they_tell_something(desk) -> None:
    values = desk.scores_.values
    assert values["model"]["accuracy"] > 0.93
    assert values["model"]["accuracy"] > values["last activity (Markov)"]["accuracy"] + 0.15
    assert values["gradient boosting, same features"]["accuracy"] > 0.93
    said = desk.summary_.settings["covariates"]
    assert said.startswith("who, amount (left out: ")
    for words in ("event id names each row", "unit has one value", "code says what the activity says"):
        assert words in said


def test_a_stream_with_other_columns_says_what_the_batch_says_and_one_that_lacks_them_is_answered(desk) -> None:
    log = make_desk(30, seed=2)
    expected = {answer["case"]: answer for answer in desk.answers(log)}
    stream, lines = desk.stream(), desk.stream()
    last, kept = {}, None
    for number, row in enumerate(rows_of(log)):
        if number == 70:
            kept = stream.state()
        last[row["case"]] = stream.push(row)
        as_text = {name: "" if value is None else str(value) for name, value in row.items()}
        assert lines.push(as_text)["probabilities"] == pytest.approx(last[row["case"]]["probabilities"], abs=1e-6)
    for case, answer in expected.items():
        assert last[case]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
    other = desk.stream()
    other.restore(kept)
    for row in rows_of(log)[70:]:
        last[row["case"]] = other.push(row)
    assert last[row["case"]]["probabilities"] == pytest.approx(expected[row["case"]]["probabilities"], abs=1e-5)
    less = {name: log[name] for name in ("case", "activity", "time")}
    with pytest.warns(DataWarning, match='lacks columns of the training data, which count as missing: "who", "amount"'):
        found = {answer["case"]: answer for answer in desk.answers(less)}
    for row in rows_of(less):
        name = f"less {row['case']}"
        last[name] = lines.push({**row, "case": name})
    for case, answer in found.items():
        assert last[f"less {case}"]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
    with pytest.raises(StreamRowError, match='its "amount" is "much"; expected a number'):
        stream.push({"case": 1, "activity": "open", "time": "2024-01-01", "amount": "much"})


@pytest.mark.slow
@pytest.mark.ci
def test_columns_are_read_as_asked() -> None:
    log = make_desk(9)
    options = {**SMALL, "epochs": 1, "test": 0.0}
    assert EventPredictor(covariates="who", **options).fit(log).summary_.settings["covariates"] == "who"
    for nothing in ((), "none"):
        own = EventPredictor(covariates=nothing, **options).fit(log)
        assert own.summary_.settings["covariates"] == "none"
    with pytest.raises(ColumnError, match='no column "whom"; did you mean "who"'):
        EventPredictor(covariates=["whom"], **options).fit(log)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["a", "b", "a", "b", "a", "b"], "says what the activity says"),
        (["a", "a", "a", "a", "a", None], "has one value"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "names each row"),
        (["p", "p", "q", "q", "r", "r"], "names each case"),
        (["a", "b", "b", "a", "a", "a"], ""),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], ""),
    ],
)
def test_a_column_that_tells_nothing_is_left_out_and_why_is_said(cells, why) -> None:
    kind = object if isinstance(cells[0], str) else float
    cases = [np.array(cells[first : first + 2], kind) for first in (0, 2, 4)]
    assert useless(cases, np.array(["open", "close"] * 3, object)) == why


@pytest.mark.slow
@pytest.mark.ci
def test_trees_say_what_the_library_says_that_grew_them(desk) -> None:
    model = desk.fitted_.model
    cases = encode_log(model.encoder, desk.task.read(desk, make_desk(60, seed=4)))
    seen, classes = cases.seen(model.encoder.counted), len(model.encoder.known) + 1
    for following, there in ((cases.following, classes), (np.where(cases.following == 0, 0, 1), 2)):
        own = Boosting.fit(seen, following, there)
        rows = _table(seen, own.sizes)
        peer = _grown(rows, following, _chosen_rounds(rows, following))
        np.testing.assert_allclose(own(seen)[:, peer.classes_], peer.predict_proba(rows), atol=1e-9)
    assert Boosting.fit(seen, np.zeros(len(cases.following), np.int64), 2) is None
    waits = scaled_waits(model.encoder.scales, cases)
    times = TimeTrees.fit(seen, waits)
    known = np.flatnonzero(np.isfinite(waits[:, 1]))
    targets = waits[known, 1]
    peer = _grown_times(rows[known], targets, _chosen_time_rounds(rows[known], targets))
    np.testing.assert_allclose(times(seen)[:, 1], peer.predict(rows), atol=1e-9)
    nothing = np.full_like(waits, np.nan)
    assert TimeTrees.fit(seen, nothing) is None
    half = TimeTrees.fit(seen, np.stack([waits[:, 0], nothing[:, 0]], -1))
    assert half.trees[1] is None
    assert np.isnan(half(seen)[:, 1]).all()


def test_a_mixture_gives_held_out_events_no_less_than_its_best_part_and_counts_are_those_of_cases() -> None:
    rng = np.random.default_rng(0)
    cases = Cases(tuple(case_of(list(rng.integers(1, 4, 6)), 3) for _ in range(60)))
    kinds, following = [case.kinds for case in cases.cases], [case.following for case in cases.cases]
    mixture, seen = Mixture.fit(kinds, following, 4, None), cases.seen(np.arange(1, 4))
    parts = [model(seen) for model in mixture._models]
    for order, part in enumerate(parts, 1):
        np.testing.assert_allclose(part, LastActivities.fit(cases, 4, order).predict(cases).probabilities)
    network = rng.dirichlet(np.ones(4), len(cases.following))
    assert mixture(network, seen) is network  # nothing is decided yet
    chosen = mixture.weighed(network, seen, cases.following, 60)
    assert sum(chosen.weights) == pytest.approx(1)
    mixed = chosen(network, seen)
    assert mixed.sum(-1) == pytest.approx(np.ones(len(mixed)))
    best = min(cross_entropy(cases.following, part) for part in (network, *parts))
    assert cross_entropy(cases.following, mixed) < best + 0.03  # the usual weights count as two cases
    sure = np.eye(4)[cases.following] * 0.96 + 0.01
    assert mixture.weighed(sure, seen, cases.following, 60).weights == (1, 0, 0, 0)


def test_times_are_those_of_the_network_or_of_trees_by_their_errors_on_held_out_cases() -> None:
    rng = np.random.default_rng(0)
    waits = np.stack([np.exp(rng.normal(5, 1, 400)), np.full(400, np.nan)], -1)
    scales = (TimeScale.fit("lognormal", waits[:, 0]), TimeScale.fit("lognormal", waits[:, 1]))
    right, wrong = scales[0].scaled(waits[:, 0]), rng.normal(size=400)
    seen = Seen(
        np.zeros((400, 4), np.int64), np.zeros((400, 1), np.int64), right[:, None], np.zeros((400, 0), np.int64)
    )
    trees = TimeTrees.fit(seen, np.stack([right, np.full(400, np.nan)], -1))
    mixture = Mixture(times=trees)

    def raw(centre: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.stack([centre, centre], -1), np.zeros((400, 2))], -1))

    assert mixture.with_times(raw(wrong), seen) is not None
    assert torch.equal(mixture.with_times(raw(wrong), seen), raw(wrong))  # nothing is decided yet
    by_trees = mixture.weighed_times(raw(wrong), seen, waits, scales, 200)
    assert by_trees.time_weights == (1.0, 0.0)
    by_network = mixture.weighed_times(raw(right), seen, waits, scales, 200)
    assert by_network.time_weights == (0.0, 0.0)
    few = mixture.weighed_times(raw(wrong), seen, waits, scales, 2)
    assert 0.5 < few.time_weights[0] < 0.75
    moved = few.with_times(raw(wrong), seen)
    share = few.time_weights[0]
    np.testing.assert_allclose(moved[:, 0, 0], (1 - share) * wrong + share * trees(seen)[:, 0], atol=1e-9)
    assert torch.equal(moved[:, 1], raw(wrong)[:, 1])  # there are no trees of that time
    assert torch.equal(moved[..., 1], raw(wrong)[..., 1])  # the deviation is the network's
    with pytest.raises(ValueError, match="other weights"):
        Mixture(times=trees, time_weights=(0.5,))


def test_trees_have_fewer_and_larger_steps_where_time_is_short_and_as_many_when_they_are_grown_again() -> None:
    rng = np.random.default_rng(0)
    following = rng.integers(0, 3, 300)
    numbers = np.where(rng.random((300, 2)) < 0.2, np.nan, following[:, None] + rng.normal(size=(300, 2)))
    seen = Seen(np.zeros((300, 4), np.int64), np.zeros((300, 1), np.int64), numbers, np.zeros((300, 0), np.int64))
    usual = Boosting.fit(seen, following, 3)
    short = Boosting.fit(seen, following, 3, 1e-3)
    assert usual.rounds.rate == 0.1
    assert short.rounds.rate > 0.3
    assert short.rounds.count * short.rounds.rate < usual.rounds.count * usual.rounds.rate + 1
    again = Boosting.fit(seen.at(np.arange(200)), following[:200], 3, rounds=short.rounds)
    assert again.rounds == short.rounds
    assert len(again.trees.roots) == 3 * short.rounds.count
    alone = np.concatenate([usual(seen.at(np.array([row]))) for row in range(20)])
    np.testing.assert_array_equal(alone, usual(seen)[:20])  # a row alone is the row among others
    damaged = replace(usual.trees, lefts=np.zeros_like(usual.trees.lefts), rights=np.zeros_like(usual.trees.rights))
    with pytest.raises(CorruptArtifact, match="damaged"):
        damaged(np.zeros((1, damaged.width)))


def test_trees_beside_a_network_tell_times_that_it_has_not_learned_yet(desk) -> None:
    hasty = EventPredictor(**{**SMALL, "trees": True, "epochs": 1, "refit": False}).fit(make_desk(200))
    values = hasty.scores_.values
    assert hasty.fitted_.model.encoder.mixture.time_weights[1] > 0.5
    assert values["model"]["MAE left, days"] < values["median by last activity"]["MAE left, days"] * 1.05
    assert "MAE left, days" in values["gradient boosting, same features"]
    assert "of times trees" in hasty.summary_.settings["mixed of"]
    usual = EventPredictor(**{**SMALL, "trees": True, "epochs": 1, "validation": 0.0, "test": 0.0}).fit(make_desk(40))
    assert usual.fitted_.model.encoder.mixture.time_weights == (0.5, 0.5)
    assert sum(usual.fitted_.model.encoder.mixture.weights) == pytest.approx(1)


def test_the_losses_of_times_are_those_of_their_distributions() -> None:
    seconds = np.array([0.0, 10.0, 5000.0, 1e6])
    scale = TimeScale.fit("lognormal", seconds)
    raw = torch.randn(4, 2, dtype=torch.float64)
    wanted = torch.from_numpy(scale.scaled(seconds))
    deviation = (7 * torch.tanh(raw[:, 1] / 7)).exp()
    peer = -torch.distributions.Normal(raw[:, 0], deviation).log_prob(wanted)
    torch.testing.assert_close(scale.losses(raw, wanted), peer)
    np.testing.assert_allclose(scale.seconds(raw)[:, None], scale.quantiles(raw, [0.5]))
    for kind in ("lognormal", "log_mae", "mae"):
        own = TimeScale.fit(kind, np.append(seconds, np.nan))
        exact = torch.stack([torch.from_numpy(own.scaled(seconds)), torch.zeros(4)], -1)
        np.testing.assert_allclose(own.seconds(exact), seconds, rtol=1e-9, atol=1e-6)
    with pytest.raises(UsageError, match="a median only"):
        own.quantiles(exact, [0.1])


# --- baselines and protocols -----------------------------------------------------------------------------------------


def case_of(kinds: list[int], activities: int) -> Case:
    own = np.array(kinds)
    following = np.append(own[1:] - 1, activities)
    numbers, codes = np.zeros((len(own), 1)), np.zeros((len(own), 1), np.int64)
    return Case(own, numbers, codes, following, np.full((len(own), 2), np.nan))


CASES = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=6)


def _recursion(train: list[list[int]], run: tuple[int, ...], following: int) -> float:
    """Witten and Bell's rule as it is written; 0 stands before a case, 4 for its end."""
    shorter = 1 / 4 if not run else _recursion(train, run[1:], following)
    counts: Counter[int] = Counter()
    for case in train:
        padded = [0] * 3 + case
        for place in range(3, len(padded)):
            before = tuple(padded[place - len(run) + 1 : place + 1])
            if before == run:
                counts[[*padded, 4][place + 1]] += 1
    n, d = sum(counts.values()), len(counts)
    return shorter if n == 0 else (counts[following] + d * shorter) / (n + d)


@settings(max_examples=25, deadline=None)
@given(CASES, st.lists(st.integers(1, 3), min_size=1, max_size=5), st.integers(1, 3))
def test_counts_backed_off_are_those_of_the_recursion_and_add_up_to_one(train, test, order) -> None:
    counts = LastActivities.fit(Cases(tuple(case_of(own, 3) for own in train)), 4, order)
    found = counts.predict(Cases((case_of(test, 3),))).probabilities
    assert found.sum(-1) == pytest.approx(np.ones(len(test)))
    padded = [0] * order + test
    for place in range(len(test)):
        run = tuple(padded[place + 1 : place + 1 + order])
        expected = [_recursion(train, run, following) for following in range(1, 5)]
        assert found[place] == pytest.approx(expected)


def test_waits_are_means_and_medians_of_each_activity() -> None:
    own = Case(
        np.array([1, 1, 2, 1]), np.zeros((4, 1)), np.zeros((4, 1), np.int64), np.zeros(4, np.int64),
        np.stack([np.array([1.0, 2.0, 7.0, np.nan]), np.array([1.0, 1.0, 1.0, np.nan])], -1),
    )  # fmt: skip
    mean, median = (WaitsByActivity.fit(Cases((own,)), name) for name in ("mean", "median"))
    assert mean.predict(Cases((case_of([1, 2, 3], 3),))).seconds[:, 0] == pytest.approx([1.5, 7, 10 / 3])
    assert median.predict(Cases((case_of([2, 3], 3),))).seconds[:, 0] == pytest.approx([7, 2])


@pytest.mark.parametrize(
    ("protocol", "judged"),
    [((1, True), [0, 1, 2, 3]), ((2, True), [1, 2]), ((2, False), [1]), ((1, False), [0, 1])],
)
def test_a_protocol_judges_the_prefixes_that_it_says(protocol, judged) -> None:
    cases = Cases((case_of([1, 2, 1], 3), case_of([3], 3)))
    found = np.flatnonzero(cases.judged(*protocol, 4))
    assert found.tolist() == judged
    assert cases.prefixes[found].tolist() == [[1, 2, 3, 1][place] for place in judged]


def parts_of(log, **options):
    own = EventPredictor(**options)
    return read_parts(own.task, own, Given(log))


def test_cases_are_held_out_by_their_start_or_as_they_stand() -> None:
    log = make_log(9)
    turned = {name: own[::-1] for name, own in log.items()}
    parts = parts_of(turned, validation=0.5)
    assert parts.test.cases == ("c6", "c7", "c8")
    assert parts.validation.cases == ("c3", "c4", "c5")
    parts = parts_of(turned, validation=0.5, order="file")
    assert parts.test.cases == ("c2", "c1", "c0")


def test_the_help_desk_is_split_and_counted_as_the_published_script_does(shared_data) -> None:
    columns = {"case": "CaseID", "activity": "ActivityID", "time": "CompleteTimestamp"}
    path = shared_data / "helpdesk_events/helpdesk.csv"
    parts = parts_of(path, order="file", validation=0.0, **columns)
    assert (len(parts.train), len(parts.test)) == (2536, 1268)
    encoder = fit_encoder(parts.train, "lognormal")
    cases = encode_log(encoder, parts.test)
    judged = cases.judged(2, False, len(encoder.known) + 1)
    # events from the third on, counted from the file by hand
    assert judged.sum() == sum(max(len(own) - 2, 0) for own in parts.test.activities) == 1993
    seconds = np.concatenate([own[2:] for own in parts.test.gaps])
    np.testing.assert_allclose(np.sort(cases.waits[judged, 0]), np.sort(seconds))


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
