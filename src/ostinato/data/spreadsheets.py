"""Spreadsheets (`.xlsx .xls .xlsb .ods`): one sheet of a file."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ostinato.data.footers import rows_of_footer, say_below
from ostinato.data.header_rows import has_units, joined_names, rows_of_header, say_joined, say_units
from ostinato.data.headers import has_header, is_number, names_of_columns
from ostinato.data.notes import note
from ostinato.data.preambles import lines_above_header, say_above
from ostinato.data.sheet_process import Cells, broken, read_apart
from ostinato.data.table import Table
from ostinato.errors import DataError, DataWarning, MissingExtra, UsageError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_BINARY = (".xls", ".xlsb")
"""Of these, damaged ones are read in a process of their own; see `sheet_process.py`."""
_MOST = 50_000_000  # cells of a sheet, from its first to its last
_LEAST = 256 << 20
_RATIO = 200
_HEAD = 200
_SHEETS = 8  # that are looked at for a table
_LEAST_ROWS, _TEXTS, _FULL = 3, 12, 0.9
Reader: TypeAlias = Callable[[str, bytes, Callable[[Sequence[str]], int]], "Cells"]
_ERRORS = {
    "Div0": "#DIV/0!",
    "NA": "#N/A",
    "Name": "#NAME?",
    "Null": "#NULL!",
    "Num": "#NUM!",
    "Ref": "#REF!",
    "Value": "#VALUE!",
}


def read_spreadsheet(name: str, content: bytes, sheet: str | int | None, header: bool | None = None) -> Table:
    """Return a sheet whose first row names its columns; every cell a text, an error of the sheet among them.

    Args:
        name: of the file, for a message.
        content: of the file.
        sheet: its name, or its number from 1; `None`: the first one.
        header: whether its first row names the columns; `None`: found.

    Raises:
        DataError: the file cannot be read, or is far larger than its table.
        UsageError: there is no such sheet.
        MissingExtra: `fastexcel` or `pyarrow` is not installed.
    """
    try:
        import fastexcel  # noqa: F401
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401, which the errors of cells need
    except ImportError as error:
        raise MissingExtra(
            f"reading {name} needs fastexcel; install it: pip install 'ostinato[excel]', or save it as CSV"
        ) from error
    _refuse_bomb(name, content)
    read = read_apart if Path(name).suffix.lower() in _BINARY else _read_here
    if sheet is not None:
        return _as_table(name, read(name, content, lambda names: choose(name, names, sheet, "sheet")), header)
    return _as_table(name, _first_table(name, content, read), header)


def _first_table(name: str, content: bytes, read: Reader) -> Cells:
    """Return the first sheet that holds a table, and say which it is where there are several."""
    there: list[str] = []

    def at(place: int) -> Cells:
        def chosen(names: Sequence[str]) -> int:
            there[:] = names
            return choose(name, names, place + 1 if names else None, "sheet")

        return read(name, content, chosen)

    first = at(0)
    if len(there) < 2:
        return first
    place, found = 0, first
    if not _is_table(first, rows=_TEXTS):
        for other in range(1, min(len(there), _SHEETS)):
            cells = at(other)
            if _is_table(cells):
                place, found = other, cells
                break
    listed = ", ".join(f'"{each}"' for each in there[:12])
    which = f'the first, "{there[0]}", is read'
    if place:
        which = f'"{there[place]}" is read, since "{there[0]}" holds no table'
    note(f"{name} has {len(there)} sheets ({listed}); {which}: name another with TableFile(path, sheet=...) (--sheet)")
    return found


def _is_table(found: Cells, rows: int | None = None) -> bool:
    """Tell whether a sheet holds a table: a column of numbers, or so many full rows of texts."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(found.table))
    if not frame.height:
        return False
    frame, _ = _without_empty(frame, np.arange(frame.height))
    if frame.width < 1 or frame.height < _LEAST_ROWS:
        return False
    for column in frame:
        cells = [cell for cell in column.head(_HEAD).to_list() if cell and cell.strip()]
        numbers = sum(map(is_number, cells))
        if numbers >= max(_LEAST_ROWS - 1, 0.5 * len(cells)) and len(cells) >= 0.5 * min(frame.height, _HEAD):
            return True
    filled = 1 - sum(column.null_count() for column in frame) / (frame.width * frame.height)
    return rows is not None and frame.width > 1 and frame.height >= rows and filled > _FULL


