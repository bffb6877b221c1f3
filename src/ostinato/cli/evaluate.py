"""`ostinato evaluate DIR FILE`."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.opened import add_extras, add_model, extras_of, files_of, open_model
from ostinato.cli.parsing import file
from ostinato.cli.reading import add_reading

_EPILOG = """examples:
  ostinato evaluate model load.csv              the training file: on its held-out end
  ostinato evaluate model newer.csv --stride 24 another file: on all of it, one forecast a day
  ostinato evaluate model other.txt             a language model: how well it predicts another text
  ostinato evaluate model other.txt --dynamic --cache 2000
  ostinato evaluate model test.de test.en       a translator: BLEU beside a dictionary
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    verbs.add_parser(
        "evaluate",
        help="score a fitted model on data whose outcomes are known, beside baselines",
        description="Predict data whose outcomes are known and score the predictions, beside the baselines that were "
        "fitted with the model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        later=_add_arguments,
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "file", type=file, nargs="+", metavar="FILE", help="the data; for a translator also two parallel files"
    )
    add_extras(parser, "evaluate")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, evaluate, print."""
    from ostinato.cli.show import print_json, print_scores, scores_json

    model = open_model(arguments)
    extras = extras_of(model.about, "evaluate", arguments)
    scores = model.evaluate(files_of(model.about, arguments, "evaluated on"), **extras)
    if arguments.json:
        print_json({"model": str(arguments.model), "task": model.about.kind, **scores_json(scores)})
    else:
        print_scores(scores)
    return 0
