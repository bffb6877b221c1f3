"""`ostinato fit TASK FILE --out DIR`."""

from __future__ import annotations

from typing import Any

from ostinato.cli.command import commands


def add_parser(verbs: Any) -> None:
    """Add the verb, with every task there is."""
    verbs.add_parser("fit", help="train a model on a file", later=_add_tasks)


def _add_tasks(parser: Any) -> None:
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    for command in commands().values():
        command.add_fit(tasks)
