"""Text files of columns as programs and people write them: CSV of any dialect, TSV, with or without a preamble."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.aligned import MARK, is_aligned, with_marks
from ostinato.data.cells import looks_like_number
from ostinato.data.csv_rows import csv_rows
from ostinato.data.encodings import codec_of
from ostinato.data.footers import rows_of_footer, say_below
from ostinato.data.header_rows import has_units, joined_names, rows_of_header, say_joined, say_units
from ostinato.data.headers import has_header, is_number, names_of_columns
from ostinato.data.preambles import lines_above_header, say_above
from ostinato.data.table import Table
from ostinato.data.text_rows import TextRows, parse_rows, say_short
from ostinato.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

_DELIMITERS = ",;\t|"
_TOP = 60  # rows that decide about those of the header
_SAMPLE = 2000  # rows that decide about the delimiter
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class _Layout:
    """How a text lies: what stands before its header, and what parts its columns."""

    skipped: int  # lines before the header
    delimiter: str
    header: tuple[str, ...]
    has_header: bool
    has_units: bool = False  # in the row below it


def parse_delimited(
    name: str, content: bytes, delimiter: str | None, header: bool | None = None, encoding: str | None = None
) -> Table:
    """Return the table of a text file; every cell a text.

    Args:
        name: of the file, for a message.
        content: of the file.
        delimiter: between columns; `None`: by a line `sep=;` at its top, or found.
        header: whether its first row names the columns; `None`: found.
        encoding: of its bytes; `None`: UTF-8, UTF-16 or UTF-32 by their mark, or else cp1252.

    Raises:
        DataError: it is empty, damaged, or its rows do not fit its header.
        UsageError: the delimiter is not one character, or the encoding is not known.
    """
    if delimiter is not None and (len(delimiter.encode()) != 1 or delimiter in '"\r\n'):
        raise UsageError(f"delimiter is {delimiter!r}; expected one character, such as a comma or a tab")
    text = _one_line_end(name, decode(name, content, encoding))
    layout = _layout(name, text, delimiter, header)
    if layout.delimiter == MARK:
        text = with_marks(text, list(itertools.islice(_lines_from(text, layout.skipped), _SAMPLE)), layout.skipped)
    body = text.split("\n", layout.skipped)[layout.skipped] if layout.skipped else text
    first = layout.skipped + (2 if layout.has_header else 1)
    rows = _parsed(name, body, layout)
    if layout.has_units:
        rows, first = rows.without_first(), first + 1
    rows = _without_footer(name, rows, first)
    semicolons = layout.delimiter == ";"
    return Table(name, rows.frame, first_row=first, lines=rows.lines, semicolons=semicolons, untyped=True)


def _without_footer(name: str, rows: TextRows, first: int) -> TextRows:
    """Return the rows without notes and sums below them, and say so; say which of the others are short of cells."""
    count = rows_of_footer(rows.frame)
    kept = rows.frame.height - count
    if count:
        lines = (rows.lines if rows.lines is not None else np.arange(first, first + rows.frame.height))[kept:].tolist()
        say_below(name, lines, rows.frame.to_series(0).tail(count).to_list())
        rows = replace(rows.without_last(count), short=tuple(each for each in rows.short if each[0] not in lines))
    say_short(name, rows.short)
    return rows


def decode(name: str, content: bytes, encoding: str | None = None) -> str:
    """Return the text of a file: as is said, else by its byte order mark, else as UTF-8, else as cp1252.

    Raises:
        DataError: it holds zero bytes, or what its mark does not announce.
    """
    if encoding is not None:
        return _decoded(name, content, encoding)
    mark, encoding = next(((mark, value) for mark, value in _MARKS if content.startswith(mark)), (b"", ""))
    try:
        text = content[len(mark) :].decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(
                f"{name} begins as {encoding.upper()}, but its byte {error.start + 1:,} is not; it is cut short or "
                "damaged: save it again, best as UTF-8"
            ) from error
        text = content.decode("cp1252", "replace") if b"\0" not in content else _without_mark(name, content)
    if "\0" in text:
        text = _without_mark(name, content) if not mark else text
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise DataError(f"line {line} of {name} holds a zero byte; it is damaged, or no text file: save it again")
    return text


def _decoded(name: str, content: bytes, encoding: str) -> str:
    """Return the text of a file in an encoding that was said."""
    codec = codec_of(encoding)
    try:
        return codec.decode(content)[0].removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} of {name}: the byte 0x{content[error.start]:02x} is not {encoding}; say another encoding "
            "(--encoding), or leave it out to have it found"
        ) from error


def _without_mark(name: str, content: bytes) -> str:
    """Return what is UTF-16 without a mark: every other byte of plain text is zero."""
    head = content[:4096]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[first::2].count(0)
        if zeros > 0.7 * len(head) / 2 and head[1 - first :: 2].count(0) == 0 and len(content) % 2 == 0:
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                break
    line = content.count(b"\n", 0, content.index(b"\0")) + 1
    raise DataError(f"line {line} of {name} holds a zero byte; it is damaged, or no text file: save it again")


def _one_line_end(name: str, text: str) -> str:
    r"""Return a text whose lines end in `\n`, having ended in it, in `\r\n`, or as on old Macs in `\r`."""
    if "\r" not in text:
        return text
    text = re.sub("\r+\n", "\n", text)
    if "\r" not in text:
        return text
    if "\n" in (bare := re.sub(r'"[^"]*"', lambda found: " " * len(found[0]), text)) and "\r" in bare:
        line = bare.count("\n", 0, bare.index("\r")) + 1
        raise DataError(
            f"line {line} of {name} has a carriage return within it, though its lines end otherwise; it is damaged: "
            "save it again with one kind of line end"
        )
    return text.replace("\r", "\n")


def _layout(name: str, text: str, delimiter: str | None, said_header: bool | None) -> _Layout:
    skipped, said, commented = 0, None, None
    lines = _lines(text)
    head = ""
    for head in lines:
        bare = head.strip("\ufeff \t")
        if bare.lower().startswith("sep=") and said is None and len(bare) <= 5:
            said = bare[4:] or "\t"
        elif bare.startswith("#"):
            commented = (skipped, bare)
        elif bare:
            break
        skipped += 1
    else:
        if commented is None or said is not None:
            raise DataError(f"{name} is empty; expected a table with a header and rows")
        skipped, head, commented = 0, commented[1], None
    sample = list(itertools.islice(_lines_from(text, skipped), _SAMPLE))
    mark = delimiter or said or sniff(sample)
    if delimiter is None and said is None and is_aligned(sample) and not _judge(sample, mark)[0]:
        return _aligned_layout(name, skipped, sample, said_header)
    if above := lines_above_header([_cells(line, mark) for line in sample]) if said_header is None else 0:
        say_above(name, head.strip(), skipped + above)
        skipped, sample, commented = skipped + above, sample[above:], None
        head = sample[0]
    header = _cells(head if '"' not in head else "\n".join(sample), mark)
    if commented is not None and _is_header(_cells(commented[1].lstrip("# \t"), mark), header):
        skipped, header = commented[0], _cells(commented[1], mark)
    named = has_header(name, header, _rows(sample[1:], mark), said_header)
    if not named or said_header is not None:
        return _Layout(skipped, mark, tuple(header), named)
    rows = [_cells(line, mark) for line in sample[:_TOP]]
    if (count := rows_of_header(rows)) > 1:
        header, rows, skipped = joined_names(rows[:count]), rows[count - 1 :], skipped + count - 1
        say_joined(name, count, header)
    units = has_units(header, rows[1:])
    if units:
        say_units(name, skipped + 2, rows[1])
    return _Layout(skipped, mark, tuple(header), named, units)


def _aligned_layout(name: str, skipped: int, sample: list[str], said_header: bool | None) -> _Layout:
    """Return how a text lies whose columns stand apart by spaces."""
    rows = [line.split(MARK) for line in with_marks("\n".join(sample), sample, 0).split("\n") if line.strip()]
    return _Layout(skipped, MARK, tuple(rows[0]), has_header(name, rows[0], rows[1:], said_header))


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        yield text[start:stop]
        start = stop + 1


def _lines_from(text: str, skipped: int) -> Iterator[str]:
    return itertools.islice(_lines(text), skipped, None)


def _cells(lines: str, delimiter: str) -> list[str]:
    return next(iter(_rows(lines.split("\n"), delimiter)), [])


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
    """Return lines as rows of cells; up to a quote that is not closed, or a cell without end."""
    found = []
    try:
        for row in csv_rows([line + "\n" for line in lines], delimiter):
            if row:
                found.append(row)
    except csv.Error:
        pass
    return found


def _is_header(comment: list[str], first: list[str]) -> bool:
    """Tell whether a commented line names the columns of the row below it."""
    return len(comment) == len(first) > 1 and any(is_number(cell) for cell in first)


def cells_of_line(line: str, width: int | None = None, delimiter: str | None = None) -> list[str]:
    """Return the cells of one line that came by itself.

    Args:
        line: the line.
        width: how many cells are expected; the delimiter is one that gives as many, and best without others in them.
        delimiter: between them; `None`: found.

    Raises:
        DataError: a quote is not closed.

    >>> cells_of_line("2024-01-31;3,5", 2), cells_of_line("2024-01-31,3.5", 2)
    (['2024-01-31', '3,5'], ['2024-01-31', '3.5'])
    """
    marks = [delimiter] if delimiter is not None else list(_DELIMITERS)
    try:
        found: dict[str, list[str]] = {mark: next(csv_rows([line], mark, strict=True), []) for mark in marks}
    except csv.Error as error:
        raise DataError(f'"{line[:40]}" has a quote that is not closed where a cell ends; write it twice') from error
    fitting = [mark for mark in marks if len(found[mark]) == width]
    return found[max(fitting, key=lambda mark: _clean(found[mark], mark)) if fitting else marks[0]]


def sniff(lines: list[str]) -> str:
    """Return the delimiter of some lines.

    The one that gives all rows the same number of columns, two or more; of several, the one whose cells are the
    cleanest: numbers, dates and texts without another delimiter in them.
    """
    filled = [line for line in lines if line.strip()]
    judged = {mark: _judge(filled, mark) for mark in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda mark: judged[mark])
    if judged[best][0] < 1 and best not in filled[0] and all(map(looks_like_number, filled[1:])):
        return "\x1f"  # one column, of numbers with a decimal comma
    return best if judged[best][0] else max(_DELIMITERS, key=filled[0].count)


def _judge(lines: list[str], mark: str) -> tuple[float, float, int]:
    """Return how well a delimiter fits: the share of rows of the usual width, of clean cells, and that width."""
    rows = _rows(lines, mark)
    if not rows:
        return (0.0, 0.0, 0)
    width, count = Counter(map(len, rows)).most_common(1)[0]
    if width < 2:
        return (0.0, 0.0, 0)
    cells = [cell for row in rows[1:200] if len(row) == width for cell in row] or rows[0]
    # a title or a note below the table does not make another delimiter the better one
    share = 1.0 if count == len(rows) else count / len(rows) / 2
    return (share, _clean(cells, mark), width)


def _clean(cells: list[str], mark: str) -> float:
    """Return the share of cells that are numbers, or have no other delimiter in them."""
    others = [other for other in _DELIMITERS if other != mark]
    return sum(is_number(cell) or not any(other in cell for other in others) for cell in cells) / len(cells)


def _parsed(name: str, body: str, layout: _Layout) -> TextRows:
    names = [cell.strip().lstrip("\ufeff") for cell in layout.header]
    if layout.has_header and names and layout.skipped and names[0].startswith("#"):
        names[0] = names[0].lstrip("# \t")
    width = len(names)
    if layout.has_header:
        # without the names that a delimiter at the end of the header makes, a row may lack that cell too
        width = max((place for place, value in enumerate(names, 1) if value), default=width)
    rows = parse_rows(
        name, body, layout.delimiter, len(names), least=width, header=layout.has_header, skipped=layout.skipped
    )
    return replace(rows, frame=_named(name, rows.frame, names if layout.has_header else names_of_columns(len(names))))


def _named(name: str, frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Return a frame with its header's names; columns of nothing, as a delimiter at each line's end makes, left out."""
    kept = [
        place
        for place, value in enumerate(names)
        if value or frame.to_series(place).null_count() < max(frame.height, 1)
    ]
    doubled = next((value for value, count in Counter(names[place] for place in kept).items() if count > 1), None)
    if doubled is not None:
        raise DataError(f'{name} has two columns named "{doubled}"; give each column its own name')
    return frame.select(frame.to_series(place).alias(names[place]) for place in kept)
