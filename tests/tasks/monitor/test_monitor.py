"""A patient monitor: what it tells live is what it tells of whole stays; what it is judged by; what it refuses."""

import json
import warnings

import numpy as np
import pytest

from ostinato import PatientMonitor, load
from ostinato.cells import CATALOGUE
from ostinato.cli.main import main
from ostinato.data.health import read_patients
from ostinato.data.health.summaries import Running, of_batch
from ostinato.errors import ColumnError, DataError, DataWarning, OstinatoError, StreamRowError, UsageError
from ostinato.streaming import push_many
from ostinato.tasks.base.score_text import score_text
from ostinato.tasks.monitor.judged import Ward
from ostinato.tasks.monitor.parameters import NOTICE
from ostinato.tasks.monitor.stays import Stays, encode
from ostinato.tasks.monitor.task import MonitorTask

FEW = {"time_unit": "hours", "members": 2, "hidden_size": 4, "progress": False}


NO_NUMBERS = (True, np.True_, b"5", bytearray(b"5"), np.array([5.0]), [5])


def ward(patients=60, seed=0):
    rng, rows, outcomes = np.random.default_rng(seed), [], []
    for patient in range(patients):
        ill, hour = patient % 2, float(rng.uniform(0, 2))
        outcomes.append({"id": patient, "outcome": ill, "at": 14.0 if ill else None})
        while hour < 12:
            name = ("HR", "K", "Temp")[rng.integers(3)]
            value = {"HR": 80 + 4 * ill * hour, "K": 4 + 0.1 * ill * hour, "Temp": 37}[name] + rng.normal() / 4
            rows.append({"id": patient, "time": round(hour, 2), "variable": name, "value": value})
            hour += float(rng.choice([0.0, 0.4, 2.5]))
    return rows, outcomes


@pytest.fixture(scope="module")
def model():
    rows, outcomes = ward()
    return PatientMonitor(epochs=10, **FEW).fit(rows, outcomes)


@pytest.fixture(scope="module")
def few():
    return ward(8, seed=1)[0]


def last_risks(stream, rows):
    found = {}
    for row in rows:
        answer = stream.push(row)
        found[answer["id"]] = answer["risk"]
    return found


def test_what_is_predicted_live_is_what_is_predicted_of_whole_stays(model, few) -> None:
    batch = {own["id"]: own for own in model.answers(few, hourly=True)}
    live = last_risks(model.stream(), sorted(few, key=lambda row: row["time"]))
    assert live.keys() == batch.keys()
    for name, risk in live.items():
        assert risk == pytest.approx(batch[name]["risk"], abs=1e-6)
    assert all(own["notice"] == NOTICE for own in batch.values())


def test_the_risk_of_an_hour_is_that_of_what_was_known_then(model, few) -> None:
    whole = {own["id"]: dict(own["by_hour"]) for own in model.answers(few, hourly=True)}
    stream = model.stream()
    for row in (own for own in few if own["id"] == 3 and own["time"] < 6):
        stream.push(row)
    assert stream.push({"id": 3, "time": 6})["risk"] == pytest.approx(whole["3"][6.0], abs=1e-6)


def test_measurements_in_any_order_within_what_may_be_late_tell_the_same(model, few) -> None:
    # of two values of a variable at one time the last counts, so that their order tells
    few = list({(row["id"], row["time"], row["variable"]): row for row in few}.values())
    expected = {own["id"]: own["risk"] for own in model.answers(few)}
    shuffled = [few[at] for at in np.random.default_rng(0).permutation(len(few))]
    found = last_risks(model.stream(late=24), shuffled)
    assert found.keys() == expected.keys()
    for name, risk in found.items():
        assert risk == pytest.approx(expected[name], abs=1e-6)


def test_many_patients_at_once_are_each_alone_to_the_same_bits(model) -> None:
    rows = [{"id": k, "time": 1.5, "variable": "HR", "value": 70 + k} for k in range(50)]
    many, alone = model.stream(), model.stream()
    assert push_many([many] * 50, rows) == [alone.push(row) for row in rows]


