"""Series as they were recorded: any times, any gaps, labels in a column or in a file."""

import json

import numpy as np
import pytest

from ostinato.data import Schema
from ostinato.data.anomaly_windows import labelled
from ostinato.data.recordings import place_after, places_of, read_recordings, ticks
from ostinato.errors import DataError, DataWarning


def table(minutes, **columns):
    times = [str(np.datetime64("2024-01-01T00:00") + np.timedelta64(own, "m")) for own in minutes]
    return {"time": times, **columns}


def test_rows_have_places_that_gaps_leave_out_and_clocks_set_back_do_not_turn() -> None:
    minutes = [*range(0, 60, 5), *range(80, 120, 5), *range(60, 90, 5), *range(120, 160, 5)]
    with pytest.warns(DataWarning, match="go back 1 time"):
        found = read_recordings(table(minutes, y=list(range(len(minutes)))), Schema())
    (one,) = found.series
    places = places_of(one, found.reading.step)
    assert found.reading.step == 5 * 60e6
    assert places[:12].tolist() == list(range(12))
    assert places[12] == 16
    assert (np.diff(places) >= 1).all()
    place, start = -1, float(ticks(one.times)[0])
    for expected, tick in zip(places.tolist(), ticks(one.times).tolist(), strict=True):
        place = 0 if place < 0 else place_after(place, start, tick, found.reading.step)
        assert place == expected


def test_irregular_times_doubled_ones_and_constant_values_are_taken() -> None:
    found = read_recordings(table([0, 5, 5, 11, 14, 20, 26], y=[3.0] * 7), Schema(target=("y",)))
    assert len(found) == 7
    assert (np.diff(places_of(found.series[0], found.reading.step)) >= 1).all()


def test_rows_in_no_order_and_columns_without_numbers_are_refused() -> None:
    minutes = np.random.default_rng(0).permutation(100) * 5
    with pytest.raises(DataError, match="sort the rows by time"):
        read_recordings(table(minutes.tolist(), y=list(range(100))), Schema())
    with pytest.raises(DataError, match=r"no column|numbers to watch"):
        read_recordings({"a": ["x", "y"]}, Schema())
    with pytest.raises(DataError, match='"abc"'):
        read_recordings({"y": ["1", "2", "abc", "4"]}, Schema(target=("y",)))


def test_labels_are_a_column_of_numbers_or_words() -> None:
    for cells in ([0, 0, 1, 0], ["normal", "", "Anomaly", "no"], [False, False, True, False]):
        found = read_recordings({"y": [1.0, 2.0, 3.0, 4.0], "label": cells}, Schema(), labels="label")
        assert found.reading.channels == ("y",)
        assert found.series[0].labels.tolist() == [False, False, True, False]
    assert not read_recordings({"y": [1.0, 2.0]}, Schema(), labels="label").labelled


def test_windows_come_from_tables_and_json(tmp_path) -> None:
    found = read_recordings(table(range(0, 100, 5), y=list(range(20))), Schema())
    (tmp_path / "w.csv").write_text("start,end\n2024-01-01 00:10,2024-01-01 00:20\n")
    pair = ["2024-01-01 00:10:00.000000", "2024-01-01 00:20:00.000000"]
    (tmp_path / "w.json").write_text(json.dumps([pair]))
    for name in ("w.csv", "w.json"):
        own = labelled(found, str(tmp_path / name))
        assert own.series[0].labels.nonzero()[0].tolist() == [2, 3, 4]
    named = {"other/x.csv": [], f"some/{found.origin}": [pair]}
    (tmp_path / "n.json").write_text(json.dumps(named))
    assert labelled(found, str(tmp_path / "n.json")).series[0].labels.sum() == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.json", "{", "is no JSON"),
        ("w.json", "3", "expected a list"),
        ("w.json", '[["2024-01-01"]]', "expected .start, end."),
        ("w.json", '[["soon", "later"]]', '"soon" is not a time'),
        ("w.csv", "start,end\n2024-01-02,2024-01-01\n", "before it starts"),
        ("w.csv", "start\n2024-01-02\n", "expected start and end"),
        ("w.csv", "start,end,series\n2024-01-01,2024-01-02,z\n", 'of series "z"'),
        ("w.json", "[[NaN, NaN]]", "is not a time|is missing"),
        ("w.csv", "start,end\nNaT,NaT\n", "is not a time|is missing"),
        ("w.json", "[" * 100_000, "nested too deeply"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_bad_windows_are_named(tmp_path, name, text, message) -> None:
    found = read_recordings(table(range(0, 100, 5), y=list(range(20))), Schema())
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        labelled(found, str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_windows_of_numbers_are_numbers_and_those_that_hold_no_row_are_told(tmp_path) -> None:
    found = read_recordings({"t": [float(own) for own in range(20)], "y": list(range(20))}, Schema(time="t"))
    file = tmp_path / "w.json"
    file.write_text("[[NaN, NaN]]")
    with pytest.raises(DataError, match="is missing; expected a start and an end"):
        labelled(found, str(file))
    file.write_text("[[100, 200]]")
    with pytest.warns(DataWarning, match="no row of .* lies in any of the 1 windows"):
        assert not labelled(found, str(file)).series[0].labels.any()


@pytest.mark.slow
@pytest.mark.ci
def test_the_files_of_the_numenta_benchmark_are_read_as_they_are(shared_data) -> None:
    files = sorted((shared_data / "nab/data").glob("*/*.csv"))
    if not files:
        pytest.skip("the files of the Numenta benchmark are not there")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        rows = [len(read_recordings(str(file), Schema(target=("value",)))) for file in files]
    assert len(rows) == 25
    assert min(rows) == 1127
