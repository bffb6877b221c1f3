"""From the text of a file to its rows: quotes as people write them, blank lines, and rows short of cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.data.csv_rows import csv_rows
from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.words import counted

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 4


@dataclass(frozen=True)
class TextRows:
    """The rows of a text below its header.

    Args:
        frame: every cell a text, null where it is empty; its columns have no names yet.
        lines: the line, from 1, that each row begins in, `(rows,)`; `None`: they are one after the other.
        short: the rows that are short of cells, each its line, how many it has, and how many it should have.
    """

    frame: pl.DataFrame
    lines: NDArray[np.int64] | None
    short: tuple[tuple[int, int, int], ...] = ()

    def without_first(self) -> TextRows:
        """Return them without the first one."""
        lines = None if self.lines is None else self.lines[1:]
        return replace(self, frame=self.frame.slice(1), lines=lines, short=self.short)

    def without_last(self, count: int) -> TextRows:
        """Return them without so many of the last ones."""
        return replace(
            self,
            frame=self.frame.head(self.frame.height - count),
            lines=None if self.lines is None else self.lines[: len(self.lines) - count],
        )


def parse_rows(name: str, body: str, delimiter: str, width: int, *, least: int, header: bool, skipped: int) -> TextRows:
    r"""Return the rows of a text; blank lines are left out.

    Args:
        name: of the file, for a message.
        body: the text, whose lines end in `\n`, from its header on.
        delimiter: between the cells.
        width: how many columns the first row has.
        least: how many a row has at least that is not short of cells.
        header: whether the first row is one.
        skipped: lines of the file before the text.

    Raises:
        DataError: a quote is not closed, or a row has too many cells; its line is named.
    """
    rows = _quickly(name, body, delimiter, width, least=least, header=header, skipped=skipped)
    if rows is None:
        records = [(line, _without_extra(cells, width)) for line, cells in _records(name, body, delimiter, skipped)]
        short = _check_widths(name, records, width, least)
        rows = replace(_framed(records[1:] if header else records, width), short=short)
    return rows


def _quickly(
    name: str, body: str, delimiter: str, width: int, *, least: int, header: bool, skipped: int
) -> TextRows | None:
    """Return the rows by the library that is quick; `None` where a text is not one row a line, or is ragged."""
    import polars as pl

    if not _one_row_a_line(body, delimiter):
        return None
    start = body.find("\n") + 1 if header else 0
    below = body[start:] if start or not header else ""
    count = below.count("\n") + (not below.endswith("\n")) if below else 0
    schema = {f"{place}": pl.String() for place in range(width)}
    if not count:
        return TextRows(pl.DataFrame(schema=schema), None)
    try:
        frame = pl.read_csv(
            io.BytesIO(below.encode("utf-8", "replace")), separator=delimiter, has_header=False, schema=schema
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if frame.shape != (count, width):
        return None
    empty = frame.to_series(width - 1).is_null().arg_true().to_list()
    lines = below.split("\n") if empty else []
    first = skipped + 1 + int(header)
    found = [(row, _cells_of(lines[row], delimiter)) for row in empty]
    short = tuple((first + row, cells, least) for row, cells in found if 0 < cells < least)
    return replace(_without_blank(name, frame, [row for row, cells in found if not cells], count, first), short=short)


def _without_extra(cells: list[str], width: int) -> list[str]:
    """Return a row without empty cells beyond the width of the first one, as a delimiter at each line's end makes."""
    while len(cells) > width and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _without_blank(name: str, frame: pl.DataFrame, blank: list[int], count: int, first: int) -> TextRows:
    """Return a frame without the rows of blank lines; within a single column, they are missing values."""
    while blank and blank[-1] == count - 1:
        blank, count = blank[:-1], count - 1
    frame = frame.head(count)
    if not blank:
        return TextRows(frame, None)
    if frame.width == 1:
        note(f"{name} has blank lines, such as line {first + blank[0]}; each is taken as a missing value")
        return TextRows(frame, None)
    kept = np.setdiff1d(np.arange(count), blank)
    return TextRows(frame[kept], kept + first)


def _one_row_a_line(body: str, delimiter: str) -> bool:
    """Tell whether every line is a row by itself, its quotes around whole cells."""
    if '"' not in body:
        return True
    mark = re.escape(delimiter)
    cell = rf'(?:"[^"]*+(?:""[^"]*+)*+"|[^"{mark}]*+)'
    line = re.compile(rf"{cell}(?:{mark}{cell})*+")
    return all(line.fullmatch(each, 0, len(each) - each.endswith("\n")) for each in io.StringIO(body) if '"' in each)


def _cells_of(line: str, delimiter: str) -> int:
    """Return how many cells a line has; a blank one has none."""
    if delimiter not in line and not line.strip():
        return 0
    return re.sub('"[^"]*"', "", line).count(delimiter) + 1


def say_short(name: str, short: Sequence[tuple[int, int, int]]) -> None:
    """Say which rows, each a line with the cells it has and should have, are short of cells."""
    if not short:
        return
    shown = ", ".join(f"line {line} has {counted(count, 'cells')}" for line, count, _ in short[:_SHOWN])
    more = f" and {counted(len(short) - _SHOWN, 'more lines')}" if len(short) > _SHOWN else ""
    note(
        f"{name}: {shown}{more}, where {short[0][2]} are expected; what they lack is taken as missing: mend them "
        "if something is lost there"
    )


def _records(name: str, body: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each row, which may have quotes within and lines ends in its cells, with the line that it begins in.

    A quote that does not begin a cell is a character as any other (`5" pipe`).
    """
    reader = csv_rows(io.StringIO(body), delimiter, strict=True)
    first = 1
    try:
        for cells in reader:
            if cells:
                yield first + skipped, cells
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(_bad_quote(name, body, first, skipped, reader.line_num)) from error


def _bad_quote(name: str, body: str, first: int, skipped: int, last: int) -> str:
    lines = body.split("\n")
    line = lines[min(first, len(lines)) - 1]
    found = re.search(r'(?:^|[,;|\t])\s*("[^,;|\t]{0,40})', line)
    shown = found[1] if found else line[:40]
    to = f" to line {last + skipped}" if last > first else ""
    return (
        f"line {first + skipped}{to} of {name}: the quote that begins {shown} is not closed where a cell ends; write a "
        'quote within a quoted cell twice ("5"" pipe"), or leave out the quotes around it'
    )


def _check_widths(
    name: str, records: Sequence[tuple[int, list[str]]], width: int, least: int
) -> tuple[tuple[int, int, int], ...]:
    """Refuse rows with too many cells; return those that are short of them."""
    for line, cells in records:
        if len(cells) > width:
            raise DataError(
                f"row {line} of {name} has {counted(len(cells), 'cells')}; expected {width} as in its first row; mend "
                "that row, or say what separates the columns: TableFile(path, delimiter=...) (--delimiter)"
            )
    return tuple((line, len(cells), least) for line, cells in records if len(cells) < least)


def _framed(records: Sequence[tuple[int, list[str]]], width: int) -> TextRows:
    import polars as pl

    padded = [[*(cell or None for cell in cells), *[None] * (width - len(cells))] for _, cells in records]
    columns = list(zip(*padded, strict=True)) or [()] * width
    frame = pl.DataFrame([pl.Series(f"{place}", list(column), dtype=pl.String) for place, column in enumerate(columns)])
    return TextRows(frame, np.array([line for line, _ in records], np.int64))
