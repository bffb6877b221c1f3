"""What cells of text are: numbers of any dialect, yes and no; and what is said where it is not plain."""

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import Schema, TableFile, cells, load_panel, read_table
from ostinato.data.cells import as_flags, cell_number, decimal_evidence
from ostinato.data.table import is_numeric, numbers
from ostinato.errors import DataError, DataWarning, UsageError

STYLES = {
    "1234.56": ("", "."),
    "1,234.56": (",", "."),
    "1.234,56": (".", ","),
    "1 234,56": (" ", ","),
    "1'234.56": ("'", "."),
}
STYLES |= {"1\u202f234,56": ("\u202f", ","), "1234,56": ("", ",")}


def written(value: float, style: str, digits: int) -> str:
    thousands, decimal = STYLES[style]
    return f"{value:,.{digits}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20), digits=st.integers(0, 6))
def test_numbers_are_read_however_they_are_written(style, values, digits) -> None:
    values = [0.5, *[round(value, digits) for value in values]]
    digits = max(digits, 1) if digits != 3 else 4  # three decimals may be thousands: see below
    table = read_table({"x": [written(value, style, digits) for value in values]})
    assert is_numeric(table, "x", ())
    np.testing.assert_allclose(numbers(table, "x", ()), [float(f"{v:.{digits}f}") for v in values], rtol=1e-15)


def test_a_cell_that_can_be_read_two_ways_is_read_as_its_column_or_its_table() -> None:
    assert numbers(read_table({"x": ["1,234", "0,5"]}), "x", ()).tolist() == [1.234, 0.5]
    assert numbers(read_table({"x": ["1,234", "1,234.5"]}), "x", ()).tolist() == [1234, 1234.5]
    assert numbers(read_table({"x": ["1.234", "2"], "z": ["1,5", "2"]}), "x", ()).tolist() == [1234, 2]
    assert numbers(read_table({"x": ["1.234", "2"], "z": ["1.5", "2"]}), "x", ()).tolist() == [1.234, 2]


def test_what_only_custom_decides_is_said_and_an_option_changes_it(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('t,x\n1,"1,234"\n2,"2,345"\n')
    with pytest.warns(DataWarning, match='"1,234" in column "[^"]*" is read as 1234.*--decimal'):
        assert numbers(read_table(path), "x", ()).tolist() == [1234, 2345]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(read_table(TableFile(path, decimal=",")), "x", ()).tolist() == [1.234, 2.345]
    with pytest.raises(UsageError, match=r'decimal is ";"'):
        read_table(path, decimal=";")


def test_what_training_decided_about_the_decimal_mark_holds_for_later_tables_that_do_not_show_it() -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 11)]
    first = load_panel({"ds": days, "y": [f"1.{day}0,5" for day in range(10, 20)]})
    with pytest.warns(DataWarning, match='row 1 of the data: "1.234" in column "y" is read as 1234, since "," stands'):
        again = load_panel({"ds": days, "y": ["1.234"] * 10}, first.schema, fitting=False)
    assert again.series[0].values[0, 0] == 1234
    shown = load_panel({"ds": days, "y": ["1.234", "1.5"] * 5}, first.schema, fitting=False)
    assert shown.series[0].values[0, 0] == 1.234


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["True", "False"], [1, 0]),
        (["yes", "no", None], [1, 0, None]),
        (["TRUE", "0", "1"], [1, 0, 1]),
        (["wahr", "falsch"], [1, 0]),
        (["0", "1"], None),
        (["yes", "2"], None),
        (["yes", "maybe"], None),
    ],
)
def test_flags(cells, expected) -> None:
    found = as_flags(pl.Series(cells))
    assert (None if found is None else found.to_list()) == expected


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (True, 1),
        (np.bool_(False), 0),
        ("yes", 1),
        ("3,5", 3.5),
        (" 7 ", 7),
        (np.int64(4), 4),
        ("1'000", 1000),
        ("−2", -2),
    ],
)
def test_a_streamed_cell_is_read_as_one_of_a_table(cell, value) -> None:
    assert cell_number(cell) == value


@pytest.mark.parametrize("cell", ["abc", [1], "", "1 2", "12:30", "1.2.3"])
def test_a_cell_that_is_no_number_is_none(cell) -> None:
    if cell == "":
        assert np.isnan(cell_number(cell))
        return
    with pytest.raises(ValueError, match="no number|it is a list"):
        cell_number(cell)


def test_a_column_shows_its_mark_or_none() -> None:
    assert decimal_evidence(pl.Series(["1,5", "2"])) == ","
    assert decimal_evidence(pl.Series(["1.234.567", "1"])) == ","
    assert decimal_evidence(pl.Series(["1,234", "1.234"])) is None
    assert decimal_evidence(pl.Series(["1,5", "1.5"])) is None
    assert decimal_evidence(pl.Series(["01.02.2024", "a, b"])) is None


