"""Whether the first row of a table names its columns, or is data already."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ostinato.data.cells import flag_of, looks_like_number
from ostinato.data.notes import note
from ostinato.data.time_texts import reads_as_time

_BELOW = 200  # rows that are compared with the first one
_NAMED = "the columns are named column_1, column_2 and so on"


def has_header(name: str, first: Sequence[str], below: Sequence[Sequence[str]], said: bool | None = None) -> bool:
    """Tell whether a row is a header; where it may be either, say which it is taken for, and what changes that.

    Args:
        name: of the file, for a message.
        first: the cells of the first row.
        below: those of the rows after it.
        said: what a user says of it; `None`: nothing.
    """
    if said is not None:
        return said
    shown = ",".join(first)[:60]
    columns = [[row[place] for row in below[:_BELOW] if place < len(row)] for place in range(len(first))]
    if all(map(is_number, first)):
        if _may_be_names(first):
            note(
                f'{name} seems to have no header: its first row, "{shown}", is of numbers; {_NAMED}: if it is a '
                "header, say so: TableFile(path, header=True) (--header)"
            )
        return False
    values = [place for place, cell in enumerate(first) if is_number(cell) and _are_numbers(columns[place])]
    if _dated(first, columns) or (values and _comes_again(first, columns)):
        note(
            f'{name} seems to have no header: its first row, "{shown}", is like those below; {_NAMED}: write a header '
            "into the file to name them, or say that it is one: TableFile(path, header=True) (--header)"
        )
        return False
    numbers = [first[place] for place in values]
    if values and not (_are_years(numbers) or (len(numbers) > 2 and _may_be_names(numbers))):
        note(
            f'the first row of {name}, "{shown}", is taken as its header, though "{numbers[0]}" is a number as those '
            "below are: if it is data, say so: TableFile(path, header=False) (--no-header)"
        )
    return True


def names_of_columns(count: int) -> list[str]:
    """Return the names of columns without a header."""
    return [f"column_{place}" for place in range(1, count + 1)]


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number, NaN and infinity among them."""
    try:
        float(cell)
    except ValueError:
        return looks_like_number(cell)
    return True


def _are_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and 2 * sum(map(is_number, filled)) > len(filled)


def _may_be_names(cells: Sequence[str]) -> bool:
    """Tell whether numbers may name columns, as years and counts do: whole ones, each greater than the one before."""
    if len(cells) < 2 or not all(cell.strip().isdecimal() for cell in cells):
        return False
    values = [int(cell) for cell in cells]
    return all(before < after for before, after in itertools.pairwise(values))


def _are_years(cells: Sequence[str]) -> bool:
    return all(cell.strip().isdecimal() and 1900 <= int(cell) <= 2100 for cell in cells)


def _dated(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row holds a date where the next one does: it is no header then."""
    import polars as pl

    pairs = [pl.Series([cell, *column[:1]], dtype=pl.String) for cell, column in zip(first, columns, strict=True)]
    if any(len(pair) < 2 for pair in pairs):
        return False
    dated = [pair.str.contains(r"\d").all() and reads_as_time(pair, weak=False) for pair in pairs]
    return any(dated) and pairs[dated.index(True)][0] != ""


def _comes_again(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether a word of the first row stands below it too, or is true or false: no name of a column does that."""
    words = [
        (cell, column) for cell, column in zip(first, columns, strict=True) if cell.strip() and not is_number(cell)
    ]
    return any(cell in column or flag_of(cell) is not None for cell, column in words)
