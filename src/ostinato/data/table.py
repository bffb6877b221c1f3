"""A table as it was read, with what is needed to say where in it something is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ColumnError, DataError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Table:
    """Columns of equal length, in memory or, for a NumPy file, left on disk.

    Args:
        origin: what to call it in a message: the file's name, or "the data frame".
        frame: its columns; text columns of a text file are still text.
        matrix: in place of a frame: a two-dimensional array `(rows, columns)`, perhaps memory-mapped.
        names: the names of the matrix's columns.
        first_row: the number a person would give the first row of data: 2 for a file with a header.
        index: the columns that were the index of a data frame, which are no targets, with what they are for: `"time"`,
            `"series_id"` or nothing.
    """

    origin: str
    frame: pl.DataFrame | None = None
    matrix: NDArray[Any] | None = None
    names: tuple[str, ...] = ()
    first_row: int = 1
    index: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.frame.columns) if self.frame is not None else self.names

    @property
    def rows(self) -> int:
        """How many rows of data there are."""
        return self.frame.height if self.frame is not None else len(self.matrix if self.matrix is not None else ())

    def place(self, row: int) -> str:
        """Return how to name a row in a message, `row` counted from 0."""
        return f"row {row + self.first_row} of {self.origin}"

    def require(self, names: Iterable[str]) -> None:
        """Raise `ColumnError` for the first name that is no column, with what was likely meant."""
        for name in names:
            if name not in self.columns:
                raise ColumnError(f'{self.origin} has no column "{name}"; {self._hint(name)}')

    def _hint(self, name: str) -> str:
        if len(self.columns) == 1:
            only = self.columns[0]
            split = next((mark for mark in (";", "\t", "|", ",", ":", " ") if mark in only), None)
            if split is not None:
                return f'its only column is "{only}", so the delimiter is likely {split!r}: pass delimiter={split!r}'
        near = difflib.get_close_matches(name, self.columns, n=2)
        shown = near or self.columns[:12]
        words = "did you mean " if near else "it has "
        return words + ", ".join(f'"{column}"' for column in shown) + ("?" if near else "")


def is_text(table: Table, name: str) -> bool:
    """Tell whether a column holds text."""
    import polars as pl

    return table.frame is not None and table.frame[name].dtype in (pl.String, pl.Categorical, pl.Enum)


def is_numeric(table: Table, name: str, missing: tuple[str, ...]) -> bool:
    """Tell whether every value of a column is a number or missing, and one at least is a number."""
    import polars as pl

    if table.frame is None:
        return True
    column = table.frame[name]
    if not is_text(table, name):
        return column.dtype.is_numeric() or column.dtype == pl.Boolean
    texts = _without_missing(column, missing)
    return texts.count() > 0 and texts.cast(pl.Float64, strict=False).null_count() == texts.null_count()


def numbers(table: Table, name: str, missing: tuple[str, ...]) -> NDArray[np.float64]:
    """Return a column as floats, `(rows,)`, NaN where missing.

    Raises:
        DataError: a value is not a number, or is infinite; the message names its row.
    """
    import polars as pl

    if table.frame is None:
        assert table.matrix is not None
        values = np.asarray(table.matrix[:, table.names.index(name)], np.float64)
    else:
        column = table.frame[name]
        if is_text(table, name):
            column = _without_missing(column, missing)
        cast = column.cast(pl.Float64, strict=False)
        if cast.null_count() > column.null_count():
            row = int((cast.is_null() & column.is_not_null()).arg_max() or 0)
            raise DataError(
                f'{table.place(row)}: "{column[row]}" in column "{name}" is not a number; '
                "clean the file, or name it as a missing value (--missing)"
            )
        values = cast.to_numpy().astype(np.float64)
    check_finite(table, name, values)
    return values


def check_finite(table: Table, name: str, values: NDArray[Any], first: int = 0) -> None:
    """Raise `DataError` at the first infinite value of a column, `first` being the row that `values` starts at."""
    if np.isinf(values).any():
        row = first + int(np.isinf(values).argmax())
        raise DataError(
            f'{table.place(row)}: column "{name}" is infinite; expected a finite number, '
            "or an empty cell for a missing one"
        )


def texts(table: Table, name: str, missing: tuple[str, ...]) -> list[str | None]:
    """Return a column as texts, `None` where missing."""
    import polars as pl

    if table.frame is None:
        return [f"{value:g}" for value in numbers(table, name, missing)]
    column = table.frame[name].cast(pl.String)
    values: list[str | None] = _without_missing(column, missing).to_list()
    return values


def _without_missing(column: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    import polars as pl

    stripped = column.cast(pl.String).str.strip_chars()
    return stripped.set(stripped.is_in(list(missing)).fill_null(True), None)
