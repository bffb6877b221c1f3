"""Names that differ stay apart, or are refused; texts that mean a missing value are whole, commas and all."""

from __future__ import annotations

import argparse
import shlex
from datetime import time, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.cli.reading import add_reading
from ostinato.data import Schema, load_panel, read_table
from ostinato.data.table import as_option
from ostinato.errors import ColumnError, DataError, DataWarning


def _frames(ids: list[Any]) -> list[Any]:
    columns = {"unique_id": ids, "ds": [f"2024-01-0{day}" for day in (1, 2, 3, 4)], "y": [1.0, 2.0, 3.0, 5.0]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [columns, pd.DataFrame(columns), rows]


@pytest.mark.parametrize("ids", [["a", "a", "a ", "a "], [" a", "a", " a", "a"], [1, 1, "1", "1"]])
def test_names_that_would_be_merged_are_refused(ids: list[Any]) -> None:
    for source in _frames(ids):
        with pytest.raises(DataError, match=r"row \d of the .*unique_id.*row \d"):
            load_panel(source)


def test_names_that_would_be_merged_are_refused_in_a_quoted_file(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('unique_id,ds,y\n"a",2024-01-01,1\n"a",2024-01-02,3\n" a",2024-01-03,2\n" a",2024-01-04,4\n')
    with pytest.raises(DataError, match='row 4 of a.csv: " a" in column "unique_id" differs from "a" in row 2'):
        load_panel(path)


def test_spaces_around_every_name_are_left_out(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("unique_id, ds, y\n a, 2024-01-01, 1\n a, 2024-01-02, 3\n b, 2024-01-01, 2\n b, 2024-01-02, 4\n")
    assert [series.id for series in load_panel(path).series] == ["a", "b"]


def test_durations_name_series_too() -> None:
    ids = pl.Series([timedelta(days=1)] * 2 + [timedelta(days=2)] * 2)
    frame = pl.DataFrame({"unique_id": ids, "ds": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 5.0]})
    assert len(load_panel(frame, Schema(time="ds")).series) == 2


_MARKS = st.text(st.sampled_from("a1,5\" k-;'"), min_size=1, max_size=6).map(str.strip).filter(bool)


@given(st.lists(_MARKS, min_size=1, max_size=3))
def test_the_option_that_a_message_names_means_that_text(marks: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_reading(parser)
    given_options = shlex.split(" ".join(as_option(mark) for mark in marks))
    assert parser.parse_args(given_options).missing == tuple(marks)


def test_several_texts_may_be_joined_by_commas() -> None:
    parser = argparse.ArgumentParser()
    add_reading(parser)
    assert parser.parse_args(["--missing", "n/a, -999", "--missing", "1,5 k"]).missing == ("n/a", "-999", "1,5 k")


def test_one_text_is_one_text_and_not_its_letters() -> None:
    assert read_table({"y": ["1", "5", "1,5"]}, missing="1,5").missing == ("1,5",)
    assert Schema(missing="1,5", past_covariates="temp").missing == ("1,5",)  # type: ignore[arg-type]


def test_rows_of_different_lengths_are_named() -> None:
    with pytest.raises(DataError, match="row 2 of the data has 1 value, and row 1 has 2 values"):
        load_panel([[1, 2], [3]])


def test_a_time_is_neither_a_target_nor_a_covariate_whatever_it_is_read_from(tmp_path) -> None:
    columns = {
        "ds": pd.date_range("2024-01-01", periods=6),
        "y": [1.0, 4, 2, 3, 9, 1],
        "due": pd.date_range("2024-02-03", periods=6),
    }
    frame = pd.DataFrame(columns)
    frame.to_csv(tmp_path / "a.csv", index=False)
    spans = frame.assign(due=frame["due"] - frame["ds"])
    for source in (frame, tmp_path / "a.csv", spans):
        for roles in (Schema(time="ds", target=("due",)), Schema(time="ds", past_covariates=("due",))):
            with pytest.raises(DataError, match='column "due" of .* holds times, not numbers'):
                load_panel(source, roles)


def test_columns_that_look_like_values_are_not_left_out_without_a_word(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "ds,a,b,c,note\n" + "\n".join(f"2024-01-0{i},{i * i},{i} kWh,{i}°C,n{i}" for i in range(1, 7)) + "\n"
    )
    with pytest.warns(DataWarning, match=r'"b" \("1 kWh" is no number\), "c" \("1°C" is no number\);'):
        assert load_panel(path).schema.target == ("a",)
    clock = pl.DataFrame({"time": [time(hour) for hour in range(5)], "value": [1.0, 3, 2, 5, 1]})
    with pytest.warns(DataWarning, match=r'"time" \("00:00:00" is a time\)'):
        load_panel(clock)


def test_a_first_row_that_is_data_is_not_a_header(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(f"a,2024-01-0{day},{day * day}" for day in range(1, 8)) + "\n")
    with pytest.warns(DataWarning, match="no header"):
        table = read_table(path)
    assert (table.rows, table.columns) == (7, ("column_1", "column_2", "column_3"))
    path.write_text("series,2024-01-01,2024-01-02\na,1,2\nb,3,4\n")
    assert read_table(path).columns == ("series", "2024-01-01", "2024-01-02")


def test_a_delimiter_that_was_not_found_is_named(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text("ds,value\n2024-01-01,1\n2024-01-02,2\n")
    with pytest.raises(ColumnError, match="so the delimiter is likely ','"):
        load_panel(tmp_path / "a.tsv")
    (tmp_path / "a.txt").write_text("ds         value\n2024-01-01 1\n2024-01-02 2 x\n")
    with pytest.raises(ColumnError, match="split by runs of spaces"):
        load_panel(tmp_path / "a.txt")
