"""A path with what is said of how its file is to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class TableFile(str):
    r"""A path together with how its file is to be read: goes wherever the path of a table goes.

    Args:
        path: the file.
        delimiter: between the columns of a text; `None`: found.
        decimal: the mark before decimals, `"."` or `","`, in cells that can be read two ways; `None`: found.
        missing: texts that mean a missing value, beside those that always do.
        sheet: of a spreadsheet or database: which sheet or table, by name or by number from 1; `None`: the first.
        header: whether the first row of a text file or spreadsheet names its columns; `None`: found.
        encoding: of the bytes of a text, such as `"cp1252"`; `None`: UTF-8, or for tables what is found.
        categorical: columns whose values are categories, such as codes of digits and letters.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "load.csv"
    >>> _ = path.write_text("Zeit;Last\n01.01.2024;1.234,5\n02.01.2024;kaputt\n")
    >>> from ostinato.data import read_table
    >>> table = read_table(TableFile(path, missing=["kaputt"]))
    >>> table.columns, table.rows
    (('Zeit', 'Last'), 2)
    """

    delimiter: str | None
    decimal: str | None
    missing: tuple[str, ...]
    sheet: str | int | None
    header: bool | None
    encoding: str | None
    categorical: tuple[str, ...]

    def __new__(
        cls,
        path: str | Path,
        *,
        delimiter: str | None = None,
        decimal: str | None = None,
        missing: str | Sequence[str] = (),
        sheet: str | int | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        categorical: str | Sequence[str] = (),
    ) -> TableFile:
        """Return the path with what is said of it."""
        made = super().__new__(cls, path)
        made.delimiter, made.decimal, made.sheet, made.header = delimiter, decimal, sheet, header
        made.encoding = encoding
        made.categorical = (categorical,) if isinstance(categorical, str) else tuple(categorical)
        made.missing = (missing,) if isinstance(missing, str) else tuple(missing)
        return made
