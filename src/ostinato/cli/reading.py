"""The options that say how a file of a table is read, for every verb that reads one."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.options import Together, texts

_FILES = ("file", "future", "validation_file", "test_file")


def add_reading(parser: argparse.ArgumentParser, *, missing: bool = True, decimal: bool = True) -> None:
    """Add the options; without `missing` and `decimal` where they are parameters of the model itself."""
    parser.set_defaults(missing_cells=missing, decimal_mark=decimal)
    group = parser.add_argument_group("tables")
    if missing:
        group.add_argument(
            "--missing",
            action=Together,
            type=texts,
            metavar="TEXT",
            help="cells that mean a missing value, joined by commas; may be given again",
        )
    group.add_argument("--delimiter", metavar="CHAR", help="between the columns of a text file (found)")
    if decimal:
        group.add_argument("--decimal", choices=(".", ","), help="the mark before decimals, where cells do not show it")
    group.add_argument("--sheet", metavar="NAME", help="of a spreadsheet or database: its name, or number from 1 (1)")


def with_reading(arguments: argparse.Namespace) -> argparse.Namespace:
    """Put how they are to be read beside the files among the arguments."""
    names = ["delimiter", "sheet", *(["decimal"] if getattr(arguments, "decimal_mark", False) else [])]
    said: dict[str, Any] = {name: own for name in names if (own := getattr(arguments, name, None)) is not None}
    if getattr(arguments, "missing_cells", False) and arguments.missing is not None:
        said["missing"] = arguments.missing
    if not said:
        return arguments
    from ostinato.data.table_file import TableFile

    if said.get("delimiter") in ("tab", "\\t"):
        said["delimiter"] = "\t"
    for name in _FILES:
        given = getattr(arguments, name, None)
        if isinstance(given, list):
            setattr(arguments, name, [TableFile(own, **said) for own in given])
        elif given is not None:
            setattr(arguments, name, TableFile(given, **said))
    return arguments
