"""Counts, lists and numbers as a sentence has them; every message and report says them by these."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from numbers import Integral

_SINGULAR = {"series": "series", "axes": "axis", "indices": "index", "are": "is", "have": "has"}


def counted(number: float, of: str) -> str:
    """Return so many of what is named in the plural.

    >>> counted(1, "windows of 14 steps"), counted(1200, "clips"), counted(1, "classes"), counted(0.5, "epochs")
    ('1 window of 14 steps', '1,200 clips', '1 class', '0.5 epochs')
    """
    # a count of NumPy is no int, and `g` writes a million with an exponent
    whole = isinstance(number, Integral) or float(number).is_integer()
    shown = f"{int(number):,}" if whole else f"{number:,.6g}"
    return f"{shown} {of if number != 1 else singular(of)}"


def singular(plural: str) -> str:
    """Return one of what several are called; what follows the first word stays.

    >>> [singular(name) for name in ("rows", "series", "entries", "branches", "business days", "blocks of 7 tokens")]
    ['row', 'series', 'entry', 'branch', 'business day', 'block of 7 tokens']
    """
    head, of, rest = plural.partition(" of ")
    before, space, word = head.rpartition(" ")
    if word in _SINGULAR:
        word = _SINGULAR[word]
    elif word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s"):
        word = word[:-1]
    return before + space + word + of + rest


def verb(number: float, several: str) -> str:
    """Return a verb as it follows so many: `several` as it is said of two.

    >>> verb(1, "are"), verb(2, "are"), verb(1, "have"), verb(1, "holds")
    ('is', 'are', 'has', 'holds')
    """
    return _SINGULAR.get(several, several) if number == 1 else several


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def shortened(text: str, most: int = 60) -> str:
    """Return a text of so many letters at most.

    >>> shortened("a text that goes on", 12)
    'a text th...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."


def with_article(noun: str) -> str:
    """Return a noun with its article.

    >>> with_article("event predictor"), with_article("forecaster")
    ('an event predictor', 'a forecaster')
    """
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def number(value: float) -> str:
    """Return a number in four digits, whole ones in all of theirs; `n/a` for none.

    >>> number(0.123456), number(12345.6), number(1_200_000), number(2.5e-7), number(float("nan"))
    ('0.1235', '12,346', '1,200,000', '2.5e-07', 'n/a')
    """
    return rounded(value, 4)


def rough(value: float) -> str:
    """Return a number in two digits, whole ones in all of theirs.

    >>> rough(0.0123), rough(9.96), rough(150), rough(12345.6)
    ('0.012', '10', '150', '12,346')
    """
    return rounded(value, 2)


def rounded(value: float, digits: int) -> str:
    """Return a number in so many digits, or all those before its point, where `g` alone would write an exponent.

    >>> rounded(0.5, 3), rounded(1234.4, 3), rounded(9999.6, 4)
    ('0.5', '1,234', '10,000')
    """
    if not math.isfinite(value):
        return "n/a"
    near = abs(float(f"{value:.{digits}g}"))  # rounding may add a digit: 9999.6 is 10,000
    return f"{value:,.0f}" if 10**digits <= near < 1e15 else f"{value:,.{digits}g}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines: the first cell of each at the left, the others at the right of their column.

    >>> aligned([["", "MAE"], ["model", "0.5"]])
    ['       MAE', 'model  0.5']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]  # fmt: skip


def quoted(names: Sequence[str], most: int = 4) -> str:
    """Return the first of some names, in quotes.

    >>> quoted(["a", "b", "c"], 2)
    '"a", "b", ...'
    """
    return ", ".join(f'"{name[:40]}"' for name in names[:most]) + (", ..." if len(names) > most else "")


def meant(name: str, known: Sequence[str]) -> str:
    """Return which of the known names was probably meant, or all of them.

    >>> meant("hiden_size", ["hidden_size", "dropout"]), meant("x", ["hidden_size", "dropout"])
    ('did you mean "hidden_size"?', 'it has hidden_size, dropout')
    """
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f'did you mean "{near[0]}"?' if near else f"it has {', '.join(known)}"
