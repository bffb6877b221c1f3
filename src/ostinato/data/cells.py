"""What the cells of a text column are: numbers, however they are written, or yes and no.

The decimal mark is decided once a column: by cells that can be read one way only (`3,5`, `1.234,56`), else by what was
asked for, by the other columns of the table, by what a model remembers, and last by custom. Nothing here asks what a
column is for; `table.py` does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ostinato.data.amounts import bare_amount
from ostinato.data.digits import western, western_text
from ostinato.data.frames import plain_value
from ostinato.data.notes import note

if TYPE_CHECKING:
    import polars as pl

YES = ("true", "yes", "wahr", "vrai")
NO = ("false", "no", "falsch", "faux")
_SPACE = " \u00a0\u202f\u2009"
_QUOTES = "'’"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_OTHER = rf"(?:[{_SPACE}]\d{{3}})+|(?:[{_QUOTES}]\d{{3}})+"


def _grouped(mark: str) -> str:
    """Return a pattern of digits in groups of thousands, by this mark, spaces or apostrophes."""
    indian = rf"|[1-9]\d?(?:{mark}\d{{2}})+{mark}\d{{3}}"
    return rf"(?:[1-9]\d{{0,2}}(?:(?:{mark}\d{{3}})+|{_OTHER}){indian})"


def _written(decimal: str, thousands: str) -> str:
    """Return the pattern of a number with these marks."""
    # one that is written with an exponent has no thousands
    plain_ = rf"(?:\d+(?:{decimal}\d*)?|{decimal}\d+){_EXPONENT}"
    return rf"^[+-]?(?:{_grouped(thousands)}(?:{decimal}\d*)?|{plain_})$"


_NUMBER = {".": _written(r"\.", ","), ",": _written(",", r"\.")}
"""How a number is written with each decimal mark."""
_EITHER = {".": r"^[+-]?[1-9]\d{0,2}\.\d{3}$", ",": r"^[+-]?[1-9]\d{0,2},\d{3}$"}
"""Cells in which the mark may stand for decimals or for one group of thousands."""
_PLAIN = {mark: re.compile(rf"[+-]?(?:[0-9]+(?:[{mark}][0-9]*)?|[{mark}][0-9]+)(?:[eE][+-]?[0-9]+)?") for mark in ".,"}
"""A number without thousands, as nearly all are."""
_COMPILED = {mark: re.compile(pattern) for mark, pattern in _NUMBER.items()}


def plain(texts: pl.Series) -> pl.Series:
    """Return texts without the white space around them, a minus sign as a hyphen and before it, digits as Latin."""
    found = western(texts.str.strip_chars()).str.replace("^[−－]", "-")
    return found.str.replace(r"^(\d[\d.,]*)[-−]$", "-${1}") if found.str.ends_with("-").any() else found


def decimal_evidence(texts: pl.Series) -> str | None:
    """Return the decimal mark that a column shows beyond doubt, `None` if none or both do."""
    marked = plain(texts.drop_nulls()).unique()
    marked = marked.filter(marked.str.contains(r"\d[.,]|[.,]\d"))
    shown = [mark for mark in ".," if _shows(marked, mark)]
    return shown[0] if len(shown) == 1 else None


def _shows(marked: pl.Series, mark: str) -> bool:
    other = "," if mark == "." else "."
    written = marked.str.contains(_NUMBER[mark]) & ~marked.str.contains(_NUMBER[other])
    return bool(written.any())


def is_ambiguous(texts: pl.Series, mark: str) -> bool:
    """Tell whether a column has cells such as `1,234`, which may be 1234 or 1.234."""
    return bool(plain(texts).str.contains(_EITHER[mark]).fill_null(False).any())


def only_groups(texts: pl.Series) -> bool:
    """Tell whether every dot in a column of numbers has three digits behind it, as one that parts thousands has."""
    dotted = plain(texts.drop_nulls()).unique()
    dotted = dotted.filter(dotted.str.contains(".", literal=True))
    return len(dotted) > 0 and bool(dotted.str.contains(_EITHER["."]).all())


def has_small_without_dots(texts: pl.Series) -> bool:
    """Tell whether a column beside `1.234` has numbers below a thousand, without a dot, and no other ones.

    Decimals do not look like that: all of them have as many digits, or some have fewer than three.
    """
    cells = plain(texts.drop_nulls()).unique()
    bare = cells.filter(~cells.str.contains(".", literal=True))
    small = bare.str.contains(r"^[+-]?\d{1,3}$")
    return len(cells) - len(bare) > 1 and bool(small.all()) and bool((small & ~bare.str.contains(r"^[+-]?0+$")).any())


def as_numbers(texts: pl.Series, decimal: str) -> pl.Series:
    """Return texts as floats, null where one is no number with this decimal mark."""
    import polars as pl

    found = plain(texts)
    thousands = "," if decimal == "." else r"\."
    fits = found.str.contains(_NUMBER[decimal])
    bare = found.str.replace_all(rf"[{thousands}{_SPACE}{_QUOTES}]", "").str.replace(decimal, ".", literal=True)
    read = bare.set(~fits.fill_null(True), None).cast(pl.Float64, strict=False)
    words = found.set(fits.fill_null(True), None)
    if not words.count():
        return read
    # what the pattern leaves out, NaN and infinity, is for the caller to judge
    words = words.set(~words.str.contains(r"(?i)^[+-]?(?:nan|inf|infinity)$").fill_null(True), None)
    return read.fill_null(words.cast(pl.Float64, strict=False))


def looks_like_number(cell: str) -> bool:
    """Tell whether a cell is a number with one decimal mark or the other."""
    bare = cell.strip()
    return len(bare) < 400 and any(re.match(pattern, bare) is not None for pattern in _NUMBER.values())


def as_flags(texts: pl.Series) -> pl.Series | None:
    """Return a column of true and false, yes and no, 0 and 1 as floats; `None` if it holds more, or no word."""
    import polars as pl

    found = texts.str.strip_chars().str.to_lowercase()
    words = found.is_in([*YES, *NO])
    if not words.fill_null(False).any():
        return None
    number = found.cast(pl.Float64, strict=False)
    if not (words | number.is_in([0.0, 1.0])).fill_null(True).all():
        return None
    if (found.is_not_null() & ~words.fill_null(False) & number.is_null()).any():
        return None
    return number.set(found.is_in(list(YES)).fill_null(False), 1.0).set(found.is_in(list(NO)).fill_null(False), 0.0)


def flag_of(cell: str) -> bool | None:
    """Return what a word for true or false says, `None` for any other."""
    word = cell.strip().lower()
    return True if word in YES else False if word in NO else None


def number_of(cell: str, decimal: str | None = None, name: str = "") -> float:
    """Return one cell as a number, as a column that holds it alone is read.

    Where its only mark may part thousands, and does not stand before decimals in the training data, it does; that is
    said.

    Args:
        cell: the text.
        decimal: the mark before decimals in the training data.
        name: the column, for what is said.

    Raises:
        ValueError: it is none.
    """
    import polars as pl

    flag = flag_of(cell)
    if flag is not None:
        return float(flag)
    cell = bare_amount(cell if cell.isascii() else western_text(cell))
    usual = _usual_number(cell, decimal)
    if usual is not None:
        return usual
    texts = pl.Series([cell], dtype=pl.String)
    found = as_numbers(texts, decimal_evidence(texts) or decimal or ".")[0]
    if found is None:
        raise ValueError(f'"{cell[:40]}" is no number')
    other = "." if decimal == "," else ","
    if decimal_evidence(texts) is None and is_ambiguous(texts, other):
        _say_thousands(cell, found, decimal, name)
    return float(found)


def _usual_number(cell: str, decimal: str | None) -> float | None:
    """Return a number without thousands, whose mark leaves nothing to ask; `None` for all else.

    A column is made of a cell in two milliseconds, which a live stream has not: this takes one microsecond.
    """
    bare = cell.strip(" \t\r\n")
    if not bare.isascii():
        return None
    for mark, other in (".,", ",."):
        if not _PLAIN[mark].fullmatch(bare):
            continue
        # a cell that can be read with the other mark too goes by what was decided, else by custom
        if decimal == mark or (decimal is None and mark == ".") or not _COMPILED[other].match(bare):
            return float(bare.replace(",", "."))
    return None


def _say_thousands(cell: str, found: float, decimal: str | None, name: str) -> None:
    column = f' in column "{name}"' if name else ""
    why = f', since "{decimal}" stands before decimals in the data that the model was trained on' if decimal else ""
    note(
        f'the row: "{cell}"{column} is read as {found:.10g}{why}; if it is not, give a number rather than a text, or '
        "write it without that mark"
    )


def cell_number(cell: object, decimal: str | None = None, missing: Sequence[str] = ("",), name: str = "") -> float:
    """Return a value of a streamed row as the readers of tables read it: a number, true or false, or a text of one.

    Args:
        cell: the value; `None`, NaN, pandas' `NA` and the texts of `missing` are missing.
        decimal: the mark before decimals where a text shows none.
        missing: texts that mean a missing value.
        name: the column, for what is said.

    Returns:
        The number, NaN where missing.

    Raises:
        ValueError: it is no number.
        OverflowError: it is a whole number that no float holds.
    """
    value = plain_value(cell)
    if value is None or (isinstance(value, str) and value.strip() in missing):
        return float("nan")
    if isinstance(value, str):
        return number_of(value, decimal, name)
    if not isinstance(value, (bool, int, float)):
        raise ValueError(f"it is a {type(cell).__name__}")
    return float(value)


def listed(cells: Sequence[tuple[int, str]], shown: int = 4) -> str:
    """Return cells with their rows, the first ones written out."""
    parts = [f'row {row} "{text[:40]}"' for row, text in cells[:shown]]
    return ", ".join(parts) + (f" and {len(cells) - shown} more" if len(cells) > shown else "")
