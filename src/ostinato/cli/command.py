"""A task on the command line: its files, its parameters as options, and what the verbs that fit do with them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any

from ostinato.cli.notes import expectation_on_stderr
from ostinato.cli.opened import path_or_paths
from ostinato.cli.options import Kind, Together, texts
from ostinato.cli.parsing import Parser, file, path
from ostinato.cli.reading import add_encoding, add_reading
from ostinato.cli.saving import fit_into, resume_hint, write_or_say
from ostinato.options import GROUPS, Parameter, parameters_of
from ostinato.tasks.base.about import About
from ostinato.tasks.base.registry import Home, homes


@dataclass(frozen=True)
class Command:
    """A task, as the verbs that fit it know it."""

    home: Home

    @property
    def about(self) -> About:
        """What the task says of itself."""
        return self.home.about

    @property
    def name(self) -> str:
        """As it is typed after a verb."""
        return self.home.name

    @property
    def search(self) -> tuple[str, ...]:
        """What `tune` searches where nothing is said."""
        return self.about.search

    @property
    def example(self) -> str:
        """What stands for the data in an example of a verb's help."""
        needed = [parameter for parameter in self._parameters() if parameter.default is MISSING]
        return " ".join(["FILE"] * self.about.count + [f"{each.flag} N" for each in needed])

    def make(self, **parameters: Any) -> Any:
        """Return an estimator that is not fitted."""
        return self.home.estimator_class()(**parameters)

    def add_parser(self, tasks: Any, later: Callable[[Parser], None]) -> None:
        """Add the task to a verb; `later` adds its arguments and their description, once it is used."""
        tasks.add_parser(
            self.name, help=self.about.help, later=later, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def add_data(self, parser: argparse.ArgumentParser) -> None:
        """Add the files and the estimator's parameters to a parser."""
        several = {} if self.about.count == 1 else {"nargs": "+"}
        parser.add_argument("file", type=file, metavar="FILE", help=self.about.files, **several)  # type: ignore[arg-type]
        groups = {name: parser.add_argument_group(name) for name in GROUPS}
        for part, use in (("validation", "decides when to stop"), ("test", "the model is scored on")):
            text = f"data that {use}, instead of a share of FILE"
            groups["data"].add_argument(f"--{part}-file", type=file, metavar="FILE", help=text, **several)  # type: ignore[arg-type]
        for parameter in self._parameters():
            add_parameter(groups[parameter.group], parameter)
        if self.about.tables:
            names = {parameter.name for parameter in self._parameters()}
            add_reading(parser, missing="missing" not in names, decimal="decimal" not in names)
        else:
            add_encoding(groups["data"])

    def parameters(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return the estimator's parameters that were given."""
        given = {
            parameter.name: getattr(arguments, parameter.name)
            for parameter in self._parameters()
            if hasattr(arguments, parameter.name)
        }
        optional = {parameter.name for parameter in self._parameters() if parameter.optional}
        return {name: None if value == "none" and name in optional else value for name, value in given.items()}

    def data(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return what `fit` reads."""
        named = {"data": arguments.file, "validation": arguments.validation_file, "test": arguments.test_file}
        return {name: value if self.about.count == 1 else path_or_paths(value) for name, value in named.items()}

    def add_fit(self, tasks: Any) -> None:
        """Add the task to the verb `fit`."""
        self.add_parser(tasks, self._add_fit_arguments)

    def _add_fit_arguments(self, parser: Parser) -> None:
        parser.description, parser.epilog = self.about.description, f"examples:{self.about.examples}\n"
        parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the model and its report")
        parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in DIR, if there is one")
        parser.add_argument("--no-report", action="store_true", help="do not write report.html")
        parser.add_argument("--json", action="store_true", help="print the scores as JSON")
        self.add_data(parser)
        parser.set_defaults(run=self.fit)

    def fit(self, arguments: argparse.Namespace) -> int:
        """Fit, save, report, print."""
        from ostinato.cli.show import fit_json, print_json, print_summary

        arguments.interrupted = resume_hint(arguments.out)
        model, out = self.make(**self.parameters(arguments)), arguments.out

        def fit() -> None:
            with expectation_on_stderr():
                model.fit(**self.data(arguments), directory=out, resume=arguments.resume)

        failure = fit_into(out, fit, model.save, resume=arguments.resume)
        if not arguments.no_report:
            write_or_say("report.html", lambda: model.report(out / "report.html"))
        if arguments.json:
            print_json(fit_json(out, model))
        else:
            print_summary(model.summary_)
            print(f"written to {out}; {self.about.hint.format(out=out)}")
        if failure is not None:
            raise failure
        return 0

    def _parameters(self) -> Sequence[Parameter]:
        return [
            each for each in parameters_of(self.home.parameters_class()) if each.typed and each.kinds != ("mapping",)
        ]


def add_parameter(group: Any, parameter: Parameter) -> None:
    """Add a parameter to a group of a parser; one that is not given is not among the arguments."""
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": parameter.describe().replace("%", "%%")}
    if bool in parameter.kinds:
        group.add_argument(parameter.flag, action=argparse.BooleanOptionalAction, **options)
        return
    if parameter.default is MISSING:
        options["required"] = True
    if "names" in parameter.kinds:
        group.add_argument(parameter.flag, action=Together, type=texts, metavar="A,B,...", **options)
        return
    closed = parameter.choices and not set(parameter.kinds) - {"mapping"}
    if closed:
        group.add_argument(
            parameter.flag, choices=(*parameter.choices, *(("none",) if parameter.optional else ())), **options
        )
        return
    group.add_argument(
        parameter.flag, type=Kind(_expected(parameter), _reader(parameter)), metavar=_metavar(parameter), **options
    )


def _expected(parameter: Parameter) -> str:
    said = parameter.expected()
    return said.replace("numbers", "numbers joined by commas") if "numbers" in parameter.kinds else said


def _metavar(parameter: Parameter) -> str:
    # of a column, its number is but one way to say it
    whole = int in parameter.kinds and (str not in parameter.kinds or bool(parameter.choices))
    return "N" if whole else parameter.name.split("_")[-1].upper()


def _reader(parameter: Parameter) -> Callable[[str], Any]:
    """Return what makes a value of a text; it raises `ValueError` for one that cannot be."""

    def read(text: str) -> Any:
        if text in parameter.choices or (text == "none" and parameter.optional):
            return text
        if "numbers" in parameter.kinds:
            return tuple(int(part) if part.strip().isdecimal() else float(part) for part in text.split(","))
        if int in parameter.kinds and re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        if float in parameter.kinds:
            return float(text)
        if str in parameter.kinds or "callable" in parameter.kinds:
            return text
        raise ValueError(text)

    return read


def commands() -> Mapping[str, Command]:
    """Return all tasks, in the order in which the command line lists them."""
    return {name: Command(home) for name, home in homes().items()}
