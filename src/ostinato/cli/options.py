"""How the texts of options become values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kind(Generic[T]):
    """How the text of an option becomes a value, and in words what is expected of it.

    Args:
        expected: for a message, such as `"numbers joined by commas"`.
        read: raises `ValueError` for a text that is not of this kind.
    """

    def __init__(self, expected: str, read: Callable[[str], T]) -> None:
        self.expected, self._read = expected, read

    def __call__(self, text: str) -> T:
        """Return the value."""
        return self._read(text)


def _texts(text: str) -> tuple[str, ...]:
    """Return texts separated by commas; not by one between digits, nor by one within quotes."""
    found = re.findall(r'\s*"((?:[^"]|"")*)"\s*(?:,|$)|((?:[^,]|(?<=\d),(?=\d))+)(?:,|$)', text)
    return tuple(quoted.replace('""', '"') or bare.strip() for quoted, bare in found if quoted or bare.strip())


texts = Kind("texts joined by commas, one with a comma in quotes", _texts)


class Together(argparse.Action):
    """Several texts of an option that may be given again: all of them."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:  # noqa: ARG002
        """Add what is given to what was."""
        setattr(namespace, self.dest, (*(getattr(namespace, self.dest, None) or ()), *values))