def test_a_state_goes_on_in_another_stream_to_the_same_bits(model, few) -> None:
    half = len(few) // 2
    rows = sorted(few, key=lambda row: row["time"])
    first = model.stream(late=1)
    for row in rows[:half]:
        first.push(row)
    second = model.stream(late=1)
    second.restore(first.state())
    assert [first.push(row) for row in rows[half:]] == [second.push(row) for row in rows[half:]]
    with pytest.raises(UsageError, match="late"):
        model.stream(late=2).restore(first.state())


def test_a_refused_row_leaves_the_patient_as_they_were(model) -> None:
    stream = model.stream()
    stream.push({"id": 1, "time": 3, "variable": "HR", "value": 80})
    before = stream.state()
    bad = [
        {"id": 1, "time": 2, "variable": "HR", "value": 80},
        {"id": 1, "time": -1, "variable": "HR", "value": 80},
        {"id": 1, "time": "soon", "variable": "HR", "value": 80},
        {"id": 1, "time": 1e7, "variable": "HR", "value": 80},
        {"id": 1, "time": float("nan"), "variable": "HR", "value": 80},
        {"id": 1, "time": 4, "variable": "HR", "value": "fast"},
        {"id": 1, "time": 4, "variable": "HR", "value": float("inf")},
        {"id": 1, "variable": "HR", "value": 80},
        {"time": 4, "variable": "HR", "value": 80},
        {"id": None, "time": 4},
        *({"id": name, "time": 4, "variable": "HR", "value": 80} for name in (float("inf"), -1e300, (1,), np.ones(2))),
        *({"id": 1, "time": no, "variable": "HR", "value": 80} for no in NO_NUMBERS),
        *({"id": 1, "time": 4, "variable": "HR", "value": no} for no in NO_NUMBERS),
        *({"id": 1, "time": 4, "HR": no} for no in NO_NUMBERS),
        "1,2",
        7,
    ]
    for row in bad:
        with pytest.raises(StreamRowError) as caught:
            stream.push(row)
        assert "\n" not in str(caught.value)
        assert stream.state() == before


def test_unknown_variables_and_impossible_values_are_not_read(model) -> None:
    stream, other = model.stream(), model.stream()
    row = {"id": 1, "time": 3, "variable": "HR", "value": 80}
    first = stream.push(row)
    other.push(row)
    with pytest.warns(DataWarning, match="was not in training"):
        assert stream.push({"id": 1, "time": 3, "variable": "Mood", "value": 3})["risk"] == first["risk"]
    assert stream.push({"id": 1, "time": 3, "variable": "HR", "value": 900})["risk"] == first["risk"]
    assert stream.state() == other.state()


def test_saved_and_loaded_it_tells_the_same(model, few, tmp_path) -> None:
    again = load(model.save(tmp_path / "model"))
    assert list(again.answers(few)) == list(model.answers(few))
    assert again.evaluate(*ward(20, seed=2)).values == model.evaluate(*ward(20, seed=2)).values


def test_scores_stand_beside_baselines_with_intervals_and_an_hourly_curve(model) -> None:
    scores = model.evaluate(*ward(40, seed=3))
    assert set(scores.values) == {"model", "logistic regression, last mean min max", "last values", "prevalence"}
    assert scores["AUROC"] > 0.9
    low, high = model.intervals(*ward(40, seed=3))["AUROC"]
    assert low <= scores["AUROC"] <= high
    assert (scores.verdict + scores.protocol).count(NOTICE) == 1
    assert not scores.protocol.endswith(".")
    assert scores.details["AUROC by hour"]["model"]


