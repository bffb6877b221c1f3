"""Tables as banks, meters, statistical offices and spreadsheets write them: each is read right, or said aloud."""

import itertools
import re
import unicodedata
import warnings
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from books import write_xlsx
from ostinato.data import Schema, TableFile
from ostinato.data.footers import rows_of_footer
from ostinato.data.hour_columns import minutes_of
from ostinato.data.load import load_panel
from ostinato.data.month_names import _NAMES, NUMBERS
from ostinato.data.times import read_cell
from ostinato.errors import DataError, DataWarning

N = 24
DAYS = [date(2024, 1, 1) + timedelta(place) for place in range(N)]
HOURS = [datetime(2024, 1, 13) + timedelta(hours=place) for place in range(N)]
VALUES = [round(10 + 1.25 * place + (place % 7) * 0.5, 2) for place in range(N)]
DAY, HOUR, MONTHS, QUARTERS = "2024-01-01", "2024-01-13", "2010-01-01", "2010-01-01"


def rows(cells, head="t,y", mark=","):
    return "\n".join([head, *(f"{cell}{mark}{value}" for cell, value in zip(cells, VALUES, strict=False))]) + "\n"


def to(hour):
    return hour + timedelta(hours=1)


def digits(text, zero):
    return text.translate({ord(str(value)): chr(zero + value) for value in range(10)})


FORMS = {
    "a span": ([f"{h:%Y-%m-%d %H:%M} - {to(h):%Y-%m-%d %H:%M}" for h in HOURS], HOUR, "h"),
    "a span, day first": ([f"{h:%d/%m/%Y %H:%M:%S} - {to(h):%d/%m/%Y %H:%M:%S}" for h in HOURS], HOUR, "h"),
    "a span of ISO 8601": ([f"{h:%Y-%m-%dT%H:%MZ}/{to(h):%Y-%m-%dT%H:%MZ}" for h in HOURS], HOUR, "h"),
    "SAS": ([f"{h:%d%b%Y:%H:%M:%S}".upper() for h in HOURS], HOUR, "h"),
    "a log": ([f"{h:%d/%b/%Y:%H:%M:%S} +0000" for h in HOURS], HOUR, "h"),
    "ISO basic": ([f"{h:%Y%m%dT%H%M%SZ}" for h in HOURS], HOUR, "h"),
    "hours in digits": ([f"{h + timedelta(hours=12):%Y%m%d%H}" for h in HOURS], "2024-01-13T12", "h"),
    "an underscore": ([f"{h:%Y-%m-%d_%H:%M:%S}" for h in HOURS], HOUR, "h"),
    "hour 24": ([f"{h:%Y-%m-%d} {h.hour + 1:02d}:00" for h in HOURS], "2024-01-13T01", "h"),
    "hours, month first": ([f"{h:%m/%d/%Y %H}" for h in HOURS], HOUR, "h"),
    "Japanese": ([f"{d.year}年{d.month}月{d.day}日" for d in DAYS], DAY, "D"),
    "Japanese months": ([f"{2010 + i // 12}年{i % 12 + 1}月" for i in range(N)], MONTHS, "MS"),
    "Chinese hours": ([f"{h:%Y年%m月%d日 %H:%M}" for h in HOURS], HOUR, "h"),
    "Korean": ([f"{d.year}년 {d.month}월 {d.day}일" for d in DAYS], DAY, "D"),
    "Korean dots": ([f"{d.year}. {d.month}. {d.day}." for d in DAYS], DAY, "D"),
    "Arabic digits": ([digits(f"{d}", 0x660) for d in DAYS], DAY, "D"),
    "Persian digits": ([digits(f"{d}", 0x6F0) for d in DAYS], DAY, "D"),
    "full width": ([digits(f"{d}", 0xFF10) for d in DAYS], DAY, "D"),
    "Russian": ([f"{d.day} января {d.year}" for d in DAYS], DAY, "D"),
    "Polish": ([f"{d.day} stycznia {d.year}" for d in DAYS], DAY, "D"),
    "weeks and days": (["{}-W{:02d}-{}".format(*d.isocalendar()) for d in DAYS], DAY, "D"),
    "calendar weeks": ([f"KW {i + 1:02d}/2023" for i in range(N)], "2023-01-02", "W"),
    "days of the year": ([f"{d:%Y-%j}" for d in DAYS], DAY, "D"),
    "fiscal years": ([f"{1980 + i}/{(81 + i) % 100:02d}" for i in range(N)], "1980-01-01", "YS"),
    "fiscal years as months": ([f"{2001 + i}/{2 + i:02d}" for i in range(10)], "2001-01-01", "YS"),
    "fiscal years in full": ([f"FY{1980 + i}-{1981 + i}" for i in range(N)], "1980-01-01", "YS"),
    "FY": ([f"FY{1980 + i}" for i in range(N)], "1980-01-01", "YS"),
    "quarters of FY": ([f"FY{2010 + i // 4} Q{i % 4 + 1}" for i in range(N)], QUARTERS, "QS"),
    "Quartale": ([f"{i % 4 + 1}. Quartal {2010 + i // 4}" for i in range(N)], QUARTERS, "QS"),
    "trimestres": ([f"T{i % 4 + 1} {2010 + i // 4}" for i in range(N)], QUARTERS, "QS"),
    "Roman quarters": ([f"{2010 + i // 4}-{('I', 'II', 'III', 'IV')[i % 4]}" for i in range(N)], QUARTERS, "QS"),
    "half years": ([f"H{i % 2 + 1} {2010 + i // 2}" for i in range(N)], "2010-01-01", "2QS"),
}


