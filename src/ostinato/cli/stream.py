"""`ostinato stream DIR`: rows on stdin, answers on stdout, one a step."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.opened import add_extras, add_model, extras_of, open_model
from ostinato.cli.parsing import path
from ostinato.cli.show import as_line, stdin_lines
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.files import write_atomically
from ostinato.training.interrupts import HeldBack
from ostinato.words import counted, shortened, with_article

if TYPE_CHECKING:
    from ostinato.streaming import SoundStream, Stream

_EPILOG = """rows are JSON objects, one a line, or CSV with a header; which of them is seen from the first line.
Each answer is one line of JSON:
  {"row": 1, "time": [...], "forecast": {"load": [...]}, "quantiles": {"load": {"0.1": [...], ...}}}

examples:
  tail -n 24 load.csv | ostinato stream model --columns time,load
  some-sensor | ostinato stream model --cold
  some-sensor | ostinato stream model --state sensor.state      resumes where it ended
  arecord -f S16_LE -r 16000 -t raw | ostinato stream model --rate 16000      raw sound, 16-bit little-endian
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    verbs.add_parser(
        "stream",
        help="answer each row that comes in on stdin",
        description="Read one row at a time from stdin and answer each at once, in constant memory: with a forecast, a "
        "class, a score or whatever else the model predicts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        later=_add_arguments,
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_extras(parser, "stream")
    parser.add_argument("--columns", metavar="A,B,...", help="of tables: the names of CSV columns without a header")
    parser.add_argument("--delimiter", metavar="CHAR", help="of tables: between the cells of CSV rows (found)")
    parser.add_argument(
        "--state",
        type=path,
        metavar="FILE",
        help="resume where the stream ended that left this file; it is written again",
    )
    parser.add_argument("--skip-bad", action="store_true", help="report a bad row and go to the next, rather than stop")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer each row until there are no more."""
    model = open_model(arguments)
    columns = arguments.columns.split(",") if arguments.columns else None
    for flag in ("columns", "delimiter"):
        if getattr(arguments, flag) is not None and not model.about.tables:
            held = f"{arguments.model} holds {with_article(model.about.kind)}"
            raise UsageError(f"--{flag} is for rows of tables, and {held}; leave it out")
    stream = model.stream(**extras_of(model.about, "stream", arguments))
    if (listens := _listens(stream)) is not None:
        return _hear(listens, arguments.state)
    rows = _rows(stream, columns, _mark(arguments.delimiter))
    with _kept(stream, arguments.state) as undisturbed:
        for number, row in rows:
            with undisturbed():
                _answer(stream, number, row, skips=arguments.skip_bad)
    return 0


def _listens(stream: Stream) -> SoundStream | None:
    """Return a stream of sound; `None`: it takes rows."""
    from ostinato.streaming import SoundStream

    return stream if isinstance(stream, SoundStream) else None


def _hear(stream: SoundStream, file: Path | None) -> int:
    """Take raw sound on stdin, as it comes, and print what is heard in it.

    With a file for the state the sound goes on another time; without, its end is that of what was said.
    """
    with _kept(stream, file) as undisturbed:
        while packet := _read_packet(stream.packet):
            with undisturbed():
                _print_heard(stream, stream.push(packet))
        if file is None:
            _print_heard(stream, stream.finish())
    return 0


def _read_packet(size: int) -> bytes:
    """Return what is there of stdin, so many bytes at most; none at its end."""
    raw: Any = getattr(sys.stdin, "buffer", sys.stdin)
    packet: bytes = raw.read1(size)
    return packet


def _print_heard(stream: SoundStream, answer: Any) -> None:
    for line in stream.lines(answer):
        sys.stdout.write(as_line(line, json=True) + "\n")
        sys.stdout.flush()


def _answer(stream: Stream, number: int, row: Callable[[], Any], *, skips: bool) -> None:
    try:
        answer = stream.push(row())
    except ValueError as error:  # of JSON, or of a row that does not fit
        if not skips:
            raise StreamRowError(f"row {number} of stdin: {error}") from error
        print(f"ostinato: row {number} of stdin skipped: {error}", file=sys.stderr)
        return
    sys.stdout.write(as_line({"row": number, **stream.plain(answer)}, json=True) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _kept(stream: Stream, file: Path | None) -> Iterator[Callable[[], AbstractContextManager[object]]]:
    """Begin from the state in a file, if it is there, and write it again at the end, however it comes.

    What it yields is a context in which a signal waits: a row is answered and taken in, or neither.
    """
    if file is None:
        yield contextlib.nullcontext
        return
    if file.exists():
        try:
            stream.restore(file.read_bytes())
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from error
    write_atomically(file, stream.state())  # a folder that cannot be written is said before the first row
    try:
        yield HeldBack
    finally:
        with HeldBack():
            write_atomically(file, stream.state())


def _rows(stream: Stream, columns: list[str] | None, delimiter: str | None) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Yield the number of each row, and what reads it."""
    if columns is None and delimiter is None and stream.header is None:
        for number, line in enumerate(stdin_lines(), 1):
            yield number, partial(_parsed, line, takes_text=stream.takes_text)
        return
    yield from _named(columns, stream.header or (), delimiter, stream.bare)


def _parsed(line: str, *, takes_text: bool) -> Any:
    """Return a line as it stands, or what it is in JSON; a line of text may begin with a bracket too."""
    if not line.startswith(("{", "[")):
        return line
    try:
        found = json.loads(line)
    except ValueError:
        if takes_text:
            return line
        raise
    named = isinstance(found, dict) and ("text" in found or "source" in found)
    return line if takes_text and not named else found


def _mark(given: str | None) -> str | None:
    mark = "\t" if given in ("tab", "\\t") else given
    if mark is not None and (len(mark.encode()) != 1 or mark in '"\r\n'):
        raise UsageError(f'--delimiter is "{given}"; expected one character, such as a comma or tab')
    return mark


def _named(
    columns: list[str] | None, wanted: Sequence[str], delimiter: str | None, bare: Sequence[str] = ()
) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Yield the number and what reads the cells of each row, whose names a header has if `columns` has not.

    The delimiter is that of the first line where none is given; a first line of as many cells as `bare`, which names no
    column, is the first row.

    Raises:
        StreamRowError: the first line is neither a row nor a header, or no row comes below it.
    """
    from ostinato.data.delimited import cells_of_line

    number, header = 0, ""
    for line in stdin_lines():
        text = line.strip()
        if not text:
            continue
        if text.startswith("{"):
            number += 1
            yield number, partial(_object, text)
            continue
        if columns is None:
            header, delimiter = text, delimiter or _header_mark(text, wanted)
            columns = [cell.strip() for cell in cells_of_line(text, delimiter=delimiter)]
            if len(columns) != len(bare) or set(columns) & set(wanted):
                _check_header(header, columns, wanted)
                continue
            columns = list(bare)
        number += 1
        yield number, partial(_mapping, columns, text, delimiter)
    if header and not number:
        raise StreamRowError(
            f'stdin has one line, the header "{shortened(header, 40)}", and no row below it; give rows'
        )


def _header_mark(line: str, wanted: Sequence[str]) -> str | None:
    """Return the delimiter by which a header names most of the wanted columns, and has the most."""
    from ostinato.data.delimited import cells_of_line

    def named(mark: str) -> tuple[int, int]:
        cells = [cell.strip() for cell in cells_of_line(line, delimiter=mark)]
        return len(set(cells) & set(wanted)), len(cells)

    return max(",;\t|", key=named)


def _check_header(line: str, columns: list[str], wanted: Sequence[str]) -> None:
    if not set(columns) & set(wanted):
        raise StreamRowError(
            f'the first line of stdin, "{shortened(line, 40)}", is no row, and no header either: it names none of '
            f"{', '.join(wanted)}; begin with a header, say --columns {','.join(wanted)}, or give JSON objects"
        )


def _mapping(columns: list[str], text: str, delimiter: str | None) -> Mapping[str, Any]:
    from ostinato.data.delimited import cells_of_line

    try:
        cells = cells_of_line(text, len(columns), delimiter)
    except DataError as error:
        raise StreamRowError(str(error)) from error
    if len(cells) != len(columns):
        raise StreamRowError(f"it has {counted(len(cells), 'cells')}; expected {len(columns)}: {', '.join(columns)}")
    return dict(zip(columns, cells, strict=True))


def _object(text: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise StreamRowError(f"it is no JSON object ({error})") from error
    if not isinstance(values, dict):
        raise StreamRowError('it is no JSON object; expected one such as {"load": 3.5}')
    return values
