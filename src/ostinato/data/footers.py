"""What stands below the rows of a table: where it is from, notes, a sum of all rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ostinato.data.notes import note

if TYPE_CHECKING:
    import polars as pl

_MOST = 30  # lines of notes
_LEAST = 3  # rows of a table above them
_DIGITS = 0.8  # of the first cells of its rows, that have a digit as times and numbers have
_NOTE = re.compile(
    r"(?i)^\W*(?:sources?|quellen?|fuente|fonte|notes?|anmerkung(?:en)?|hinweis|remarks?|legende?|copyright|©"
    r"|data (?:from|by)|last updated|updated|stand|generated|exported|retrieved|disclaimer|footnotes?"
    r"|end of (?:file|data|table)|eof|\*|\(c\))"
)
_SUM = re.compile(
    r"(?i)^\W*(?:(?:grand|sub)?\s?totals?|sum|summen?|gesamt|insgesamt|somme|suma|totale|average|mean|mittelwert|"
    r"durchschnitt|moyenne|promedio|media|median|min(?:imum)?|max(?:imum)?|count|anzahl)\b"
)


def rows_of_footer(frame: pl.DataFrame) -> int:
    """Return how many of the last rows of a table are notes or sums below it.

    They are those whose first cell is a sentence with nothing beside it, or a word for a sum, below rows whose first
    cells are times or numbers.

    Args:
        frame: every cell a text, null where it is empty.
    """
    if frame.width < 2 or frame.height <= _LEAST:
        return 0
    first = frame.to_series(0)
    count = 0
    while count < min(_MOST, frame.height - _LEAST):
        row = frame.row(frame.height - 1 - count)
        if not _is_footer(row) and any((each or "").strip() for each in row):
            break
        count += 1
    if not count:
        return 0
    above = first.head(frame.height - count).drop_nulls()
    digits = above.str.contains(r"\d") & (above.str.len_chars() < 40)
    same = {_shape(cell) for cell in above.tail(200).to_list()}
    if not len(above) or int(digits.sum()) < _DIGITS * len(above):
        return 0
    below = [cell for cell in first.tail(count).to_list() if cell]
    return 0 if any(_shape(cell) in same for cell in below) else count


def _is_footer(row: Sequence[str | None]) -> bool:
    cell = (row[0] or "").strip()
    if not re.search(r"[^\W\d_]", cell) and not cell.startswith("*"):
        return False
    alone = not any((each or "").strip() for each in row[1:])
    return bool(_SUM.match(cell)) or (alone and (bool(_NOTE.match(cell)) or " " in cell)) or bool(_NOTE.match(cell))


def _shape(cell: str) -> str:
    """Return the form of a text: its digits as one, its letters as another."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "0", cell.strip()))


def say_below(name: str, lines: Sequence[int], cells: Sequence[str | None]) -> None:
    """Say which rows are not taken as data."""
    which = f"line {lines[0]} is" if len(lines) == 1 else f"lines {lines[0]} to {lines[-1]} are"
    first = next((cell.strip() for cell in cells if cell and cell.strip()), "")
    if first:
        note(f'{name}: {which} taken as a note or a sum below the table ("{first[:40]}"), and left out')
