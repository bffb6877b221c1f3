"""Spreadsheets (`.xlsx .xls .xlsb .ods`): one sheet of a file."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ostinato.data.headers import has_header, names_of_columns
from ostinato.data.table import Table
from ostinato.errors import DataError, DataWarning, MissingExtra, UsageError

if TYPE_CHECKING:
    import polars as pl

SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_LEAST = 256 << 20
_RATIO = 200
_HEAD = 200
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
        DataError: the file cannot be read, or the sheet is empty.
        UsageError: there is no such sheet.
        MissingExtra: `fastexcel` or `pyarrow` is not installed.
    """
    try:
        import fastexcel
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401, which the errors of cells need
    except ImportError as error:
        raise MissingExtra(
            f"reading {name} needs fastexcel; install it: pip install 'ostinato[excel]', or save it as CSV"
        ) from error
    _refuse_bomb(name, content)
    try:
        book = fastexcel.read_excel(content)
        place = choose(name, book.sheet_names, sheet, "sheet")
        found, errors = book.load_sheet(place, header_row=None, dtypes="string").to_arrow_with_errors()
    except fastexcel.FastExcelError as error:
        reason = str(error).splitlines()[0] if str(error) else "it is no spreadsheet"
        raise DataError(f"{name} cannot be read ({reason}); it is damaged, or no spreadsheet: save it anew") from error
    return _as_table(name, found, errors, header)


def _as_table(name: str, found: Any, errors: Any, header: bool | None) -> Table:
    import polars as pl

    # the names are read as cells: as a header, two of one name would be renamed, and dates lost
    frame = pl.DataFrame([pl.from_arrow(found.column(place)) for place in range(found.num_columns)])
    for error in [] if errors is None else errors.errors:
        row, column = error.offset_position
        word = error.detail.partition("Error(")[2].partition(")")[0]
        if row < frame.height and column < frame.width:
            frame[row, column] = _ERRORS.get(word, f"#{word or 'ERROR'}")
    if not frame.height:
        return Table(name, frame, first_row=2, untyped=True)
    cells = [[own or "" for own in row] for row in frame.head(_HEAD).iter_rows()]
    if not has_header(name, cells[0], cells[1:], header):
        frame.columns = names_of_columns(frame.width)
        return Table(name, _without_false_days(frame), first_row=1, untyped=True)
    names = [_named(place, cell) for place, cell in enumerate(frame.row(0))]
    doubled = next((own for own in names if names.count(own) > 1), None)
    if doubled is not None:
        raise DataError(f'{name} has two columns named "{doubled}"; give each column its own name')
    frame = frame.rename(dict(zip(frame.columns, names, strict=True))).slice(1)
    return Table(name, _without_false_days(frame), first_row=2, untyped=True)


def _named(place: int, cell: str | None) -> str:
    """Return the name of a column; a date stands for its day."""
    return re.sub(r"^(\d{4}-\d{2}-\d{2}) 00:00:00$", r"\1", (cell or "").strip()) or f"__UNNAMED__{place}"


def _without_false_days(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a sheet with times of day, which its program counts from a day before 1900, without that day.

    Days beside them are without a time of day likewise, so that the two can be joined.
    """
    clocks = [own.name for own in frame if _all_match(own, r"^1899-12-3[01] \d{2}:\d{2}:\d{2}")]
    days = [own.name for own in frame if clocks and _all_match(own, r"^\d{4}-\d{2}-\d{2} 00:00:00$")]
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
    listed = ", ".join(f'"{own}"' for own in there[:12])
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
            raise DataError(f"{name} claims to unpack to {size:,} bytes, as no spreadsheet does; save it anew")