def test_what_only_describes_is_never_best_better_or_behind(model) -> None:
    scores = model.evaluate(*ward(40, seed=3))
    described = {"time in alarm, %", "lead hours", "calibration error"}
    assert described <= scores.model.keys()
    assert 0 < scores["time in alarm, %"] < 100
    assert not described & scores.better.keys()
    assert not any(described & row.keys() for row in scores.against.values())
    assert not any(f"{own} (" in scores.verdict for own in described)
    head, *rows = score_text(scores.values, scores.better).splitlines()
    assert all(row[head.index("time in alarm, %") :].count("*") == 0 for row in rows)


def test_the_only_other_column_of_outcomes_is_the_outcome() -> None:
    rows, outcomes = ward(40)
    died = [{"patient": own["id"], "died": own["outcome"]} for own in outcomes]
    with pytest.warns(DataWarning, match='the outcome is column "died"'):
        fitted = PatientMonitor(epochs=1, **FEW).fit(rows, died)
    with pytest.raises(ColumnError, match="--outcome COLUMN"):
        fitted.evaluate(rows, [{**own, "sex": 1} for own in died])


def test_a_variable_that_drives_the_risk_is_named(model) -> None:
    rows = [{"id": 1, "time": hour, "variable": "HR", "value": 80 + 4 * hour} for hour in range(11)]
    rows += [{"id": 1, "time": hour, "variable": "Temp", "value": 37} for hour in range(11)]
    found = model.explain(rows, hours=6)["1"]
    assert found["after"] > found["before"]
    assert found["variables"]["HR"] > abs(found["variables"]["Temp"])
    with pytest.raises(UsageError, match="more than 0"):
        model.explain(rows, hours=0)


@pytest.mark.slow
@pytest.mark.ci
def test_an_outcome_within_a_window_is_predicted_hour_by_hour() -> None:
    rows, outcomes = ward()
    model = PatientMonitor(epochs=6, outcome_time="at", window=6.0, cell="gru", **FEW).fit(rows, outcomes)
    assert model.scores_.of == "hours of patients"
    assert "within 6 hours" in model.scores_.protocol
    rising = [risk for _, risk in next(iter(model.answers(ward(2, seed=4)[0][::-1], hourly=True)))["by_hour"]]
    assert len(rising) > 5


def own_cell(input_size, hidden_size):
    return CATALOGUE["gru"](input_size, hidden_size)


@pytest.mark.parametrize("tick", [0.1, 0.7, 1 / 3, 1 / 60])
def test_every_tick_has_its_risk_whatever_fraction_of_an_hour_it_is(tick) -> None:
    rows, outcomes = ward(20)
    rows += [{"id": k, "time": hour, "variable": "HR", "value": 80} for k in range(20) for hour in (0, 0.3, 3.5, 13)]
    own = PatientMonitor(epochs=1, outcome_time="at", window=6.0, tick=tick, test=0, **FEW).fit(rows, outcomes)
    few = [row for row in rows if row["id"] < 2]
    expected = [round(k * tick, 7) for k in range(1000) if round(k * tick, 7) <= 13]
    live = last_risks(own.stream(), sorted(few, key=lambda row: row["time"]))
    for answer in own.answers(few, hourly=True):
        assert [hour for hour, _ in answer["by_hour"]] == pytest.approx(expected, abs=1e-9)
        assert live[answer["id"]] == pytest.approx(answer["risk"], abs=1e-6)
    stays = encode(own.fitted_.model.encoder, MonitorTask().read(own, (few, outcomes[:2])), 6.0)
    assert stays.judged.sum() >= 2 * len(expected)
    assert (np.diff(stays.hours)[np.diff(stays.owners) == 0] > 1e-6).all()


