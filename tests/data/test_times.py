"""Times as people write them: forms, the order of day and month, numbers, what is impossible."""

import warnings
from datetime import date, datetime
from datetime import time as clock

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import Schema, TimeFormat, load_panel
from ostinato.data.table import Table
from ostinato.data.times import decide_times, read_cell, read_times
from ostinato.errors import DataError, DataWarning, UsageError

ANY = TimeFormat()


def table(*cells, name="when"):
    return Table("t.csv", pl.DataFrame({name: list(cells)}), first_row=2)


def read(*cells, name="when", **options):
    wanted = TimeFormat.wanted(**{"day_first": None, "time_format": None, "time_zone": None, **options})
    return decide_times(table(*cells, name=name), name, wanted)


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024-1-31 1:05", "2024-01-31T01:05"),
        ("2024-01-31T13:05:09.25", "2024-01-31T13:05:09.25"),
        ("2024-01-31 13", "2024-01-31T13:00"),
        ("2024-01-31 24:00", "2024-02-01"),
        ("20240131", "2024-01-31"),
        ("20240131T130509Z", "2024-01-31T13:05:09"),
        ("31.01.2024 13:05", "2024-01-31T13:05"),
        ("1/31/24", "2024-01-31"),
        ("12/31/68", "2068-12-31"),
        ("12/31/69", "1969-12-31"),
        ("1/31/2024 12:05 AM", "2024-01-31T00:05"),
        ("1/31/2024, 12:05:09 pm", "2024-01-31T12:05:09"),
        ("1/31/2024 3PM", "2024-01-31T15:00"),
        ("31 Jan 2024", "2024-01-31"),
        ("31-JAN-24", "2024-01-31"),
        ("31st January 2024", "2024-01-31"),
        ("January 31, 2024 1:05 p.m.", "2024-01-31T13:05"),
        ("Wed, 31 Jan 2024 13:00:00 GMT", "2024-01-31T13:00"),
        ("Wed Jan 31 13:00:00 2024", "2024-01-31T13:00"),
        ("Sept 2024", "2024-09-01"),
        ("Jan-24", "2024-01-01"),
        ("2024-01", "2024-01-01"),
        ("01/2024", "2024-01-01"),
        ("2024M11", "2024-11-01"),
        ("202411", "2024-11-01"),
        ("1956", "1956-01-01"),
        ("1956 Q2", "1956-04-01"),
        ("Q2 1956", "1956-04-01"),
        ("1956-Q2", "1956-04-01"),
        ("1956q4", "1956-10-01"),
        ("2Q2024", "2024-04-01"),
        ("2024-H2", "2024-07-01"),
        ("2024-W05", "2024-01-29"),
        ("2020W53", "2020-12-28"),
        ("2024-W05-3", "2024-01-31"),
        ("2024-01-29/2024-02-04", "2024-01-29"),
        ("2024-031", "2024-01-31"),
    ],
)
def test_a_form_reads_as_the_time_it_means(text, expected) -> None:
    assert read_times(table(text), "when")[0] == np.datetime64(expected)


@settings(deadline=None)
@given(
    moments=st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)), min_size=1, max_size=30),
    form=st.sampled_from(
        ["%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%d/%m/%y", "%d %b %Y",
         "%B %d, %Y", "%Y%m%d", "%a %b %d %H:%M:%S %Y", "%Y-%j", "%G-W%V-%u", "%b %Y", "%y-%m-%d %H:%M"],
    ),
)  # fmt: skip
def test_a_format_that_is_given_reads_what_strftime_wrote(moments, form) -> None:
    texts = [moment.strftime(form) for moment in moments]
    expected = [datetime.strptime(text, form) for text in texts]
    found = read(*texts, time_format=form)[0]
    np.testing.assert_array_equal(found, np.array(expected, "datetime64[us]"))


