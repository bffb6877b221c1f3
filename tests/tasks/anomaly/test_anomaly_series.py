"""Anomalies of series: what is planted is found, files and streams agree to the bit, gaps do no harm."""

import json

import numpy as np
import pytest

import ostinato
from ostinato import AnomalyDetector
from ostinato.cli.main import main
from ostinato.errors import DataError, DataWarning, StreamRowError, UsageError
from ostinato.tasks.anomaly.scoring import Calibration
from ostinato.tasks.anomaly.views import Pace, Usual, Views
from ostinato.tasks.base.embeddings import embedding_panel, nearest

FEW = {"hidden_size": 8, "epochs": 3, "steps": 48, "learning_rate": 1e-2, "progress": False, "seed": 0}
ROWS, SEASON = 960, 24


def made(seed=0, rows=ROWS, channels=1):
    rng = np.random.default_rng(seed)
    steps = np.arange(rows)
    own = [10 + 3 * np.sin(2 * np.pi * steps / SEASON + own) + rng.normal(0, 0.2, rows) for own in range(channels)]
    return np.stack(own, -1)


def table(values, start="2024-01-01T00", minutes=60):
    times = np.datetime64(start, "m") + minutes * np.arange(len(values)).astype("timedelta64[m]")
    return {"time": [str(own) for own in times], **{f"c{i}": values[:, i].tolist() for i in range(values.shape[1])}}


@pytest.fixture(scope="module")
def model():
    return AnomalyDetector(**FEW).fit(made()[:, 0])


@pytest.fixture(scope="module")
def timed():
    return AnomalyDetector(false_alarm_rate=1e-3, **FEW).fit(table(made(channels=2)))


def test_what_is_planted_is_found_with_its_reason_and_little_else(timed) -> None:
    values = made(seed=3, channels=2)
    values[400, 1] += 4
    values[700:730, 0] = values[700, 0]
    events = timed.events(table(values))
    spike, *_ = [own for own in events if own["from"].startswith(table(values)["time"][400][:13])]
    assert spike["reason"].startswith("c1: ")
    assert "was expected" in spike["reason"]
    first, last = table(values)["time"][700], table(values)["time"][760]
    assert any(first <= own["to"] and own["from"] <= last and own["reason"].startswith("c0: ") for own in events)
    assert len(events) <= 5


@pytest.mark.parametrize("method", ["forecast", "reconstruct"])
def test_a_stream_says_what_a_file_says_to_the_bit_whatever_is_missing(method, timed) -> None:
    found = (
        timed if method == "forecast" else AnomalyDetector(method=method, window=12, **FEW).fit(table(made(channels=2)))
    )
    values = made(seed=5, rows=150, channels=2)
    values[20, 0] = values[60:64, 1] = values[100] = np.nan
    rows = table(values)
    kept = [row for row in range(150) if row not in (30, 31, 32, 90)]
    rows = {name: [own[row] for row in kept] for name, own in rows.items()}
    whole = list(found.answers(rows))
    stream = found.stream(warm=False)
    said, state = [], b""
    for place in range(len(kept)):
        if place == 70:
            state = stream.state()
            stream.reset()
            assert stream.state() != state
            stream.restore(state)
        said.append(stream.push({name: own[place] for name, own in rows.items()}))
    assert [json.dumps(own) for own in said] == [json.dumps(own) for own in whole]
    assert [own["score"] is None for own in whole][96] is True  # nothing came, so nothing is said
    assert sum(own["score"] is not None for own in whole) > 100


def test_a_warm_stream_goes_on_where_training_ended(timed) -> None:
    stream, cold = timed.stream(), timed.stream(warm=False)
    row = {"time": "2024-02-10T00:00", "c0": 10.0, "c1": 10.0}
    assert stream.push(row)["score"] is not None
    assert cold.push(row)["score"] is None
    stream.reset()
    assert stream.push(row)["score"] is not None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"c0": 1.0}, 'lacks "c1"'),
        ({"c0": "x", "c1": 1.0}, '"x" in column "c0" is not a number'),
        ({"c0": float("inf"), "c1": 1.0}, "too large"),
        ({"c0": 1e30, "c1": 1.0}, "too far"),
        ({"time": "soon", "c0": 1.0, "c1": 1.0}, '"soon" in column "time" is not a time'),
        ({"time": "9999-01-01", "c0": 1.0, "c1": 1.0}, "more than a gap"),
        ({"time": "2020-01-01T00", "c0": 1.0, "c1": 1.0}, "before that of the row before"),
        ([1.0], "has 1 values; expected 2"),
        (b"1", "the row is bytes"),
    ],
)
def test_bad_rows_are_refused_and_change_nothing(timed, row, message) -> None:
    stream = timed.stream()
    before = stream.state()
    with pytest.raises(StreamRowError, match=message):
        stream.push(row)
    assert stream.state() == before