def _read_here(name: str, content: bytes, chosen: Callable[[Sequence[str]], int]) -> Cells:
    """Return the cells of a sheet as `read_apart` does, but in this process, which is quicker."""
    import fastexcel
    import pyarrow

    try:
        book = fastexcel.read_excel(content)
        place = chosen(book.sheet_names)
        found, errors = book.load_sheet(place, header_row=None, skip_rows=0, dtypes="string").to_arrow_with_errors()
    except BaseException as error:
        if not isinstance(error, fastexcel.FastExcelError) and type(error).__name__ != "PanicException":
            raise
        raise broken(name, str(error)) from error
    names = [str(each) for each in range(found.num_columns)]
    table = pyarrow.Table.from_arrays([found.column(each) for each in range(len(names))], names)
    return Cells(table, [(*each.offset_position, each.detail) for each in ([] if errors is None else errors.errors)])


def _as_table(name: str, found: Cells, header: bool | None) -> Table:
    import polars as pl

    # the names are read as cells: as a header, two of one name would be renamed, and dates lost
    frame = pl.DataFrame(pl.from_arrow(found.table))
    for row, column, detail in found.errors:
        word = detail.partition("Error(")[2].partition(")")[0]
        if row < frame.height and column < frame.width:
            frame[row, column] = _ERRORS.get(word, f"#{word or 'ERROR'}")
    if not frame.height:
        return Table(name, frame, first_row=2, untyped=True)
    lines = np.arange(1, frame.height + 1)
    frame, lines = _without_empty(frame, lines)
    if not frame.height:
        return Table(name, frame, first_row=2, untyped=True)
    cells = [[each or "" for each in row] for row in frame.head(_HEAD).iter_rows()]
    if above := lines_above_header(cells) if header is None else 0:
        say_above(name, " ".join(cells[0]).strip(), int(lines[above]) - 1)
        frame, lines, cells = frame.slice(above), lines[above:], cells[above:]
        frame, lines = _without_empty(frame, lines)
        cells = [[each or "" for each in row] for row in frame.head(_HEAD).iter_rows()]
    if not has_header(name, cells[0], cells[1:], header):
        frame.columns = names_of_columns(frame.width)
        return Table(name, _without_false_days(frame), lines=lines, untyped=True)
    top, units = (1, False) if header is not None else (rows_of_header(cells), False)
    joined = joined_names(cells[:top]) if top > 1 else cells[0]
    if top > 1:
        say_joined(name, top, joined)
    names = [_named(place, cell) for place, cell in enumerate(joined)]
    if header is None and (units := has_units(names, cells[top:])):
        say_units(name, int(lines[top]), cells[top])
    doubled = next((each for each in names if names.count(each) > 1), None)
    if doubled is not None:
        raise DataError(f'{name} has two columns named "{doubled}"; give each column its own name')
    first, top = int(lines[0]), top + int(units)
    frame, lines = frame.rename(dict(zip(frame.columns, names, strict=True))).slice(top), lines[top:]
    if count := rows_of_footer(frame):
        kept = frame.height - count
        say_below(name, lines[kept:].tolist(), frame.to_series(0).tail(count).to_list())
        frame, lines = frame.head(kept), lines[:kept]
    return Table(name, _without_false_days(frame), first_row=first + 1, lines=lines, untyped=True)


