"""Tables of databases are what they are in a frame; nothing but tables is read."""

import sys

import numpy as np
import pandas as pd
import pytest

from ostinato.data import Schema, TableFile, load_panel, read_table
from ostinato.errors import DataError, MissingExtra, UsageError


@pytest.fixture
def base(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as made:
        made.execute(
            "CREATE TABLE hours AS SELECT TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR AS ds, i % 7 + 0.5 AS y, "
            "i % 3 AS k, (i % 2 = 0) AS f FROM range(50) own(i)"
        )
        made.execute('CREATE TABLE "o""dd" AS SELECT 9007199254740993 AS a')
        made.execute("CREATE VIEW spy AS SELECT 1 AS a")
    return path


def test_a_table_of_duckdb_is_what_it_is_in_a_frame(base) -> None:
    hours = pd.date_range("2024-01-01", periods=50, freq="h")
    counts = np.arange(50)
    frame = pd.DataFrame({"ds": hours, "y": counts % 7 + 0.5, "k": counts % 3, "f": counts % 2 == 0})
    schema = Schema(target="y", past_covariates=("k", "f"))
    found, expected = load_panel(TableFile(base, sheet="hours"), schema), load_panel(frame, schema)
    assert found.frequency == expected.frequency
    assert found.series[0].start == expected.series[0].start
    assert np.array_equal(found.series[0].values, expected.series[0].values)
    assert read_table(TableFile(base, sheet='o"dd')).frame["a"].to_list() == [2**53 + 1]


def test_duckdb_is_known_by_its_bytes_and_views_are_no_tables(base) -> None:
    with pytest.raises(UsageError, match='has no table "spy"; it has "hours", "o"dd"'):
        read_table(TableFile(base.rename(base.with_suffix(".db")), sheet="spy"))


def test_without_duckdb_the_extra_is_named(base, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtra, match=r"a.duckdb needs duckdb; install it: pip install 'ostinato\[duckdb\]'"):
        read_table(base)


def test_a_file_that_is_no_database_is_refused(tmp_path, base) -> None:
    (tmp_path / "b.duckdb").write_bytes(b"y\n1\n2\n")
    with pytest.raises(DataError, match="b.duckdb cannot be read; it is damaged, or no DuckDB database"):
        read_table(tmp_path / "b.duckdb")
    base.write_bytes(base.read_bytes()[:5000])
    with pytest.raises(DataError, match="a.duckdb cannot be read .* it is damaged"):
        read_table(base)
