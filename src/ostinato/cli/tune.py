"""`ostinato tune TASK FILE --search hidden_size=64:512:log --out DIR`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.command import Command, commands
from ostinato.cli.parsing import Parser, path
from ostinato.errors import MissingExtra, UsageError
from ostinato.words import counted, number

if TYPE_CHECKING:
    from ostinato.studies.tuning import Search, Trial

_EPILOG = """examples:
  ostinato tune {name} {files} --out tuned                      learning rate, width and dropout
  ostinato tune {name} {files} --trials 50 --workers 2 --out tuned \\
      --search hidden_size=64:512:log --search dropout=0:0.5 --search cell=gru,lstm
  ostinato predict tuned                                          DIR is a model as fit writes one

A range is LOW:HIGH, LOW:HIGH:log or LOW:HIGH:STEP, a choice A,B,... The same command resumes where it was broken off;
with a higher --trials it does more. Needs pip install 'ostinato[tune]'.
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    verbs.add_parser("tune", help="search for the parameters of a task, and fit with the best", later=_add_tasks)


def _add_tasks(parser: Any) -> None:
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    for command in commands().values():
        command.add_parser(tasks, partial(_add_arguments, command))


def _add_arguments(command: Command, parser: Parser) -> None:
    parser.description = (
        "Search for the parameters with the lowest validation loss, stop trials early that fall behind, and "
        "fit with the best parameters; the test part is used once, at the end."
    )
    parser.epilog = _EPILOG.format(name=command.name, files=command.example)
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the model and the search")
    parser.add_argument("--search", action="append", metavar="NAME=RANGE", help="what to search; may be given again")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="in all, with those already in DIR (20)")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of the trials of this run")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes side by side (1)")
    parser.add_argument("--no-pruning", action="store_true", help="let every trial train to its end")
    parser.add_argument("--json", action="store_true", help="print JSON")
    command.add_data(parser)
    parser.set_defaults(run=partial(run, command))


def run(command: Command, arguments: argparse.Namespace) -> int:
    """Search, fit, write, print."""
    from ostinato.cli.show import fit_json, print_json, print_summary
    from ostinato.studies.tuning import tune

    arguments.interrupted = "; the same command resumes from here"
    fixed = command.parameters(arguments)
    found = tune(
        command.make(**fixed),
        space=_space(command, arguments, fixed),
        trials=arguments.trials,
        max_seconds=arguments.time_limit,
        workers=arguments.workers,
        pruning=not arguments.no_pruning,
        directory=arguments.out,
        on_trial=_tell,
        **command.data(arguments),
    )
    _write(found, arguments.out)
    if arguments.json:
        best = {"trial": found.best.number, "validation_loss": found.best.value, "parameters": found.best.parameters}
        print_json({**fit_json(arguments.out, found.model), "best": best, "importances": found.importances})
    else:
        print_summary(found.model.summary_)
        print(f"\n{found}")
        print(f"written to {arguments.out}: the model, report.html, search.html, trials.csv")
    return 0


def _space(command: Command, arguments: argparse.Namespace, fixed: dict[str, Any]) -> dict[str, str] | None:
    """Return what is searched: what was said, or the task's own but for what was set."""
    from ostinato.studies.tuning.space import parse_search

    if arguments.search is None:
        searched = {name: text for name, text in parse_search(command.search).items() if name not in fixed}
        return searched or None
    space = parse_search(arguments.search)
    for name in space:
        if name in fixed:
            raise UsageError(
                f"--{name.replace('_', '-')} sets {name} and --search {name} searches it; give one of them"
            )
    return space


def _tell(trial: Trial) -> None:
    """Say on stderr that a trial has ended."""
    from ostinato.studies.tuning.result import in_short

    chosen = ", ".join(f"{name} {in_short(value)}" for name, value in trial.parameters.items())
    how = {"complete": f"validation loss {number(trial.value)}", "failed": f"failed: {trial.note}"}.get(
        trial.state, f"stopped after {counted(trial.epochs, 'epochs')}"
    )
    print(f"trial {trial.number}: {how} ({chosen}; {trial.seconds:.1f} s)", file=sys.stderr, flush=True)


def _write(found: Search, out: Path) -> None:
    from ostinato.report import write_report

    try:
        write_report(found.summary(), out / "search.html")
        found.model.report(out / "report.html")
    except MissingExtra as error:
        print(f"ostinato: search.html and report.html are not written: {error}", file=sys.stderr)
