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

    Python's `csv` stops at a cell of 131,072 characters unless told otherwise, for the whole process: it is told here,
    and a limit that is higher is left as it is.

    >>> len(next(csv_rows(["a," + "b" * 200_000], ","))[1])
    200000
    """
    if csv.field_size_limit() < _LARGEST:
        csv.field_size_limit(_LARGEST)
    return csv.reader(lines, delimiter=delimiter, strict=strict, quoting=quoting)
