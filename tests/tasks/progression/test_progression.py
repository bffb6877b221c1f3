"""A progression model: what it tells live and of whole courses; what it is judged by; what it refuses."""

import copy
import json
import warnings

import numpy as np
import pytest
import torch

from ostinato import ProgressionModel, load
from ostinato.cli.main import main
from ostinato.errors import DataError, DataWarning, OstinatoError, StreamRowError, UsageError
from ostinato.tasks.progression.beside import set_beside
from ostinato.tasks.progression.courses import collate
from ostinato.tasks.progression.judged import Landmark, comparable, concordant, uncensored
from ostinato.tasks.progression.parameters import NOTICE

FEW = {"time_unit": "days", "members": 2, "hidden_size": 4, "epochs": 3, "steps_ahead": 4, "progress": False}


def visits(patients=80, seed=0, kinds=1):
    """Patients whose value rises have the event soon; of two kinds the second is of those who fall."""
    rng, rows = np.random.default_rng(seed), []
    for patient in range(patients):
        kind = patient % (kinds + 1)
        slope = (0.0, 1.0, -1.0)[kind]
        end, day = float(rng.uniform(4, 9)) + (0 if kind else 5), 0.0
        while day < 4:
            row = {"id": patient, "day": round(day, 2), "bili": 5 + slope * day + rng.normal() / 4}
            row |= {"drug": ("a", "b")[patient % 2 if patient % 7 else 0], "status": kind, "futime": end}
            rows.append(row)
            day += float(rng.choice([0.5, 1.0, 1.5]))
    return rows


@pytest.fixture(scope="module")
def model():
    return ProgressionModel(event="status", **FEW).fit(visits())


@pytest.fixture(scope="module")
def few():
    return visits(8, seed=1)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(own, other[name]) for name, own in one.items())
    return one == pytest.approx(other, abs=1e-5) if isinstance(one, float) else one == other


def test_what_is_predicted_live_is_what_is_predicted_of_whole_courses(model, few) -> None:
    batch = {own["id"]: own for own in model.answers(few, visits=True)}
    stream, live = model.stream(), {}
    for row in sorted(few, key=lambda row: row["day"]):
        answer = stream.push({name: row[name] for name in ("id", "day", "bili", "drug")})
        live.setdefault(answer["id"], []).append(answer)
    for name, answers in live.items():
        last = {key: own for key, own in batch[name].items() if key != "by_visit"}
        for one, other in zip(answers, [*batch[name]["by_visit"], last], strict=True):
            assert same(one, other)
            assert one["notice"] == NOTICE
    assert len(stream) == 8


def test_risks_rise_ahead_and_tell_those_who_worsen(model, few) -> None:
    risks = model.predict(few)
    ill = np.array([patient % 2 for patient in range(8)], bool)
    assert risks[ill].min() > risks[~ill].max()
    for answer in model.answers(few):
        predicted = list(answer["risk"].values())
        assert predicted == sorted(predicted)
        assert 0 <= predicted[0] <= predicted[-1] <= 1
        low, median, high = answer["next"]["bili"].values()
        assert low <= median <= high
    assert "drug: b" not in next(iter(model.answers(few)))["next"]


def test_scores_stand_beside_cox_and_what_is_carried_forward(model) -> None:
    values = model.scores_.values
    assert values["model"]["C-index"] > 0.8
    assert {"Brier", "MAE next (SD)", "coverage 80 %", "calibration error"} <= values["model"].keys()
    assert values["Cox at landmarks"]["C-index"] > 0.7
    assert values["Kaplan-Meier"]["C-index"] == pytest.approx(0.5)
    assert "C-index" not in values["last value carried forward"]
    assert NOTICE in str(model.scores_)
    assert "95 % intervals, patients drawn again" in model.scores_.details


