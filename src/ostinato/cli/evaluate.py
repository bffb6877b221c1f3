"""`ostinato evaluate DIR FILE`."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading

_EPILOG = """examples:
  ostinato evaluate model load.csv              the training file: on its held-out end
  ostinato evaluate model newer.csv --stride 24 another file: on all of it, one forecast a day
  ostinato evaluate model other.txt             a language model: how well it foretells another text
  ostinato evaluate model other.txt --dynamic --cache 2000
  ostinato evaluate model test.de test.en       a translator: BLEU beside a dictionary
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "evaluate",
        help="compare what a model foretells with what came, beside baselines",
        description="Forecast from a rolling origin and compare with what came, beside simple baselines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=path, metavar="DIR", help="folder of the model")
    parser.add_argument(
        "file", type=file, nargs="+", metavar="FILE", help="the data; for a translator also two parallel files"
    )
    parser.add_argument("--stride", type=int, metavar="ROWS", help="rows from one forecast to the next (1)")
    parser.add_argument(
        "--dynamic",
        nargs="?",
        type=float,
        const=0.0,
        metavar="RATE",
        help="of a language model: go on learning from what it has been scored on, with this learning rate (1e-4)",
    )
    parser.add_argument(
        "--cache",
        nargs="?",
        type=int,
        const=0,
        metavar="N",
        help="of a language model: mix in its last N tokens by a neural cache (500)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, evaluate, print."""
    from ostinato.artifact import kind_of
    from ostinato.cli.recipe import path_or_paths
    from ostinato.cli.show import evaluation_json, print_evaluation, print_json
    from ostinato.errors import UsageError
    from ostinato.tasks.forecast import Forecaster
    from ostinato.tasks.loading import load

    model = load(arguments.model)
    data = path_or_paths(arguments.file)
    kind = kind_of(arguments.model)
    if isinstance(data, tuple) and kind != "translator":
        raise UsageError(f"there are {len(data)} files; a {kind} is evaluated on one")
    if not isinstance(model, Forecaster):
        if arguments.stride is not None:
            raise UsageError("--stride is for forecasts; leave it out for this model")
        scores = model.evaluate(data, **_adapted(model, arguments))
        if arguments.json:
            print_json(scores.plain())
        else:
            print(scores)
        return 0
    _adapted(model, arguments)
    evaluation = model.evaluate(data, stride=arguments.stride)
    if arguments.json:
        print_json(evaluation_json(evaluation))
    else:
        print_evaluation(evaluation)
    return 0


def _adapted(model: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how a language model is to adapt to the text while it is scored."""
    rate, window = arguments.dynamic, arguments.cache
    if rate is None and window is None:
        return {}
    from ostinato.errors import UsageError
    from ostinato.tasks.language import DynamicEvaluation, LanguageModel, NeuralCache

    if not isinstance(model, LanguageModel):
        raise UsageError("--dynamic and --cache are for language models; leave them out for this model")
    found: dict[str, Any] = {}
    if rate is not None:
        found["dynamic"] = DynamicEvaluation(learning_rate=rate) if rate else True
    if window is not None:
        found["cache"] = NeuralCache(window=window) if window else True
    return found
