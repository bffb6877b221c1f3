"""Frequencies as texts: the names that pandas has for them, its older ones too."""

from __future__ import annotations

import re
from typing import Any

from ostinato.data.frequency import DAY, SECOND, Frequency
from ostinato.errors import UsageError

_FIXED = {"us": 1, "ms": 1_000, "s": SECOND, "min": 60 * SECOND, "h": 3_600 * SECOND, "D": DAY, "W": 7 * DAY}
_MONTHS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
_BUSINESS = {f"B{name}": months for name, months in _MONTHS.items()}
_SYNONYMS = {
    "H": "h", "T": "min", "m": "min", "S": "s", "d": "D", "w": "W", "L": "ms", "U": "us", "C": "B", "row": "rows",
    "M": "MS", "Q": "QS", "Y": "YS", "A": "YS", "AS": "YS", "BM": "BME", "BQ": "BQE", "BY": "BYE", "BA": "BYE",
    "BAS": "BYS", "hourly": "h", "hour": "h", "daily": "D", "day": "D", "weekly": "W", "week": "W", "monthly": "MS",
    "month": "MS", "quarterly": "QS", "quarter": "QS", "yearly": "YS", "year": "YS", "minute": "min", "second": "s",
}  # fmt: skip
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def parse_frequency(text: Any) -> Frequency:
    """Return the frequency that a text stands for; see `Frequency.parse`. Whole numbers and pandas' offsets do as well.

    Raises:
        UsageError: the text is not a frequency.
    """
    text = str(getattr(text, "freqstr", text)).strip()
    match = re.fullmatch(r"(\d*)\s*([A-Za-z]*)(?:-([A-Za-z]{3}))?", text)
    if match and int(match[1] or 1) > 0 and (found := _found(match[1], match[2], (match[3] or "").upper())):
        return found
    raise UsageError(
        f'frequency "{text}" is not known; expected s, min, h, D, B, W (W-SUN), MS, ME, BMS, BME, QS or YS with a '
        'number before it if need be (as in "15min"), a whole number for times that are numbers, or "rows"'
    )


def _found(digits: str, word: str, anchor: str) -> Frequency | None:
    count, name = int(digits or 1), _SYNONYMS.get(word, word)
    if not name:
        return Frequency("integer", count) if digits and not anchor else None
    if name in _FIXED:
        return Frequency("us", count * _FIXED[name], anchor=anchor) if _fits(name == "W", anchor, WEEKDAYS) else None
    months = {**_MONTHS, **_BUSINESS}.get(name)
    if months is not None and _fits(months > 1, anchor, MONTHS):
        end, business = name.endswith("E"), name in _BUSINESS
        return Frequency("month", count * months, month_end=end, business=business, anchor=anchor)
    if name == "B" and not anchor:
        return Frequency("business", count)
    return Frequency("row") if name == "rows" and count == 1 and not anchor else None


def _fits(takes: bool, anchor: str, names: tuple[str, ...]) -> bool:
    return not anchor or (takes and anchor in names)


def alias_of(frequency: Frequency) -> str:
    """Return the shortest text that `parse_frequency` reads back; see `Frequency.alias`."""
    if frequency.unit == "row":
        return "rows"
    if frequency.unit == "integer":
        return str(frequency.step)
    if frequency.unit == "business":
        return _counted(frequency.step, "B")
    table = _FIXED
    if frequency.unit == "month":
        names = _BUSINESS if frequency.business else _MONTHS
        table = {name: size for name, size in names.items() if name.endswith("E") == frequency.month_end}
    name = max((name for name, size in table.items() if frequency.step % size == 0), key=lambda name: table[name])
    return _counted(frequency.step // table[name], name) + (f"-{frequency.anchor}" if frequency.anchor else "")


def _counted(count: int, name: str) -> str:
    return name if count == 1 else f"{count}{name}"