def test_a_clock_may_be_set_back_a_little_and_what_is_missing_is_not_scored(model, timed) -> None:
    stream = timed.stream()
    assert stream.push({"time": "2024-02-10T05:00", "c0": 10.0, "c1": 10.0})["score"] is not None
    assert stream.push({"time": "2024-02-10T04:00", "c0": 10.0, "c1": 10.0})["score"] is not None
    cold = model.stream(warm=False)
    for warm, value in ((model.stream(), None), (model.stream(), float("nan")), (cold, None)):
        answer = warm.push([value])
        assert (answer["score"], answer["probability"], answer["alarm"]) == (None, None, False)


def test_scores_say_what_they_are_about_and_alarms_without_labels_are_no_contest(model, timed) -> None:
    scores = timed.scores_
    assert "alarms in 10,000" in scores.model
    assert "alarms in 10,000" not in scores.better
    assert "xpecting the next value" in scores.verdict
    assert "every baseline" not in scores.verdict  # some of them expect nothing
    assert "1 false alarm in 1,000 steps was asked for" in scores.protocol
    first, *others = timed.summary_.panels
    assert first.title == "Alarms"
    assert "series" not in first.columns
    assert "1 false alarm in 1,000 steps was asked for" in first.note
    assert others[0].words[0][1].startswith("2024-02")
    promises = [own for own in others if own.title.startswith("False alarms")]
    assert bool(promises) is (not 0 < len(first.rows) < 5)
    assert model.summary_.panels[1].words == ()


def test_no_single_step_teaches_much() -> None:
    usual, pace = Usual.unknown(1), Pace(10, 60, 1000)
    one, wild = Views(usual, pace), Views(usual, pace)
    rng = np.random.default_rng(0)
    for step in range(300):
        error = rng.normal(size=1)
        for views, own in ((one, error), (wild, error * 1e6 if step == 200 else error)):
            views.push(own, np.ones(1), np.full(1, 5.0), np.zeros(1))
    assert abs(wild.ratio - one.ratio) < 0.01
    assert np.abs(wild.mean - one.mean).max() < 0.1
    assert np.abs(wild.deviation - one.deviation).max() < 0.1


@pytest.mark.slow
@pytest.mark.ci
def test_labels_keep_what_is_known_out_of_training_and_are_what_it_is_judged_by(tmp_path) -> None:
    values = made()
    marks = np.zeros(ROWS, int)
    for first in (200, 500, 700, 920):
        values[first : first + 10] += 3
        marks[first : first + 10] = 1
    data = {**table(values), "label": marks.tolist()}
    found = AnomalyDetector(labels="label", threshold="labels", **FEW).fit(data)
    own = found.scores_
    assert {"VUS-PR", "AUROC", "NAB score", "range F1", "point-adjusted F1"} <= set(own.model)
    assert own["AUROC"] > 0.9
    assert "random scores" in own.values
    assert "inflates" in own.verdict
    assert found.summary_.settings["alarm from"].endswith("(by labels)")
    (tmp_path / "w.json").write_text(json.dumps([[data["time"][200], data["time"][209]]]))
    assert found.evaluate(table(values), labels=None).model.keys() == {"MAE", "alarms in 10,000"}
    other = AnomalyDetector(labels=str(tmp_path / "w.json"), **FEW).fit(table(values))
    assert other.fitted_.model.encoder.reading.labels is None
    with pytest.raises(DataError, match='no column "wrong"'):
        AnomalyDetector(labels="wrong", **FEW).fit(table(values))


def test_several_series_are_scored_apart_and_a_new_one_by_its_own_scale() -> None:
    one, two = table(made()), table(1000 * made(seed=1))
    data = {name: [*one[name], *two[name]] for name in one} | {"unique_id": ["a"] * ROWS + ["b"] * ROWS}
    found = AnomalyDetector(**FEW).fit(data)
    with pytest.raises(UsageError, match="2 series; say which"):
        found.stream()
    rows = found.answers({**table(50 * made(seed=2, rows=200)), "unique_id": ["new"] * 200})
    assert np.mean([own["alarm"] for own in rows]) < 0.05
    assert {own["series"] for own in found.answers(data)} == {"a", "b"}
    assert found.embed(data).shape == (2, 8)


