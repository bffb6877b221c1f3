"""A table as it was read, with what is needed to say where in it something is wrong."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.amounts import currency_behind, without_signs
from ostinato.data.cells import (
    as_flags,
    as_numbers,
    decimal_evidence,
    has_small_without_dots,
    is_ambiguous,
    listed,
    only_groups,
    plain,
)
from ostinato.data.notes import note
from ostinato.errors import ColumnError, DataError
from ostinato.words import verb

if TYPE_CHECKING:
    import polars as pl

_HEAD = 50
_FEW = 1_000_000  # rows of which what was read is kept, as it is asked for several times
# the largest number of float32, in which models compute
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """Columns of equal length, in memory or, for a NumPy file, left on disk.

    Args:
        origin: what to call it in a message: the file's name, or "the data frame".
        frame: its columns; text columns of a text file are still text.
        matrix: in place of a frame: a two-dimensional array `(rows, columns)`, perhaps memory-mapped.
        names: the names of the matrix's columns.
        first_row: the number a person would give the first row of data: 2 for a file with a header.
        lines: the numbers of all rows, `(rows,)`, where they are not one after the other.
        untyped: whether every column is text because its file knows nothing else.
        missing: further texts that mean a missing value.
        decimal: the decimal mark of text cells that can be read two ways, as asked for; `None`: found.
        custom: the mark where the table does not show it: of the table that a model was trained on.
        semicolons: whether these part the columns, as programs write that have the comma for decimals.
        index: the columns that were the index of a data frame, which are no targets, with what they are for: `"time"`,
            `"series_id"` or nothing.
        alike: columns of values of several kinds, two of which are one text: the first two such rows, from 0.
        categorical: columns whose values are categories, though they may be numbers.
        of_file: whether it was read from a file, of which more can be said in a `TableFile`.
    """

    origin: str
    frame: pl.DataFrame | None = None
    matrix: NDArray[Any] | None = None
    names: tuple[str, ...] = ()
    first_row: int = 1
    lines: NDArray[np.int64] | None = None
    untyped: bool = False
    missing: tuple[str, ...] = ()
    decimal: str | None = None
    custom: str | None = None
    semicolons: bool = False
    index: Mapping[str, str] = field(default_factory=dict)
    alike: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    categorical: tuple[str, ...] = ()
    of_file: bool = False

    @cached_property
    def evidence(self) -> str | None:
        """The decimal mark that the text columns show, `None` if none or both do."""
        columns = [] if self.frame is None else [self.frame[name] for name in self.columns if is_text(self, name)]
        shown = {decimal_evidence(without_signs(plain(column))[0]) for column in columns} - {None}
        return shown.pop() if len(shown) == 1 else None

    def mark(self, cells: pl.Series, written: pl.Series | None = None) -> str:
        """Return the decimal mark of a column's text cells, itself deciding first.

        Args:
            cells: without signs of currencies.
            written: as they are in the file.
        """
        known = decimal_evidence(cells) or self.decimal or self.evidence or self.custom
        if known or (self.semicolons and is_ambiguous(cells, ",")):
            return known or ","
        return "," if self.why_thousands(cells, written) else "."

    def why_thousands(self, cells: pl.Series, written: pl.Series | None = None) -> str:
        """Return why cells such as `1.234` are whole thousands, though nothing says so for sure; `""`: they are not."""
        if not cells.str.contains(".", literal=True).any() or not only_groups(cells):
            return ""
        if has_small_without_dots(cells):
            return "numbers below a thousand have no mark there"
        if self._dotted_day:
            return f"dates are written as {self._dotted_day}"
        sign = "" if written is None else currency_behind(plain(written))
        if sign:
            return f"{sign} stands behind the numbers"
        return f'those in column "{self._grouped}" do' if self._grouped else ""

    @cached_property
    def _dotted_day(self) -> str:
        """The first date of a column in which all are as 31.01.2024; empty without one."""
        for column in (self.frame[name] for name in self.columns if self.frame is not None and is_text(self, name)):
            head = plain(column.drop_nulls().head(_HEAD))
            if len(head) and head.str.contains(r"^\d{1,2}\.\d{1,2}\.(?:\d{4}|\d{2})(?:\s|$)").all():
                return str(head[0])[:10].strip()
        return ""

    @cached_property
    def _grouped(self) -> str:
        """The first column whose dots part thousands by the look of its cells; empty without one."""
        for name in self.columns if self.frame is not None else ():
            if is_text(self, name):
                cells = without_signs(plain(self.frame[name]))[0] if self.frame is not None else None
                if cells is not None and only_groups(cells) and has_small_without_dots(cells):
                    return name
        return ""

    @cached_property
    def thousands(self) -> set[str]:
        """The columns whose dots were taken to part thousands."""
        return set()

    @cached_property
    def said(self) -> set[str]:
        """The columns of which it was said already how they are read."""
        return set()

    @cached_property
    def known(self) -> dict[tuple[str, str, tuple[str, ...]], Any]:
        """What was found out about its columns already, which stay as they are."""
        return {}

    @cached_property
    def said_signs(self) -> set[tuple[str, str]]:
        """The columns and their signs of which it was said that they are left out."""
        return set()

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
        return f"row {self.number(row)} of {self.origin}"

    def number(self, row: int) -> int:
        """Return the number a person would give a row, `row` counted from 0."""
        return row + self.first_row if self.lines is None else int(self.lines[row])

    def require(self, names: Iterable[str]) -> None:
        """Raise `ColumnError` for the first name that is no column, with what was likely meant."""
        for name in names:
            if name not in self.columns:
                raise ColumnError(f'{self.origin} has no column "{name}"; {self._hint(name)}')

    def undivided(self) -> str | None:
        """Return what to do about a text file that was read as one column, but seems to have more; else `None`."""
        if len(self.columns) != 1 or not self.untyped:
            return None
        only = self.columns[0]
        split = next((mark for mark in (";", "\t", "|", ",", ":", " ") if mark in only.strip()), None)
        if split is None:
            return None
        if "  " in only.strip() and split == " ":
            return f'its only column is "{only}", split by runs of spaces: write one comma between columns'
        return (
            f'its only column is "{only}", so the delimiter is likely {split!r}: pass '
            f"TableFile(path, delimiter={split!r}) (--delimiter)"
        )

    def _hint(self, name: str) -> str:
        if (hint := self.undivided()) is not None:
            return hint
        near = difflib.get_close_matches(name, self.columns, n=2)
        shown = near or self.columns[:12]
        words = "did you mean " if near else "it has "
        more = len(self.columns) - len(shown)
        end = "?" if near else f" and {more} more" if more else ""
        return words + ", ".join(f'"{column}"' for column in shown) + end


def is_text(table: Table, name: str) -> bool:
    """Tell whether a column holds text."""
    import polars as pl

    return table.frame is not None and table.frame[name].dtype in (pl.String, pl.Categorical, pl.Enum)


def is_numeric(table: Table, name: str, missing: tuple[str, ...]) -> bool:
    """Tell whether every value of a column is a number, true or false, or missing, and one at least is not missing."""
    import polars as pl

    if table.frame is None:
        return True
    if name in table.categorical:
        return False
    column = table.frame[name]
    if not is_text(table, name):
        return column.dtype.is_numeric() or column.dtype == pl.Boolean
    key = ("is numeric", name, missing)
    if key not in table.known:  # asked for several times of each column
        written = _without_missing(table, column, missing)
        cells, _ = without_signs(written)
        table.known[key] = cells.count() > 0 and _parsed(table, cells, written).null_count() == cells.null_count()
    return bool(table.known[key])


def numbers(table: Table, name: str, missing: tuple[str, ...]) -> NDArray[np.float64]:
    """Return a column as floats, `(rows,)`, NaN where missing, 1 for true and 0 for false.

    Raises:
        DataError: a value is not a number, or is infinite; the message names its row.
    """
    key = ("numbers", name, missing)
    if key in table.known:
        return np.array(table.known[key])
    values = _read_numbers(table, name, missing)
    if table.frame is not None and len(values) <= _FEW:
        table.known[key] = values.copy()
    return values


def _read_numbers(table: Table, name: str, missing: tuple[str, ...]) -> NDArray[np.float64]:
    import polars as pl

    if table.frame is None:
        assert table.matrix is not None
        values = np.asarray(table.matrix[:, table.names.index(name)], np.float64)
    else:
        column = table.frame[name]
        if column.dtype.is_temporal():
            raise DataError(refused_times(table, name))
        if is_text(table, name):
            written = _without_missing(table, column, missing)
            column, sign = without_signs(written)
            cast = _parsed(table, column, written)
            _say_how_read(table, name, column, cast, written)
            _say_sign(table, name, sign)
        else:
            cast = column.cast(pl.Float64, strict=False)
        if cast.null_count() > column.null_count():
            row = int((cast.is_null() & column.is_not_null()).arg_max() or 0)
            raise DataError(
                f'{table.place(row)}: "{str(column[row])[:80]}" in column "{name}" is not a number; '
                f"{_mend([str(column[row])])}"
            )
        values = cast.to_numpy().astype(np.float64)
    values = _drop_marked(table, values, missing)
    check_finite(table, name, values)
    return values


def refused_times(table: Table, name: str) -> str:
    """Return why a column of times is neither a target nor a covariate, and what to do."""
    return (
        f'column "{name}" of {table.origin} holds times, not numbers; give a column computed from them, such as hours '
        "as a number, or leave it out"
    )


def _parsed(table: Table, cells: pl.Series, written: pl.Series) -> pl.Series:
    """Return text cells as floats, null where they are none."""
    flags = as_flags(cells)
    return flags if flags is not None else as_numbers(cells, table.mark(cells, written))


def _say_how_read(table: Table, name: str, cells: pl.Series, read: pl.Series, written: pl.Series) -> None:
    """Warn of a column whose cells can be read two ways, if nothing but custom decided."""
    if name in table.said or decimal_evidence(cells) or table.decimal or table.evidence:
        return
    reason = "" if table.custom else table.why_thousands(cells, written)
    if reason and table.mark(cells, written) == ",":
        marks: tuple[str, ...] = (".",)
        why = f": dots part thousands, since {reason}"
        table.thousands.add(name)
    elif table.custom:
        # a model's own decimal mark before three digits is what it was in training; the other one parts thousands
        marks = ("," if table.custom == "." else ".",)
        why = f', since "{table.custom}" stands before decimals in the data that the model was trained on'
    else:
        # a point stands before decimals, unless a file shows that its writer has commas there
        marks, why = (",", ".") if table.semicolons else (",",), ""
    mark = next((each for each in marks if is_ambiguous(cells, each)), None)
    if mark is None:
        return
    table.said.add(name)
    row = int(cells.str.contains(rf"^\s*[+-]?[1-9]\d{{0,2}}\{mark}\d{{3}}\s*$").fill_null(False).arg_max() or 0)
    other = "," if table.mark(cells, written) == "." else "."  # than the one by which it was read
    said = f'say which mark stands before decimals: TableFile(path, decimal="{other}") (--decimal "{other}")'
    note(
        f'{table.place(row)}: "{cells[row]}" in column "{name}" is read as {read[row]:.10g}{why}; if it is not, '
        + (said if table.of_file else "give numbers, not texts")
    )


def _say_sign(table: Table, name: str, sign: str) -> None:
    if sign and (name, sign) not in table.said_signs:
        table.said_signs.add((name, sign))
        note(f'{table.origin}: "{sign}", which every number in column "{name}" has, is left out: {sign} is its unit')


def _drop_marked(table: Table, values: NDArray[np.float64], missing: tuple[str, ...]) -> NDArray[np.float64]:
    """Return numbers with NaN in place of those that stand for a missing value, such as -999."""
    marks = [float(text) for text in (*missing, *table.missing) if _is_number(text)]
    return np.where(np.isin(values, marks), np.nan, values) if marks else values


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def stray_cells(table: Table, name: str, missing: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return the few cells of a text column of numbers that are none, with their rows; none where few are numbers."""
    if not is_text(table, name) or name in table.categorical:
        return []
    assert table.frame is not None
    written = _without_missing(table, table.frame[name], missing)
    cells, _ = without_signs(written)
    wrong = cells.is_not_null() & as_numbers(cells, table.mark(cells, written)).is_null()
    if 2 * wrong.sum() >= cells.count() or as_flags(cells) is not None:
        return []
    return [(table.number(row), str(cells[row])) for row in wrong.arg_true().to_list()]


