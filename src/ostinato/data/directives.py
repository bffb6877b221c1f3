"""Times by a format of `strptime`, and the zeros that numbers have lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ostinato.data.formats import NAME, OFFSET, Form
from ostinato.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

_DIRECTIVES = {
    "Y": r"(?P<year>\d{4})", "y": r"(?P<year>\d{2})", "m": r"(?P<month>\d{1,2})", "d": r"(?P<day>\d{1,2})",
    "e": r"\s*(?P<day>\d{1,2})", "b": NAME, "B": NAME, "h": NAME, "H": r"(?P<hour>\d{1,2})",
    "I": r"(?P<hour>\d{1,2})", "M": r"(?P<minute>\d{1,2})", "S": r"(?P<second>\d{1,2})",
    "f": r"(?P<fraction>\d{1,9})", "p": r"(?P<half>[AaPp]\.?[Mm]\.?)", "z": OFFSET, "j": r"(?P<ordinal>\d{1,3})",
    "q": r"(?P<quarter>\d)", "a": r"[A-Za-z]+\.?", "A": r"[A-Za-z]+\.?", "G": r"(?P<year>\d{4})",
    "V": r"(?P<week>\d{1,2})", "u": r"(?P<weekday>\d)", "%": "%",
}  # fmt: skip
_WIDTHS = {"Y": 4, "j": 3}
_COMPOSED = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}


def form_of(time_format: str) -> Form:
    """Return the form that a format of `strptime` describes; `%q` is a quarter.

    Raises:
        UsageError: it has a directive that is not known, or says no year.
    """
    pattern, rest = "", time_format
    for letter, text in _COMPOSED.items():
        rest = rest.replace(f"%{letter}", text)
    while rest:
        head, rest = rest[0], rest[1:]
        if head != "%":
            pattern += r"\s+" if head.isspace() else f"\\{head}" if not head.isalnum() else head
            continue
        letter, rest = rest[:1], rest[1:]
        if letter not in _DIRECTIVES:
            known = ", ".join(f"%{name}" for name in _DIRECTIVES)
            raise UsageError(f'time_format "{time_format}" has "%{letter}", which is not known; expected of {known}')
        pattern += _DIRECTIVES[letter]
    if pattern.count("?P<year>") != 1:
        raise UsageError(
            f'time_format "{time_format}" has no year, or two; expected one such as %d/%m/%Y %H:%M, "unix" of '
            'numbers that count since 1970, or "excel" of days of a spreadsheet'
        )
    return Form("format", pattern)


def digits_of(time_format: str) -> int | None:
    """Return how many digits a format has that is nothing but numbers of a fixed width, else `None`.

    >>> digits_of("%d%m%y"), digits_of("%d.%m.%y")
    (6, None)
    """
    if re.fullmatch("(?:%[YymdHIMSjV])+", time_format) is None:
        return None
    return sum(_WIDTHS.get(letter, 2) for letter in time_format[1::2])


def with_zeros(cells: pl.Series, time_format: str) -> pl.Series:
    """Return the cells of times as texts, with the zeros that a format has before the first digit.

    A number has none, so whole numbers are filled up; of a text only one can be missing, as of a day or a month.
    """
    import polars as pl

    width = digits_of(time_format)
    if cells.dtype == pl.String:
        texts = cells.str.strip_chars()
        texts = texts if "." in time_format else texts.str.replace(r"^(\d+)\.0*$", "$1")
        least = (width or 0) - 1
    else:
        texts, least = cells.cast(pl.String), 0
    if width is None:
        return texts
    short = texts.str.contains(r"^\d+$") & (texts.str.len_chars() >= least)
    return texts.zip_with(~short.fill_null(False), texts.str.zfill(width))