@pytest.mark.slow
@pytest.mark.ci
def test_constant_irregular_and_gappy_series_are_learned() -> None:
    flat = AnomalyDetector(**FEW).fit({"y": [4.0] * 300})
    changed = np.full(200, 4.0)
    changed[100] = 5
    assert flat.predict({"y": changed.tolist()})[100]
    assert flat.predict({"y": [4.0] * 200}).sum() == 0
    assert flat.predict({"y": [4.0] * 3000}).sum() == 0  # what is learned of tiny errors makes none of them large
    values = made(rows=400)
    data = table(values)
    minutes = np.cumsum(np.random.default_rng(0).choice([55, 60, 61, 300], 400))
    data["time"] = [str(np.datetime64("2024-01-01T00:00") + np.timedelta64(int(own), "m")) for own in minutes]
    found = AnomalyDetector(**FEW).fit(data)
    assert np.isfinite(found.score_samples(data)[50:]).all()


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({"y": [1.0] * 9}, {}, "9 rows"),
        ({"y": []}, {}, "no rows|empty|no data"),
        ({"y": [np.nan] * 50}, {"target": "y"}, "no value at all"),
        ({"y": ["a"] * 50}, {}, "is not a number"),
        ({"y": [1.0] * 50}, {"target": "z"}, '"z"'),
        ("no-such-file.csv", {}, "no-such-file.csv"),
        (np.zeros((4, 4, 4)), {}, "."),
    ],
)
def test_bad_data_is_refused_in_one_sentence(data, options, message) -> None:
    with pytest.raises((DataError, UsageError), match=message) as caught:
        AnomalyDetector(**options, **FEW).fit(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "transformer"}, "choose a recurrent cell"),
        ({"event": "e", "method": "forecast"}, "is for series"),
        ({"top": 3}, "top counts expected events"),
        ({"threshold": "labels"}, "needs labels"),
        ({"false_alarm_rate": 0.0}, "false_alarm_rate is 0"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(options, message) -> None:
    with pytest.raises(UsageError, match=message):
        AnomalyDetector(**options, **FEW).fit(made())


def test_a_model_comes_back_and_is_seen(model, tmp_path) -> None:
    again = ostinato.load(model.save(tmp_path / "m"))
    values = made(seed=4)[:, 0]
    np.testing.assert_array_equal(again.score_samples(values), model.score_samples(values))
    assert isinstance(again.fitted_.model.encoder.calibration, Calibration)
    page = model.report(tmp_path / "r.html").read_text()
    for title in ("Scores", "Alarms", "False alarms a step, by the height of the threshold"):
        assert title in page


def test_embeddings_of_like_series_are_near() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(4)[:2], 10, 0) + rng.normal(0, 0.1, (20, 4))
    places, cosines = nearest(points, points[:1], 10)
    assert set(places[0].tolist()) == set(range(10))
    assert places[0, 0] == 0
    assert cosines[0, 0] == pytest.approx(1)
    panel = embedding_panel(points, ["a"] * 10 + ["b"] * 10)
    assert set(panel.lines) == {"a", "b"}


def test_the_command_line_fits_scores_and_streams(tmp_path, capsys, monkeypatch) -> None:
    import io

    import polars as pl

    values = made(channels=2)
    values[900, 1] += 5
    pl.DataFrame(table(values)).write_csv(tmp_path / "d.csv")
    options = ["--hidden-size", "8", "--epochs", "2", "--steps", "48", "--no-progress"]
    assert main(["fit", "anomaly", str(tmp_path / "d.csv"), "--out", str(tmp_path / "m"), *options]) == 0
    assert {"report.html", "model.json"} <= {own.name for own in (tmp_path / "m").iterdir()}
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "d.csv"), "--out", str(tmp_path / "s.csv")]) == 0
    scores = pl.read_csv(tmp_path / "s.csv")
    assert scores.columns[:5] == ["time", "score", "probability", "alarm", "reason"]
    assert scores["alarm"][900]
    assert main(["predict", str(tmp_path / "m")]) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("".join((tmp_path / "d.csv").read_text().splitlines(True)[:4])))
    assert main(["stream", str(tmp_path / "m"), "--cold"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_clock_that_is_set_back_is_said_and_taken(model) -> None:
    data = table(made(rows=400))
    data["time"][200:] = table(made(rows=200), "2024-01-09T04:00")["time"]
    with pytest.warns(DataWarning, match="set back"):
        found = AnomalyDetector(**FEW).fit(data)
    assert len(found.history_.rows)
