"""What stands above the header of a table: a title, the name of a station, when it was exported."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from ostinato.data.headers import is_number
from ostinato.data.notes import note

_LONGEST = 60  # lines of a preamble
_SHARE = 0.6  # of the lines that have the table's number of columns
_FEW = 3  # lines that are no header that lacks a name
_FEWEST = 6  # numbers in a row of names that are no accident


def lines_above_header(rows: Sequence[Sequence[str]]) -> int:
    """Return how many rows stand above the header of a table; 0 where the first row may be it.

    The header is the first row as wide as most rows are, or wider, every cell a name or one of years that count, where
    all before are narrower, by fewer cells or by cells that are empty.

    Args:
        rows: the cells of each line, none of a blank one.

    >>> lines_above_header([["Station 12"], [], ["time", "load"], ["1", "2.5"], ["2", "3"], ["3", "1"]])
    2
    """
    widths = [_width(row) for row in rows]
    below = Counter(width for width in widths if width)
    if not below:
        return 0
    usual = below.most_common(1)[0][0]
    # the header may be wider than most rows, where their last cells (remarks) are often empty
    first = next((place for place, each in enumerate(widths) if each >= usual), 0)
    width, count = widths[first], sum(each >= usual for each in widths)
    if width < 2 or not 0 < first <= _LONGEST or count < _SHARE * sum(below.values()) or len(rows) - first < 3:
        return 0
    # what is shorter by a cell may be the header that lacks a name; a title has one or two cells of many
    above = [each for each in widths[:first] if each]
    if max(above, default=0) >= width - 1 and width > 2 and len(above) < _FEW:
        return 0
    header = rows[first][:width]
    named = all(cell.strip() for cell in header) and len(set(header)) == width and _are_names(header)
    return first if named and any(map(is_number, itertools.chain(*rows[first + 1 : first + 4]))) else 0


def _are_names(header: Sequence[str]) -> bool:
    """Tell whether cells are names: texts, and behind them whole numbers that count, as years do."""
    texts = [cell for cell in header if not is_number(cell)]
    counted = [cell.strip() for cell in header[len(texts) :]]
    if not texts or any(map(is_number, header[: len(texts)])) or not all(cell.isdecimal() for cell in counted):
        return False
    steps = {int(after) - int(before) for before, after in itertools.pairwise(counted)}
    return not counted or (len(counted) >= _FEWEST and steps in ({1}, {-1}))


def _width(row: Sequence[str]) -> int:
    """Return how many cells a row has, without the empty ones at its end, which a spreadsheet fills titles up with."""
    return max((place for place, cell in enumerate(row, 1) if cell.strip()), default=0)


def say_above(name: str, first: str, count: int) -> None:
    """Say which lines are not taken as the table."""
    lines = "line 1 is" if count == 1 else f"lines 1 to {count} are"
    note(f'{name}: {lines} taken as a title above the table ("{first[:40]}"), and left out')