def refuse_stray_cells(table: Table, name: str, missing: tuple[str, ...]) -> None:
    """Raise `DataError` for a column that is numeric but for a few cells; the message names them."""
    stray = stray_cells(table, name, missing)
    if stray:
        (row, text), others = stray[0], stray[1:]
        also = f", nor {verb(len(others), 'are')} {listed(others)}" if others else ""
        raise DataError(
            f'row {row} of {table.origin}: "{text[:80]}" in column "{name}" is not a number{also}, but its other cells '
            f"are; {_mend([text for _, text in stray])}, or as categories all of them, if they are codes: "
            f"{_as_categories(table, name)}"
        )


def _as_categories(table: Table, name: str) -> str:
    """Return what says that the values of a column are categories."""
    if not table.of_file:
        return 'a column of type "category"'
    shown = name if len(name) < 80 else "..."
    given = json.dumps(shown, ensure_ascii=False)
    return f"TableFile(path, categorical=[{given}]) (--categorical {shlex.quote(shown)})"


def _mend(cells: list[str]) -> str:
    marks = list(dict.fromkeys(cells))[:4]
    given = ", ".join(json.dumps(mark, ensure_ascii=False) for mark in marks)
    options = " ".join(as_option(mark) for mark in marks)
    return f"mend the file, or take such cells as missing: missing=[{given}] ({options})"


