"""`ostinato fit forecast FILE --target COL --horizon N --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.options import FORECASTER_OPTIONS, add_options, chosen
from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
from ostinato.cli.recipes import RECIPES
from ostinato.cli.saving import fit_into, resume_hint, write_or_say
from ostinato.errors import NonFiniteLoss

if TYPE_CHECKING:
    from ostinato.tasks.forecast import Forecaster

_EPILOG = """examples:
  ostinato fit forecast load.csv --target load --horizon 24 --out model
  ostinato fit forecast sales.parquet --series-id shop --target sold --known-covariates holiday --horizon 14 --out model
  ostinato fit forecast counts.csv --target visits --horizon 12 --output negative_binomial --out model
  ostinato fit forecast load.csv --target load --horizon 24 --out model --resume     go on after a kill
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("fit", help="train a model on a file")
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    task = tasks.add_parser(
        "forecast",
        help="forecast the coming steps of one or many series",
        description="Train a recurrent forecaster on a file, hold out its end, and show it beside simple baselines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    task.add_argument(
        "file", type=file, metavar="FILE", help="CSV, TSV, Parquet, JSON lines, .npy or .npz; text also .gz .bz2 .xz"
    )
    task.add_argument("--horizon", type=int, required=True, metavar="N", help="steps to forecast")
    task.add_argument(
        "--out", type=path, required=True, metavar="DIR", help="folder of the model, its history and report"
    )
    task.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR, if there is one")
    task.add_argument("--no-report", action="store_true", help="do not write report.html")
    task.add_argument("--json", action="store_true", help="print the evaluation as JSON")
    add_options(task, FORECASTER_OPTIONS)
    add_reading(task, missing=False)
    task.set_defaults(run=run)
    for recipe in RECIPES:
        recipe.add_fit(tasks)


def run(arguments: argparse.Namespace) -> int:
    """Fit, save, report, print."""
    from ostinato.cli.show import evaluation_json, print_evaluation, print_json
    from ostinato.tasks.forecast import Forecaster

    arguments.interrupted = resume_hint(arguments.out)
    model = Forecaster(arguments.horizon, target=arguments.target, **chosen(arguments, FORECASTER_OPTIONS))
    failure = fit_and_save(
        model, arguments.file, arguments.out, resume=arguments.resume, report=not arguments.no_report
    )
    evaluation = model.record_.evaluation
    if arguments.json:
        print_json({"model": str(arguments.out), "evaluation": evaluation and evaluation_json(evaluation)})
    else:
        if evaluation is not None:
            print_evaluation(evaluation)
        written = [
            path.name for path in sorted(arguments.out.iterdir()) if path.is_file() and path.suffix != ".safetensors"
        ]
        print(f"written to {arguments.out}: {', '.join(written)}")
    if failure is not None:
        raise failure
    return 0


def fit_and_save(
    model: Forecaster, data: Any, out: Path, *, resume: bool = False, report: bool = True
) -> NonFiniteLoss | None:
    """Fit and write model and report; see `fit_into`."""
    failure = fit_into(out, lambda: model.fit(data, directory=out, resume=resume), model.save, resume=resume)
    if report:
        from ostinato.report import write_report

        write_or_say("report.html", lambda: write_report(model.record_, out / "report.html"))
    return failure
