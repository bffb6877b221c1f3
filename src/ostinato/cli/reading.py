"""The options that say how a file of a table is read, for every verb that reads one."""

from __future__ import annotations

import argparse
from typing import Any

from ostinato.cli.options import Together, texts

_FILES = ("file", "future", "validation_file", "test_file")
_SAID = ("delimiter", "decimal", "sheet", "header", "encoding", "categorical")


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
    group.add_argument("--delimiter", metavar="CHAR", help="what separates the columns of a text file (detected)")
    if decimal:
        group.add_argument("--decimal", choices=(".", ","), help="decimal mark, where the cells do not show it")
    add_encoding(group)
    group.add_argument(
        "--sheet", metavar="NAME", help="sheet of a spreadsheet, or table of a database: its name, or number from 1 (1)"
    )
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the first row of a text file or spreadsheet names its columns, or does not (detected)",
    )
    group.add_argument(
        "--categorical",
        action=Together,
        type=texts,
        metavar="COL",
        help="columns whose values are categories though most are numbers, joined by commas; may be given again",
    )


def add_encoding(group: Any) -> None:
    """Add the option that every reader of text has."""
    group.add_argument(
        "--encoding", metavar="NAME", help="encoding of a text file, such as cp1252 (detected, or UTF-8)"
    )


def with_reading(arguments: argparse.Namespace) -> argparse.Namespace:
    """Put how they are to be read beside the files among the arguments."""
    names = [name for name in _SAID if name != "decimal" or getattr(arguments, "decimal_mark", False)]
    said: dict[str, Any] = {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
    if getattr(arguments, "missing_cells", False) and arguments.missing is not None:
        said["missing"] = arguments.missing
    if not said:
        return arguments
    from ostinato.data.asked import TAKEN_BY, takes
    from ostinato.data.table_file import TableFile

    if said.get("delimiter") in ("tab", "\\t"):
        said["delimiter"] = "\t"
    given = {name: value for name in _FILES if (value := getattr(arguments, name, None)) is not None}
    files = [file for each in given.values() for file in (each if isinstance(each, list) else [each])]
    # of files of several kinds, each is told what is meant for it; what is meant for none, its reader refuses
    meant = {option for option in (*TAKEN_BY, "encoding") if any(takes(option, str(file)) for file in files)}

    def told(file: str) -> TableFile:
        return TableFile(
            file, **{key: value for key, value in said.items() if key not in meant or takes(key, str(file))}
        )

    for name, value in given.items():
        setattr(arguments, name, [told(file) for file in value] if isinstance(value, list) else told(value))
    return arguments
