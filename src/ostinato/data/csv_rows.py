"""Rows of CSV, whose cells may be of any length: a document, a base64 image, a list of numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any, Literal

_LARGEST = 2**31 - 1


def csv_rows(
    lines: Iterable[str], delimiter: str, *, strict: bool = False, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Any:
    """Return what reads lines as rows of cells; it counts lines as `line_num`.

    >>> len(next(csv_rows(["a," + "b" * 200_000], ","))[1])
    200000
    """
    take_any_length()
    return csv.reader(lines, delimiter=delimiter, strict=strict, quoting=quoting)


def take_any_length() -> None:
    """Let Python's `csv` read cells of more than 131,072 characters, which is a setting of the whole process."""
    if csv.field_size_limit() < _LARGEST:
        csv.field_size_limit(_LARGEST)
