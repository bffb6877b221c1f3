"""A sheet's names and times of day are what they are in it."""

from datetime import time

import polars as pl
import pytest

from books import write_xlsx
from ostinato.data import load_panel, read_table
from ostinato.data.spreadsheets import _named, _without_false_days
from ostinato.errors import DataError

pytest.importorskip("fastexcel")


def test_two_columns_of_one_name_are_refused(tmp_path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", {"one": [["time", "y", "y"], [1, 2, 3], [2, 3, 5]]})
    with pytest.raises(DataError, match='a.xlsx has two columns named "y"'):
        load_panel(path)


def test_an_error_is_in_its_row_below_the_header(tmp_path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", {"one": [["a", 2020], [1, 2], ["#DIV/0!", 3]]})
    table = read_table(path)
    assert table.columns == ("a", "2020")
    assert table.frame["a"].to_list() == ["1", "#DIV/0!"]


def test_dates_are_names_and_times_of_day_have_no_day() -> None:
    assert _named(1, "2024-01-31 00:00:00") == "2024-01-31"
    assert _named(1, "2024-01-31 12:00:00") == "2024-01-31 12:00:00"
    assert _named(3, None) == "__UNNAMED__3"
    clocks = [f"1899-12-31 {hour:02d}:30:00" for hour in range(4)]
    frame = pl.DataFrame({"date": ["2024-01-01 00:00:00"] * 4, "time": clocks, "y": ["1", "2", None, "4"]})
    found = _without_false_days(frame)
    assert found["date"].to_list() == ["2024-01-01"] * 4
    assert [time.fromisoformat(own) for own in found["time"]] == [time(hour, 30) for hour in range(4)]
    assert found["y"].to_list() == frame["y"].to_list()