def quiet(path, schema=None):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        panel = load_panel(path, schema)
    return panel, " | ".join(str(each.message) for each in said)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_times_is_read(tmp_path, name):
    cells, start, step = FORMS[name]
    (tmp_path / "a.csv").write_text(rows(cells), encoding="utf-8")
    panel, _ = quiet(tmp_path / "a.csv")
    (series,) = panel.series
    assert (str(series.start)[: len(start)], panel.schema.frequency.split("-")[0]) == (start, step)
    assert series.values[:, 0].tolist() == VALUES[: len(cells)]


@pytest.mark.parametrize("name", ["a span", "Japanese", "Arabic digits", "fiscal years", "Roman quarters", "SAS"])
def test_a_form_of_a_streamed_row_is_that_of_the_column(tmp_path, name):
    cells, *_ = FORMS[name]
    (tmp_path / "a.csv").write_text(rows(cells), encoding="utf-8")
    panel, _ = quiet(tmp_path / "a.csv")
    assert np.datetime64(read_cell({"t": cells[0]}, "t", panel.time_format), "us") == panel.series[0].start


def test_a_name_of_a_month_is_of_one_month():
    for line in _NAMES:
        for number, name in enumerate(line.split(), 1):
            assert NUMBERS[name] == number
            bare = "".join(each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))
            assert NUMBERS[bare] == number


@pytest.mark.parametrize(("first", "calendar"), [("1402/01/{:02d}", "Persian"), ("{:02d}/01/2567", "Buddhist")])
def test_years_of_another_calendar_are_said(tmp_path, first, calendar):
    (tmp_path / "a.csv").write_text(rows([first.format(day) for day in range(1, N + 1)]))
    assert f"of the {calendar} calendar" in quiet(tmp_path / "a.csv")[1]


def test_texts_that_seem_to_be_times_and_are_not_read_are_said(tmp_path):
    (tmp_path / "a.csv").write_text(rows([f"{d:%Y-%m-%d}@home" for d in DAYS], "slot,y"))
    panel, said = quiet(tmp_path / "a.csv")
    assert panel.schema.time is None
    assert 'column "slot" of a.csv is not read as times ("2024-01-01@home")' in said


# --- times in two columns --------------------------------------------------------------------------------------------

