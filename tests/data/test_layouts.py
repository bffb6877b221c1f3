"""Tables that do not begin with their header, or whose columns stand apart by spaces."""

import warnings
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from books import write_xlsx
from ostinato.data import Schema
from ostinato.data.load import load_panel
from ostinato.data.readers import read_table
from ostinato.errors import DataError, DataWarning

DAYS = [date(2023, 1, 1) + timedelta(days=place) for place in range(30)]
ROWS = [(day.isoformat(), 0.5 + place % 7) for place, day in enumerate(DAYS)]
BODY = "\n".join(f"{day},{value}" for day, value in ROWS)
TITLED = {
    "a title": f"Station 12\nday,load\n{BODY}",
    "three lines, one blank": f"Station 12\nExported 2023-02-01\n\nday,load\n{BODY}",
    "filled up as a spreadsheet does": f"Report 2023,\nMW,\n,\nday,load\n{BODY}",
    "after a comment": f"# logger\nStation: Berlin\nday,load\n{BODY}",
}


@pytest.mark.parametrize("text", TITLED.values(), ids=TITLED.keys())
def test_what_stands_above_the_header_is_left_out_and_said(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.warns(DataWarning, match=r"a\.csv: line.* taken as a title above the table"):
        panel = load_panel(tmp_path / "a.csv")
    assert panel.columns == ("load",)
    assert panel.series[0].values[:, 0].tolist() == [value for _, value in ROWS]
    assert str(panel.series[0].start)[:10] == "2023-01-01"


def test_a_row_is_named_by_its_line_below_a_title(tmp_path):
    (tmp_path / "a.csv").write_text(f"Station 12\n\nday,load\n{BODY}\n2023-01-31,x")
    with pytest.warns(DataWarning), pytest.raises(DataError, match=r'row 34 of a\.csv: "x" in column "load"'):
        load_panel(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n" + "\n".join(f"{i},{i}.5,{i}" for i in range(20)),  # the header lacks a name
        "text,label\n" + "\n".join(f"some words {i},x" for i in range(20)),
        "one\n" + "\n".join(f"{i},5" for i in range(20)),  # a decimal comma
    ],
)
def test_a_header_that_may_be_one_is_no_title(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if text.startswith("a,b"):
            with pytest.raises(DataError, match=r"row 2 of a\.csv has 3 cells; expected 2"):
                read_table(tmp_path / "a.csv")
        else:
            assert read_table(tmp_path / "a.csv").columns[0] in ("text", "one")
    assert not any("title" in str(each.message) for each in said)


SHEETS = {
    "title": [["Report 2023", None], [None, None], ["day", "load"], *ROWS],
    "apart": [[None, None, None], [None, "day", "load"], *[[None, *row] for row in ROWS]],
    "blank row": [["day", "load"], *ROWS[:9], [None, None], *ROWS[9:]],
}


@pytest.mark.parametrize("rows", SHEETS.values(), ids=SHEETS.keys())
def test_a_sheet_may_have_a_title_and_stand_apart(tmp_path, rows):
    pytest.importorskip("fastexcel")
    path = write_xlsx(tmp_path / "a.xlsx", {"one": [list(row) for row in rows]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        table = read_table(path)
        panel = load_panel(path)
    assert panel.series[0].values[:, 0].tolist() == [value for _, value in ROWS]
    last = next(place for place in reversed(range(len(rows))) if rows[place][-1] is not None)
    assert table.number(table.rows - 1) == last + 1


ALIGNED = {
    "runs": "\n".join(["  day          load", *[f"  {day}  {value:8.2f}" for day, value in ROWS]]),
    "single spaces": "\n".join(["day load", *[f"{day} {value}" for day, value in ROWS]]),
    "a time within": "\n".join(["day               load", *[f"{day} 10:30   {value:6.2f}" for day, value in ROWS]]),
}


@pytest.mark.parametrize("text", ALIGNED.values(), ids=ALIGNED.keys())
def test_columns_apart_by_spaces_are_read(tmp_path, text):
    (tmp_path / "a.dat").write_text(text)
    panel = load_panel(tmp_path / "a.dat")
    assert panel.columns == ("load",)
    assert panel.series[0].values[:, 0].tolist() == [value for _, value in ROWS]
    assert panel.frequency.describe() == "1 day"


def test_sentences_are_no_columns(tmp_path):
    (tmp_path / "a.csv").write_text("some text here\n" + "\n".join(["one two three"] * 9))
    assert read_table(tmp_path / "a.csv").columns == ("some text here",)


@settings(max_examples=10, deadline=None)
@given(
    lines=st.integers(0, 6),
    width=st.integers(2, 6),
    title=st.text(alphabet="abcdefgh XYZ:-", min_size=1, max_size=30).filter(str.strip),
)
@pytest.mark.slow
@pytest.mark.ci
def test_any_title_leaves_the_table_as_it_is(tmp_path_factory, lines, width, title):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    names = [f"c_{chr(97 + place)}" for place in range(width)]
    rows = [",".join(f"{place + row / 7:.3f}" for place in range(width)) for row in range(12)]
    path.write_text("\n".join([*[title] * lines, ",".join(names), *rows]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        table = read_table(path)
        panel = load_panel(path, Schema(target=tuple(names)))
    assert table.columns == tuple(names)
    assert table.number(0) == lines + 2
    assert panel.series[0].values.shape == (12, width)