def test_a_visit_in_two_rows_is_one_and_an_earlier_one_is_refused(model) -> None:
    stream = model.stream()
    stream.push({"id": "x", "day": 1, "drug": "a"})
    twice = stream.push({"id": "x", "day": 1, "bili": 6.0})
    other = model.stream()
    assert other.push({"id": "x", "day": 1, "drug": "a", "bili": 6.0}) == twice
    for row, said in (
        ({"id": "x", "day": 0.5, "bili": 5}, "order of time"),
        ({"id": "y", "day": -1, "bili": 5}, "before the beginning"),
        ({"id": "z", "day": 1}, "nothing"),
        ({"id": "x", "day": 2, "bili": "high"}, "expected a number"),
    ):
        with pytest.raises(StreamRowError, match=said):
            stream.push(row)


@pytest.mark.slow
@pytest.mark.ci
def test_it_is_saved_and_reported(model, few, tmp_path) -> None:
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert list(again.answers(few)) == list(model.answers(few))
    page = again.report(tmp_path / "r.html").read_text()
    assert NOTICE in page
    assert "as predicted after some visits" in page


@pytest.mark.slow
@pytest.mark.ci
def test_events_compete() -> None:
    model = ProgressionModel(event="status", event_code=2, **FEW).fit(visits(90, kinds=2))
    for answer in model.answers(visits(6, seed=2, kinds=2)):
        at = list(answer["risk"])[-1]
        both = sum(own[at] for own in answer["by_event"].values())
        assert answer["survival"][at] == pytest.approx(1 - both)
        assert answer["risk"] == answer["by_event"]["2"]
    assert model.scores_["C-index"] > 0.7


def changed(rows, **more):
    return [{**row, **{name: own(row) if callable(own) else own for name, own in more.items()}} for row in rows]


def third(value, name):
    """Return what gives a value to the patient 3, and to others what they have."""
    return lambda row: row[name] if row["id"] != 3 else value(row) if callable(value) else value


