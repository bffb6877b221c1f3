"""`ostinato predict DIR [FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ostinato.cli.opened import add_extras, add_model, extras_of, open_model, path_or_paths
from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
from ostinato.cli.show import as_line, stdin_lines
from ostinato.errors import UsageError
from ostinato.tasks.base.about import About
from ostinato.words import with_article

if TYPE_CHECKING:
    import polars as pl

_EPILOG = """examples:
  ostinato predict model                              the steps after the end of the training data
  ostinato predict model newer.csv                    the steps after the end of newer.csv
  ostinato predict model --future plan.csv            with the coming values of the known covariates
  ostinato predict model --json | jq .forecast
  ostinato predict model newer.csv --out answers.parquet
  echo "a fine film" | ostinato predict sentiment
  ostinato predict words a.wav b.wav                  sounds
"""
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
_OTHERS = (".json", ".xlsx", ".xls", ".ods", ".feather", ".arrow", ".npy", ".npz", ".gz", ".zip", ".db", ".sqlite")


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    verbs.add_parser(
        "predict",
        help="forecast, classify, tag or translate with a fitted model",
        description="Forecast the steps after the end of a file, or of the data that the model was trained on; or "
        "answer each line of a file, or of stdin, with the model's prediction.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        later=_add_arguments,
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "file", type=file, nargs="*", default=[], metavar="FILE", help="what to answer; else what comes on stdin"
    )
    add_extras(parser, "predict")
    parser.add_argument(
        "--out", type=path, metavar="FILE", help="write here: .csv, .tsv, .jsonl or .parquet, else lines"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, answer, write."""
    model = open_model(arguments)
    extras = extras_of(model.about, "predict", arguments)
    table = model.about.answers == "table"
    suffix = arguments.out.suffix.lower() if arguments.out else ""
    if (table and suffix not in ("", *_TABLES)) or suffix in _OTHERS:
        raise UsageError(f'--out has the ending "{suffix}"; expected {", ".join(_TABLES[:-1])} or {_TABLES[-1]}')
    source = _source(model.about, arguments)
    answers = model.answers(source, **extras)
    if arguments.out and (table or suffix in (".csv", ".tsv", ".parquet")):
        _write(arguments.out, _as_table(answers, suffix or ".csv"))
    elif table:
        sys.stdout.write(_as_table(answers, ".jsonl" if arguments.json else ".csv").decode())
    elif arguments.out:
        lines = (as_line(answer, json=arguments.json or suffix == ".jsonl") + "\n" for answer in answers)
        _write(arguments.out, "".join(lines).encode())
    else:
        for answer in answers:  # each as soon as it is found
            sys.stdout.write(as_line(answer, json=arguments.json) + "\n")
            sys.stdout.flush()
    return 0


def _source(about: About, arguments: argparse.Namespace) -> Any:
    """Return the file, a tuple of several where the task takes them, or the lines of stdin.

    Raises:
        UsageError: there are more files than the task takes.
    """
    if not arguments.file:
        return None if about.answers == "table" else stdin_lines()
    if len(arguments.file) > 1 and not about.many:
        raise UsageError(
            f'"{arguments.file[1]}" is one argument too many: {with_article(about.kind)} answers one file at a time'
        )
    return path_or_paths(arguments.file)


def _write(out: Any, content: bytes) -> None:
    from ostinato.files import write_atomically

    write_atomically(out, content)


def _as_table(answers: Iterable[Mapping[str, Any]], suffix: str) -> bytes:
    """Return answers as the rows of a table: CSV, TSV, JSON lines or Parquet."""
    import io
    import json

    import polars as pl

    rows = list(answers)
    columns: dict[str, list[Any]] = {name: [] for row in rows for name in row}
    for row in rows:
        for name, column in columns.items():
            column.append(row.get(name))
    if suffix != ".parquet":  # the cells of text have no lists
        columns = {name: [_text(cell, json.dumps) for cell in column] for name, column in columns.items()}
    frame = pl.DataFrame({name: _column(column) for name, column in columns.items()}, strict=False)
    if suffix != ".parquet":
        frame = frame.with_columns(_written(column) for column in frame if isinstance(column.dtype, pl.Datetime))
    content = io.BytesIO()
    if suffix in (".csv", ".tsv"):
        frame.write_csv(content, separator="\t" if suffix == ".tsv" else ",")
    elif suffix == ".jsonl":
        frame.write_ndjson(content)
    else:
        frame.write_parquet(content)
    return content.getvalue()


def _written(times: pl.Series) -> pl.Series:
    """Return a column of times as texts that have no more than they need: dates, or clock times to the second."""
    import polars as pl

    zone = times.dtype.time_zone if isinstance(times.dtype, pl.Datetime) else None
    if zone is None and (times.dt.truncate("1d") == times).all():
        return times.dt.to_string("%Y-%m-%d")
    seconds = "%S" if (times.dt.truncate("1s") == times).all() else "%S%.6f"
    return times.dt.to_string(f"%Y-%m-%dT%H:%M:{seconds}" + ("" if zone is None else "%:z"))


def _column(cells: list[Any]) -> Any:
    from ostinato.data.zones import time_series

    if any(isinstance(cell, timedelta) for cell in cells):
        return [_span(cell) if isinstance(cell, timedelta) else cell for cell in cells]
    if cells and isinstance(cells[0], datetime) and cells[0].tzinfo is not None:
        import numpy as np

        return time_series(np.array(cells, dtype=object))
    return cells


def _text(cell: Any, write: Any) -> Any:
    return write(cell, ensure_ascii=False) if isinstance(cell, (list, tuple, dict)) else cell


def _span(span: timedelta) -> str:
    """Return a span of time as it is read: days, hours, minutes and seconds."""
    seconds, rest = divmod(span // timedelta(microseconds=1), 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" + (f".{rest:06}" if rest else "")
    return f"{days} days {clock}"