@given(
    moment=st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)),
    form=st.sampled_from(
        ["%d/%m/%Y %H:%M", "%m/%d/%y %I:%M:%S.%f %p", "%d %b %Y", "%B %d, %Y", "%G-W%V", "%Y%m%d", "%Y-%j",
         "%d.%m.%Y %H:%M:%S+05:30", "%Y-%m-%d %H:%MZ", "%b-%y"],
    ),
)  # fmt: skip
@settings(deadline=None)
def test_a_row_by_itself_is_read_as_in_a_column(moment, form) -> None:
    days = [datetime(2000, 5, 20), datetime(2000, 5, 21), moment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times, found = read(*(day.strftime(form) for day in days))
    assert read_cell({"when": moment.strftime(form)}, "when", found) == times[-1]


def test_a_format_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match='has "%Q", which is not known'):
        read("2024", time_format="%Y %Q")
    with pytest.raises(UsageError, match="has no year"):
        read("31.01.", time_format="%d.%m.")
    with pytest.raises(DataError, match='row 3 .*: "2024-01-02" in column "when" is not a time; expected "%d/%m/%Y"'):
        read("01/02/2024", "2024-01-02", time_format="%d/%m/%Y")


def test_months_counted_from_the_first_year_are_a_regular_month() -> None:
    cells = [f"{year}-{month:02d}" for year in range(1, 14) for month in range(1, 13)]
    times, found = read(*cells)
    np.testing.assert_array_equal(times, np.arange("0001-01", "0014-01", dtype="datetime64[M]"))
    # a later row has two digits, and is of the same years all the same
    assert read_cell({"when": "14-01"}, "when", found) == np.datetime64("0014-01")


# --- the order of day and month ---------------------------------------------------------------------------------------


def spoken(call):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return call(), [str(own.message) for own in said if issubclass(own.category, DataWarning)]


@pytest.mark.parametrize("first", ["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%y", "%m-%d-%y", "%d.%m.%y"])
@pytest.mark.parametrize("alias", ["D", "MS", "QS", "W", "ME", "B"])
def test_the_order_of_regular_dates_is_found_whichever_it_is(first, alias) -> None:
    days = pd.date_range("2019-01-01", periods=60, freq=alias)
    (times, found), _ = spoken(lambda: read(*days.strftime(first)))
    np.testing.assert_array_equal(times, days.to_numpy().astype("datetime64[us]"))
    assert found.order == ("dmy" if first.startswith("%d") else "mdy")


def test_an_order_that_nothing_tells_is_said_with_the_option_that_changes_it() -> None:
    cells = [f"01/{day:02d}/2024" for day in range(1, 11)]
    (times, found), said = spoken(lambda: read(*cells))
    assert (str(times[1])[:10], found.order) == ("2024-01-02", "mdy")
    assert len(said) == 1
    assert 'row 3 of t.csv: "01/02/2024"' in said[0]
    assert "day_first=True (--day-first)" in said[0]
    (times, found), said = spoken(lambda: read(*cells, day_first=True))
    assert (str(times[1])[:10], found.order, said) == ("2024-02-01", "dmy", [])
    (times, found), said = spoken(lambda: read("01.02.2024"))
    assert (str(times[0])[:10], len(said)) == ("2024-02-01", 1)  # after a dot the day is first


def test_what_was_found_holds_for_every_later_row() -> None:
    days = pd.date_range("2024-01-01", periods=40)
    _, found = read(*days.strftime("%d/%m/%Y"))
    for cell in (
        "08/04/2024",
        "2024-04-08",
        "8 Apr 2024",
        datetime(2024, 4, 8),
        date(2024, 4, 8),
        np.datetime64("2024-04-08"),
    ):
        got, said = spoken(lambda cell=cell: read_cell({"when": cell}, "when", found))
        assert (got, said) == (np.datetime64("2024-04-08"), [])
    with pytest.raises(
        DataError, match='the row: "04/13/2024" .* not a time that exists, read day-first, as the times that'
    ):
        read_cell({"when": "04/13/2024"}, "when", found)
    assert TimeFormat.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "cell",
    ["2024-02-30", "2023-02-29", "2024-13-01", "31/04/2024", "1956 Q5", "2024-W53", "2023-366", "2024-01-01 25:00",
     "2024-01-01 10:61", "1/13/2024 13:00 PM"],
)  # fmt: skip
def test_a_time_that_does_not_exist_is_named_with_its_row(cell) -> None:
    with pytest.raises(DataError, match=rf't.csv: "{cell}" in column "when" is not a time that exists'):
        read(cell)


