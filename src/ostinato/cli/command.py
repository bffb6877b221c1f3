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
from ostinato.cli.parsing import file, path
from ostinato.cli.reading import add_reading
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
        needed = [own for own in self._parameters() if own.default is MISSING]
        return " ".join(["FILE"] * self.about.count + [f"{own.flag} N" for own in needed])

    def make(self, **parameters: Any) -> Any:
        """Return an estimator that is not fitted."""
        return self.home.estimator_class()(**parameters)

    def add_parser(self, tasks: Any, description: str, epilog: str) -> argparse.ArgumentParser:
        """Add the task to a verb and return its parser, which has no arguments yet."""
        parser: argparse.ArgumentParser = tasks.add_parser(
            self.name,
            help=self.about.help,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        return parser

    def add_data(self, parser: argparse.ArgumentParser) -> None:
        """Add the files and the estimator's parameters to a parser."""
        several = {} if self.about.count == 1 else {"nargs": "+"}
        parser.add_argument("file", type=file, metavar="FILE", help=self.about.files, **several)  # type: ignore[arg-type]
        groups = {name: parser.add_argument_group(name) for name in GROUPS}
        for part, use in (("validation", "decides when to stop"), ("test", "is held out to be judged on")):
            text = f"data that {use}, rather than a share of FILE"
            groups["data"].add_argument(f"--{part}-file", type=file, metavar="FILE", help=text, **several)  # type: ignore[arg-type]
        for own in self._parameters():
            add_parameter(groups[own.group], own)
        if self.about.tables:
            names = {own.name for own in self._parameters()}
            add_reading(parser, missing="missing" not in names, decimal="decimal" not in names)

    def parameters(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return the estimator's parameters that were given."""
        given = {own.name: getattr(arguments, own.name) for own in self._parameters() if hasattr(arguments, own.name)}
        optional = {own.name for own in self._parameters() if own.optional}
        return {name: None if value == "none" and name in optional else value for name, value in given.items()}

    def data(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return what `fit` reads."""
        named = {"data": arguments.file, "validation": arguments.validation_file, "test": arguments.test_file}
        return {name: own if self.about.count == 1 else path_or_paths(own) for name, own in named.items()}

    def add_fit(self, tasks: Any) -> None:
        """Add the task to the verb `fit`."""
        parser = self.add_parser(tasks, self.about.description, f"examples:{self.about.examples}\n")
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
        return [own for own in parameters_of(self.home.parameters_class()) if own.typed and own.kinds != ("mapping",)]


def add_parameter(group: Any, own: Parameter) -> None:
    """Add a parameter to a group of a parser; one that is not given is not among the arguments."""
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": own.describe().replace("%", "%%")}
    if bool in own.kinds:
        group.add_argument(own.flag, action=argparse.BooleanOptionalAction, **options)
        return
    if own.default is MISSING:
        options["required"] = True
    if "names" in own.kinds:
        group.add_argument(own.flag, action=Together, type=texts, metavar="A,B,...", **options)
        return
    closed = own.choices and not set(own.kinds) - {"mapping"}
    if closed:
        group.add_argument(own.flag, choices=(*own.choices, *(("none",) if own.optional else ())), **options)
        return
    group.add_argument(own.flag, type=Kind(_expected(own), _reader(own)), metavar=_metavar(own), **options)


def _expected(own: Parameter) -> str:
    said = own.expected()
    return said.replace("numbers", "numbers joined by commas") if "numbers" in own.kinds else said


def _metavar(own: Parameter) -> str:
    return "N" if int in own.kinds else own.name.split("_")[-1].upper()


def _reader(own: Parameter) -> Callable[[str], Any]:
    """Return what makes a value of a text; it raises `ValueError` for one that cannot be."""

    def read(text: str) -> Any:
        if text in own.choices or (text == "none" and own.optional):
            return text
        if "numbers" in own.kinds:
            return tuple(int(part) if part.strip().isdecimal() else float(part) for part in text.split(","))
        if int in own.kinds and re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        if float in own.kinds:
            return float(text)
        if str in own.kinds or "callable" in own.kinds:
            return text
        raise ValueError(text)

    return read


def commands() -> Mapping[str, Command]:
    """Return all tasks, in the order in which the command line lists them."""
    return {name: Command(home) for name, home in homes().items()}
