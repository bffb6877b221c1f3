"""`ostinato update DIR FILE`."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.opened import add_model, files_of, open_model
from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
from ostinato.cli.saving import write_or_say

_EPILOG = """examples:
  ostinato update model newer.csv               what came since the model was trained; the file may have older rows too
  ostinato update sentiment reviews-may.csv --epochs 5
  ostinato update translator new.de new.en --out translator-2

The model is replaced in one rename, and only if the updated one is better on the new rows held out.
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "update",
        help="continue the training of a fitted model with new rows",
        description="Continue training from a model's weights with new rows, compare the model as it was with the "
        "updated one on the last of them, and keep the better one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument(
        "file", type=file, nargs="+", metavar="FILE", help="the new rows, with the columns of the training data"
    )
    parser.add_argument("--out", type=path, metavar="DIR", help="write the updated model here and leave the old one")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the new rows, at most (10, or fewer if the fit had fewer)"
    )
    parser.add_argument(
        "--learning-rate", type=float, metavar="RATE", help="learning rate (a third of that of the fit)"
    )
    parser.add_argument("--max-seconds", type=float, metavar="SECONDS", help="time limit of the training")
    parser.add_argument("--no-report", action="store_true", help="do not write report.html")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, update, save if it is better, print."""
    from ostinato.cli.show import print_json

    arguments.interrupted = "; the model is as it was"
    model, out = open_model(arguments), arguments.out or arguments.model
    found = model.update(
        files_of(model.about, arguments, "updated with"),
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        max_seconds=arguments.max_seconds,
    )
    if found.improved:
        model.save(out)
        if not arguments.no_report:
            write_or_say("report.html", lambda: model.report(out / "report.html"))
    if arguments.json:
        print_json(
            {"model": str(out if found.improved else arguments.model), "task": model.about.kind, **found.plain()}
        )
    else:
        print(found)
        print(f"written to {out}" if found.improved else f"{arguments.model} is not written")
    return 0
