"""An option that a message recommends is one that some verb has."""

import argparse
import ast
import re
from pathlib import Path

import pytest

import ostinato
from ostinato.cli.main import make_parser

SOURCE = Path(ostinato.__file__).resolve().parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
OF_OTHERS = {"--help", "--version"}


def options(parser: argparse.ArgumentParser) -> set[str]:
    found = set(parser.filled()._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                found |= options(own)
    return found


def said() -> dict[str, str]:
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        if "report" in file.relative_to(SOURCE).parts:  # whose pages have variables of CSS
            continue
        tree = ast.parse(file.read_text())
        docstrings = {id(own.value) for own in ast.walk(tree) if isinstance(own, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                for option in OPTION.findall(node.value):
                    found.setdefault(option, f"{file.relative_to(SOURCE)}:{node.lineno}")
    return found


def choices(parser):
    return next(own for own in parser.filled()._actions if isinstance(own, argparse._SubParsersAction)).choices


@pytest.mark.slow
@pytest.mark.ci
def test_every_option_that_is_named_in_a_text_exists():
    known, named = options(make_parser()), said()
    assert len(named) > 40
    absent = {option: where for option, where in named.items() if option not in known | OF_OTHERS}
    assert not absent


@pytest.mark.parametrize(
    "option", ["--encoding", "--delimiter", "--decimal", "--missing", "--time-format", "--time", "--target"]
)
def test_what_readers_recommend_can_be_given_to_a_fit_of_a_table(option):
    tasks = choices(choices(make_parser())["fit"])
    assert option in tasks["forecast"].filled()._option_string_actions


def test_every_task_that_reads_text_takes_its_encoding():
    tasks = choices(choices(make_parser())["fit"])
    assert {name for name, own in tasks.items() if "--encoding" not in own.filled()._option_string_actions} == set()
