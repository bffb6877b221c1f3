"""Text files as people write them: headers that are not there, short rows, blank lines, quotes, columns of codes."""

import csv
import io
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from books import write_xlsx
from ostinato.data import Schema, TableFile, load_panel, read_table
from ostinato.errors import DataError, DataWarning, UsageError

DAYS = [f"2024-01-{day:02d}" for day in range(1, 31)]
CELLS = st.text(st.sampled_from('ab ",;\n\té5.'), max_size=6)


def written(folder, text, name="t.csv"):
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def spoken(make):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = make()
    return found, [str(own.message) for own in said if issubclass(own.category, DataWarning)]


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.xlsx"])
@pytest.mark.parametrize("first", ["north", "true"])
def test_a_first_row_like_the_others_is_data_and_that_is_said(tmp_path, first, name) -> None:
    rows = [[first, i % 7 + 0.5, i * 0.25] for i in range(20)]
    path = tmp_path / name
    if name == "t.xlsx":
        pytest.importorskip("fastexcel")
        write_xlsx(path, {"one": rows})
    else:
        path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    table, said = spoken(lambda: read_table(path))
    assert (table.columns, table.rows, table.place(0)) == (("column_1", "column_2", "column_3"), 20, f"row 1 of {name}")
    assert ["to have no header" in own and "--header" in own for own in said] == [True]
    named = read_table(TableFile(path, header=True))
    assert (named.rows, named.columns[0]) == (19, first)


def test_a_first_row_that_may_be_a_header_is_taken_as_one_and_that_is_said(tmp_path) -> None:
    path = written(tmp_path, "".join(f"p{i},{i % 7 + 0.5}\n" for i in range(20)))
    table, said = spoken(lambda: read_table(path))
    assert table.columns == ("p0", "0.5")
    assert ["--no-header" in own and '"0.5" is a number' in own for own in said] == [True]
    assert read_table(TableFile(path, header=False)).rows == 20


@pytest.mark.parametrize(
    "text",
    [
        "country,1990,1991,1992\nNorway,1,2,3\nPeru,2,3,4\n",  # years name the columns
        "ds,y\n2024-01-01,1\n2024-01-02,2\n",
        "1.5,2.5\n2.5,1.5\n0.5,3\n",  # numbers alone are no names
        "a,b\nc,d\ne,f\n",
    ],
)
def test_of_a_header_that_is_plain_nothing_is_said(tmp_path, text) -> None:
    assert spoken(lambda: read_table(written(tmp_path, text)))[1] == []


def test_numbers_that_may_name_columns_are_said(tmp_path) -> None:
    path = written(tmp_path, "2019,2020,2021\n1,2,3\n2,3,4\n")
    table, said = spoken(lambda: read_table(path))
    assert table.rows == 3
    assert ["--header" in own for own in said] == [True]
    assert read_table(TableFile(path, header=True)).columns == ("2019", "2020", "2021")


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quoted", [False, True])
def test_rows_short_of_cells_are_said_with_their_lines(tmp_path, quoted) -> None:
    word = '"a\nb"' if quoted else "ab"  # a line end in a cell: a line is no row then
    text = f"ds,shop,y\n2024-01-01,{word},1\n2024-01-02,b\n\n2024-01-03,c,3\n2024-01-04\n2024-01-05,e,\n"
    table, said = spoken(lambda: read_table(written(tmp_path, text)))
    lines = (4, 7) if quoted else (3, 6)
    assert said == [
        f"t.csv: line {lines[0]} has 2 cells, line {lines[1]} has 1 cell, where 3 are expected; what they lack is "
        "taken as missing: mend them if something is lost there"
    ]
    assert table.frame["y"].to_list() == ["1", None, "3", None, None]
    assert [table.number(row) for row in range(5)] == ([2, 4, 6, 7, 8] if quoted else [2, 3, 5, 6, 7])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_are_no_rows(tmp_path, end) -> None:
    text = "ds,y\n" + "".join(f"{day},{i}\n" + "\n" * (i % 5 == 2) for i, day in enumerate(DAYS)) + "\n\n"
    path = tmp_path / "t.csv"
    path.write_bytes(text.replace("\n", end).encode())
    panel, said = spoken(lambda: load_panel(path))
    assert (len(panel.series[0]), panel.gaps, said) == (30, 0, [])
    assert panel.series[0].values.ravel().tolist() == pd.read_csv(path)["y"].to_list()
    path.write_text(text.replace(f"{DAYS[9]},9", f"{DAYS[9]},x9"))
    with pytest.raises(DataError, match='row 13 of t.csv: "x9"'):  # its line, with two blank ones before
        load_panel(path)


