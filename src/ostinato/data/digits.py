"""Digits of other scripts as Latin ones: Arabic, Persian and full-width numbers are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_LATIN = {
    chr(first + digit): str(digit) for first in (0x0660, 0x06F0, 0x0966, 0xFF10) for digit in range(10)
} | {"٫": ".", "٬": ",", "．": ".", "，": ",", "－": "-", "／": "/", "：": ":"}  # fmt: skip
_TABLE = str.maketrans(_LATIN)


def western(texts: pl.Series) -> pl.Series:
    """Return texts with Arabic, Persian, Devanagari and full-width digits, and their marks, as Latin ones."""
    if not (texts.str.len_bytes() != texts.str.len_chars()).any():  # as nearly all
        return texts
    if not texts.str.contains(r"[٠-٩۰-۹०-९０-９]").any():
        return texts
    return texts.str.replace_many(list(_LATIN), list(_LATIN.values()))


def western_text(text: str) -> str:
    """Return one text likewise.

    >>> western_text("۱۲٫۵")
    '12.5'
    """
    return text.translate(_TABLE)
