"""`ostinato report DIR`."""

from __future__ import annotations

import argparse
from typing import Any

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
    parser.add_argument("model", type=path, metavar="DIR", help="folder of the model")
    parser.add_argument("--out", type=path, metavar="FILE", help="where to write it (DIR/report.html)")
    parser.add_argument("--plot", type=path, metavar="FILE", help="also write its first figure as a PNG file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load and write."""
    from ostinato.report import forecast_plot, summary_plot, write_report, write_summary
    from ostinato.tasks.forecast import Forecaster
    from ostinato.tasks.loading import load

    model, out = load(arguments.model), arguments.out or arguments.model / "report.html"
    if isinstance(model, Forecaster):
        print(write_report(model.record_, out))
        if arguments.plot:
            print(forecast_plot(model.record_, arguments.plot))
        return 0
    print(write_summary(model.summary_, out))
    if arguments.plot:
        print(summary_plot(model.summary_, arguments.plot))
    return 0