def test_within_one_column_a_blank_line_is_a_missing_value_and_said(tmp_path) -> None:
    table, said = spoken(lambda: read_table(written(tmp_path, "y\n1\n\n3\n\n")))
    assert table.frame["y"].to_list() == ["1", None, "3"]
    assert ["line 3" in own for own in said] == [True]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_program_writes_is_read_cell_by_cell(tmp_path_factory, rows, delimiter, quoting) -> None:
    held = io.StringIO()
    csv.writer(held, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([["a", "b", "c"], *rows])
    path = tmp_path_factory.mktemp("rows") / "t.csv"
    path.write_text(held.getvalue(), "utf-8")
    frame = read_table(TableFile(path, delimiter=delimiter, header=True)).frame if rows else None
    found = [[own or "" for own in row] for row in frame.select("a", "b", "c").rows()]
    assert _to_the_last(found) == _to_the_last(rows)


def _to_the_last(rows: list[list[str]]) -> list[list[str]]:
    """Return rows without empty ones below them, which spreadsheets write and a reader may leave out."""
    count = max((number for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row)), default=0)
    return rows[:count]


def test_a_quote_within_a_cell_is_a_character(tmp_path) -> None:
    text = "".join(f'{day},5" pipe,{i}\n' if i in (3, 20) else f"{day},x,{i}\n" for i, day in enumerate(DAYS))
    table, said = spoken(lambda: read_table(written(tmp_path, "ds,what,y\n" + text)))
    assert (table.rows, table.frame["what"][3], said) == (30, '5" pipe', [])


@pytest.mark.parametrize(
    ("cell", "shown"),
    [('"5" pipe', 'line 9 of t.csv: the quote that begins "5" pipe'), ('"5 pipe', "line 9 to line 31")],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_quote_that_is_not_closed_is_named_by_its_line(tmp_path, cell, shown, last) -> None:
    rows = [[day, cell if i == 7 else "x", str(i)] for i, day in enumerate(DAYS)]
    text = "\n".join(",".join(row[:1] + row[1:][:: -1 if last else 1]) for row in [["ds", "what", "y"], *rows])
    with pytest.raises(DataError, match=shown) as caught:
        read_table(written(tmp_path, text))
    assert "twice" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- codes ------------------------------------------------------------------------------------------------------------


def codes(count):
    return ["A" if i % 10 == 0 else str(i % 3) for i in range(count)]


def test_codes_of_digits_and_letters_are_categories_when_that_is_said(tmp_path) -> None:
    text = "ds,y,c\n" + "".join(f"{d},{i % 7},{c}\n" for i, (d, c) in enumerate(zip(DAYS, codes(30), strict=True)))
    path = written(tmp_path, text)
    schema = Schema(target="y", past_covariates="c")
    with pytest.raises(
        DataError, match=r'row 2 of t.csv: "A" .*TableFile\(path, categorical=\["c"\]\) \(--categorical'
    ):
        load_panel(path, schema)
    columns = ("y", "c=0", "c=1", "c=2", "c=A")
    panel = load_panel(TableFile(path, categorical="c"), schema)
    assert panel.columns == columns
    mixed = [int(own) if own.isdigit() else own for own in codes(30)]
    frame = pd.DataFrame({"ds": DAYS, "y": np.arange(30) % 7, "c": pd.Categorical(mixed)})
    with pytest.raises(DataError, match='a column of type "category"'):
        load_panel(frame.astype({"c": object}), schema)
    for given_frame in (frame, pl.read_csv(path, schema_overrides={"c": pl.Categorical})):
        again = load_panel(given_frame, schema)
        assert again.columns == columns
        assert np.array_equal(again.series[0].values, panel.series[0].values)
    # a later table needs nothing said: the model knows its categories
    later = load_panel(path, panel.schema, categories=panel.categories, fitting=False)
    assert np.array_equal(later.series[0].values, panel.series[0].values)


def test_a_column_of_numbers_is_categories_when_that_is_said(tmp_path) -> None:
    path = written(tmp_path, "ds,y,c\n" + "".join(f"{day},{i % 7},{i % 3}\n" for i, day in enumerate(DAYS)))
    said = TableFile(path, categorical=["c"])
    assert load_panel(said, Schema(target="y", past_covariates="c")).columns == ("y", "c=0", "c=1", "c=2")
    assert load_panel(said).columns == ("y",)
    with pytest.raises(UsageError, match='"c" is the target'):
        load_panel(said, Schema(target="c"))
    with pytest.raises(DataError, match='no column "d"'):
        load_panel(TableFile(path, categorical=["d"]))


# --- options that mean nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option", "kinds"),
    [
        ("t.csv", {"sheet": 1}, "spreadsheets and databases"),
        ("t.csv.gz", {"sheet": "one"}, "spreadsheets and databases"),
        ("t.parquet", {"delimiter": ";"}, "text files"),
        ("t.jsonl", {"header": False}, "text files and spreadsheets"),
        ("t.npy", {"sheet": 1}, "spreadsheets and databases"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(tmp_path, name, option, kinds) -> None:
    path = tmp_path / name
    path.write_bytes(b"y\n1\n2\n")
    with pytest.raises(UsageError, match=rf"\(--.* is for {kinds}, and {name} is none; leave it out"):
        read_table(TableFile(path, **option))