def test_an_impossible_date_in_several_columns_is_named_with_its_row(tmp_path) -> None:
    frame = pd.DataFrame({"year": 2023, "month": 2, "day": [27, 28, 29], "y": [1.0, 2.0, 3.0]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="row 4 of a.csv: year 2023, month 2, day 29 is not a time that exists"):
        load_panel(tmp_path / "a.csv")


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t", "step", "index"])
def test_a_column_that_counts_has_no_years(name) -> None:
    assert read(*range(1990, 2010), name=name)[1].kind == "integers"
    assert read(*range(1990, 2010), name="year")[1].kind == "stamps"


@pytest.mark.parametrize("cells", [[0, 5, 10], ["0", "5", "10"], [0.0, 5.0, 10.0], ["0.0", "5.0", "10.0"]])
def test_whole_numbers_are_the_same_however_they_are_kept(cells) -> None:
    times, found = read(*cells, name="t")
    assert (times.tolist(), times.dtype.kind, found.kind) == ([0, 5, 10], "i", "integers")


def test_numbers_with_decimals_are_refused_as_a_grid_and_taken_as_rows() -> None:
    data = {"t": np.arange(20) ** 2 / 4, "y": np.arange(20.0)}
    with pytest.raises(DataError, match='numbers with decimals, which are no grid; pass frequency="rows"'):
        load_panel(data, Schema(time="t"))
    assert load_panel(data, Schema(time="t", frequency="rows")).frequency.unit == "row"


@pytest.mark.parametrize("name", ["time", "ds", "timestamp"])
@pytest.mark.parametrize("hole", [None, float("nan")])
def test_an_empty_cell_among_whole_numbers_as_times_is_named(name, hole, tmp_path) -> None:
    times = [hole if row == 3 else row * 5 for row in range(30)]
    frame = pd.DataFrame({name: times, "y": np.arange(30.0)})
    written = tmp_path / "a.csv"
    frame.to_csv(written, index=False)
    for source, place in ((frame, "row 4 of"), (frame.convert_dtypes(), "row 4 of"), (written, "row 5 of a.csv")):
        for schema in (None, Schema(time=name)):
            with pytest.raises(DataError, match=f'{place}.*column "{name}" has no time'):
                load_panel(source, schema)


@pytest.mark.parametrize("far", [2**62, 2**63 - 40, 2**63, -(2**63), 2**64 - 40, 10**25, 1e300])
def test_numbers_too_large_for_times_are_named(far, tmp_path) -> None:
    times = [far + row for row in range(30)]
    (tmp_path / "a.csv").write_text("time,y\n" + "".join(f"{own},{row}\n" for row, own in enumerate(times)))
    for source in ({"time": times, "y": np.arange(30.0)}, tmp_path / "a.csv"):
        with pytest.raises(DataError, match='row [12] of .*in column "time" is too large for a time'):
            load_panel(source, Schema(time="time"))
    count = np.arange(30, dtype=np.uint64)
    assert load_panel(pd.DataFrame({"time": count, "y": np.arange(30.0)})).frequency.alias() == "1"


@pytest.mark.parametrize("kind", ["text", "timedelta", "time"])
def test_a_day_and_a_clock_of_any_type_join(kind) -> None:
    days = pd.date_range("2024-01-01", periods=10).repeat(4)
    hours = [6 * (row % 4) for row in range(40)]
    clocks = {
        "text": [f"{hour:02d}:00" for hour in hours],
        "timedelta": pd.to_timedelta(hours, unit="h"),
        "time": [clock(hour) for hour in hours],
    }
    data = pd.DataFrame({"d": days, "c": clocks[kind], "y": np.arange(40.0)})
    panel = load_panel(data, Schema(time="d+c"))
    assert (panel.frequency.alias(), len(panel.series[0]), panel.gaps) == ("6h", 40, 0)
    with pytest.raises(DataError, match='column "d" has a time of day already'):
        load_panel(data.assign(d=days + pd.Timedelta("1h")), Schema(time="d+c"))


@pytest.mark.parametrize(
    ("name", "first", "step", "alias"),
    [
        ("time", 1900, 1, "YS"),
        ("year", 1900, 5, "5YS"),
        ("time", 1500, 5, "5"),
        ("time", 1990, 10, "10"),
        ("elapsed", 1600, 1, "1"),
    ],
)
def test_numbers_like_years_are_years_where_that_is_plausible(name, first, step, alias) -> None:
    data = pd.DataFrame({name: first + step * np.arange(20), "y": np.arange(20.0)})
    assert load_panel(data, Schema(time=name)).frequency.alias() == alias


def test_what_is_no_time_is_told_by_an_example_of_the_own_form() -> None:
    with pytest.raises(DataError, match="the form of its other rows, such as 1. Jan 2024"):
        load_panel({"time": ["1. Jan 2024", "2. Jan 2024", "x"], "y": [1.0, 2.0, 3.0]}, Schema(time="time"))


# --- numbers by a format, years of two digits, weeks without a Friday -------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["%d%m%y", "%m%d%Y", "%y%m%d", "%d%m%Y", "%Y%j", "%H%d%m%Y"]),
    st.dates(date(2001, 1, 1), date(2060, 12, 31)),
    st.integers(1, 40),
)
def test_a_column_with_a_format_keeps_its_zeros_in_a_file_a_frame_and_a_stream(form, first, step) -> None:
    days = pd.date_range(first, periods=5, freq=f"{step}D") + pd.Timedelta(hours=3 if "%H" in form else 0)
    cells = [f"{day:{form}}" for day in days]
    kinds = {
        "texts": pl.Series(cells),
        "numbers": pl.Series([int(own) for own in cells]),
        "floats": pl.Series([float(own) for own in cells]),
    }
    for name, column in kinds.items():
        wanted = TimeFormat.wanted(day_first=None, time_format=form, time_zone=None)
        times, found = decide_times(Table("t.csv", pl.DataFrame({"when": column})), "when", wanted)
        assert (times == days.to_numpy("datetime64[us]")).all(), name
        assert read_cell({"when": column[3]}, "when", found) == times[3], name


