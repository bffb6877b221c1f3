"""Text whose columns stand apart by spaces, as instruments and older programs write it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ostinato.data.cells import looks_like_number

_GAPS = (re.compile(r"[ \t]{2,}|\t"), re.compile(r"[ \t]+"))
"""What parts the columns: gaps of two spaces or more, within which one space may stand, else any space."""
MARK = "\x1e"
"""The delimiter that gaps are replaced by: the separator of records in ASCII, which no text holds."""
_FEWEST = 3  # lines that show columns


def is_aligned(lines: Sequence[str]) -> bool:
    """Tell whether lines have the same number of columns, two or more, apart by spaces, one of them of numbers."""
    return _gap(lines) is not None


def _gap(lines: Sequence[str]) -> re.Pattern[str] | None:
    filled = [line.strip() for line in lines if line.strip()]
    if len(filled) < _FEWEST or any('"' in line for line in filled):
        return None
    for gap in _GAPS:
        rows = [gap.split(line) for line in filled]
        width = len(rows[0])
        if width < 2 or any(len(row) != width for row in rows):
            continue
        if any(all(looks_like_number(row[place]) for row in rows[1:]) for place in range(width)):
            return gap
    return None


def with_marks(text: str, sample: Sequence[str], start: int) -> str:
    """Return a text with `MARK` for each gap, line for line, its first `start` lines as they are."""
    gap = _gap(sample)
    assert gap is not None
    lines = text.split("\n")
    return "\n".join([*lines[:start], *(gap.sub(MARK, line.strip()) for line in lines[start:])])