ERRORS = ["#DIV/0!", "n/a", ".", "abc", "12:30", "#VALUE!", "--"]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("role", ["target", "past_covariates", "unnamed"])
def test_a_column_of_numbers_but_for_a_few_cells_is_never_classes_nor_left_out(tmp_path, error, role) -> None:
    path = tmp_path / "load.csv"
    rows = [f"2024-01-{day:02d},{day * 1.5},{error if day in (5, 9) else day % 4}" for day in range(1, 29)]
    path.write_text("time,load,temp\n" + "\n".join(rows))
    schema = {"target": {"target": ("temp",)}, "unnamed": {}}.get(role, {"target": ("load",), role: ("temp",)})
    with pytest.raises(DataError, match="row 6 of load.csv") as caught:
        load_panel(path, Schema(**schema))
    assert f'"{error}" in column "temp" is not a number' in str(caught.value)
    assert "--missing" in str(caught.value)
    for source in (TableFile(path, missing=[error]), path):
        more = {} if isinstance(source, TableFile) else {"missing": ("", error)}
        found = load_panel(source, Schema(**schema, **more))
        assert "temp" in found.columns
        values = found.series[0].values[:, found.columns.index("temp")]
        assert np.flatnonzero(np.isnan(values)).tolist() == [4, 8]
    again = load_panel(path, load_panel(TableFile(path, missing=[error]), Schema(**schema)).schema, fitting=False)
    assert np.isnan(again.series[0].values[4, again.columns.index("temp")])


def test_a_number_that_stands_for_a_missing_value_is_missing_however_it_is_written(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n-999.0\n3\n")
    for source in (tmp_path / "a.csv", {"x": np.array([1, -999, 3])}, np.array([1.0, -999, 3])):
        table = read_table(source, missing=["-999"])
        np.testing.assert_array_equal(numbers(table, table.columns[0], ()), [1, np.nan, 3])


def test_a_category_that_training_had_not_is_said() -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 11)]
    roles = Schema(target=("y",), past_covariates=("wind",))
    first = load_panel({"ds": days, "y": range(10), "wind": ["N", "S"] * 5}, roles)
    with pytest.warns(DataWarning, match='column "wind" of the data has in 2 rows what was not there.*"W"'):
        again = load_panel(
            {"ds": days, "y": range(10), "wind": ["N", "S"] * 4 + ["W", "W"]}, first.schema,
            categories=first.categories, fitting=False,
        )  # fmt: skip
    assert again.columns == first.columns


def test_a_column_of_numbers_that_is_text_later_is_one_sentence() -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 11)]
    roles = Schema(target=("y",), past_covariates=("temp",))
    first = load_panel({"ds": days, "y": range(10), "temp": range(10)}, roles)
    later = {"ds": days, "y": range(10), "temp": ["warm", "cold"] * 5}
    with pytest.raises(DataError, match='row 1 of the data: "warm" in column "temp" is not a number'):
        load_panel(later, first.schema, categories=first.categories, fitting=False)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["t;x", "1;1,100", "2;1,250"], [1.1, 1.25]),  # columns parted by semicolons: the comma is for decimals
        (["t;x", "1;1.100", "2;1.250"], [1.1, 1.25]),
        (["t;x;z", "1;1.100;0,5", "2;1.250;1,5"], [1100, 1250]),
        (["t,x", '1,"1,100"', '2,"1,250"'], [1100, 1250]),
    ],
)
def test_what_may_be_thousands_is_said_once_where_the_file_does_not_show_it(tmp_path, lines, expected) -> None:
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = read_table(tmp_path / "a.csv")
        assert [numbers(table, "x", ()).tolist() for _ in range(2)] == [expected] * 2
    assert len(said) == (0 if len(table.columns) == 3 else 1)


def test_one_column_of_decimal_commas_is_one_column(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("y\n" + "".join(f"{i},5\n" for i in range(9)))
    assert numbers(read_table(tmp_path / "a.csv"), "y", ()).tolist() == [i + 0.5 for i in range(9)]


@pytest.mark.parametrize(("own", "other"), [(",", "."), (".", ",")])
def test_a_mark_that_training_decided_against_is_said_with_the_row_and_the_option(tmp_path, own, other) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 31)]
    path = tmp_path / "first.csv"
    path.write_text("ds;y\n" + "".join(f"{day};{100 + i}{own}{i % 7 + 1}\n" for i, day in enumerate(days)))
    first = load_panel(path)
    path.write_text("ds;y\n" + "".join(f"{day};1{other}{234 + i}\n" for i, day in enumerate(days)))
    said = f'row 2 of first.csv: "1\\{other}234" in column "y" is read as 1234, since "{own}" stands .*--decimal'
    with pytest.warns(DataWarning, match=said):
        again = load_panel(path, first.schema, fitting=False)
    assert again.series[0].values[0] == 1234
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_panel(TableFile(path, decimal=other), first.schema, fitting=False).series[0].values[0] == 1.234
        path.write_text(path.read_text().replace(f"1{other}", f"1{own}"))  # its own mark is what it was
        assert load_panel(path, first.schema, fitting=False).series[0].values[0] == 1.234
    with pytest.warns(DataWarning, match='the row: .* in column "y" is read as 1234'):
        assert cell_number(f"1{other}234", own, name="y") == 1234


@settings(max_examples=200, deadline=None)
@given(
    cell=st.one_of(
        st.from_regex(r"\A\s?[+-]?[0-9]{0,4}[.,]?[0-9]{0,4}([.,][0-9]{3})?([eE][+-]?[0-9]{1,3})?\s?\Z"),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.text(alphabet="0123456789.,+-eE '\u0661\u00a0_", max_size=8),
    ),
    decimal=st.sampled_from([None, ".", ","]),
)
def test_a_number_read_the_quick_way_is_that_of_a_column_of_one(cell, decimal) -> None:
    def read(alone):
        with warnings.catch_warnings(record=True) as said, pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("always")
            if not alone:
                patch.setattr(cells, "_usual_number", lambda *_: None)
            try:
                value = cells.number_of(cell, decimal)
            except ValueError:
                value = None
        return value, [str(one.message) for one in said]

    assert read(True) == read(False)