def test_texts_that_lost_a_zero_are_read_as_their_numbers_are() -> None:
    cells = ["91124", "101124", "111124"]  # 9, 10 and 11 November; by itself the first could not be told from 9 1 1924
    times, found = read(*cells, time_format="%d%m%y")
    assert [str(own)[:10] for own in times] == ["2024-11-09", "2024-11-10", "2024-11-11"]
    assert str(read_cell({"when": "11124"}, "when", found))[:10] == "2024-11-01"


@pytest.mark.parametrize(
    ("form", "example"), [("%b-%d", "%b-%y"), ("%m-%d", "%m-%y"), ("%B %d", "%b-%y"), ("%m/%d", "%m-%y")]
)
def test_days_without_a_year_are_never_taken_for_years_in_silence(form, example) -> None:
    march = pd.date_range("2024-03-01", periods=24).strftime(form)
    (times, found), said = spoken(lambda: read(*march, name="date"))
    assert str(times[1])[:10] == "2002-03-01"
    assert [f'"{march[0]}" in column "date" is read as the month 2001-03' in own for own in said] == [True]
    assert f'time_format="{example}" (--time-format)' in said[0]
    again, unsaid = spoken(lambda: decide_times(table(*march, name="date"), "date", found))
    assert ((again[0] == times).all(), unsaid) == (True, [])
    longer = pd.date_range("2024-03-01", periods=60).strftime(form)
    with pytest.raises(DataError, match="row 2 of t.csv: .* a month and a day without a year"):
        read(*longer, name="date")