PAIRS = {
    "hours ending": ("Date,Hour Ending", [f"{h:%m/%d/%Y},{h.hour + 1}" for h in HOURS], "2024-01-13T01"),
    "clock of an hour ending": ("OperDay,HourEnding", [f"{h:%m/%d/%Y},{h.hour + 1:02d}:00" for h in HOURS], None),
    "days in digits": ("date,hour", [f"{h:%Y%m%d},{h.hour}" for h in HOURS], HOUR),
    "four digits": ("date,time", [f"{h:%Y-%m-%d},{h:%H%M}" for h in HOURS], HOUR),
    "four digits twice": ("date,time", [f"{h:%Y%m%d},{h:%H%M}" for h in HOURS], HOUR),
    "from and to": ("Datum,Anfang,Ende", [f"{h:%d.%m.%Y},{h:%H:%M},{to(h):%H:%M}" for h in HOURS], HOUR),
    "day of the year": ("year,doy", [f"2024,{i + 1}" for i in range(N)], "2024-01-01"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_days_and_hours_in_two_columns_are_one_time(tmp_path, name):
    head, cells, start = PAIRS[name]
    (tmp_path / "a.csv").write_text(rows(cells, f"{head},y"))
    panel, _ = quiet(tmp_path / "a.csv")
    assert panel.schema.time.count("+") == 1
    assert panel.schema.target == ("y",)
    assert str(panel.series[0].start).startswith(start or "2024-01-13T01")
    assert len(panel.series[0].values) == N


def test_a_duration_beside_a_date_with_its_time_is_no_part_of_it(tmp_path):
    cells = [f"{d} 07:30:00,00:{30 + i}:15" for i, d in enumerate(DAYS)]
    (tmp_path / "a.csv").write_text(rows(cells, "Date,Time,y"))
    assert quiet(tmp_path / "a.csv")[0].schema.time == "Date"


# --- a column for each hour ------------------------------------------------------------------------------------------

NAMES = {
    "H1": [f"H{hour}" for hour in range(1, 25)],
    "h00": [f"h{hour:02d}" for hour in range(24)],
    "1": [f"{hour}" for hour in range(1, 25)],
    "00:00": [f"{hour:02d}:00" for hour in range(24)],
    "00:30": [f"{half // 2:02d}:{30 * (half % 2):02d}" for half in range(48)],
    "spans": [f"{hour:02d}:00-{(hour + 1) % 24:02d}:00" for hour in range(24)],
    "K1": [f"K{half}" for half in range(1, 49)],
}


def by_day(names, form="%Y-%m-%d", days=5, more=""):
    head = ",".join([f"Date{more and ',' + more}", *names])
    lines = [
        ",".join([f"{date(2024, 2, 10) + timedelta(day):{form}}", *([more] if more else []),
                  *(f"{day * len(names) + place}" for place in range(len(names)))])
        for day in range(days)
    ]  # fmt: skip
    return "\n".join([head, *lines])


@pytest.mark.parametrize("name", NAMES)
def test_a_column_for_each_hour_is_a_row_for_each(tmp_path, name):
    names = NAMES[name]
    (tmp_path / "a.csv").write_text(by_day(names))
    panel, said = quiet(tmp_path / "a.csv")
    assert "has a row a day and a column for each" in said
    assert panel.schema.frequency == ("h" if len(names) == 24 else "30min")
    assert str(panel.series[0].start).startswith("2024-02-10T00:00")
    assert panel.series[0].values[:, 0].tolist() == list(range(5 * len(names)))


def test_the_order_of_day_and_month_of_such_a_table_is_remembered(tmp_path):
    (tmp_path / "a.csv").write_text(by_day(NAMES["H1"], "%d/%m/%Y", days=12))
    (tmp_path / "b.csv").write_text(by_day(NAMES["H1"], "%d/%m/%Y", days=2).replace("/02/", "/03/").replace("1", "0"))
    schema = quiet(tmp_path / "a.csv")[0].schema
    assert schema.day_first is True


def test_clocks_to_24_are_as_written_and_hours_that_are_missing_are_missing(tmp_path):
    text = by_day([f"{hour:02d}:00" for hour in range(1, 25)]).replace(",30,", ",,")
    (tmp_path / "a.csv").write_text(text)
    panel, _ = quiet(tmp_path / "a.csv")
    assert str(panel.series[0].start).startswith("2024-02-10T01:00")
    assert np.isnan(panel.series[0].values[30, 0])


def test_24_columns_are_left_as_they_stand_where_they_are_named_or_rows_are_no_days(tmp_path):
    (tmp_path / "a.csv").write_text(by_day(NAMES["H1"]))
    assert quiet(tmp_path / "a.csv", Schema(target=("H1", "H2")))[0].schema.target == ("H1", "H2")
    lines = [
        f"2024-01-0{day} 0{hour}:00," + ",".join(str(9 * day + hour + place) for place in range(24))
        for day in (1, 2)
        for hour in range(9)
    ]
    (tmp_path / "b.csv").write_text("\n".join([",".join(["Date", *NAMES["1"]]), *lines]))
    assert len(quiet(tmp_path / "b.csv")[0].schema.target) > 1


@pytest.mark.parametrize("names", [[f"H{i}" for i in range(1, 24)], ["a", "b"], [f"s{i}" for i in range(2, 26)],
                                   [f"x{i}" for i in range(1, 25)], ["00:00", "01:00", "03:00"] * 5])  # fmt: skip
def test_columns_that_fill_no_day_are_no_hours(names):
    assert minutes_of(["Date", *names]) is None


# --- numbers ---------------------------------------------------------------------------------------------------------

THOUSANDS = [1234, 12500, 834000, 7001, 25999] * 5


def dotted(value):
    return f"{value:,}".replace(",", ".")


def written(tmp_path, cells, times, mark=";"):
    lines = [f"{time}{mark}{cell}" for time, cell in zip(times, cells, strict=False)]
    (tmp_path / "a.csv").write_text("\n".join([f"t{mark}y", *lines]), encoding="utf-8")
    panel, said = quiet(tmp_path / "a.csv")
    return panel.series[0].values[:, 0].tolist(), said


@pytest.mark.parametrize(
    ("cells", "form", "mark", "why"),
    [
        ([f"{dotted(v)} €" for v in THOUSANDS], "%d.%m.%Y", ";", "dates are written as 01.01.2024"),
        ([f"{dotted(v)} €" for v in THOUSANDS], "%Y-%m-%d", ",", "€ stands behind the numbers"),
        ([dotted(v) for v in THOUSANDS], "%d.%m.%Y", ",", "dates are written as 01.01.2024"),
        ([dotted(v // 10) for v in THOUSANDS], "%Y-%m-%d", ";", "numbers below a thousand have no mark there"),
    ],
)
def test_dots_before_three_digits_part_thousands_where_something_shows_it_and_that_is_said(
    tmp_path, cells, form, mark, why
):
    found, said = written(tmp_path, cells, [f"{d:{form}}" for d in DAYS], mark)
    factor = 10 if "thousand have" in why else 1
    assert found == [float(v // factor) for v in THOUSANDS[:N]]
    assert f"dots part thousands, since {why}" in said
    option = re.search(r'TableFile\(path, (decimal)="(.)"\) \(--decimal "(.)"\)', said)
    assert option
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = load_panel(TableFile(tmp_path / "a.csv", decimal=option[2])).series[0].values[:, 0]
    assert other[0] == pytest.approx(found[0] / 1000 if found[0] >= 1000 else found[0])


@pytest.mark.parametrize("mark", [",", ";"])
def test_three_decimals_are_decimals_where_nothing_shows_thousands(tmp_path, mark):
    values = [round(1.234 + 0.177 * place, 3) for place in range(N)]
    found, said = written(tmp_path, [f"{value:.3f}" for value in values], DAYS, mark)
    assert found == values
    assert ('(--decimal ",")' in said) == (mark == ";")  # an open question is said, with the option that answers it


def test_that_dots_part_thousands_is_remembered_for_later_rows(tmp_path):
    cells = [f"{dotted(v)} €" for v in THOUSANDS]
    written(tmp_path, cells, [f"{d:%d.%m.%Y}" for d in DAYS])
    assert quiet(tmp_path / "a.csv")[0].schema.decimal == ","


NUMBERS_WRITTEN = {
    "1,23,456.50": 123456.5, "12,34,567": 1234567.0, "1234.50-": -1234.5, "−3.5": -3.5, "١٢٫٥": 12.5, "۱۲": 12.0,
    "１２．５": 12.5, "1 234.5": 1234.5,
}  # fmt: skip


@pytest.mark.parametrize("cell", NUMBERS_WRITTEN)
def test_a_number_is_read_however_it_is_written(tmp_path, cell):
    found, _ = written(tmp_path, [cell, "7.5", "8.25", "9.5"] * 6, DAYS, ";")
    assert found[0] == NUMBERS_WRITTEN[cell]


def test_a_comma_before_an_exponent_stands_before_decimals(tmp_path):
    found, _ = written(tmp_path, [f"{value:.3e}".replace(".", ",") for value in VALUES], DAYS, ";")
    assert found == [float(f"{value:.3e}") for value in VALUES]


@pytest.mark.parametrize("mark", ["–", "—"])
def test_a_dash_is_a_missing_value(tmp_path, mark):
    found, _ = written(tmp_path, [mark if place == 3 else str(value) for place, value in enumerate(VALUES)], DAYS)
    assert np.isnan(found[3])
    assert found[4] == VALUES[4]


def test_a_number_of_nines_far_from_all_others_is_said_with_the_option(tmp_path):
    cells = ["-999" if place in (3, 4) else str(value) for place, value in enumerate(VALUES)]
    _, said = written(tmp_path, cells, DAYS)
    assert "-999 stands in 2 of 24 rows" in said
    assert "--missing=-999" in said
    assert "stands in" not in written(tmp_path, [str(value - 990) for value in VALUES], DAYS)[1]


@pytest.mark.parametrize(("first", "step", "frequency"), [("45292", 1, "D"), ("45292.5", 1 / 24, "h")])
def test_days_of_a_spreadsheet_are_dates_and_that_is_said(tmp_path, first, step, frequency):
    (tmp_path / "a.csv").write_text(rows([f"{float(first) + place * step:.6f}".removesuffix(".000000") if step < 1 else
                                          str(45292 + place) for place in range(N)], "Date,y"))  # fmt: skip
    panel, said = quiet(tmp_path / "a.csv")
    assert "as spreadsheets count them" in said
    assert (str(panel.series[0].start)[:13], panel.schema.frequency) == (
        "2024-01-01T12" if step < 1 else "2024-01-01T00", frequency,
    )  # fmt: skip
    assert str(read_cell({"Date": "45293"}, "Date", panel.time_format))[:10] == "2024-01-02"


def test_numbers_that_are_no_days_of_a_spreadsheet_are_not_taken_for_them(tmp_path):
    for head, cells in (("time", range(40000, 40000 + N)), ("Date", range(23376, 23376 + N))):
        (tmp_path / "a.csv").write_text(rows(cells, f"{head},y"))
        assert "spreadsheets count" not in quiet(tmp_path / "a.csv")[1]


# --- headers and footers ---------------------------------------------------------------------------------------------


def test_two_rows_of_a_header_are_one(tmp_path):
    body = "\n".join(f"{d},{v},{v + 1},{v + 2},{v + 3}" for d, v in zip(DAYS, VALUES, strict=True))
    (tmp_path / "a.csv").write_text(f"Date,Load,,Price,\n,DE,FR,DE,FR\n{body}\n")
    panel, said = quiet(tmp_path / "a.csv")
    assert panel.schema.target == ("Load DE", "Load FR", "Price DE", "Price FR")
    assert panel.schema.time == "Date"
    assert "first 2 rows are read as one header" in said
    (tmp_path / "b.csv").write_text(f"Price,A,A,B,B\nTicker,x,y,x,y\nDate,,,,\n{body}\n")
    assert quiet(tmp_path / "b.csv")[0].schema.target == ("A x", "A y", "B x", "B y")


def test_a_row_of_units_is_left_out_and_said_with_the_right_numbers_of_rows(tmp_path):
    body = "\n".join(f"{h:%Y-%m-%d %H:%M},{v},{v + 1}" for h, v in zip(HOURS, VALUES, strict=True))
    (tmp_path / "a.csv").write_text(f"time,temp,wind\n,°C,m/s\n{body}\n", encoding="utf-8")
    panel, said = quiet(tmp_path / "a.csv")
    assert panel.series[0].values[:, 0].tolist() == VALUES
    assert "line 2 is taken as units" in said
    (tmp_path / "b.csv").write_text(f"time,temp,wind\n,°C,m/s\n{body}\nsoon,1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"row {N + 3} of b.csv"):
        quiet(tmp_path / "b.csv")


@pytest.mark.parametrize("footer", ["Source: Federal Office", "Total,1234.5", ",\n© Office for data, 2024\n* estimated",
                                    "Error: rate limit exceeded", "\nLast updated 2024-02-01"])  # fmt: skip
def test_what_stands_below_a_table_is_left_out_and_said(tmp_path, footer):
    (tmp_path / "a.csv").write_text(rows(DAYS) + footer + "\n", encoding="utf-8")
    panel, said = quiet(tmp_path / "a.csv")
    assert panel.series[0].values[:, 0].tolist() == VALUES
    assert "taken as a note or a sum below the table" in said
    assert "are expected; what they lack" not in said


@pytest.mark.parametrize("last", ["2024-01-25,", "25 Jan 2024,"])
def test_a_last_row_without_a_value_is_a_row(tmp_path, last):
    import polars as pl

    times = [f"{d:%d %b %Y}" for d in DAYS] if "Jan" in last else [str(d) for d in DAYS]
    frame = pl.DataFrame({"t": [*times, last.rstrip(",")], "y": [*map(str, VALUES), None]})
    assert rows_of_footer(frame) == 0


def test_names_of_series_are_no_footer():
    import polars as pl

    frame = pl.DataFrame({"name": ["North 1", "South 2", "West 3", "East 4", "Total"], "y": ["1", "2", "3", "4", "10"]})
    assert rows_of_footer(frame.with_columns(pl.col("name").str.replace(r" \d", ""))) == 0


def test_a_preamble_of_pairs_is_left_out(tmp_path):
    body = "\n".join(f'"{d:%d.%m.%Y}";"{v}";"x"' for d, v in zip(DAYS, VALUES, strict=True))
    (tmp_path / "a.csv").write_text(f'"Konto:";"12"\n\n"Von:";"a"\n"Bis:";"b"\n\n"Tag";"Betrag";"Text"\n{body}\n')
    assert quiet(tmp_path / "a.csv")[0].schema.target == ("Betrag",)


def test_a_delimiter_at_the_end_of_each_row_alone_is_no_cell(tmp_path):
    (tmp_path / "a.csv").write_text(rows(DAYS).replace("\n", ",\n").replace("t,y,", "t,y"))
    assert quiet(tmp_path / "a.csv")[0].series[0].values[:, 0].tolist() == VALUES


# --- sheets ----------------------------------------------------------------------------------------------------------


def book(path, **sheets):
    pytest.importorskip("fastexcel")
    return write_xlsx(path, sheets)


TABLE = [["date", "y"], *([str(d), v] for d, v in zip(DAYS, VALUES, strict=True))]
README = [["About"], ["These figures are of the office."], [], ["Contact", "me"], ["Version", 3]]


def test_the_first_sheet_that_holds_a_table_is_read_and_said(tmp_path):
    path = book(tmp_path / "a.xlsx", Readme=README, Data=TABLE, Other=TABLE[:5])
    panel, said = quiet(path)
    assert panel.series[0].values[:, 0].tolist() == VALUES
    assert '"Data" is read, since "Readme" holds no table' in said
    assert "--sheet" in said
    _, said = quiet(book(tmp_path / "b.xlsx", Data=TABLE, Readme=README))
    assert 'the first, "Data", is read' in said


def test_a_first_sheet_of_texts_is_a_table_too(tmp_path):
    from ostinato.data.readers import read_table

    texts = [["text", "label"], *([f"words {place}", "ab"[place % 2]] for place in range(20))]
    with pytest.warns(DataWarning, match='the first, "Texts", is read'):
        assert read_table(book(tmp_path / "a.xlsx", Texts=texts, Data=TABLE)).columns == ("text", "label")


def test_merged_cells_units_and_footers_of_a_sheet_are_as_those_of_a_text(tmp_path):
    cells = [
        ["Date", "Load", None],
        [None, "DE", "FR"],
        *([str(d), v, v + 1] for d, v in zip(DAYS, VALUES, strict=True)),
    ]
    panel, said = quiet(book(tmp_path / "a.xlsx", Data=[*cells, ["Source: office"]]))
    assert panel.schema.target == ("Load DE", "Load FR")
    assert panel.series[0].values[:, 0].tolist() == VALUES
    assert "taken as a note" in said


def test_all_pairs_of_a_header_and_a_footer_keep_the_rows(tmp_path):
    tops, ends = ["", "Station 12\n"], ["", "Source: x y\n"]
    for top, end in itertools.product(tops, ends):
        (tmp_path / "a.csv").write_text(top + rows(DAYS) + end)
        assert quiet(tmp_path / "a.csv")[0].series[0].values[:, 0].tolist() == VALUES
