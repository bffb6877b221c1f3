"""`ostinato diagnose DIR FILE`."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.opened import add_model, files_of, open_model
from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
from ostinato.errors import UsageError

_EPILOG = """examples:
  ostinato diagnose model load.csv               verdicts and figures on the console, and a page in model/diagnosis.html
  ostinato diagnose model load.csv --out why.html    the page, and its numbers in why.json beside it
  ostinato diagnose model load.csv --json        the numbers on the console, no page
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "diagnose",
        help="find out why a model learns or does not",
        description=(
            "Run a fitted model on data and find out why it learns or does not: gradients, memory, gates and units, "
            "padding, learning rate, leaks, baselines. The model is left as it is."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("file", type=file, nargs="+", metavar="FILE", help="data such as the model was fitted on")
    parser.add_argument("--out", type=path, metavar="FILE", help="where to write the page (DIR/diagnosis.html)")
    parser.add_argument("--row", type=int, default=0, metavar="N", help="row of the batch that pictures are of (0)")
    parser.add_argument("--max-seconds", type=float, default=60.0, metavar="S", help="time it may take (60)")
    parser.add_argument(
        "--json", action="store_true", help="print the numbers as JSON; a page is written with --out only"
    )
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, diagnose, print, write the page."""
    from ostinato.cli.saving import write_or_say
    from ostinato.diagnosis import diagnose

    if arguments.out is not None and arguments.out.suffix.lower() == ".json":
        raise UsageError(f"--out is {arguments.out}, where the numbers go; give the page a name that ends in .html")
    model = open_model(arguments)
    found = diagnose(
        model, files_of(model.about, arguments, "diagnosed on"), row=arguments.row, max_seconds=arguments.max_seconds
    )
    if arguments.json:
        print(found.to_json())
    else:
        print(found.text(), end="")
    out = arguments.out or (None if arguments.json else arguments.model / "diagnosis.html")
    if out is not None:
        write_or_say(out.name, lambda: found.to_html(out))
        if not arguments.json and out.exists():
            print(f"\nwritten to {out}")
    return 0
