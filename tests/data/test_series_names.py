"""The column that tells series apart is found where times come again, and only there."""

import warnings

import polars as pl
import pytest

from ostinato.data import Schema, load_panel, read_sequences
from ostinato.errors import ColumnError, DataError, DataWarning

DAYS = [f"2024-03-{day:02d}" for day in range(1, 11)]


def table(**columns) -> pl.DataFrame:
    return pl.DataFrame({"day": DAYS * 4, **columns, "sold": [float(each % 7) for each in range(40)]})


def each(*texts: str) -> list[str]:
    return [text for text in texts for _ in DAYS]


def load(frame: pl.DataFrame, **roles):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        panel = load_panel(frame, Schema(**roles))
    return panel, " ".join(str(one.message) for one in caught)


def test_a_column_of_text_that_tells_rows_of_one_time_apart_names_the_series() -> None:
    panel, said = load(table(shop=each("a", "b", "c", "d")))
    assert [series.id for series in panel.series] == ["a", "b", "c", "d"]
    assert panel.schema.series_id == "shop"
    assert "tells them apart: 4 series" in said


def test_columns_that_part_the_rows_alike_are_one() -> None:
    panel, _ = load(table(shop=each("a", "b", "c", "d"), town=each("A", "B", "C", "D")))
    assert panel.schema.series_id == "shop"


def test_nothing_is_guessed_where_times_do_not_come_again() -> None:
    frame = pl.DataFrame({"day": DAYS, "kind": ["x", "y"] * 5, "sold": [float(n % 4) for n in range(10)]})
    assert load(frame)[0].schema.series_id is None


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        ({"shop": each("a", "a", "b", "b"), "ware": each("x", "y", "x", "y")}, '"shop" and "ware" together tell'),
        ({"store": [1 + row // 10 for row in range(40)]}, r'pass series_id="store" \(--series-id\)'),
        ({"shop": each("a", "a", "b", "b")}, "name the column that tells series apart with series_id"),
        ({"shop": [*each("a", "b", "c", "d")[:-1], None]}, "name the column that tells series apart with series_id"),
    ],
)
def test_where_no_column_does_it_alone_the_message_names_what_could(columns, hint) -> None:
    with pytest.raises(DataError, match=f"already in row .*{hint}"):
        load(table(**columns))


def test_a_later_table_is_read_as_the_training_table_was() -> None:
    one = pl.DataFrame({"day": DAYS, "shop": ["a"] * 10, "sold": [float(n % 4) for n in range(10)]})
    trained, _ = load(one)
    with pytest.raises(DataError, match="already in row"):
        load_panel(table(shop=each("a", "b", "c", "d")), trained.schema, fitting=False)


def test_what_is_the_same_in_all_rows_of_each_series_is_no_target_and_that_is_said() -> None:
    frame = table(shop=each("a", "b", "c", "d"), staff=[*each(3.0, 5.0, 4.0, 9.0)[:-1], None])
    panel, said = load(frame)
    assert panel.target_columns == ("sold",)
    assert '"staff" of the data frame is the same in all rows of each series and is not forecast' in said
    assert load(frame, target=("sold", "staff"))[0].target_columns == ("sold", "staff")
    named = load(frame.rename({"shop": "unique_id"}))[0]
    assert named.target_columns == ("sold",)
    one = pl.DataFrame(
        {"day": DAYS, "unique_id": ["a"] * 10, "y1": [float(n) for n in range(10)], "y2": [2.0, 1.0] * 5}
    )
    assert load(one)[0].target_columns == ("y1", "y2")


def test_numbered_shops_are_named_where_one_of_them_opened_late() -> None:
    late = table(store=[1 + row // 10 for row in range(40)]).slice(0, 33)
    with pytest.raises(DataError, match=r'pass series_id="store"'):
        load(late)


def test_rows_of_sequences_without_an_id_say_which_option_names_it() -> None:
    with pytest.raises(ColumnError, match=r'no column "id".*series_id=... \(--series-id\): it has "recording", "x"'):
        read_sequences(pl.DataFrame({"recording": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]}), series_id="id")