@pytest.mark.parametrize("cell", ["cfc", "t-lstm", "lstm", own_cell])
@pytest.mark.slow
@pytest.mark.ci
def test_every_kind_of_cell_tells_live_what_it_tells_of_whole_stays(cell, few) -> None:
    rows, outcomes = ward(40)
    own = PatientMonitor(epochs=1, cell=cell, test=0, **FEW).fit(rows, outcomes)
    live = last_risks(own.stream(), sorted(few, key=lambda row: row["time"]))
    for answer in own.answers(few):
        assert live[answer["id"]] == pytest.approx(answer["risk"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.ci
def test_a_wide_table_with_texts_is_predicted_live_as_in_a_batch() -> None:
    rng, rows = np.random.default_rng(0), []
    for patient in range(40):
        for hour in range(4):
            pulse = None if rng.random() < 0.3 else 80 + 5 * hour * (patient % 2) + rng.normal()
            unit = ("ICU", "ward", "theatre")[rng.integers(3)]
            rows.append({"id": patient, "time": hour, "HR": pulse, "unit": unit, "outcome": patient % 2})
    own = PatientMonitor(epochs=2, test=0, **FEW).fit(rows)
    few = [{name: cell for name, cell in row.items() if name != "outcome"} for row in rows[:24]]
    live = last_risks(own.stream(), few)
    table = {name: [row[name] for row in few] for name in few[0]}
    for answer in own.answers(table):
        assert live[answer["id"]] == pytest.approx(answer["risk"], abs=1e-6)


def test_running_numbers_are_those_of_a_whole_stay_to_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    values, mask = rng.normal(size=(9, 1, 3)), rng.random((9, 1, 3)) < 0.4
    hours = np.cumsum(rng.exponential(size=(9, 1)), 0)
    whole, running = of_batch(values, mask, hours, 4.0), Running(3, 4.0)
    for step in range(9):
        measured = {code: float(values[step, 0, code]) for code in np.flatnonzero(mask[step, 0]).tolist()}
        if step == 5:  # as if it had been kept and read back
            again = Running(3, 4.0)
            again.restore(running.kept, running.hour)
            running = again
        found = running.step(float(hours[step, 0]), measured)
        np.testing.assert_array_equal(found, whole[step, 0])


def test_alarms_are_counted_as_on_a_ward() -> None:
    hours = np.tile(np.arange(1.0, 11.0), 2)
    stays = Stays(
        ("a", "b"), np.array([0, 10, 20]), hours, np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(20),
        np.ones(20, bool), np.array([1.0, 0.0]), np.array([10.0, np.nan]), float("nan"),
    )  # fmt: skip
    risks = np.array([0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], float)
    found = Ward(stays, risks, 1.0, 3.0).alarms(0.5)
    assert found.sensitivity == 1.0
    assert found.lead == 7.0
    assert found.precision == pytest.approx(2 / 3)  # at hours 3 and 7 of a; at 2 of b, whose hour 4 is silent
    assert found.rate == pytest.approx(3 / (20 / 24))
    assert found.share == pytest.approx(5 / 20)


def test_a_variable_recorded_because_of_the_outcome_is_warned_of() -> None:
    rows, outcomes = ward(60)
    rows += [{"id": own["id"], "time": 1.0, "variable": "Autopsy", "value": 1.0} for own in outcomes if own["outcome"]]
    with pytest.warns(DataWarning, match='"Autopsy" is recorded for 100 %'):
        PatientMonitor(epochs=1, test=0, **FEW).fit(rows, outcomes)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        PatientMonitor(epochs=1, test=0, leave_out="Autopsy", **FEW).fit(rows, outcomes)


def test_what_was_measured_after_the_outcome_is_left_out() -> None:
    rows, outcomes = ward(40)
    rows = [*rows, {"id": 1, "time": 20.0, "variable": "HR", "value": 0}]
    with pytest.warns(DataWarning, match="at or after the outcome"):
        PatientMonitor(epochs=1, test=0, outcome_time="at", **FEW).fit(rows, outcomes)


@pytest.mark.parametrize(
    ("changes", "outcomes", "said"),
    [
        ({}, 1, "nothing to tell apart"),
        ({}, 0, "nothing to tell apart"),
        ({"window": 6.0}, None, "outcome_time"),
        ({"cell": "transformer"}, None, "recurrent cell"),
        ({"cell": "grud"}, None, "is not known"),
        ({"limits": "HR"}, None, "HR=20:300"),
        ({"leave_out": "Hr"}, None, "no variable"),
        ({"outcome": "died"}, None, "died"),
        ({"outcome_time": "when"}, None, "when"),
        ({"outcomes": "gone.csv"}, "none", "gone.csv"),
        ({}, "none", "--outcomes FILE"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(changes, outcomes, said) -> None:
    rows, known = ward(20)
    if outcomes in (0, 1):
        known = [{**own, "outcome": outcomes} for own in known]
    given = (rows,) if outcomes == "none" else (rows, known)
    with pytest.raises(OstinatoError) as caught:
        PatientMonitor(**{**FEW, "epochs": 1, **changes}).fit(*given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_patients_are_in_one_part_only_and_drawn_by_outcome() -> None:
    from ostinato.tasks.base.holding_out import Shares

    rows, outcomes = ward(60)
    own = PatientMonitor(**FEW)
    held = MonitorTask().hold_out(own, MonitorTask().read(own, (rows, outcomes)), Shares(0.2, 0.2))
    ids = [set(part.ids) for part in held.named().values()]
    assert sum(map(len, ids)) == 60 == len(set().union(*ids))
    assert [float(part.outcomes.mean()) for part in held.named().values()] == pytest.approx([0.5] * 3, abs=0.03)


def test_the_command_line_fits_predicts_and_streams(tmp_path, capsys, monkeypatch) -> None:
    rows, outcomes = ward(40)
    events, beside = tmp_path / "events.csv", tmp_path / "outcomes.csv"
    events.write_text("\n".join(["id,time,variable,value", *(",".join(map(str, row.values())) for row in rows)]))
    beside.write_text("\n".join(["id,outcome", *(f"{own['id']},{own['outcome']}" for own in outcomes)]))
    out = tmp_path / "model"
    options = ["--epochs", "1", "--members", "1", "--hidden-size", "4", "--no-report", "--out", str(out)]
    assert main(["fit", "monitor", str(events), "--outcomes", str(beside), *options]) == 0
    assert NOTICE in capsys.readouterr().out
    assert main(["predict", str(out), str(events), "--explain", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert set(first["because"]) == {"before", "after", "variables"}
    assert main(["evaluate", str(out), str(events), str(beside)]) == 0
    assert main(["evaluate", str(out), str(events), "--outcomes", str(beside)]) == 0
    capsys.readouterr()
    broken = tmp_path / "broken.csv"
    broken.write_text(events.read_text().replace("HR,", "HR,x", 1))
    assert main(["predict", str(out), str(broken)]) == 3
    said = capsys.readouterr().err
    assert "is not a number" in said
    assert "Traceback" not in said


def test_a_patient_without_a_known_variable_has_a_risk(model) -> None:
    with pytest.warns(DataWarning, match="not read"):
        found = list(model.answers([{"id": 1, "time": 2, "variable": "Mood", "value": 1}]))
    assert 0 < found[0]["risk"] < 1


def test_refused_sources_are_refused_in_a_sentence(model) -> None:
    for source in ([], [{"id": 1}], "gone.csv", {"id": [1], "time": [0], "variable": ["HR"], "value": ["x"]}):
        with pytest.raises((DataError, UsageError)):
            list(model.answers(source))


def test_patients_that_are_read_already_are_taken(model, few) -> None:
    assert list(model.answers(read_patients(few))) == list(model.answers(few))


def test_patients_are_points_and_a_report_draws_them(model, few) -> None:
    points = model.embed(few)
    assert points.shape[0] == 8
    assert np.isfinite(points).all()
    first = [row for row in few if row["id"] == few[0]["id"]]
    np.testing.assert_allclose(model.embed(first), points[:1], atol=1e-5)
    panels = {panel.title: panel for panel in model.summary_.panels}
    assert set(panels["Embeddings"].lines) <= {"outcome", "no outcome"}
    assert "a lower threshold can have fewer alarms" in panels["Alarms as a ward sees them"].note