VISITS = visits(20)
BAD = {
    "an event without its time": (
        changed(VISITS, futime=third(None, "futime")),
        'no "futime"',
    ),
    "follow-up before the last visit": (
        changed(VISITS, futime=third(1.0, "futime")),
        "before their last visit",
    ),
    "two events": (
        changed(VISITS, status=third(lambda row: int(row["day"] > 1), "status")),
        "another event",
    ),
    "two ends": (changed(VISITS, futime=lambda row: row["futime"] + row["day"]), "another end"),
    "a code that is none": (changed(VISITS, status=1.5), "expected 0 for censored"),
    "a text for a code": (changed(VISITS, status="dead"), "expected 0 for censored"),
    "negative follow-up": (changed(VISITS, futime=-3.0), "before the beginning"),
    "negative times": (changed(VISITS, day=-1.0), "no measurement"),
    "one patient": ([row for row in visits(20) if row["id"] == 1], "one patient"),
    "all censored": (changed(VISITS, status=0), "censored"),
    "one event": (changed(VISITS, status=lambda row: int(row["id"] == 1)), "only one patient"),
    "no follow-up column": ([{k: v for k, v in row.items() if k != "futime"} for row in visits(20)], "--follow-up"),
    "no event column": ([{k: v for k, v in row.items() if k != "status"} for row in visits(20)], "status"),
    "a text for a time": (changed(VISITS, day="soon"), "day"),
    "no rows": ([], ""),
    "no measurements": ([{k: v for k, v in row.items() if k not in ("bili", "drug")} for row in visits(20)], "column"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused_in_a_sentence(name) -> None:
    rows, said = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with pytest.raises(OstinatoError) as caught:
            ProgressionModel(event="status", **FEW).fit(rows)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_code_later_and_bad_options_are_refused(model) -> None:
    with pytest.raises(DataError, match="event 7"):
        model.evaluate(changed(visits(10, seed=3), status=7))
    for options, said in (
        ({"cell": "transformer"}, "recurrent cell"),
        ({"landmarks": (-1.0,)}, "landmarks"),
        ({"event_code": 4}, "event_code is 4"),
    ):
        with pytest.raises(OstinatoError, match=said):
            ProgressionModel(event="status", **{**FEW, **options}).fit(visits(30))
    with pytest.raises(UsageError, match="ahead is -1"):
        list(model.answers(visits(2), ahead=-1))


def test_the_c_index_is_that_of_scikit_survival() -> None:
    metrics = pytest.importorskip("sksurv.metrics")
    rng = np.random.default_rng(0)
    durations, came = rng.exponential(3, 80).round(2) + 0.01, rng.random(80) < 0.6
    risks = -durations + 3 * rng.normal(size=80)
    one = Landmark(np.arange(80), durations, came.astype(np.int64), np.arange(80))
    weights = comparable(one, 0, 4.0)
    own = concordant(weights, risks).sum() / weights.sum()
    outcome = np.array(list(zip(came, durations, strict=True)), dtype=[("e", bool), ("t", float)])
    assert own == pytest.approx(metrics.concordance_index_ipcw(outcome, outcome, risks, tau=4.0)[0], abs=0.01)
    assert uncensored(durations, came, np.array([0.0]), before=False)[0] == 1.0


@pytest.mark.slow
@pytest.mark.ci
def test_on_the_command_line(tmp_path, capsys) -> None:
    import csv

    rows = visits(50)
    with (tmp_path / "v.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    out = str(tmp_path / "m")
    argv = ["fit", "progression", str(tmp_path / "v.csv"), "--id", "id", "--time", "day", "--event", "status"]
    argv += ["--time-unit", "days", "--members", "1", "--epochs", "1", "--hidden-size", "4", "--out", out]
    assert main(argv) == 0
    capsys.readouterr()
    assert main(["predict", out, str(tmp_path / "v.csv"), "--visits", "--ahead", "2", "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert line["ahead"] == 2
    assert line["notice"] == NOTICE


def test_patients_are_points_and_a_report_draws_them(model, few) -> None:
    points = model.embed(few)
    assert points.shape[0] == 8
    assert np.isfinite(points).all()
    assert any(panel.title == "Embeddings" for panel in model.summary_.panels)


@pytest.mark.slow
@pytest.mark.ci
def test_a_variable_that_is_the_event_or_recorded_because_of_it_is_warned_of() -> None:
    rows = [{**row, "autopsy": 1.0 if row["status"] else None, "code": 3.0 + 2 * row["status"]} for row in visits(60)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ProgressionModel(event="status", **{**FEW, "epochs": 1, "test": 0}).fit(rows)
    said = " ".join(str(each.message) for each in caught)
    assert '"autopsy" is recorded for 100 % of the patients with the outcome "status" and 0 % of the others' in said
    assert '"code" ends at 5 in every patient with the outcome "status" and at 3 in every other' in said
    assert '"bili"' not in said


def test_a_linear_model_of_last_values_counts_beside_the_network(model, few) -> None:
    fitted, task = model.fitted_.model, model.task
    shares = {float(member.share) for member in fitted.network.members}
    assert len(shares) == 1
    assert 0 < shares.pop() < 1
    assert model.summary_.settings["linear model beside"].endswith("of what is said of hazards")
    network = copy.deepcopy(fitted.network)
    batch = collate(task.encode(fitted, task.read(fitted.parameters, few)), range(8))
    said = {}
    for share in (0.0, 1.0):
        for member in network.members:
            member.share.fill_(share)
        with torch.no_grad():
            said[share] = network.hazards(network(batch.x, batch.lengths))
    one, other = said[1.0]
    torch.testing.assert_close(one, other)  # the same model beside each member
    assert not torch.allclose(*said[0.0])
    assert not torch.allclose(said[0.0][0], one)


def test_the_model_beside_counts_less_the_more_events_there_were(model) -> None:
    fitted, task, found = model.fitted_.model, model.task, []
    network = copy.deepcopy(fitted.network)
    for patients in (20, 160):
        set_beside(network, task.encode(fitted, task.read(fitted.parameters, visits(patients))), None, None)
        found.append(float(network.members[0].share))
    assert 0.5 > found[0] > found[1] > 0
