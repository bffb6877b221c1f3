"""What streams refuse: in one sentence of the error family, with the stream as it was."""

import copy
import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import EventPredictor, Forecaster, SequenceClassifier
from ostinato.cli.main import main
from ostinato.errors import OstinatoError, StreamRowError, UsageError

ROWS = 80
SMALL = {"horizon": 2, "context": 8, "hidden_size": 2, "epochs": 1, "progress": False, "segment": 1}
DAYS = pd.date_range("2024-01-01", periods=ROWS)
WAVE = np.sin(np.arange(ROWS) / 5)


def fitted(times, values=WAVE, **options):
    return Forecaster(**SMALL, **options).fit(pd.DataFrame({"time": times, "y": values}))


@pytest.fixture(scope="module")
def daily():
    return fitted(DAYS)


@pytest.fixture(scope="module")
def counted():
    return fitted(np.arange(ROWS) * 5)


@pytest.fixture(scope="module")
def several():
    parts = [pd.DataFrame({"unique_id": name, "ds": DAYS, "y": WAVE}) for name in ("007", "7", "A")]
    return Forecaster(**SMALL).fit(pd.concat(parts))


def same(one, other) -> bool:
    rows = np.array_equal(one["rows"], other["rows"], equal_nan=True)
    return rows and all(one[key] == other[key] for key in one if key != "rows")


def refuses(stream, row, match=None) -> None:
    before = stream.kept()
    with pytest.raises(StreamRowError, match=match) as caught:
        stream.push(row)
    assert "\n" not in str(caught.value)
    assert same(stream.kept(), before)


@pytest.mark.parametrize("name", ["7", 7, 7.0, "A", "07", True, ["007"]])
def test_a_row_of_another_series_is_refused(several, name) -> None:
    refuses(several.stream("007"), {"unique_id": name, "y": 0.1}, 'but the stream is of series "007"')


@pytest.mark.parametrize("name", ["007", " 007 ", None, float("nan"), ""])
def test_a_row_of_the_own_series_is_taken(several, name) -> None:
    assert np.isfinite(several.stream("007").push({"unique_id": name, "y": 0.1}).point).all()
    for own in (7, 7.0, np.int64(7), "7"):
        several.stream("7").push({"unique_id": own, "y": 0.1})


def test_the_command_line_refuses_a_row_of_another_series(several, tmp_path, capsys, monkeypatch) -> None:
    several.save(tmp_path / "model")
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("unique_id,ds,y\nA,2024-03-21,1\n7,2024-03-22,900\n"))
    assert main(["stream", str(tmp_path / "model"), "--series-id", "A", "--skip-bad"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert 'row 2 of stdin skipped: the row is of "7"' in said.err


NO_TIMES = [float("nan"), float("inf"), 1e300, 10**400, 2**63, [1], {}, (), b"x", 1j, True, None, "", "x", pd.NaT,
            pd.NA, np.datetime64("NaT"), dt.time(3)]  # fmt: skip


@pytest.mark.parametrize("time", NO_TIMES, ids=str)
def test_what_is_no_time_is_refused(daily, counted, time) -> None:
    for model in (daily, counted):
        refuses(model.stream(), {"time": time, "y": 0.1})


def test_a_jump_out_of_all_proportion_is_refused_and_a_gap_is_not(daily, counted) -> None:
    refuses(daily.stream(), {"time": "2100-01-01", "y": 1.0}, "more than a gap")
    refuses(daily.stream(), {"time": "9999-12-31", "y": 1.0}, "year 9999")
    refuses(daily.stream(warm=False), {"time": "9999-12-31", "y": 1.0}, "year 9999")
    refuses(counted.stream(), {"time": 10**12, "y": 1.0}, "more than a gap")
    assert daily.stream().push({"time": "2031-01-01", "y": 1.0}).times[0, 0] == np.datetime64("2031-01-02")
    assert counted.stream().push({"time": 5 * 9000, "y": 1.0}).times[0, 0] == 5 * 9001
    seconds = fitted(pd.date_range("2024-01-01", periods=ROWS, freq="s"))
    seconds.stream().push({"time": "2024-02-01", "y": 1.0})  # a month without a sensor is a gap


@pytest.mark.parametrize("text", ["1/6/2024", "1.6.2024", "01-06-2024"])
def test_a_day_or_month_that_nothing_tells_is_refused(daily, text) -> None:
    refuses(daily.stream(), {"time": text, "y": 1.0}, "the training data do not tell which; write 2024-")


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e30, 1e308, 10**400, float("inf")])
def test_a_value_too_large_to_compute_with_is_refused(daily, value) -> None:
    refuses(daily.stream(), {"y": value})


def test_a_row_whose_future_is_wrong_leaves_the_stream_as_it_was() -> None:
    data = pd.DataFrame({"time": DAYS, "y": WAVE, "h": np.arange(ROWS) % 3})
    stream = Forecaster(**SMALL, known_covariates=["h"]).fit(data).stream()
    before = stream.kept()
    with pytest.raises(OstinatoError):
        stream.push({"y": 1.0, "h": 1})
    assert same(stream.kept(), before)


