"""`ostinato report DIR`."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.opened import add_model, open_model
from ostinato.cli.parsing import path


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "report",
        help="write the report of a fitted model",
        description="Write one HTML file with everything there is to see of a fitted model; it needs no network.",
        epilog="example:\n  ostinato report model --out report.html",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("--out", type=path, metavar="FILE", help="where to write it (DIR/report.html)")
    parser.add_argument("--plot", type=path, metavar="FILE", help="also write its first figure as a PNG file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load and write."""
    from ostinato.report import summary_plot

    model = open_model(arguments)
    print(model.report(arguments.out or arguments.model / "report.html"))
    if arguments.plot:
        print(summary_plot(model.summary_, arguments.plot))
    return 0
