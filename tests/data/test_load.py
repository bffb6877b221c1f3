"""Reading tables and laying their series on a grid; every bad input with its sentence."""

import bz2
import gzip
import lzma

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ostinato.data import Schema, load_future, load_panel
from ostinato.errors import ColumnError, DataError, UsageError

GOOD = "time,y,z\n" + "".join(f"2020-01-{d:02d},{d},{d * d}\n" for d in range(1, 15))


def panel(tmp_path, text, name="load.csv", **schema):
    path = tmp_path / name
    path.write_text(text)
    return load_panel(path, Schema(**schema))


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.csv", bytes),
        ("a.csv.gz", gzip.compress),
        ("a.csv.bz2", bz2.compress),
        ("a.csv.xz", lzma.compress),
        ("a.txt", lambda text: text.replace(b",", b";")),
        ("a.tsv", lambda text: text.replace(b",", b"\t")),
        ("a.csv", lambda text: b"\xef\xbb\xbf" + text),
    ],
)
def test_text_files_give_the_same_panel_however_they_are_packed(tmp_path, name, pack) -> None:
    path = tmp_path / name
    path.write_bytes(pack(GOOD.encode()))
    found = load_panel(path)
    assert found.columns == ("y",)
    assert found.frequency.alias() == "D"
    np.testing.assert_array_equal(found.series[0].values[:, 0], np.arange(1, 15))


def test_every_source_gives_the_same_values(tmp_path) -> None:
    frame = pl.read_csv(GOOD.encode(), try_parse_dates=True)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    np.savez(tmp_path / "a.npz", y=frame["y"].to_numpy(), z=frame["z"].to_numpy())
    np.save(tmp_path / "a.npy", frame.select("y", "z").to_numpy().astype(float))
    pandas = pd.DataFrame({name: frame[name].to_list() for name in frame.columns})
    pandas["time"] = pd.to_datetime(pandas["time"])
    sources = [frame, pandas, pandas.set_index("time"), {name: frame[name].to_numpy() for name in frame.columns}]
    sources += [tmp_path / "a.parquet", tmp_path / "a.jsonl", tmp_path / "a.npz"]
    for source in sources:
        found = load_panel(source, Schema(target=("y", "z")))
        np.testing.assert_array_equal(found.series[0].values, frame.select("y", "z").to_numpy())
    array = load_panel(tmp_path / "a.npy")
    assert array.columns == ("column_1", "column_2")
    np.testing.assert_array_equal(array.series[0].rows(0, 99), frame.select("y", "z").to_numpy())


def test_a_numpy_file_stays_on_disk(tmp_path) -> None:
    np.save(tmp_path / "big.npy", np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32))
    found = load_panel(tmp_path / "big.npy", Schema(target=("column_3", "column_1")))
    base = found.series[0].values
    while not isinstance(base, np.memmap):
        base = base.base
        assert base is not None
    np.testing.assert_array_equal(found.series[0].rows(5, 7), np.load(tmp_path / "big.npy")[5:7][:, [2, 0]])


def test_gaps_become_missing_rows_and_are_counted(tmp_path) -> None:
    lines = GOOD.splitlines()
    found = panel(tmp_path, "\n".join(lines[:4] + lines[6:]), target=("y",))
    assert found.gaps == 2
    np.testing.assert_array_equal(found.series[0].values[:6, 0], [1, 2, 3, np.nan, np.nan, 6])


def test_the_long_form_needs_no_word(tmp_path) -> None:
    rows = [f"{s},2021-01-{d:02d},{v * d}" for s, v in (("a", 1), ("b", 2)) for d in range(1, 8)]
    found = panel(tmp_path, "unique_id,ds,y\n" + "\n".join(rows))
    assert [series.id for series in found.series] == ["a", "b"]
    np.testing.assert_array_equal(found.series[1].values[:, 0], 2 * np.arange(1, 8))


def test_text_covariates_are_encoded_by_the_categories_of_the_fit(tmp_path) -> None:
    text = "time,y,wind,shop\n" + "".join(f"2020-01-0{d},{d},{w},north\n" for d, w in enumerate("ABA B", 1))
    first = panel(tmp_path, text, target=("y",), past_covariates=("wind",), static_covariates=("shop",))
    assert first.columns == ("y", "wind=A", "wind=B")
    np.testing.assert_array_equal(first.series[0].values[:, 1], [1, 0, 1, np.nan, 0])
    assert first.static_columns == ("shop=north",)
    path = tmp_path / "new.csv"
    path.write_text(text.replace("B", "C"))
    again = load_panel(path, first.schema, categories=first.categories, fitting=False)
    np.testing.assert_array_equal(again.series[0].values[:, 1:], [[1, 0], [0, 0], [1, 0], [np.nan, np.nan], [0, 0]])


def test_offsets_that_differ_need_a_zone_and_have_one_then(tmp_path) -> None:
    text = "t,y\n2020-03-29T00:00:00+01:00,1\n2020-03-29T01:00:00+01:00,2\n2020-03-29T03:00:00+02:00,3\n"
    with pytest.raises(
        DataError, match=r'row 4 of load.csv: column "t" has times at \+01:00 and.*at \+02:00.*time_zone'
    ):
        panel(tmp_path, text)
    found = panel(tmp_path, text, time_zone="Europe/Berlin")
    assert [str(time) for time in found.times(0, 0, 3)] == [
        "2020-03-29 00:00:00+01:00",
        "2020-03-29 01:00:00+01:00",
        "2020-03-29 03:00:00+02:00",
    ]
    assert (found.gaps, len(found.series[0])) == (0, 3)


