"""A sheet's names and times of day are what they are in it."""

import zipfile
from datetime import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from books import write_xls, write_xlsb, write_xlsx
from ostinato.data import Schema, TableFile, load_panel, read_table
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


@pytest.mark.parametrize("name", ["a.xls", "a.xlsb"])
def test_binary_workbooks_are_read_as_others_are(tmp_path, name) -> None:
    path, other = tmp_path / name, tmp_path / "a.xlsx"
    days = [f"2024-01-{day:02d}" for day in range(1, 9)]
    rows = [
        [day, 1.5 * i, None if i == 5 else i % 7, "bé" if i % 3 else "a", bool(i % 2)] for i, day in enumerate(days, 1)
    ]
    sheets = {"one": [["time", "load", "temp", "shop", "on"], *rows], "two": [["y"], ["#DIV/0!"], [3.5]]}
    write_xls(path) if name == "a.xls" else write_xlsb(path, sheets)
    write_xlsx(other, sheets)
    schema = Schema(target="load", past_covariates=("temp", "shop", "on"))
    panels = [load_panel(TableFile(own, sheet="one"), schema) for own in (path, other)]
    assert panels[0].columns == panels[1].columns == ("load", "temp", "shop=a", "shop=bé", "on")
    assert np.array_equal(*(own.series[0].values for own in panels), equal_nan=True)
    assert [own.frequency.describe() for own in panels] == ["1 day"] * 2
    assert read_table(TableFile(path, sheet=2)).frame["y"].to_list() == ["#DIV/0!", "3.5"]
    with pytest.raises(DataError, match=f'row 2 of {name}: "#DIV/0!" in column "y" is not a number'):
        load_panel(TableFile(path, sheet="two"), Schema(target="y"))


@pytest.mark.parametrize("far", ["XFD1048576", "A99999999", "ZZ200000"])
def test_a_cell_far_behind_the_table_is_refused_before_anything_is_read(tmp_path, far) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", {"one": [["y", "z"], [1, 2], [2, 3]]})
    with zipfile.ZipFile(path) as book:
        members = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    members[sheet] = members[sheet].replace(b'r="B3"', f'r="{far}"'.encode())
    with zipfile.ZipFile(path, "w") as book:
        for name, content in members.items():
            book.writestr(name, content)
    with pytest.raises(DataError, match="a.xlsx has a cell in row .* delete what lies behind the table"):
        read_table(path)


def test_a_reader_that_ends_is_one_sentence(tmp_path, monkeypatch) -> None:
    path = write_xls(tmp_path / "a.xls")
    for code in ("import os; os.abort()", 'print(\'{"failure": "a panic"}\')', "import sys; sys.stdin.read(1)"):
        monkeypatch.setattr(Path, "read_text", lambda own, *_, code=code: code)
        with pytest.raises(DataError, match=r"a.xls cannot be read \(.*\); it is damaged, or no spreadsheet"):
            read_table(path)
