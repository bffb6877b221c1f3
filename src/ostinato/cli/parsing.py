"""The parser of all verbs: every mistake is one sentence that comes first, and names what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from ostinato.errors import UsageError

_EXPECTED = {"int": "a whole number", "float": "a number"}
_MEANT = {
    "train": "fit", "learn": "fit", "test": "evaluate", "score": "evaluate", "help": "--help", "version": "--version",
}  # fmt: skip
"""Words of other programs, which are near to none of ours."""
_SAID = (
    (re.compile(r"argument (\S+/)?(\S+): expected one argument"), r"\2 has no value; expected one behind it"),
    (re.compile(r"argument (\S+/)?(\S+): expected at least one argument"), r"\2 has no value; expected one or more"),
    (re.compile(r"argument (\S+/)?(\S+): ignored explicit argument '(.*)'"), r'\2 takes no value; "\3" came'),
)
"""What argparse says, and how we do."""
_LONGEST = 255  # bytes of one name, in every file system in use


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, suggests the nearest word, and raises `UsageError` rather than exit.

    An abbreviation that is understood today means something else when an option is added tomorrow.

    Args:
        later: adds the arguments once the parser is used: those of all tasks and verbs take a third of a second, of
            which a command needs one.
        options: of `ArgumentParser`.
    """

    def __init__(self, *, later: Callable[[Parser], object] | None = None, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})
        self._later = later
        if " " in self.prog:  # of a verb: the options of the whole command are taken behind it too
            self.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
            self.add_argument("--threads", type=cores, default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    def filled(self) -> Parser:
        """Return the parser with all its arguments."""
        later, self._later = self._later, None
        if later is not None:
            later(self)
        return self

    def format_help(self) -> str:
        """Return the help."""
        self.filled()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise the message."""
        for said, ours in _SAID:
            message = said.sub(ours, message)
        raise UsageError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse what is left over here, where it is known which options there are."""
        self.filled()
        if args is not None:
            args = list(args) if self._verbs() else self._options_last(list(args))
            self._check_options(list(takewhile(lambda given: given.startswith("-"), args)) if self._verbs() else args)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest[0])
        return found, rest

    def _verbs(self) -> bool:
        return self._subparsers is not None

    def _options_last(self, args: list[str]) -> list[str]:
        """Return arguments with the options behind the files.

        Of files of which the last may be left out, argparse takes it for left out once an option stands before it.
        """
        files: list[str] = []
        options: list[str] = []
        while args:
            given = args.pop(0)
            if given == "--":
                return [*options, given, *files, *args]
            if not given.startswith("-") or given == "-":
                files.append(given)
                continue
            options.append(given)
            action = self._option_string_actions.get(given)
            options += [] if action is None else self._values(action.nargs, args)
        return [*files, *options]

    @staticmethod
    def _values(takes: Any, args: list[str]) -> list[str]:
        """Take from arguments those that an option has: of one that must have a value, also what begins with a dash."""
        if takes == 0 or not args or args[0] == "--":
            return []
        if takes is None or takes == 1:
            return [args.pop(0)]
        most = takes if isinstance(takes, int) else 1 if takes == "?" else len(args)
        found = list(takewhile(lambda given: not given.startswith("-") or given == "-", args[:most]))
        del args[: len(found)]
        return found

    def _check_options(self, args: Sequence[str]) -> None:
        """Refuse unknown options before argparse says that another one is missing."""
        for given in args[: args.index("--")] if "--" in args else args:
            name = given.split("=", 1)[0]
            if re.fullmatch(r"--?[^\W\d][\w-]*", name) and name not in self._option_string_actions:
                self._refuse(given)

    def _refuse(self, given: str) -> NoReturn:
        options = [name for name in self._option_string_actions if name.startswith("--")]
        name, _, value = given.partition("=")
        meant = "--" + name.lstrip("-").replace("_", "-")
        if meant in options and not given.startswith(meant):
            self.error(f'"{given}" is not understood; did you mean {meant}{f" {value}" if value else ""}?')
        if not given.startswith("-"):
            self.error(f'"{given}" is one argument too many')
        if self._verbs():
            place = "task" if " " in self.prog else "verb"
            hint = suggestion(meant, options) or f"; options of {place}s stand behind it"
            self.error(f"there is no option {name} before the {place}{hint}")
        ends = [option for option in options if option.endswith(meant[1:])]  # --id: --series-id
        hint = suggestion(meant, options) or (f"; did you mean {ends[0]}?" if ends else self._of_fit(meant))
        self.error(f"there is no option {name}{hint}")

    def _of_fit(self, option: str) -> str:
        """Say of a parameter of a model that it is none of a verb that uses the model."""
        from ostinato.options import parameters_of
        from ostinato.tasks.base.registry import homes

        fits = {each.flag for home in homes().values() for each in parameters_of(home.parameters_class())}
        return " here: a model keeps what it was fitted with" if option in fits else ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        listed = ", ".join(word if word[:1].isalnum() else f'"{word}"' for word in known)
        hint = suggestion(str(value), known) or self._task(str(value)) or f"; choose one of {listed}"
        if action.option_strings:
            self.error(f'{action.option_strings[-1]} is "{value}"{hint}')
        self.error(f'there is no {str(action.metavar or action.dest).lower()} "{value}"{hint}')

    def _task(self, given: str) -> str:
        """Return a suggestion for a task that was typed where a verb belongs."""
        from ostinato.tasks.base.registry import homes

        if " " not in self.prog and given in _MEANT:
            return f"; did you mean {self.prog} {_MEANT[given]}?"
        known = {} if " " in self.prog else {name: f"{self.prog} fit {name}" for name in homes()}
        near = difflib.get_close_matches(given, known, 1, 0.6)
        return f"; did you mean {known[near[0]]}?" if near else ""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            name = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
            kind = getattr(action.type, "__name__", "")
            wanted = _EXPECTED.get(kind) or getattr(action.type, "expected", None)
            self.error(f'{name} is "{arg_string}"; expected {wanted}' if wanted else f"{name}: {error.message}")


def suggestion(given: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the nearest of the known words, or nothing if none is near.

    >>> suggestion("--horzion", ["--horizon", "--out"])
    '; did you mean --horizon?'
    """
    words = {word.lstrip("-"): word for word in known}  # the dashes that all options have make none of them alike
    bare = given.lstrip("-")
    near = difflib.get_close_matches(bare, words, 1, 0.6) or [
        word for word in words if min(len(bare), len(word)) > 2 and (word.startswith(bare) or bare.startswith(word))
    ]
    return f"; did you mean {words[near[0]]}?" if near else ""


def cores(text: str) -> int:
    """Return a number of cores.

    Raises:
        ArgumentTypeError: it is not one or more.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is no number of cores; expected 1 or more')
    return int(text)


def file(text: str) -> str:
    """Return the name of a file or folder as it is.

    Raises:
        ArgumentTypeError: no system has such a name.
    """
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; expected that of a file or folder")
    if "\0" in text:
        raise argparse.ArgumentTypeError("the name holds a zero byte; no file has such a name")
    longest = max(re.split(r"[/\\]", text), key=len)
    if len(longest.encode(errors="surrogateescape")) > _LONGEST:
        raise argparse.ArgumentTypeError(f'the name "{longest[:20]}..." is longer than {_LONGEST} bytes; shorten it')
    return text


def path(text: str) -> Path:
    """Return the path of a file or folder; see `file`."""
    return Path(file(text))