@pytest.mark.parametrize(
    ("text", "schema", "sentence"),
    [
        ("", {}, "load.csv is empty"),
        ("time,y\n", {}, "load.csv has no rows of data"),
        ("time,y\n2020-01-01,3\n", {}, "load.csv has one row of data; a series needs at least two"),
        (GOOD, {"target": ("yy",)}, r'load.csv has no column "yy"; did you mean "y"'),
        (GOOD.replace(",", ":"), {"target": ("y",)}, r"its only column is .*the delimiter is likely ':'"),
        (
            GOOD.replace(",7,", ",seven,"),
            {"target": ("y",)},
            r'row 8 of load.csv: "seven" in column "y" is not a number',
        ),
        (GOOD.replace(",7,", ",inf,"), {"target": ("y",)}, r'row 8 of load.csv: column "y" is infinite'),
        (GOOD.replace("2020-01-07", "2020-01-06"), {}, r"row 8 of load.csv: the time 2020-01-06 is already in row 7"),
        (
            GOOD.replace("2020-01-07", "2019-01-06"),
            {},
            r"row 8 of load.csv: .* comes before that of row 7.*sort the rows",
        ),
        (
            GOOD.replace("2020-01-07", "soon"),
            {"time": "time"},
            r'row 8 of load.csv: "soon" in column "time" is not a time',
        ),
        (GOOD.replace("2020-01-07", ""), {"time": "time"}, r'row 8 of load.csv: column "time" has no time'),
        (
            "time,y\n" + "".join(f"2020-01-0{d},NA\n" for d in range(1, 6)),
            {"target": ("y",)},
            'column "y" of load.csv has no value at all',
        ),
        ("time,y\n" + "".join(f"2020-01-0{d},4\n" for d in range(1, 6)), {}, r'column "y" of load.csv is constant \(4'),
        ("time,y\n" + "".join(f"2020-01-0{d},{d}e-300\n" for d in range(1, 6)), {}, "too small a range for float32"),
        (GOOD.replace("2020-01-07,7,49", "2020-01-07,7,49,1,2"), {}, "row 8 of load.csv has 5 cells; expected 3"),
        (GOOD.replace("z\n", "y\n", 1), {}, 'two columns named "y"'),
        (GOOD, {"frequency": "2D"}, r"row 3 of load.csv: the time 2020-01-02 is not on the grid of 2 days"),
        (GOOD, {"frequency": "s"}, r"14 rows would be spread over 1123201 steps"),
        (GOOD, {"target": ("y",), "static_covariates": ("z",)}, r'row 3 of load.csv: static column "z" changes'),
    ],
)
def test_bad_data_gets_one_clear_sentence(tmp_path, text, schema, sentence) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        panel(tmp_path, text, **schema)
    assert "\n" not in str(caught.value)


def test_bad_files_get_one_clear_sentence(tmp_path) -> None:
    with pytest.raises(DataError, match="absent.csv does not exist"):
        load_panel(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="is a folder; expected a file"):
        load_panel(tmp_path)
    for name in ("a.parquet", "a.csv.gz", "a.npy", "a.npz", "a.jsonl", "a.docx"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(DataError, match=name):
            load_panel(tmp_path / name)
    with pytest.raises(UsageError, match="data is a int"):
        load_panel(3)
    with pytest.raises(UsageError, match='column "y" is given twice, as target and as past_covariates'):
        Schema(target=("y",), past_covariates=("y",))
    with pytest.raises(ColumnError, match="no numeric column to forecast"):
        load_panel({"name": ["a", "b", "c"]})


def test_future_covariates_are_matched_by_series_and_time(tmp_path) -> None:
    rows = [f"{s},2021-01-{d:02d},{d},{d % 2}" for s in "ab" for d in range(1, 8)]
    found = panel(tmp_path, "unique_id,ds,y,plan\n" + "\n".join(rows), known_covariates=("plan",))
    later = {"unique_id": ["b", "b", "a", "a"], "ds": ["2021-01-09", "2021-01-08", "2021-01-08", "2021-01-09"]}
    future = load_future({**later, "plan": [4.0, 3.0, 1.0, 2.0]}, found, 2)
    np.testing.assert_array_equal(future[..., 0], [[1, 2], [3, 4]])
    with pytest.raises(DataError, match=r'no row for 2021-01-10 of series "a", step 3 of the horizon'):
        load_future({**later, "plan": [4.0, 3.0, 1.0, 2.0]}, found, 3)


@pytest.mark.parametrize(
    ("file", "schema", "alias", "series", "gaps"),
    [
        ("etth1/ETTh1.csv", {}, "h", 1, 0),
        ("nyc_weather_hourly/weather.csv.gz", {"target": ("temp",), "series_id": "origin"}, "h", 3, 75),
        ("beijing_pm25/pollution.csv", {"target": ("pm2.5",), "past_covariates": ("cbwd",)}, "h", 1, 0),
        ("stocks/stocks.csv", {"series_id": "symbol"}, "MS", 5, 0),
        ("stocks/sp500-2000.csv", {"target": ("close",)}, "B", 1, 190),
        ("small_series/monthly-airline-passengers.csv", {}, "MS", 1, 0),
        ("small_series/daily-min-temperatures.csv", {}, "D", 1, 2),
        ("exchange_rate/exchange_rate.txt.gz", {}, "rows", 1, 0),
    ],
)
def test_real_files_are_read_without_help(shared_data, file, schema, alias, series, gaps) -> None:
    found = load_panel(shared_data / file, Schema(**schema))
    assert (found.frequency.alias(), len(found.series), found.gaps) == (alias, series, gaps)