def as_option(mark: str) -> str:
    """Return how a text that means a missing value is typed on the command line, where a comma parts two of them."""
    quoted = re.search(r"^\"|(?<!\d),|,(?!\d)|^--$", mark)
    text = shlex.quote('"' + mark.replace('"', '""') + '"' if quoted else mark)
    return f"--missing{'=' if mark.startswith('-') else ' '}{text}"


def too_large(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where values are infinite, or too large for float32; of integers, nowhere."""
    if values.dtype.kind != "f":
        return np.zeros(values.shape, np.bool_)
    return np.isinf(values) if values.dtype.itemsize < 4 else np.asarray(np.abs(values) > LARGEST)


def check_finite(table: Table, name: str, values: NDArray[Any], first: int = 0) -> None:
    """Raise `DataError` at the first infinite value, or one too large to compute with, of a column.

    `first` is the row that `values` starts at.
    """
    wrong = too_large(values)
    if not wrong.any():
        return
    row = int(wrong.argmax())
    if np.isinf(values[row]):
        raise DataError(
            f'{table.place(first + row)}: column "{name}" is infinite; expected a finite number, '
            "or an empty cell for a missing one"
        )
    raise DataError(
        f'{table.place(first + row)}: {values[row]:g} in column "{name}" is too large for float32; scale the column'
    )


def texts(table: Table, name: str, missing: tuple[str, ...]) -> list[str | None]:
    """Return a column as texts, `None` where missing; each number as it is written in full."""
    if table.frame is None:
        assert table.matrix is not None
        column = table.matrix[:, table.names.index(name)]
        return [None if value != value else str(value) for value in column.tolist()]
    cells = _as_texts(table.frame[name])
    values: list[str | None] = _without_missing(table, cells, missing).to_list()
    return values


def _as_texts(column: pl.Series) -> pl.Series:
    """Return a column as texts: NaN is missing, true is "True" as in a file that Python wrote."""
    import polars as pl

    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype == pl.Duration:
        return pl.Series(column.name, [None if each is None else str(each) for each in column.to_list()], pl.String)
    if column.dtype == pl.Boolean:
        return column.replace_strict({True: "True", False: "False"}, default=None, return_dtype=pl.String)
    return column.cast(pl.String)


def _without_missing(table: Table, column: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    import polars as pl

    stripped = column.cast(pl.String).str.strip_chars()
    return stripped.set(stripped.is_in(["", *missing, *table.missing]).fill_null(True), None)