HOSTILE = [None, [], {}, "x", "NaT", "99999-01-01", -1, True, float("nan"), float("inf"), 10**400, 2**63, [1], 2.5,
           [[float("nan")]], {"microseconds": "x"}]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(which=st.integers(0, 3), key=st.sampled_from(["series", "model", "rows", "seen", "next", "last"]), bad=st.sampled_from(HOSTILE))  # noqa: E501  # fmt: skip
def test_a_hostile_state_is_refused_or_harmless(states, which, key, bad) -> None:
    model, state = states[which]
    stream = model.stream()
    before = stream.kept()
    try:
        stream.accept({**copy.deepcopy(state), key: bad})
    except UsageError:
        assert same(stream.kept(), before)
        return
    # only another time of the same kind is taken
    assert key in ("next", "last")
    assert np.isfinite(stream.forecast().point).all()


@pytest.fixture(scope="module")
def states(daily, counted):
    models = [daily, counted, fitted(DAYS, frequency="rows"), fitted(pd.to_timedelta(np.arange(ROWS), unit="h"))]
    return [(model, model.stream().kept()) for model in models]


def test_states_of_other_models_are_refused_and_own_ones_taken(daily, counted, several, tmp_path) -> None:
    others = [counted.stream().state(), several.stream("A").state(), fitted(DAYS, WAVE * 2).stream().state()]
    for other in (None, {}, [], "x", 5, {"a": 1}, *others):
        stream = daily.stream()
        before = stream.kept()
        with pytest.raises(UsageError, match="the state"):
            stream.restore(other)
        assert same(stream.kept(), before)
    daily.save(tmp_path)
    stream = daily.stream()
    stream.push({"y": 0.5})
    again = Forecaster.load(tmp_path).stream()
    again.restore(stream.state())
    assert same(again.kept(), stream.kept())
    cold = daily.stream(warm=False)
    again.restore(cold.state())
    assert again.next_time is None


def test_a_sequence_classifier_goes_on_after_a_refused_step_as_if_it_never_came() -> None:
    rows = [(i, t, np.sin(t * (0.3 if i % 2 else 0.9)), "ab"[i % 2]) for i in range(40) for t in range(12)]
    data = pd.DataFrame(rows, columns=["id", "t", "x", "label"])
    model = SequenceClassifier(
        time="t", channels=["x"], hidden_size=2, epochs=1, members=1, progress=False, bidirectional=False
    ).fit(data)  # fmt: skip
    stream, other = model.stream(), model.stream()
    for own in (stream, other):
        own.push({"x": 0.1, "t": 5})
    for time in (float("nan"), 1e300, 10**400, 10**12, [1], None, 4, "9999-12-31"):
        for more in ({}, {"reset": True}):
            if more and time in (4, 10**12, "9999-12-31"):
                continue  # a new sequence may begin at any time
            with pytest.raises(StreamRowError):
                stream.push({"x": 0.1, "t": time, **more})
    for value in (1e308, 3e38, "q", None):
        with pytest.raises(StreamRowError):
            stream.push({"x": value, "t": 6, "reset": value == "q"})
    assert stream.push({"x": 0.2, "t": 6}) == other.push({"x": 0.2, "t": 6})


def test_an_event_at_a_number_that_is_no_time_is_refused() -> None:
    log = pd.DataFrame(
        {"case": np.repeat(np.arange(40), 3), "activity": ["a", "b", "c"] * 40, "time": np.arange(120.0)}
    )
    stream = EventPredictor(hidden_size=2, epochs=1, progress=False).fit(log).stream()
    with pytest.raises(StreamRowError, match="too large"):
        stream.push({"case": 1, "activity": "a", "time": 1e300})
    assert json.dumps(stream.push({"case": 1, "activity": "a", "time": 200.0})["probability"])


FAR = [
    (DAYS, DAYS[-1] + pd.Timedelta("1D"), "2204-04-01"),
    (np.arange(ROWS) ** 2, ROWS**2, 10**9),
    (np.arange(ROWS) ** 1.5, 1000.5, 1e15),
    (pd.to_timedelta(np.arange(ROWS) ** 2, unit="h"), "300 days 00:00:00", "99999 days 00:00:00"),
]


@pytest.mark.parametrize(("times", "following", "far"), FAR, ids=["dates", "counts", "decimals", "spans"])
def test_rows_on_no_grid_refuse_a_time_that_is_rather_an_error(times, following, far) -> None:
    model = fitted(times, time="time", frequency="rows")
    stream, other = model.stream(), model.stream()
    refuses(stream, {"y": 0.5, "time": far}, "more than a gap")
    row = {"y": 0.5, "time": following}
    assert np.array_equal(stream.push(row).point, other.push(row).point)
    assert np.isfinite(model.stream(warm=False).push({"y": 0.5, "time": far}).point).all()  # the first one may be any


def test_numbered_events_refuse_a_time_that_is_rather_an_error() -> None:
    rows = [(case, what, 10 * case + step) for case in range(40) for step, what in enumerate("abc")]
    log = pd.DataFrame(rows, columns=["case", "activity", "time"])
    stream = EventPredictor(hidden_size=4, epochs=1, progress=False).fit(log).stream()
    stream.push({"case": 1, "activity": "a", "time": 5})
    with pytest.raises(StreamRowError, match="more than a pause"):
        stream.push({"case": 1, "activity": "b", "time": 10**15})
    stream.push({"case": 1, "activity": "b", "time": 500})
