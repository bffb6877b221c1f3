"""Tables as JSON: one object a line, a list of objects, or one object of columns; and rows by name in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ostinato.data.delimited import decode
from ostinato.data.frames import alike, series_of_values
from ostinato.data.table import Table
from ostinato.errors import DataError


def parse_json(name: str, content: bytes) -> Table | dict[str, Any]:
    """Return JSON lines, or a list of objects, as a table; one object of columns as it is."""
    text = decode(name, content).strip("\ufeff \t\r\n")
    try:
        if text.startswith("["):
            return table_of_rows(name, json.loads(text))
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                rows.append(_object(name, number, line))
    except RecursionError as error:
        raise DataError(f"{name} is nested too deeply to be read; expected objects with one value a key") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"line {error.lineno} of {name} is not JSON ({error.msg} in place {error.colno}); expected a list of "
            "objects"
        ) from error
    if len(rows) == 1 and all(isinstance(row, list) for row in rows[0].values()):
        return rows[0]
    return table_of_rows(name, rows)


def _object(name: str, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} cannot be read as JSON: line {number} is not JSON ({error.msg}, character {error.colno}); "
            "expected one object a line; the file may be cut short"
        ) from error
    except ValueError as error:
        raise DataError(f"line {number} of {name} holds a number of thousands of digits; mend that line") from error
    if not isinstance(row, dict):
        raise DataError(
            f"line {number} of {name} holds a {type(row).__name__}; expected one object a line, such as {{...}}"
        )
    return row


def table_of_rows(name: str, rows: Sequence[Any]) -> Table:
    """Return rows by name as a table; what a row lacks is missing in it."""
    import polars as pl

    wrong = next((number for number, row in enumerate(rows, 1) if not isinstance(row, Mapping)), None)
    if wrong is not None:
        raise DataError(f"row {wrong} of {name} is a {type(rows[wrong - 1]).__name__}; expected an object by name")
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    if not columns:
        return Table(name, pl.DataFrame())
    values = {column: [row.get(column) for row in rows] for column in columns}
    frame = pl.DataFrame([series_of_values(column, value) for column, value in values.items()])
    return Table(name, frame, alike=alike(values))
