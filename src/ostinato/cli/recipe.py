"""A task on the command line, as one value: what `fit`, `compare` and `tune` need to know of it."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ostinato.cli.options import OPTIMISATION, Option, add_table, chosen, count, limit
from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
from ostinato.cli.saving import fit_into, resume_hint, write_or_say

AVERAGINGS = ("polyak", "triggered", "ema")
TRAINING = (
    Option("training", "batch_size", int, "sequences of a batch (the task's own)"),
    Option("training", "epochs", int, "passes, at most (the task's own)"),
    *OPTIMISATION,
    Option("training", "gradient_clip", limit, 'greatest gradient norm, or "none" (1)'),
    Option("training", "patience", count, 'epochs without a better validation loss before it stops, or "none"'),
    Option("training", "max_seconds", float, "time limit of the training"),
    Option("training", "seed", int, "of all random numbers (0)"),
    Option("training", "device", str, "cpu, cuda, mps or auto (cpu)"),
)
"""The options of training that all tasks have."""
AVERAGING = (
    Option("training", "averaging", str, "of weights over steps: the average is what is kept (none)", AVERAGINGS),
    Option("training", "averaging_start", int, "epochs before it begins, of polyak and ema (0)"),
    Option("training", "averaging_decay", float, "of ema: what is left of it after a step (0.999)"),
    Option("training", "averaging_patience", int, "of triggered: epochs without a better loss before it begins (5)"),
)
"""Those of the average of weights, for tasks that have it."""


@dataclass(frozen=True)
class Recipe:
    """A task on the command line.

    Its estimator's `fit` takes `(data, *, validation, test, directory, resume)`; after it, `summary_` is there.

    Args:
        name: as it is typed after `fit`.
        estimator: where it lives, `"ostinato.tasks.language:LanguageModel"`; imported when it is used.
        help: one line; `description` and `epilog`: of its own `--help`.
        file_help: what the data files are.
        options: parameters of the estimator; `flags`: those that are switched on, with their group and help.
        files: how many files the data may be in; several are handed to `fit` as a tuple of paths.
        hint: what to do next, with `{out}` for the model's folder.
        tables: whether the files are tables, with options of how they are read.
        search: what `tune` searches where nothing is said, as `--search` has it; empty: what all tasks have.
    """

    name: str
    estimator: str
    help: str
    description: str
    epilog: str
    file_help: str
    options: tuple[Option, ...]
    flags: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    files: int = 1
    hint: str = "ostinato report {out} shows it"
    search: tuple[str, ...] = ()
    tables: bool = False

    def make(self, **parameters: Any) -> Any:
        """Return an estimator that is not fitted."""
        module, name = self.estimator.split(":")
        return getattr(importlib.import_module(module), name)(**parameters)

    def add_data(self, parser: argparse.ArgumentParser) -> None:
        """Add the files and the estimator's parameters to a parser."""
        nargs = {} if self.files == 1 else {"nargs": "+"}
        parser.add_argument("file", type=file, metavar="FILE", help=self.file_help, **nargs)  # type: ignore[arg-type]
        groups = {name: parser.add_argument_group(name) for name in ("data", "model", "training")}
        for part, use in (("validation", "decide when to stop"), ("test", "be tested on")):
            text = f"held out to {use}, rather than a share of FILE"
            groups["data"].add_argument(f"--{part}-file", type=file, metavar="FILE", help=text, **nargs)  # type: ignore[arg-type]
        add_table(groups, self.options)
        for name, (group, text) in self.flags.items():
            groups[group].add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
        if self.tables:
            add_reading(parser, missing=all(option.name != "missing" for option in self.options))

    def parameters(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return the estimator's parameters that were given."""
        switched = {name: True for name in self.flags if getattr(arguments, name)}
        return chosen(arguments, self.options, flags={}) | switched

    def data(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return what `fit` reads."""
        named = {"data": arguments.file, "validation": arguments.validation_file, "test": arguments.test_file}
        return {name: own if self.files == 1 else path_or_paths(own) for name, own in named.items()}

    @property
    def example(self) -> str:
        """What stands for the data in an example of a verb's help."""
        return " ".join(["FILE"] * self.files)

    def add_parser(self, tasks: Any, description: str, epilog: str) -> argparse.ArgumentParser:
        """Add the task to a verb and return its parser, which has no arguments yet."""
        parser: argparse.ArgumentParser = tasks.add_parser(
            self.name,
            help=self.help,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        return parser

    def add_fit(self, tasks: Any) -> None:
        """Add the task to the verb `fit`."""
        parser = self.add_parser(tasks, self.description, self.epilog)
        parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the model and its report")
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR, if there is one")
        parser.add_argument("--no-report", action="store_true", help="do not write report.html")
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
        parser.add_argument("--json", action="store_true", help="print the scores as JSON")
        self.add_data(parser)
        parser.set_defaults(run=self.fit)

    def fit(self, arguments: argparse.Namespace) -> int:
        """Fit, save, report, print."""
        from ostinato.cli.show import print_json, print_summary

        arguments.interrupted = resume_hint(arguments.out)
        model = self.make(progress=False if arguments.no_progress else "auto", **self.parameters(arguments))
        out = arguments.out

        def fit() -> None:
            model.fit(**self.data(arguments), directory=out, resume=arguments.resume)

        failure = fit_into(out, fit, model.save, resume=arguments.resume)
        summary = model.summary_
        if not arguments.no_report:
            from ostinato.report import write_summary

            write_or_say("report.html", lambda: write_summary(summary, out / "report.html"))
        if arguments.json:
            print_json({"model": str(out), "scores": summary.scores, "protocol": summary.protocol})
        else:
            print_summary(summary)
            print(f"written to {out}; {self.hint.format(out=out)}")
        if failure is not None:
            raise failure
        return 0


def path_or_paths(given: Sequence[str] | None) -> Any:
    """Return one path as it is, several as a tuple."""
    return given if given is None else given[0] if len(given) == 1 else tuple(given)
