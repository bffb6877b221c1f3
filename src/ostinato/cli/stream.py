"""`ostinato stream DIR`: rows on stdin, forecasts on stdout, one a step."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ostinato.cli.parsing import path
from ostinato.cli.show import as_line, stdin_lines
from ostinato.errors import DataError, StreamRowError, UsageError

if TYPE_CHECKING:
    from ostinato.tasks.forecast import Forecast, Forecaster, ForecastStream

_EPILOG = """rows are JSON objects, one a line, or CSV with a header; which of them is seen from the first line.
Each answer is one line of JSON:
  {"row": 1, "time": [...], "forecast": {"load": [...]}, "quantiles": {"load": {"0.1": [...], ...}}}

examples:
  tail -n 24 load.csv | ostinato stream model --columns time,load
  some-sensor | ostinato stream model --cold
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "stream",
        help="answer each row that comes in on stdin",
        description="Take one row at a time on stdin and answer each with a forecast, or with what the model makes of "
        "it, at once and in constant memory.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=path, metavar="DIR", help="folder of the model")
    parser.add_argument("--series-id", metavar="NAME", help="which series it is, if the model has several")
    parser.add_argument("--cold", action="store_true", help="start from nothing, not from the end of the training data")
    parser.add_argument("--columns", metavar="A,B,...", help="the names of CSV columns, if the rows have no header")
    parser.add_argument("--delimiter", metavar="CHAR", help="between the cells of CSV rows (found from the first line)")
    parser.add_argument("--skip-bad", action="store_true", help="report a bad row and go on, rather than stop")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer each row until there are no more."""
    from ostinato.tasks.forecast import Forecaster
    from ostinato.tasks.loading import load

    model = load(arguments.model)
    return _forecasts(model, arguments) if isinstance(model, Forecaster) else _answers(model, arguments)


def _answers(model: Any, arguments: argparse.Namespace) -> int:
    """Push each line into the model's stream, and write what it answers, as JSON."""
    own = {"--series-id": arguments.series_id, "--cold": arguments.cold, "--columns": arguments.columns}
    own["--delimiter"] = arguments.delimiter
    for flag, given in own.items():
        if given:
            raise UsageError(f"{flag} is for forecasts, and {arguments.model} holds a {model.KIND}; leave it out")
    stream = model.stream()
    for number, line in enumerate(stdin_lines(), 1):
        try:
            answer = stream.push(_parsed(line, takes_text=getattr(stream, "takes_text", False)))
        except ValueError as error:  # of JSON, or of a row that does not fit
            if not arguments.skip_bad:
                raise StreamRowError(f"row {number} of stdin: {error}") from error
            print(f"ostinato: row {number} of stdin skipped: {error}", file=sys.stderr)
            continue
        sys.stdout.write(as_line({"row": number, **answer}, json=True) + "\n")
        sys.stdout.flush()
    return 0


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


def _forecasts(model: Forecaster, arguments: argparse.Namespace) -> int:
    stream = model.stream(arguments.series_id, warm=not arguments.cold)
    columns = arguments.columns.split(",") if arguments.columns else None
    for number, row in _rows(columns, model.fitted_.schema.used, _mark(arguments.delimiter)):
        try:
            answer = _answer(stream, number, row)
        except StreamRowError as error:
            if not arguments.skip_bad:
                raise StreamRowError(f"row {number} of stdin: {error}") from error
            print(f"ostinato: row {number} of stdin skipped: {error}", file=sys.stderr)
            continue
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    return 0


def _mark(given: str | None) -> str | None:
    mark = "\t" if given in ("tab", "\\t") else given
    if mark is not None and (len(mark.encode()) != 1 or mark in '"\r\n'):
        raise UsageError(f'--delimiter is "{given}"; expected one character, such as a comma or tab')
    return mark


def _rows(columns: list[str] | None, wanted: Sequence[str], delimiter: str | None = None) -> Iterator[tuple[int, Any]]:
    """Yield the number and the text, or the cells, of each row; its delimiter is that of the first line.

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
            yield number, text
            continue
        if columns is None:
            header, delimiter = text, delimiter or _header_mark(text, wanted)
            columns = [cell.strip() for cell in cells_of_line(text, delimiter=delimiter)]
            _check_header(header, columns, wanted)
            continue
        number += 1
        yield number, _Cells(columns, text, delimiter)
    if header and not number:
        raise StreamRowError(f'stdin has one line, the header "{_short(header)}", and no row below it; give rows')


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
            f'the first line of stdin, "{_short(line)}", is no row, and no header either: it names none of '
            f"{', '.join(wanted)}; begin with a header, say --columns {','.join(wanted)}, or give JSON objects"
        )


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


class _Cells:
    """A CSV row, not yet matched with its columns."""

    def __init__(self, columns: list[str], text: str, delimiter: str | None) -> None:
        self.columns, self.text, self.delimiter = columns, text, delimiter

    def mapping(self) -> Mapping[str, Any]:
        from ostinato.data.delimited import cells_of_line

        try:
            cells = cells_of_line(self.text, len(self.columns), self.delimiter)
        except DataError as error:
            raise StreamRowError(str(error)) from error
        if len(cells) != len(self.columns):
            raise StreamRowError(f"it has {len(cells)} cells; expected {len(self.columns)}: {', '.join(self.columns)}")
        return dict(zip(self.columns, cells, strict=True))


def _answer(stream: ForecastStream, number: int, row: Any) -> str:
    if isinstance(row, _Cells):
        return _as_json(number, stream.push(row.mapping()))
    try:
        values = json.loads(row)
    except ValueError as error:
        raise StreamRowError(f"it is no JSON object ({error})") from error
    future = values.pop("future", None) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise StreamRowError('it is no JSON object; expected one such as {"load": 3.5}')
    return _as_json(number, stream.push(values, future))


def _as_json(number: int, forecast: Forecast) -> str:
    from ostinato.data.panel import time_text

    point, quantiles = forecast.point[0], forecast.quantiles[0]
    answer: dict[str, Any] = {
        "row": number,
        "time": [time_text(time) for time in forecast.times[0]],
        "forecast": {name: point[:, i].tolist() for i, name in enumerate(forecast.targets)},
    }
    if forecast.levels:
        answer["quantiles"] = {
            name: {f"{level:g}": quantiles[:, i, j].tolist() for j, level in enumerate(forecast.levels)}
            for i, name in enumerate(forecast.targets)
        }
    return as_line(answer, json=True)