@pytest.mark.parametrize("form", ["%b-%y", "%m/%y", "%B %y", "%y-%m"])
def test_months_with_years_of_two_digits_are_read_without_a_word(form) -> None:
    months = pd.date_range("2001-03-01", periods=30, freq="MS")
    (times, _), said = spoken(lambda: read(*months.strftime(form), name="date"))
    assert ((times == months.to_numpy("datetime64[us]")).all(), said) == (True, [])


def test_a_day_without_a_year_is_no_time_and_that_is_said() -> None:
    with pytest.raises(DataError, match='"01-Mar" in column "date" is not a time; expected a date with its year'):
        read("01-Mar", "02-Mar", name="date")


def test_numbers_with_decimals_go_on_with_whole_ones_and_not_the_other_way() -> None:
    _, found = read(0.5, 1.25, 3.0, name="t")
    assert [read_cell({"t": own}, "t", found) for own in (4.0, 4, "4")] == [4, 4, 4]
    assert decide_times(table(4, 2000, name="t"), "t", found)[0].tolist() == [4.0, 2000.0]
    _, whole = read(1, 2, 3, name="t")
    with pytest.raises(DataError, match="expected whole numbers, as there"):
        read_cell({"t": 4.5}, "t", whole)


@pytest.mark.parametrize("never", range(5))
@pytest.mark.parametrize("series", [1, 3])
def test_business_days_are_those_of_which_every_weekday_was_seen(never, series) -> None:
    days = [day for day in pd.date_range("2024-01-01", periods=70) if day.weekday() < 5]
    kept = [day for day in days if day.weekday() != never]
    for own, alias in ((days, "B"), (kept, "D")):
        parts = [pd.DataFrame({"unique_id": name, "ds": own, "y": range(len(own))}) for name in "abc"[:series]]
        assert load_panel(pd.concat(parts)).frequency.alias() == alias


def test_spans_are_written_as_they_are_read_in_messages() -> None:
    spans = pd.to_timedelta(np.arange(30) * 0.5, unit="s").to_list()
    assert load_panel(pd.DataFrame({"t": spans, "y": range(30)}), Schema(time="t")).frequency.describe() == (
        "500 milliseconds"
    )
    spans[5] += pd.Timedelta("0.0731s")
    with pytest.raises(DataError, match="500 milliseconds apart, but the one at 0 days 0:00:02.5731 is not") as caught:
        load_panel(pd.DataFrame({"t": spans, "y": range(30)}), Schema(time="t"))
    assert "microseconds" not in str(caught.value)


@pytest.mark.parametrize("cell", [".1e300", "1e300", "-1e300", "9" * 400])
def test_a_number_too_large_for_a_time_is_named_by_its_row(cell) -> None:
    cells = [str(own) for own in range(10)]
    cells[5] = cell
    with pytest.raises(DataError, match="row 7 of t.csv: .* in column"):
        read(*cells, name="t")


def test_the_row_from_which_on_an_offset_is_there_is_named() -> None:
    with pytest.raises(DataError, match="row 3 of t.csv: .* times at no offset and, from here on, at UTC"):
        read("2024-01-01T00:00", "2024-01-02T00:00Z", "2024-01-03T00:00")
    with pytest.raises(DataError, match=r"row 4 of t.csv: .* times at UTC and, from here on, at no offset"):
        read("2024-01-01T00:00Z", "2024-01-02T00:00Z", "2024-01-03T00:00")


def test_numbers_called_dates_that_are_none_are_said_and_years_as_floats_are_years() -> None:
    serials = pd.DataFrame({"date": np.arange(23376, 23416), "y": np.arange(40.0) % 7})
    panel, said = spoken(lambda: load_panel(serials))
    assert panel.frequency.unit == "row"
    assert ['"date" of the data frame holds numbers' in own and 'time="date" (--time)' in own for own in said] == [True]
    assert load_panel(serials, Schema(time="date")).frequency.alias() == "1"
    years = pd.DataFrame({"year": np.arange(1990.0, 2020.0), "y": np.arange(30.0) % 7})
    panel, said = spoken(lambda: load_panel(years))
    assert (panel.frequency.describe(), str(panel.series[0].start)[:4], said) == ("1 year", "1990", [])
