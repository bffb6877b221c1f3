"""Columns are taken for what they are: times in every usual form, and neither row numbers nor identities as targets."""

import dataclasses
import re

import numpy as np
import pytest

from ostinato.data import Schema, TimeFormat, load_panel
from ostinato.data.times import read_cell
from ostinato.errors import ColumnError, DataWarning

ROWS = 40
DAYS = [str(np.datetime64("2024-01-01") + i) for i in range(ROWS)]
HOURS = [np.datetime64("2024-01-01T00", "h") + i for i in range(ROWS)]
DATES, CLOCK = [str(own)[:10] for own in HOURS], [int(str(own)[11:13]) for own in HOURS]
VALUES = [float(i * 7 % 13) + i for i in range(ROWS)]
NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def written(tmp_path, columns):
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def months(form):
    return [form(1956 + i // 12, i % 12 + 1) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("columns", "time", "frequency", "start"),
    [
        ({"Month": months(lambda y, m: f"{y - 1955}-{m:02d}")}, "Month", "MS", "0001-01-01"),
        ({"Quarter": [f"{1956 + i // 4} Q{i % 4 + 1}" for i in range(ROWS)]}, "Quarter", "QS", "1956-01-01"),
        ({"q": [f"{1956 + i // 4}Q{i % 4 + 1}" for i in range(ROWS)]}, "q", "QS", "1956-01-01"),
        ({"index": [f"2020-W{i + 1:02d}" for i in range(ROWS)]}, "index", "W", "2019-12-30"),
        ({"date": months(lambda y, m: f"{y}M{m:02d}")}, "date", "MS", "1956-01-01"),
        ({"x": months(lambda y, m: f"{y} {NAMES[m - 1]}")}, "x", "MS", "1956-01-01"),
        ({"time": [f"{1949 + i}.0" for i in range(ROWS)]}, "time", "YS", "1949-01-01"),
        ({"year": [f"{1949 + i}.0" for i in range(ROWS)]}, "year", "YS", "1949-01-01"),
        ({"Date": DATES, "Time": [f"{hour}:00" for hour in CLOCK]}, "Date+Time", "h", "2024-01-01"),
        ({"Date": DATES, "Hour": CLOCK}, "Date+Hour", "h", "2024-01-01"),
        ({"dteday": DATES, "hr": CLOCK}, "dteday+hr", "h", "2024-01-01"),
        ({"Date": DATES, "HOUR": [hour + 1 for hour in CLOCK]}, "Date+HOUR", "h", "2024-01-01T01"),
        ({"Time": [str(own).replace("T", " ") + ":00" for own in HOURS], "Date": DATES}, "Time", "h", "2024-01-01"),
        ({"Time": range(1, ROWS + 1), "Date": DAYS}, "Date", "D", "2024-01-01"),
        (
            {"YEAR": [2024] * ROWS, "MO": [1] * ROWS, "DY": [int(d[8:]) for d in DATES], "HR": CLOCK},
            "YEAR+MO+DY+HR",
            "h",
            "2024-01-01",
        ),
        ({"year": [2020] * ROWS, "week": range(1, ROWS + 1)}, "year+week", "W", "2019-12-30"),
        (
            {"year": [1956 + i // 4 for i in range(ROWS)], "quarter": [f"Q{i % 4 + 1}" for i in range(ROWS)]},
            "year+quarter",
            "QS",
            "1956-01-01",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::ostinato.errors.DataWarning")
def test_times_are_found_in_the_columns_that_hold_them(tmp_path, columns, time, frequency, start):
    panel = load_panel(written(tmp_path, {**columns, "value": VALUES}))
    assert (panel.schema.time, panel.frequency.alias(), panel.gaps) == (time, frequency, 0)
    assert panel.series[0].start == np.datetime64(start)
    assert panel.target_columns == ("value",)


@pytest.mark.parametrize("decimals", [2, 3, 6])
@pytest.mark.parametrize(("per_year", "frequency"), [(12, "MS"), (4, "QS")])
@pytest.mark.parametrize("middle", [0.0, 0.5])
def test_years_with_decimals_are_months_or_quarters_and_that_is_said(tmp_path, decimals, per_year, frequency, middle):
    years = [f"{1949 + (i + middle) / per_year:.{decimals}f}" for i in range(ROWS)]
    if middle and per_year == 4:
        pytest.skip("the middle of a quarter is the beginning of no month")
    with pytest.warns(DataWarning, match=r'column "time" .* years with decimals, read as months: .*--frequency rows'):
        panel = load_panel(written(tmp_path, {"time": years, "value": VALUES}))
    assert panel.frequency.alias() == frequency
    assert panel.series[0].start == np.datetime64("1949-01-01")
    kept = TimeFormat.from_json(panel.time_format.to_json())
    found = read_cell({"time": years[5]}, "time", kept)
    assert found == panel.times(0, 5, 1)[0]
    assert read_cell({"time": float(years[5])}, "time", kept) == found


@pytest.mark.parametrize("name", ["id", "ID", "index", "Unnamed: 0", "rownames", "", "No", "instant", "whatever"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.filterwarnings("ignore::ostinato.errors.DataWarning")
def test_row_numbers_are_never_targets(tmp_path, name, first):
    for numbers in (range(first, first + ROWS), [f"{i + first}.0" for i in range(ROWS)]):
        panel = load_panel(written(tmp_path, {name: numbers, "date": DAYS, "load": VALUES}))
        assert panel.target_columns == ("load",)
        assert panel.unused == (name or panel.unused[0],)


def test_identities_and_constants_are_no_targets_and_that_is_said_with_the_option_that_changes_it(tmp_path):
    own = {"customer_id": [(i * 37) % 101 for i in range(ROWS)], "holiday": [0] * ROWS, "date": DAYS, "bid": VALUES}
    with pytest.warns(DataWarning) as said:
        panel = load_panel(written(tmp_path, own))
    assert panel.target_columns == ("bid",)
    words = " ".join(str(one.message) for one in said)
    assert re.search(r'"customer_id" .* holds identities and is not forecast; .*--target', words)
    assert re.search(r'"holiday" .* is constant', words)


def test_what_counts_is_a_target_where_there_is_nothing_else(tmp_path):
    panel = load_panel(written(tmp_path, {"date": DAYS, "members": range(1, ROWS + 1)}))
    assert panel.target_columns == ("members",)


def test_years_of_two_digits_that_are_long_to_come_are_of_the_last_century_and_later_rows_too(tmp_path):
    own = months(lambda y, m: f"{NAMES[m - 1]}-{y % 100:02d}")
    with pytest.warns(DataWarning, match="write years of four digits"):
        panel = load_panel(written(tmp_path, {"month": own, "value": VALUES}))
    assert panel.series[0].start == np.datetime64("1956-01-01")
    assert read_cell({"month": "Feb-61"}, "month", panel.time_format) == np.datetime64("1961-02-01")
    soon = [f"{NAMES[i % 12]}-{22 + i // 12}" for i in range(ROWS)]
    near = load_panel(written(tmp_path, {"month": soon, "value": VALUES}))
    assert near.series[0].start == np.datetime64("2022-01-01")


SERIAL = [45292 + i for i in range(ROWS)]
MICROSECONDS = [(1_704_067_200 + i * 86_400) * 1000 for i in range(ROWS)]


@pytest.mark.parametrize(
    ("wish", "cells"),
    [
        ("excel", SERIAL),
        ("excel", [f"{each}.5" for each in SERIAL]),
        ("unix", MICROSECONDS),
        ("%d%m%y", [f"{day:%d%m%y}".lstrip("0") for day in np.array(DAYS, "datetime64[D]").tolist()]),
        ("%Y|%d|%m", [f"{day:%Y|%d|%m}" for day in np.array(DAYS, "datetime64[D]").tolist()]),
    ],
)
@pytest.mark.filterwarnings("ignore::ostinato.errors.DataWarning")
def test_a_format_that_was_asked_for_finds_its_column_whatever_that_is_called(tmp_path, wish, cells):
    panel = load_panel(written(tmp_path, {"whatever": cells, "load": VALUES}), Schema(time_format=wish))
    assert (panel.schema.time, panel.target_columns, panel.frequency.alias()) == ("whatever", ("load",), "D")


def test_a_format_that_no_column_has_is_an_error_and_not_rows_that_are_numbered(tmp_path):
    path = written(tmp_path, {"load": VALUES, "other": VALUES[::-1]})
    for wish in ("excel", "unix", "%d.%m.%Y"):
        with pytest.raises(ColumnError, match=r"no column of .* holds times as time_format .*--time-format.*--time"):
            load_panel(path, Schema(time_format=wish))


@pytest.mark.filterwarnings("ignore::ostinato.errors.DataWarning")
def test_what_counts_the_rows_from_a_large_number_is_no_target(tmp_path):
    panel = load_panel(written(tmp_path, {"when": SERIAL, "load": VALUES}))
    assert panel.target_columns == ("load",)


def test_the_help_of_time_format_names_every_word_that_it_takes():
    from ostinato.data.excel_days import PATTERN as EXCEL
    from ostinato.data.unix_times import PATTERN as UNIX
    from ostinato.tasks.base.about import TimedTables

    said = {each.name: each.metadata for each in dataclasses.fields(TimedTables)}["time_format"]
    assert all(f'"{word}"' in str(said) for word in (EXCEL, UNIX))
