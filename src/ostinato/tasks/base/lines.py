"""Sources that are no files: tables in memory, and lines as they come from stdin."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ostinato.errors import DataError


def is_path(source: Any) -> bool:
    """Tell whether a source is the path of a file."""
    return isinstance(source, (str, Path))


def is_table(source: Any) -> bool:
    """Tell whether a source is a file or a table, rather than lines or lists."""
    return is_path(source) or isinstance(source, Mapping) or hasattr(source, "columns")


def columns_of(lines: Iterable[Any], names: Sequence[str], of: str, also: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return lines as columns: JSON objects, or CSV with a header; or rows that are mappings already.

    Args:
        lines: as they come.
        names: the columns that each must have.
        of: what a line holds, in the plural.
        also: columns that are taken too if any line has them.

    Raises:
        DataError: there are no lines, or one is not like the first.
    """
    rows = (line for line in lines if not isinstance(line, str) or line.strip())
    head = next(rows, None)
    if head is None:
        raise DataError(f"there are no {of}; expected JSON objects, or CSV with a header: {', '.join(names)}")
    found: list[Mapping[str, Any]]
    try:
        if isinstance(head, Mapping):
            found = list(chain([head], rows))
        elif head.startswith("{"):
            found = [json.loads(line) for line in chain([head], rows)]
        else:
            found = list(csv.DictReader(chain([head], rows)))
    except ValueError as error:
        raise DataError(f"a line of the {of} is no JSON object ({error}), as the first is") from error
    for number, row in enumerate(found, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"row {number} of the {of} is no JSON object; expected one with {', '.join(names)}")
        absent = [name for name in names if row.get(name) is None]
        if absent:
            raise DataError(f'row {number} of the {of} has no "{absent[0]}"; expected {", ".join(names)}')
    there = [name for name in also if any(row.get(name) is not None for row in found)]
    return {name: [None if row.get(name) is None else str(row[name]) for row in found] for name in (*names, *there)}
