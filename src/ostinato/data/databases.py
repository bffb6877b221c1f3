"""SQLite and DuckDB databases: one table of a file; nothing but tables is read, and nothing in a file is run."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ostinato.data.frames import series_of_values
from ostinato.data.spreadsheets import choose
from ostinato.data.table import Table
from ostinato.errors import DataError, MissingExtra

DATABASES = (".sqlite", ".sqlite3", ".db", ".duckdb", ".ddb")
_DUCK = b"DUCK"  # from the ninth byte of such a file on


def read_database(path: Path, table: str | int | None) -> Table:
    """Return a table of a database, SQLite or DuckDB by the first bytes of its file.

    Args:
        path: the file.
        table: its name, or its number from 1; `None`: the first one.

    Raises:
        DataError: the file is no such database, or is damaged.
        UsageError: there is no such table.
        MissingExtra: the file is of DuckDB, which is not installed.
    """
    with path.open("rb") as file:
        duck = file.read(12)[8:] == _DUCK
    if duck:
        return _read_duckdb(path, table)
    if path.suffix.lower() in (".duckdb", ".ddb"):
        raise DataError(
            f"{path.name} cannot be read; it is damaged, or no DuckDB database: export the table as Parquet"
        )
    return _read_sqlite(path, table)


def _read_duckdb(path: Path, table: str | int | None) -> Table:
    import polars as pl

    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra(
            f"reading {path.name} needs duckdb; install it: pip install 'ostinato[duckdb]', or export the table as "
            "Parquet: COPY name TO 'name.parquet'"
        ) from error
    try:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
        }
        with duckdb.connect(str(path), read_only=True, config=settings) as base:
            query = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            names = sorted(base.execute(query).fetchall(), key=lambda each: (each[0] != "main", each))
            place = choose(path.name, [name[1] for name in names], table, "table")
            cursor = base.execute("SELECT * FROM " + ".".join(_quoted(name) for name in names[place]))
            columns = [str(each[0]) for each in cursor.description or ()]
            rows = cursor.fetchall()
    except (duckdb.Error, RuntimeError, OverflowError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or ["no reason is given"])[0].rstrip(".")[:200]
        raise DataError(
            f"{path.name} cannot be read ({reason}); it is damaged, in use, or of another version of DuckDB: export "
            "the table as Parquet"
        ) from error
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return Table(path.name, pl.DataFrame([series_of_values(*pair) for pair in zip(columns, cells, strict=True)]))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read_sqlite(path: Path, table: str | int | None) -> Table:
    import polars as pl

    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
            base.execute("PRAGMA trusted_schema = OFF")
            query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            names = [str(row[0]) for row in base.execute(query)]
            wanted = names[choose(path.name, names, table, "table")]
            cursor = base.execute(f"SELECT * FROM {_quoted(wanted)}")
            columns = [str(each[0]) for each in cursor.description]
            rows = cursor.fetchall()
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read ({error}); it is damaged, or no SQLite database") from error
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return Table(path.name, pl.DataFrame([series_of_values(*pair) for pair in zip(columns, cells, strict=True)]))
