"""Times through every path of a forecaster: fit, predict, evaluate, stream, saved and loaded, the command line."""

import io
import json
import warnings

import numpy as np
import pandas as pd
import pytest

from ostinato import EventPredictor, Forecaster, load
from ostinato.cli.main import main
from ostinato.errors import DataError, DataWarning, StreamRowError

MONTHS = pd.date_range("2001", periods=180, freq="MS")
HOURS = pd.date_range("2024-01-28", periods=180, freq="h")
SMALL = {"horizon": 3, "target": "y", "context": 14, "segment": 7, "hidden_size": 2, "epochs": 1, "progress": False}
ROWS = 150


def values(rows):
    return np.arange(rows) % 7 + np.random.default_rng(0).normal(0, 0.1, rows)


def written(index, form):
    return index.strftime(form) if form else index


# name: the column of times as a data frame has it, its 180 values, options, whether pandas' own index is meant
CLOCKS = {
    "integers by 5": ({"t": np.arange(180) * 5}, {"time": "t"}),
    "hours with a zone": ({"t": pd.date_range("2024-03-20", periods=180, freq="h", tz="Europe/Berlin")}, {}),
    "days with a zone": ({"t": pd.date_range("2024-02-01", periods=180, tz="America/New_York")}, {}),
    "an offset": ({"t": pd.date_range("2024-03-20", periods=180, freq="h", tz="+05:30")}, {}),
    "day-first": ({"t": pd.date_range("2024-01-01", periods=180).strftime("%d/%m/%Y")}, {}),
    "two-digit years": ({"t": pd.date_range("2024-01-01", periods=180).strftime("%m/%d/%y")}, {}),
    "month-ends": ({"t": pd.date_range("2001-01-31", periods=180, freq="ME").strftime("%Y-%m-%d")}, {}),
    "the 30th": (
        {"t": [f"{d.year}-{d.month}-{min(30, d.days_in_month)}" for d in MONTHS]},
        {},
    ),
    "quarters": ({"t": [f"{1956 + at // 4} Q{at % 4 + 1}" for at in range(180)]}, {}),
    "business month-ends": ({"t": pd.date_range("2001-01-31", periods=180, freq="BME")}, {}),
    "weeks": ({"t": [f"{d:%G-W%V}" for d in pd.date_range("2020-01-06", periods=180, freq="W-MON")]}, {}),
    "twelve hours": ({"t": pd.date_range("2024-01-20", periods=180, freq="h").strftime("%m/%d/%Y %I:%M %p")}, {}),
    "four columns": (
        {part: getattr(HOURS, part) for part in ("year", "month", "day", "hour")},
        {},
    ),
    "times gone by": ({"t": pd.timedelta_range("0h", periods=180, freq="15min")}, {"time": "t"}),
    "local times": (
        {"t": pd.date_range("2024-03-20", periods=180, freq="h", tz="Europe/Berlin").strftime("%d.%m.%Y %H:%M")},
        {"time_zone": "Europe/Berlin"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOCKS)
@pytest.mark.slow
@pytest.mark.ci
def test_a_stream_a_file_and_a_saved_model_agree_in_times_and_forecasts(name, tmp_path) -> None:
    clock, options = CLOCKS[name]
    data = pd.DataFrame({**clock, "y": values(180)})
    past, rest = data.head(ROWS), data.iloc[160:170]  # ten rows are missing between them
    model = Forecaster(**SMALL, **options).fit(past)
    assert "absent" not in dict(model.summary_.data)["rows"]
    newer = pd.concat([past, rest])
    wanted = model.predict(newer)
    newer.to_csv(tmp_path / "newer.csv", index=False)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    stream = again.stream()
    for row in rest.to_dict("records"):
        streamed = stream.push(row)
    for other in (model.predict(tmp_path / "newer.csv"), again.predict(newer), streamed):
        assert other.times.tolist() == wanted.times.tolist()
        np.testing.assert_allclose(other.point, wanted.point, rtol=1e-6)
        assert other.to_frame().schema == wanted.to_frame().schema
    # the forecast's first times are those of the data's next rows
    whole = model.predict(data)
    ahead = model.predict(data.head(177))
    assert ahead.times.shape == whole.times.shape == (1, 3)
    following = model.predict(data.head(178)).times[0, :2].tolist()
    assert ahead.times[0, 1:].tolist() == following
    with pytest.raises(StreamRowError, match="push rows in time order, each once"):
        stream.push(row)
    # the training data are known again, and held-out rows judged as after the fit
    assert again.evaluate(past).values == model.evaluate().values


def test_the_command_line_streams_what_python_does(tmp_path, capsys, monkeypatch) -> None:
    clock, options = CLOCKS["local times"]
    data = pd.DataFrame({**clock, "y": values(180)})
    model = Forecaster(**SMALL, **options).fit(data.head(ROWS))
    model.save(tmp_path / "model")
    rest = data.iloc[160:163]
    lines = io.StringIO(rest.to_csv(index=False))
    monkeypatch.setattr("sys.stdin", lines)
    assert main(["stream", str(tmp_path / "model")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    wanted = model.predict(pd.concat([data.head(ROWS), rest]))
    assert last["time"] == [time.isoformat() for time in wanted.times[0]]
    assert last["time"][0].endswith("+01:00")
    np.testing.assert_allclose(last["forecast"]["y"], wanted.point[0, :, 0])


@pytest.mark.slow
@pytest.mark.ci
def test_the_command_line_says_what_was_open_and_takes_the_option_that_changes_it(tmp_path, capsys) -> None:
    months = pd.date_range("2019-01-01", periods=60, freq="MS")
    (tmp_path / "a.csv").write_text(
        "date,y\n" + "".join(f"{d:%d/%m/%Y},{v}\n" for d, v in zip(months, values(60), strict=True))
    )
    fit = [
        "fit",
        "forecast",
        str(tmp_path / "a.csv"),
        "--horizon",
        "2",
        "--epochs",
        "1",
        "--hidden-size",
        "2",
        "--no-progress",
        "--no-report",
    ]
    assert main([*fit, "--out", str(tmp_path / "m")]) == 0
    said = capsys.readouterr().err
    assert 'ostinato: note: row 3 of a.csv: "01/02/2019" in column "date" is 2019-02-01 or 2019-01-02' in said
    assert load(tmp_path / "m").predict().times[0, 0] == np.datetime64("2024-01-01")
    assert main([*fit, "--out", str(tmp_path / "n"), "--day-first"]) == 0
    assert "note" not in capsys.readouterr().err
    assert main([*fit, "--out", str(tmp_path / "o"), "--time-format", "%d/%m/%Y", "--time-zone", "Europe/Berlin"]) == 0
    assert main(["predict", str(tmp_path / "o"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-2])["date"] == "2024-01-01T00:00:00+01:00"


def test_rows_are_never_put_in_where_rows_are_asked_for() -> None:
    data = pd.DataFrame({"t": np.cumsum(np.random.default_rng(0).integers(1, 9, 180)), "y": values(180)})
    for column in (data, data.assign(t=pd.Timestamp("2024-01-01") + pd.to_timedelta(data["t"], "h"))):
        model = Forecaster(**SMALL, time="t", frequency="rows").fit(column.head(ROWS))
        assert dict(model.summary_.data)["rows"] == str(ROWS)
        wanted = model.predict(column.head(170))
        assert wanted.times[0].tolist() == [170, 171, 172]
        stream = model.stream()
        for row in column.iloc[ROWS:170].to_dict("records"):
            found = stream.push(row)
        np.testing.assert_allclose(found.point, wanted.point, rtol=1e-6)
        with pytest.raises(StreamRowError, match="is not after that of the row before"):
            stream.push(row)


def test_a_clock_that_goes_back_is_followed_by_a_stream() -> None:
    index = pd.date_range("2024-10-20", periods=200, freq="h", tz="Europe/Berlin")
    data = pd.DataFrame({"t": index, "y": values(200)})
    model = Forecaster(**SMALL).fit(data.head(ROWS))
    stream = model.stream()
    for row in data.iloc[ROWS:].to_dict("records"):
        shown = row["t"].strftime("%Y-%m-%d %H:%M")  # 02:00 comes twice
        found = stream.push({**row, "t": shown})
    wanted = model.predict(data)
    assert found.times.tolist() == wanted.times.tolist()
    np.testing.assert_allclose(found.point, wanted.point, rtol=1e-6)


def test_times_of_another_kind_are_refused_and_zones_for_none_are_said() -> None:
    model = Forecaster(**SMALL).fit(pd.DataFrame({"t": pd.date_range("2024-01-01", periods=ROWS), "y": values(ROWS)}))
    with pytest.raises(DataError, match='"0" in column "t" is not .*time'):
        model.predict(pd.DataFrame({"t": np.arange(40), "y": values(40)}))
    aware = pd.DataFrame({"t": pd.date_range("2024-06-01", periods=40, tz="UTC"), "y": values(40)})
    with pytest.warns(DataWarning, match="taken to be in UTC"):
        assert model.predict(aware).times[0, 0] == np.datetime64("2024-07-11")
    numbers = Forecaster(**SMALL, time="t").fit(pd.DataFrame({"t": np.arange(ROWS), "y": values(ROWS)}))
    with pytest.raises(DataError, match="expected whole numbers"):
        numbers.predict(aware)


def long(**series):
    days = pd.date_range("2024-01-01", periods=120)
    return pd.concat([pd.DataFrame({"unique_id": name, "ds": days, "y": own}) for name, own in series.items()])


def test_a_series_without_a_value_has_no_forecast_or_is_an_error(tmp_path) -> None:
    wave = 1000 + np.sin(np.arange(120) / 3)
    data = long(a=wave, b=wave + 5, c=np.full(120, np.nan))
    model = Forecaster(**SMALL).fit(data)
    with pytest.warns(DataWarning, match='"y" of series "c" has no value in the 14 rows'):
        found = model.predict()
    assert np.isfinite(found.point[:2]).all()
    assert np.isnan(found.point[2]).all()
    assert np.isnan(found.quantiles[2]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(model.predict(long(new=np.full(120, np.nan))).point).all()
        assert all(np.isfinite(own) for own in model.evaluate().model.values())
        row = {"ds": "2024-04-30", "unique_id": "c", "y": None}
        assert np.isnan(model.stream("c").push(row).point).all()
        assert np.isfinite(model.stream("c").push({**row, "y": 3.0}).point).all()
    strict = Forecaster(**SMALL, no_values="error").fit(data)
    strict.save(tmp_path)
    with pytest.raises(DataError, match='series "c" has no value'):
        load(tmp_path).predict()


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y"])
def test_what_one_row_of_a_stream_shows_decides_nothing_for_the_next(form) -> None:
    data = pd.DataFrame({"t": pd.date_range("2023-12-01", periods=ROWS), "y": values(ROWS)})
    stream = Forecaster(**SMALL).fit(data).stream()
    for day in pd.date_range("2024-04-29", periods=2):  # these can be read one way only
        stream.push({"t": f"{day:{form}}", "y": 1.0})
    with pytest.raises(StreamRowError, match="the training data do not tell which"):
        stream.push({"t": f"{pd.Timestamp('2024-05-01'):{form}}", "y": 1.0})


@pytest.mark.slow
@pytest.mark.ci
def test_events_are_read_as_in_training_with_their_zone(tmp_path) -> None:
    rows = []
    for case in range(40):
        at = pd.Timestamp("2024-03-01", tz="Europe/Berlin") + pd.Timedelta(hours=31 * case)
        for what in ("open", "check", "wait", "close"):
            rows.append((case, what, at))
            at += pd.Timedelta(hours=24)
    log = pd.DataFrame(rows, columns=["case", "activity", "time"])
    model = EventPredictor(hidden_size=4, epochs=1, progress=False).fit(log)
    model.save(tmp_path)
    again = EventPredictor.load(tmp_path)
    moments = log["time"].head(2)
    answers = []
    for form in (
        lambda t: t,
        lambda t: t.tz_convert("UTC").isoformat(),
        lambda t: t.strftime("%d %b %Y %H:%M"),
        lambda t: t.to_pydatetime(),
    ):
        stream = again.stream()
        for what, at in zip(("open", "check"), moments, strict=True):
            answer = stream.push({"case": "q", "activity": what, "time": form(at)})
        answers.append(answer)
    written_log = log.assign(time=log["time"].dt.strftime("%Y-%m-%d %H:%M")).head(2)
    answers.append({**next(iter(again.answers(written_log))), "case": "q"})
    for answer in answers[1:]:
        assert answer["probability"] == pytest.approx(answers[0]["probability"], rel=1e-5)
        assert answer["in_days"] == pytest.approx(answers[0]["in_days"], rel=1e-5)
    expected = again.continue_case(log.head(2)[["activity", "time"]].to_dict("records"), length=1)
    if "time" in expected[0]:
        assert expected[0]["time"].endswith("+01:00")
