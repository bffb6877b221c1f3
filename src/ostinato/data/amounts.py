"""Numbers with the sign of a currency or of per cent, and negative ones in parentheses, as accounts have them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_CODES = "AUD BRL CAD CHF CNY CZK DKK EUR GBP HUF INR JPY KRW MXN NOK NZD PLN SEK USD ZAR"
_CURRENCY = rf"(?:[$€£¥₹₩₽₺]|R\$|{'|'.join(_CODES.split())})"
_SHARES = "%‰"
_DIGIT = r"[.,]?\d"
_MINUS = r"[+\-−]"
_IN_PARENTHESES = rf"^\(\s*({_CURRENCY}?\s*{_DIGIT}[^()]*)\)$"
_BEFORE = rf"^({_MINUS}?)\s*({_CURRENCY})\s*({_MINUS}?{_DIGIT})"
_AFTER = rf"^({_MINUS}?{_DIGIT}.*?)\s*({_CURRENCY}|[{_SHARES}])$"


def without_signs(texts: pl.Series) -> tuple[pl.Series, str]:
    """Return cells without the sign that they all have, and that sign; as they are, and `""`, where they have none.

    One sign has to be that of every number: `$5` beside `€5`, or `5%` beside `5`, are no numbers of one kind. An amount
    may lack it where another has it.

    Args:
        texts: without white space around them, null where missing.
    """
    import polars as pl

    negative = texts.str.replace(_IN_PARENTHESES, "-${1}")
    before = negative.str.extract(_BEFORE, 2)
    after = negative.str.extract(_AFTER, 2)
    signs = before.fill_null(after)
    kinds = signs.drop_nulls().unique().to_list()
    if not kinds:
        return negative, ""
    if len(kinds) > 1 or (kinds[0] in _SHARES and bool((signs.is_null() & negative.is_not_null()).any())):
        return texts, ""
    bare = negative.str.replace(_BEFORE, "${1}${3}").str.replace(_AFTER, "${1}")
    return bare.cast(pl.String), str(kinds[0])


def currency_behind(texts: pl.Series) -> str:
    """Return the sign of a currency that stands behind the numbers of a column, as in `12,50 €`; `""` without one."""
    found = texts.str.extract(_AFTER, 2).drop_nulls()
    return str(found[0]) if len(found) and found[0] not in _SHARES else ""


def bare_amount(cell: str) -> str:
    """Return one cell without the sign of a currency or parentheses; one of per cent, which may be meant as .05, stays.

    >>> bare_amount("($1,234.50)"), bare_amount("5%")
    ('-1,234.50', '5%')
    """
    text = cell.strip()
    if not text or (text[0].isdigit() and text[-1].isdigit()):  # most are plain numbers
        return cell
    text = re.sub(_IN_PARENTHESES, r"-\1", text)
    text = re.sub(_BEFORE, r"\1\3", text)
    return re.sub(_AFTER, lambda found: found[0] if found[2] in _SHARES else found[1], text)
