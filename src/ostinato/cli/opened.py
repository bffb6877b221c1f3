"""A model on the command line: its folder, its files, and the options of a verb that only some tasks have."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.parsing import file, path, suggestion
from ostinato.errors import ArtifactError, UsageError
from ostinato.tasks.base.about import About, Extra
from ostinato.tasks.base.registry import homes
from ostinato.words import with_article


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a model."""
    parser.add_argument("model", type=path, metavar="DIR", help="folder of the model")


def add_extras(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options of a verb that some tasks have: each says of which."""
    found: dict[str, tuple[Extra, list[str]]] = {}
    for home in homes().values():
        for extra in home.about.extra(verb):
            found.setdefault(extra.name, (extra, []))[1].append(home.about.kind)
    for extra, kinds in found.values():
        options: dict[str, Any] = {"help": f"of {' or '.join(map(with_article, kinds))}: {extra.help}", "default": None}
        if extra.kind is bool:
            options["action"] = "store_true"
        else:
            options |= {"type": file if extra.file else extra.kind, "metavar": extra.name.split("_")[-1].upper()}
            if extra.bare is not None:
                options |= {"nargs": "?", "const": extra.bare}
        parser.add_argument(f"--{extra.name.replace('_', '-')}", **options)
    parser.set_defaults(extras={name: kinds for name, (_, kinds) in found.items()})


def open_model(arguments: argparse.Namespace) -> Any:
    """Return the model of the folder.

    Raises:
        ArtifactError: there is none.
    """
    from ostinato.tasks.base.registry import load

    if not arguments.model.exists():
        beside = [each.parent.name for each in arguments.model.parent.glob("*/model.json")]
        hint = suggestion(arguments.model.name, beside) or "; give the folder that `ostinato fit` wrote"
        raise ArtifactError(f"{arguments.model} does not exist{hint}")
    return load(arguments.model)


def extras_of(about: About, verb: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that are this task's own and were given.

    Raises:
        UsageError: one was given that the task does not have.
    """
    known = {extra.name for extra in about.extra(verb)}
    given = {name: value for name in arguments.extras if (value := getattr(arguments, name)) is not None}
    for name in given:
        if name not in known:
            kinds = " or ".join(map(with_article, arguments.extras[name]))
            held = f"{arguments.model} holds {with_article(about.kind)}"
            raise UsageError(f"--{name.replace('_', '-')} is for {kinds}, and {held}; leave it out")
    return given


def files_of(about: About, arguments: argparse.Namespace, what: str) -> Any:
    """Return the path of a model's file, or a tuple of them.

    Args:
        about: what the model's task says of itself.
        arguments: whose files they are.
        what: the model is to be with them, for the message: `"evaluated on"`.

    Raises:
        UsageError: there are more than the task takes.
    """
    given = path_or_paths(arguments.file)
    if isinstance(given, tuple) and len(given) > about.count:
        said = "one" if about.count == 1 else f"{about.count} at most"
        raise UsageError(f"there are {len(given)} files; {with_article(about.kind)} is {what} {said}")
    return given


def path_or_paths(given: Any) -> Any:
    """Return one path as it is, several as a tuple."""
    return given if given is None else given[0] if len(given) == 1 else tuple(given)
