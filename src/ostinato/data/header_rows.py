"""Headers of several rows: groups above names, as spreadsheets merge cells for; and a row of units below the names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ostinato.data.headers import is_number
from ostinato.data.notes import note
from ostinato.data.schema import MISSING

_MOST = 4  # rows of a header
_BELOW = 50  # rows that show what a column holds
_NUMBERS = 0.8  # of the cells of a column of numbers


def rows_of_header(rows: Sequence[Sequence[str]]) -> int:
    """Return how many of the first rows make the header together; 1 where the first one does it alone.

    They are several where the first has no name, or one name, for several columns, and those below it are of names too.

    Args:
        rows: the cells of each line from the first row of the header on.

    >>> rows_of_header([["Date", "Load", ""], ["", "DE", "FR"], ["2024-01-01", "1", "2"], ["2024-01-02", "2", "3"]])
    2
    """
    if len(rows) < 3 or len(rows[0]) < 2:
        return 1
    width = len(rows[0])
    seen = Counter(cell.strip() for cell in rows[0])
    empty = [place for place, cell in enumerate(rows[0]) if not cell.strip()]
    named_below = [place for place in empty if place < len(rows[1]) and rows[1][place].strip()]
    if (max(seen.values()) < 2 and not named_below) or _is_data(rows[1]):
        return 1
    count = 1
    while count < min(_MOST, len(rows) - 1) and len(rows[count]) == width and not _is_data(rows[count]):
        count += 1
    names = joined_names(rows[:count])
    return count if count > 1 and len(set(names)) == width and _is_data(rows[count]) else 1


def _is_data(row: Sequence[str]) -> bool:
    """Tell whether a row holds a number, or a date."""
    cells = [cell.strip() for cell in row if cell.strip()]
    return any(is_number(cell) or re.match(r"\d{1,4}[-/.]\d{1,2}[-/.]\d", cell) for cell in cells)


def joined_names(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names that several rows of a header give together: each group stands for the columns to its right.

    >>> joined_names([["Price", "Close", "Close"], ["Ticker", "A", "B"], ["Date", "", ""]])
    ['Date', 'Close A', 'Close B']
    """
    parts: list[list[str]] = [[] for _ in rows[0]]
    for place, row in enumerate(rows):
        group = ""
        for column, cell in enumerate(row):
            # in the last row an empty cell is one without a name of its own
            group = cell.strip() or (group if place < len(rows) - 1 and column else "")
            if group and group not in parts[column][-1:]:
                parts[column].append(group)
    last = [cell.strip() for cell in rows[-1]]
    if last[0] and len(parts[0]) > 1:  # the names of what stands in the rows, not of a group of columns
        parts[0] = [last[0]]
    return [" ".join(each) for each in parts]


def has_units(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row below the names holds units: no number where all below it are, and no time.

    Args:
        header: the names.
        rows: the cells of the lines below it.
    """
    if len(rows) < 4 or len(rows[0]) != len(header) or len(header) < 2:
        return False
    units, below = [cell.strip() for cell in rows[0]], rows[1 : 1 + _BELOW]
    numeric = []
    for place in range(len(header)):
        cells = [row[place].strip() for row in below if place < len(row) and row[place].strip()]
        numeric.append(bool(cells) and sum(map(is_number, cells)) >= _NUMBERS * len(cells))
    named = [unit for unit, number in zip(units, numeric, strict=True) if number]
    others = [unit for unit, number in zip(units, numeric, strict=True) if not number]
    if not any(named) or not others or any(unit in MISSING and unit for unit in named):
        return False
    return not any(map(is_number, named)) and not any(re.search(r"\d", unit) for unit in others)


def say_joined(name: str, count: int, names: Sequence[str]) -> None:
    """Say which rows are read as one header."""
    note(f'{name}: its first {count} rows are read as one header ("{names[-1][:40]}" is its last column)')


def say_units(name: str, line: int, units: Sequence[str]) -> None:
    """Say which line holds units."""
    shown = next(unit.strip() for unit in reversed(units) if unit.strip())
    note(f'{name}: line {line} is taken as units of the columns ("{shown[:40]}"), and left out')
