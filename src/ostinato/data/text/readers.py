"""Reading text from disk, a row at a time: lines, JSON lines, columns of CSV and TSV, parallel files.

Every reader takes a path, plain or `.gz`, and the keywords of `Decoding`; what it returns can be iterated as often as
wanted, and is read again each time. Blank lines (white space only) hold nothing and are skipped; a *record* whose text
is empty is kept, so that rows and predictions stay in step.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from ostinato.data.csv_rows import csv_rows
from ostinato.data.lines import Decoding, Rows, TextFile, is_blank
from ostinato.errors import ColumnError, DataError, UsageError
from ostinato.words import counted

_TABBED = (".tsv", ".tab")
_MARKS = (",", ";", "\t", "|")
_SAMPLE = 50  # rows that decide about the delimiter


def read_lines(path: str | Path, *, keep_blank: bool = False, **decoding: Unpack[Decoding]) -> Rows[str]:
    r"""Read a corpus of one sentence, or one paragraph, a line.

    Args:
        path: the file.
        keep_blank: whether blank lines are given too, as they stand.
        decoding: see `Decoding`.

    Returns:
        The lines without their ends; other white space stays.

    Raises:
        DataError: the file is not there, cut short or has a byte that cannot be decoded.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "corpus.txt"
    >>> _ = path.write_text("the cat\n\nsat down\n")
    >>> lines = read_lines(path)
    >>> list(lines), sum(len(line) for line in lines)
    (['the cat', 'sat down'], 15)
    """
    file = TextFile(path, decoding)

    def rows() -> Iterator[str]:
        for line in file.lines():
            if keep_blank or not is_blank(line):
                yield file.normalise(line.removesuffix("\n"))

    return Rows(rows)


def read_text(path: str | Path, **decoding: Unpack[Decoding]) -> str:
    r"""Read a file as one text, with every character in it; only `\r\n` becomes `\n`.

    The whole text is held in memory: for character models of a file that fits.

    Raises:
        DataError: as `read_lines`.
    """
    file = TextFile(path, decoding)
    return file.normalise("".join(file.lines()))


def read_json_lines(path: str | Path, keys: Sequence[str], **decoding: Unpack[Decoding]) -> Rows[tuple[str, ...]]:
    r"""Read values from a file of one JSON object a line.

    Args:
        path: the file.
        keys: what to take from each object: a key, or keys with dots between for one in an inner object
            (`"review.text"`); a number steps into a list.
        decoding: see `Decoding`; the normal form is that of the values, escapes resolved.

    Returns:
        A tuple of texts a line, one a key; a number is given as it is written, `true` and `false` likewise.

    Raises:
        DataError: a line is not a JSON object, has no such key, or has a null, a list or an object there.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> _ = path.write_text('{"review": {"text": "so good"}, "label": 1}\n')
    >>> list(read_json_lines(path, ("review.text", "label")))
    [('so good', '1')]
    """
    file, paths = TextFile(path, decoding), [str(key) for key in _non_empty(keys, "keys")]

    def rows() -> Iterator[tuple[str, ...]]:
        for number, line in enumerate(file.lines(), 1):
            if is_blank(line):
                continue
            where = f"line {number} of {file.name}"
            found = _parse(line, where)
            yield tuple(file.normalise(_value(found, key, where)) for key in paths)

    return Rows(rows)


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        # numbers stay as they are written: a label 1.0 is not the label 1
        found = json.loads(line.rstrip(), parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON ({error.msg} in place {error.colno}); expected one object") from error
    except RecursionError as error:
        raise DataError(f"{where} is nested too deeply to be read; expected one object with the texts in it") from error
    if not isinstance(found, dict):
        raise DataError(f"{where} holds a JSON {_kind(found)}; expected one object a line, such as {{...}}")
    return found


def _value(found: dict[str, Any], key: str, where: str) -> str:
    value: Any = found
    if key in found:  # a key that has a dot of its own
        value = found[key]
    else:
        for part in key.split("."):
            value = _inner(value, part, key, where)
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise DataError(f'{where}: "{key}" is a JSON {_kind(value)}; expected a text or a number')
    return value


def _inner(value: Any, part: str, key: str, where: str) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and part.isdecimal() and len(part) < 10 and int(part) < len(value):
        return value[int(part)]
    there = ", ".join(f'"{name}"' for name in list(value)[:12]) if isinstance(value, dict) else f"a {_kind(value)}"
    raise ColumnError(f'{where} has no "{key}": where "{part}" was looked for is {there or "nothing"}; mend the key')


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {dict: "object", list: "list", str: "text or number", bool: "boolean"}
    return kinds.get(type(value), "null")


def read_delimited(
    path: str | Path,
    columns: Sequence[str | int],
    *,
    header: bool = True,
    delimiter: str | None = None,
    quoted: bool = True,
    **decoding: Unpack[Decoding],
) -> Rows[tuple[str, ...]]:
    r"""Read columns of a CSV or TSV file.

    Args:
        path: the file.
        columns: which, by name, or by number counted from 0.
        header: whether the first row names the columns; without one they go by number.
        delimiter: between cells; `None`: a tab for `.tsv` and `.tab`; for others the one of comma, semicolon, tab and
            `|` by which the first rows have the columns that are asked for.
        quoted: whether a cell that begins with `"` is quoted (and may then hold delimiters and line ends). Pass
            `False` for files whose `"` are ordinary characters, as in many TSV corpora.
        decoding: see `Decoding`.

    Returns:
        A tuple of cells a row, in the order of `columns`.

    Raises:
        ColumnError: there is no such column, or two of that name.
        DataError: a row has more or fewer cells than the first, or a quote is not closed.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.tsv"
    >>> _ = path.write_text("a fine film\t1\nno\t0\n")
    >>> list(read_delimited(path, (0, 1), header=False))
    [('a fine film', '1'), ('no', '0')]
    """
    file, wanted = TextFile(path, decoding), _non_empty(columns, "columns")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(f"delimiter is {delimiter!r}; expected one character, such as a comma or a tab")

    def rows() -> Iterator[tuple[str, ...]]:
        mark = delimiter or _delimiter(file, wanted, header=header, quoted=quoted)
        cells = _cells(file, mark, quoted=quoted)
        width, places = 0, list[int]()
        for number, row in cells:
            if not width:
                width, places = len(row), [_place(file, row, column, header, mark) for column in wanted]
                if header:
                    continue
            if len(row) != width:
                raise DataError(
                    f"line {number} of {file.name} has {counted(len(row), 'cells')}; expected {width} as in its first "
                    f"row; mend that row, or pass another delimiter (delimiter=, or TableFile(path, delimiter=...) to "
                    f"a classifier), or take a double quote {'as an ordinary character' if quoted else 'as quoting'}: "
                    f"quoted={not quoted}, in TextClassifier unquoted={quoted}"
                )
            yield tuple(file.normalise(row[place]) for place in places)

    return Rows(rows)


def _cells(file: TextFile, delimiter: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Return the rows that are not blank, each with the number of the line it began on."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv_rows(file.lines(), delimiter, quoting=quoting, strict=True)
    first = 1
    try:
        for row in reader:
            if row and not (len(row) == 1 and row[0].isspace()):
                yield first, row
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"the row of {file.name} that begins on line {first} cannot be read ({error}); close the quote or double "
            'the " within the cell, or say that " is an ordinary character there: quoted=False in read_delimited, '
            "unquoted=True in TextClassifier (--unquoted)"
        ) from error


def _delimiter(file: TextFile, wanted: Sequence[str | int], *, header: bool, quoted: bool) -> str:
    suffixes = [suffix.lower() for suffix in file.path.suffixes]
    if any(suffix in _TABBED for suffix in suffixes):
        return "\t"
    usual = "," if ".csv" in suffixes or "\t" not in next(file.lines(), "") else "\t"
    marks = (usual, *(mark for mark in _MARKS if mark != usual))
    return next((mark for mark in marks if _parts_well(file, mark, wanted, header, quoted)), usual)


def _parts_well(file: TextFile, mark: str, wanted: Sequence[str | int], header: bool, quoted: bool) -> bool:
    """Tell whether the first rows, separated by this, have the columns that are asked for, and as many each."""
    try:
        rows = [row for _, row in itertools.islice(_cells(file, mark, quoted=quoted), _SAMPLE)]
        for column in wanted:
            _place(file, rows[0], column, header, mark)
    except (DataError, IndexError):
        return False
    return all(len(row) == len(rows[0]) for row in rows)


def _place(file: TextFile, row: list[str], column: str | int, header: bool, delimiter: str) -> int:
    if isinstance(column, int):
        if 0 <= column < len(row):
            return column
        raise ColumnError(
            f"{file.name} has {counted(len(row), 'columns')} by {delimiter!r}; there is no column {column} (from 0)"
        )
    names = [file.normalise(name).strip() for name in row]
    if header and names.count(column) == 1:
        return names.index(column)
    if not header:
        raise ColumnError(f'column "{column}" of {file.name} is named, but header=False; give its number, from 0')
    there = ", ".join(f'"{name}"' for name in names[:12])
    fault = "two columns" if column in names else "no column"
    raise ColumnError(f'{file.name} has {fault} "{column}"; by the delimiter {delimiter!r} its columns are {there}')


def read_parallel(
    source: str | Path, target: str | Path, *, keep_blank: bool = False, **decoding: Unpack[Decoding]
) -> Rows[tuple[str, str]]:
    r"""Read sentence pairs from two files, line by line.

    Args:
        source: one sentence a line.
        target: their translations, in the same lines.
        keep_blank: whether pairs with a blank side are given too.
        decoding: see `Decoding`; of both files.

    Returns:
        Pairs `(source, target)`.

    Raises:
        DataError: one file has more lines than the other, which shows only at the end; both numbers are named.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.en").write_text("a dog\ntwo\n"), (folder / "a.de").write_text("ein Hund\nzwei\n")
    >>> list(read_parallel(folder / "a.en", folder / "a.de"))
    [('a dog', 'ein Hund'), ('two', 'zwei')]
    """
    left, right = TextFile(source, decoding), TextFile(target, decoding)

    def rows() -> Iterator[tuple[str, str]]:
        ours, theirs = left.lines(), right.lines()
        for number, (a, b) in enumerate(itertools.zip_longest(ours, theirs)):
            if a is None or b is None:
                raise DataError(_out_of_step(left, right, number, a is None, ours if b is None else theirs))
            if keep_blank or not (is_blank(a) or is_blank(b)):
                yield left.normalise(a.removesuffix("\n")), right.normalise(b.removesuffix("\n"))

    return Rows(rows)


def _out_of_step(left: TextFile, right: TextFile, shorter: int, left_ended: bool, rest: Iterator[str]) -> str:
    longer = shorter + 1 + sum(1 for _ in rest)
    ours, theirs = (shorter, longer) if left_ended else (longer, shorter)
    return (
        f"{left.name} has {counted(ours, 'lines')} but {right.name} has {theirs}; "
        "expected the same number, each line the translation of the other's"
    )


def _non_empty(names: Sequence[Any], what: str) -> tuple[Any, ...]:
    if isinstance(names, str) or not names:
        raise UsageError(f'{what} is {names!r}; expected a sequence of at least one, such as ("text", "label")')
    for name in names:
        if isinstance(name, bool) or not isinstance(name, (str, int)):
            raise UsageError(f"{what} holds {name!r}; expected names or numbers")
    return tuple(names)