def _without_empty(frame: pl.DataFrame, lines: NDArray[np.int64]) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Return a sheet without columns and rows of nothing, and the numbers of its rows."""
    import polars as pl

    blank = [column.cast(pl.String).str.strip_chars().replace("", None).is_null() for column in frame]
    kept = [place for place, each in enumerate(blank) if not each.all()]
    filled = np.flatnonzero(~np.all([blank[place].to_numpy() for place in kept], 0)) if kept else np.zeros(0, np.int64)
    if len(kept) == frame.width and len(filled) == frame.height:
        return frame, lines
    return frame.select(frame.columns[place] for place in kept)[filled], lines[filled]


def _named(place: int, cell: str | None) -> str:
    """Return the name of a column; a date stands for its day."""
    return re.sub(r"^(\d{4}-\d{2}-\d{2}) 00:00:00$", r"\1", (cell or "").strip()) or f"__UNNAMED__{place}"


def _without_false_days(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a sheet with times of day, which its program counts from a day before 1900, without that day.

    Days beside them are without a time of day likewise, so that the two can be joined.
    """
    clocks = [each.name for each in frame if _all_match(each, r"^1899-12-3[01] \d{2}:\d{2}:\d{2}")]
    days = [each.name for each in frame if clocks and _all_match(each, r"^\d{4}-\d{2}-\d{2} 00:00:00$")]
    return frame.with_columns(
        *[frame[name].str.slice(11) for name in clocks],
        *[frame[name].str.slice(0, 10) for name in days if name not in clocks],
    )


def _all_match(cells: pl.Series, pattern: str) -> bool:
    kept = cells.drop_nulls()
    return len(kept) > 0 and bool(kept.str.contains(pattern).all())


def choose(name: str, there: Sequence[str], wanted: str | int | None, what: str) -> int:
    """Return the place of a sheet or table; where there are several and none is asked for, say which is read."""
    if not there:
        raise DataError(f"{name} has no {what}s; expected one with a header and rows")
    listed = ", ".join(f'"{each}"' for each in there[:12])
    if wanted is None:
        if len(there) > 1:
            warnings.warn(
                f'{name} has {len(there)} {what}s ({listed}); the first, "{there[0]}", is read: name another with '
                "TableFile(path, sheet=...) (--sheet)",
                DataWarning,
                stacklevel=2,
            )
        return 0
    if wanted in there:
        return list(there).index(str(wanted))
    if str(wanted).isdecimal() and 1 <= int(wanted) <= len(there):
        return int(wanted) - 1
    raise UsageError(f'{name} has no {what} "{wanted}"; it has {listed}')


def _refuse_bomb(name: str, content: bytes) -> None:
    """Refuse a zipped spreadsheet that claims to be far larger than it is; others are not zipped."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as members:
        size = sum(info.file_size for info in members.infolist())
        if size > _LEAST + _RATIO * len(content):
            raise DataError(f"{name} claims to unpack to {size:,} bytes, as no spreadsheet does; save it again")
        for info in members.infolist():
            if re.fullmatch(r"xl/worksheets/[^/]+\.xml", info.filename):
                with contextlib.suppress(zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
                    _refuse_far_cell(name, members.read(info))


def _refuse_far_cell(name: str, sheet: bytes) -> None:
    """Refuse a sheet whose last cell is so far away that all those before it would fill the memory."""
    found = re.findall(rb'<c\b[^>]*?\br="([A-Z]{1,3})(\d{1,9})"', sheet)
    if not found:
        return
    columns, rows = ({each[place] for each in found} for place in (0, 1))
    width = max(_column_number(column) for column in columns)
    height = max(map(int, rows))
    if width * height > _MOST:
        raise DataError(
            f"{name} has a cell in row {height:,} and one in column {width:,}, so that {width * height:,} cells would "
            "be read; delete what lies behind the table"
        )


def _column_number(letters: bytes) -> int:
    """Return the number of a column, from 1, that a sheet names by letters."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number
