"""Columns of names and of classes: one for each different value, never rounded, and none for what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.table import Table, is_text, texts
from ostinato.errors import DataError

Label: TypeAlias = "str | bool | int | float"
NO_NAMES = ("NaN", "nan", "NaT", "<NA>", "None")
"""How libraries write that there is nothing; never a name."""


def names(table: Table, name: str, what: str) -> list[str]:
    """Return a column of names: series, cases, labels; one text for each different value, and no other.

    Args:
        table: the table.
        name: the column.
        what: what every row needs, for the message: `"must name its series"`.

    Raises:
        DataError: one is missing, or a float too large to tell whole numbers apart.
    """
    _refuse_rounded(table, name)
    found = texts(table, name, NO_NAMES)
    if None in found:
        raise DataError(f'{table.place(found.index(None))}: column "{name}" is empty; every row {what}')
    _refuse_merged(table, name)
    return [str(each) for each in found]


def rows_by_name(table: Table, column: str | None, what: str = "must name its series") -> dict[str, NDArray[np.int64]]:
    """Return the rows of each name in a column, in the order in which the names first come; errors as `names`.

    Args:
        table: the table.
        column: of names; `None`: all rows are of one, whose name is empty.
        what: see `names`.
    """
    if column is None:
        return {"": np.arange(table.rows)}
    key = ("rows by name", column, (what,))
    if key not in table.known:  # asked for when roles are found, and again when series are laid out
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(names(table, column, what)):
            rows.setdefault(name, []).append(row)
        table.known[key] = {name: np.asarray(value, np.int64) for name, value in rows.items()}
    return dict(table.known[key])


def _refuse_merged(table: Table, name: str) -> None:
    """Refuse names that differ, but only in the white space around them, or as a number and a text of it do."""
    import polars as pl

    if name in table.alike:
        first, second = table.alike[name]
        raise DataError(
            f'{table.place(second)}: column "{name}" holds both a number and a text that are written alike, here and '
            f"in row {table.number(first)}; write them all as texts, or all as numbers"
        )
    if not is_text(table, name):
        return
    assert table.frame is not None
    kinds = table.frame[name].cast(pl.String).unique().drop_nulls()
    bare = kinds.str.strip_chars()
    if bare.n_unique() == len(bare):
        return
    twin = bare.filter(bare.is_duplicated())[0]
    here = table.frame[name].cast(pl.String)
    first, second = (int((here == each).arg_max() or 0) for each in kinds.filter(bare == twin).sort()[:2])
    raise DataError(
        f'{table.place(max(first, second))}: "{here[max(first, second)]}" in column "{name}" differs from '
        f'"{here[min(first, second)]}" in row {table.number(min(first, second))} only by the white space around it; '
        "write them alike if they are one, or rename one"
    )


def labels(table: Table, name: str, what: str) -> list[Label]:
    """Return a column of classes in the type that they have: whole numbers, floats, true and false, or texts.

    The cells of a text file are what all of them are when written as Python writes them: `1` and `2` whole numbers,
    but not `01`; errors as `names`.
    """
    import polars as pl

    found = names(table, name, what)
    if table.frame is None or table.untyped:
        return typed(found)
    column = table.frame[name]
    if column.dtype.is_integer() or column.dtype.is_float() or column.dtype == pl.Boolean:
        values: list[Label] = column.to_list()
        return values
    return list(found)


def typed(texts: Sequence[str]) -> list[Label]:
    """Return texts as what all of them are: whole numbers, floats, true and false as Python writes them, or texts."""
    if all(re.fullmatch(r"0|-?[1-9]\d{0,17}", text) for text in texts):
        return [int(text) for text in texts]
    if all(text.lower() in ("true", "false") for text in texts):
        return [text.lower() == "true" for text in texts]
    if all(re.fullmatch(r"-?\d+\.\d+(e[+-]?\d+)?", text) and repr(float(text)) == text for text in texts):
        return [float(text) for text in texts]
    return list(texts)


def _refuse_rounded(table: Table, name: str) -> None:
    column = table.matrix[:, table.names.index(name)] if table.matrix is not None else None
    if table.frame is not None and table.frame[name].dtype.is_float():
        column = table.frame[name].to_numpy()
    if column is None or column.dtype.kind != "f":
        return
    large = np.abs(column) >= 2.0 ** (np.finfo(column.dtype).nmant + 1)
    if large.any():
        row = int(large.argmax())
        raise DataError(
            f'{table.place(row)}: column "{name}" holds {column[row]:.0f} as a {column.dtype} number, which cannot '
            "tell whole numbers of that size apart; give the column as whole numbers or as text"
        )
