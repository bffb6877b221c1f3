"""`ostinato compare TASK FILE --cells rnn,lstm,gru --out DIR`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.command import Command, commands
from ostinato.cli.parsing import Parser, path
from ostinato.errors import MissingExtra, UsageError
from ostinato.words import number

if TYPE_CHECKING:
    from ostinato.studies.comparing import CellRun

_CELLS = "rnn,lstm,gru,mingru,transformer"
_EPILOG = """examples:
  ostinato compare {name} {files} --out cells
  ostinato compare {name} {files} --cells lstm,gru,slstm --seeds 3 --max-seconds 60 --out cells
  ostinato compare {name} {files} --parameters 100000 --epochs 5 --out cells

The same command resumes where it was broken off; more cells and more seeds may be asked for later.
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    verbs.add_parser("compare", help="fit a task with several cells of equal size, side by side", later=_add_tasks)


def _add_tasks(parser: Any) -> None:
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    for command in commands().values():
        command.add_parser(tasks, partial(_add_arguments, command))


def _add_arguments(command: Command, parser: Parser) -> None:
    parser.description = (
        "Fit a task once for each cell, with as many trained weights, on the same data, split, seeds and "
        "budget, each fit in a process of its own; show scores, training time, memory and latency in one table."
    )
    parser.epilog = _EPILOG.format(name=command.name, files=command.example)
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the models and the table")
    parser.add_argument("--cells", default=_CELLS, metavar="A,B,...", help=f"cells to compare ({_CELLS})")
    parser.add_argument("--parameters", type=int, metavar="N", help="trained weights of each (as many as fit would)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="fits of each cell, for the spread (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    command.add_data(parser)
    parser.set_defaults(run=partial(run, command))


def run(command: Command, arguments: argparse.Namespace) -> int:
    """Fit all cells, write, print."""
    from ostinato.cli.show import print_json
    from ostinato.studies.comparing import compare

    arguments.interrupted = "; the same command resumes from here"
    if arguments.parameters is not None:
        for name in ("cell", "hidden_size"):
            if getattr(arguments, name, None) is not None:
                flag = name.replace("_", "-")
                raise UsageError(f"--parameters and --{flag} both say how large a model is; give one of them")
    estimator = command.make(**command.parameters(arguments))
    found = compare(
        estimator,
        cells=[name.strip() for name in arguments.cells.split(",") if name.strip()],
        parameters=arguments.parameters,
        seeds=arguments.seeds,
        directory=arguments.out,
        on_run=_tell,
        **command.data(arguments),
    )
    if arguments.json:
        print_json(found.plain())
    else:
        print(found)
    written = _write(found, arguments.out)
    if not arguments.json:
        print(f"written to {arguments.out}: compare.json, {', '.join(path.name for path in written)}")
    return 0 if found.done else 4


def _tell(run: CellRun) -> None:
    """Say on stderr that a fit is done."""
    measures = run.scores.get("model", {})
    first = next((f"{name} {number(value)}, " for name, value in measures.items()), "")
    said = f"failed: {run.error}" if run.error else f"{first}{run.seconds:.1f} s of training"
    print(f"{run.cell}, seed {run.seed}: {said}", file=sys.stderr, flush=True)


def _write(found: Any, out: Path) -> list[Path]:
    from ostinato.report.comparison import write_comparison, write_markdown

    try:
        return write_comparison(found, out)
    except MissingExtra as error:
        print(f"ostinato: compare.html and compare.png are not written: {error}", file=sys.stderr)
        return [write_markdown(found, out)]
