"""From a text to its words."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from itertools import groupby
from typing import Literal

from ostinato.errors import UsageError

Split = Literal["whitespace", "words"]

# a number with its points and commas; a word with its inner apostrophes; any other visible character by itself
_PATTERN = r"\d+(?:[.,]\d+)+|[\w{marks}]+(?:['’][\w{marks}]+)*|[^\w\s{marks}]"
_JOINERS = "\u200c\u200d"  # within words of Persian and of Indian scripts


def split_words(text: str, how: Split) -> list[str]:
    """Split a text into words.

    Args:
        text: any text.
        how: `"whitespace"`: at white space only, for text whose tokens are split by it already; `"words"`: words with
            their inner apostrophes (`don't`), numbers with their inner points and commas (`3.14`, `10,000`), and every
            other visible character by itself. Scripts that write no spaces (Chinese, Japanese, Thai) are not split
            into words by it: take a subword or character vocabulary for them.

    Raises:
        UsageError: `how` is neither.

    >>> split_words("He didn't pay $3.50, did he?", "words")
    ['He', "didn't", 'pay', '$', '3.50', ',', 'did', 'he', '?']
    >>> split_words("the <unk> 's", "whitespace")
    ['the', '<unk>', "'s"]
    """
    if how == "whitespace":
        return text.split()
    if how == "words":
        return _pattern(text.isascii()).findall(text)
    raise UsageError(f'split is "{how}"; expected "whitespace" or "words"')


@cache
def _pattern(only_ascii: bool) -> re.Pattern[str]:
    r"""Return the pattern; Python's `\w` leaves out combining marks, without which Hindi falls apart."""
    return re.compile(_PATTERN.format(marks="" if only_ascii else _combining_marks() + _JOINERS))


def _combining_marks() -> str:
    marks = (code for code in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M"))
    runs = [[code for _, code in run] for _, run in groupby(enumerate(marks), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
