"""`ostinato predict DIR [FILE]`."""

from __future__ import annotations

import argparse
import io
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
from ostinato.cli.show import as_line, stdin_lines
from ostinato.errors import UsageError

if TYPE_CHECKING:
    from ostinato.tasks.forecast import Forecaster

_EPILOG = """examples:
  ostinato predict model                              the steps after the end of the training data
  ostinato predict model newer.csv                    the steps after the end of newer.csv
  ostinato predict model --future plan.csv            with the coming values of the known covariates
  ostinato predict model --json | jq .forecast
  echo "a fine film" | ostinato predict sentiment
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "predict",
        help="forecast, classify, tag or translate with a fitted model",
        description="Forecast the steps after the end of a file, or of the data that the model was trained on; or "
        "answer each line of a file, or of stdin, with what the model makes of it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=path, metavar="DIR", help="folder of the model")
    parser.add_argument(
        "file", type=file, nargs="?", metavar="FILE", help="history, with the columns of the training data"
    )
    parser.add_argument("--future", type=file, metavar="FILE", help="the known covariates of the coming steps")
    parser.add_argument("--out", type=path, metavar="FILE", help="write here: .csv, .jsonl or .parquet (CSV to stdout)")
    parser.add_argument("--json", action="store_true", help="print JSON lines rather than CSV")
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, forecast or answer, write."""
    from ostinato.tasks.forecast import Forecaster
    from ostinato.tasks.loading import load

    model = load(arguments.model)
    return _forecast(model, arguments) if isinstance(model, Forecaster) else _answer(model, arguments)


def _answer(model: Any, arguments: argparse.Namespace) -> int:
    """Answer each item of a file, or each line of stdin; answers come as they are found."""
    if arguments.future is not None:
        raise UsageError("--future is for forecasts; leave it out for this model")
    lines = (as_line(answer, json=arguments.json) for answer in model.answers(arguments.file or stdin_lines()))
    if arguments.out:
        from ostinato.files import write_atomically

        write_atomically(arguments.out, "".join(line + "\n" for line in lines).encode())
        return 0
    for line in lines:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


def _with_spans_as_text(frame: Any) -> Any:
    """Return a table whose spans of time are written as they are read: days, hours, minutes and seconds."""
    import polars as pl

    def text(span: Any) -> str:
        seconds, rest = divmod(span // timedelta(microseconds=1), 1_000_000)
        days, seconds = divmod(seconds, 86_400)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" + (f".{rest:06}" if rest else "")
        return f"{days} days {clock}"

    spans = pl.selectors.duration()
    return frame.with_columns(spans.map_elements(text, return_dtype=pl.String))


def _forecast(model: Forecaster, arguments: argparse.Namespace) -> int:
    from ostinato.files import write_atomically

    suffix = arguments.out.suffix if arguments.out else ".jsonl" if arguments.json else ".csv"
    if suffix not in (".csv", ".jsonl", ".parquet"):
        raise UsageError(f'--out has the ending "{suffix}"; expected .csv, .jsonl or .parquet')
    frame = _with_spans_as_text(model.predict(arguments.file, future=arguments.future).to_frame())
    content = io.BytesIO()
    if suffix == ".csv":
        frame.write_csv(content)
    elif suffix == ".jsonl":
        frame.write_ndjson(content)
    else:
        frame.write_parquet(content)
    if arguments.out:
        write_atomically(arguments.out, content.getvalue())
    else:
        sys.stdout.write(content.getvalue().decode())
    return 0
