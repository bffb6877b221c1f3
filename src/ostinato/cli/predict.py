"""`ostinato predict DIR [FILE]`."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from ostinato.errors import UsageError

_EPILOG = """examples:
  ostinato predict model                              the steps after the end of the training data
  ostinato predict model newer.csv                    the steps after the end of newer.csv
  ostinato predict model --future plan.csv            with the coming values of the known covariates
  ostinato predict model --json | jq .forecast
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "predict",
        help="forecast with a fitted model",
        description="Forecast the steps after the end of a file, or of the data that the model was trained on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="DIR", help="folder of the model")
    parser.add_argument("file", nargs="?", metavar="FILE", help="history, with the columns of the training data")
    parser.add_argument("--future", metavar="FILE", help="the known covariates of the coming steps")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here: .csv, .jsonl or .parquet (CSV to stdout)")
    parser.add_argument("--json", action="store_true", help="print JSON lines rather than CSV")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, forecast, write."""
    from ostinato.files import write_atomically
    from ostinato.tasks.forecast import load

    suffix = arguments.out.suffix if arguments.out else ".jsonl" if arguments.json else ".csv"
    if suffix not in (".csv", ".jsonl", ".parquet"):
        raise UsageError(f'--out has the ending "{suffix}"; expected .csv, .jsonl or .parquet')
    frame = load(arguments.model).predict(arguments.file, future=arguments.future).to_frame()
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
