"""Numbers with a currency, per cent, or in parentheses."""

import re
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.data import TableFile
from ostinato.data.amounts import bare_amount, without_signs
from ostinato.data.cells import cell_number
from ostinato.data.load import load_panel
from ostinato.errors import DataError, DataWarning

WAYS = {
    "$": lambda value: f'"${value:,.2f}"' if value >= 0 else f'"-${-value:,.2f}"',
    "€": lambda value: f'"{value:.2f} €"',
    "£": lambda value: f'"£{value:,.2f}"' if value >= 0 else f'"(£{-value:,.2f})"',
    "%": lambda value: f"{value:.2f}%",
    "USD": lambda value: f'"USD {value:,.2f}"',
    "CHF": lambda value: f"{value:.2f} CHF",
    "R$": lambda value: f"R${value:.2f}" if value >= 0 else f"−R${-value:.2f}",
}
VALUES = [round(1234.5 * np.sin(place), 2) for place in range(30)]


@pytest.mark.parametrize("sign", WAYS)
def test_the_sign_that_all_numbers_have_is_left_out_and_said(tmp_path, sign):
    rows = [f"2023-01-{day:02d},{WAYS[sign](value)}" for day, value in enumerate(VALUES, 1)]
    (tmp_path / "a.csv").write_text("\n".join(["date,y", *rows]), encoding="utf-8")
    with pytest.warns(DataWarning, match=f'"{re.escape(sign)}", which every number in column "y" has'):
        panel = load_panel(tmp_path / "a.csv")
    assert panel.series[0].values[:, 0].tolist() == VALUES


def test_a_number_in_parentheses_is_negative(tmp_path):
    (tmp_path / "a.csv").write_text("y\n" + "\n".join(f"({i}.5)" if i % 2 else f"{i}" for i in range(20)))
    assert load_panel(tmp_path / "a.csv").series[0].values[:4, 0].tolist() == [0, -1.5, 2, -3.5]


@pytest.mark.parametrize("cells", [["$5", "€5"], ["5%", "5"], ["5%", "$5"]])
def test_two_kinds_of_numbers_are_refused(tmp_path, cells):
    (tmp_path / "a.csv").write_text("t,y\n" + "\n".join(f"{i},{cells[i % 2]}" for i in range(20)), encoding="utf-8")
    with pytest.raises(DataError, match="is not a number|no numeric column"):
        load_panel(tmp_path / "a.csv")


@given(
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.sampled_from(["$", "€", "£", "¥", "R$", "EUR", "SEK"]),
    st.booleans(),
)
def test_a_streamed_amount_is_that_of_the_column(value, sign, before):
    text = f"{sign}{value}" if before else f"{value} {sign}"
    column, found = without_signs(pl.Series([text]))
    assert found == sign
    assert float(column[0]) == value == cell_number(text) == float(bare_amount(text))


def test_per_cent_alone_may_be_a_share_and_is_no_number():
    with pytest.raises(ValueError, match='"5%" is no number'):
        cell_number("5%")


@pytest.mark.parametrize("cells", [["1.234", "999"], ["1,234", "999"], ["1.234 €", "2.345 €"], ["£1,234", "£7"]])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_mark_that_a_note_recommends_reads_the_column_the_other_way(tmp_path, cells, delimiter):
    path = tmp_path / "a.csv"
    path.write_text(
        f"t{delimiter}y\n" + "\n".join(f"{i}{delimiter}{cells[i % 2]}" for i in range(20)), encoding="utf-8"
    )
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        first = load_panel(path).series[0].values[0, -1]
    said = [found for one in notes if (found := re.search('decimal="(.)"', str(one.message)))]
    assert said or first == 1.234  # a point stands before decimals where nothing else is shown
    if said:
        other = load_panel(TableFile(path, decimal=said[0][1])).series[0].values[0, -1]
        assert {float(first), float(other)} == {1.234, 1234.0}
