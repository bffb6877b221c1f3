"""Names that differ stay apart, or are refused; texts that mean a missing value are whole, commas and all."""

from __future__ import annotations

import argparse
import shlex
from datetime import timedelta
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.cli.reading import add_reading
from ostinato.data import Schema, load_panel, read_table
from ostinato.data.table import _as_option
from ostinato.errors import DataError


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


_MARKS = st.text(st.sampled_from('a1,5" k-;\''), min_size=1, max_size=6).map(str.strip).filter(bool)


@given(st.lists(_MARKS, min_size=1, max_size=3))
def test_the_option_that_a_message_names_means_that_text(marks: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_reading(parser)
    given_options = shlex.split(" ".join(_as_option(mark) for mark in marks))
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
