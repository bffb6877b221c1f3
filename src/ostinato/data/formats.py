"""The forms that people write times in, as patterns, and from what they match to times.

A two-digit year is of 1969 to 2068, as POSIX has it: 68 is 2068 and 69 is 1969. A quarter, a month, a week (its Monday)
and a year stand for their first day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.month_names import LETTER, WEEKDAY
from ostinato.data.month_names import NUMBERS as MONTH_NUMBERS

if TYPE_CHECKING:
    import polars as pl

Order: TypeAlias = Literal["", "dmy", "mdy", "ymd", "index", "ym", "my"]
"""Of day, month and year as numbers; `index`: years are counted from 1, as in `1-01` to `13-12`."""
PIVOT = 69
_CLOCK = (
    r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
# of RFC 5322, and those of Europe and Japan; others, such as IST, are of several zones
_ABBREVIATED = {
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "WET": 0, "WEST": 1,
    "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "JST": 9,
}  # fmt: skip
OFFSET = rf"(?P<offset>Z|z|UTC|GMT|{'|'.join(_ABBREVIATED)}|[+-]\d{{2}}(?::?\d{{2}})?)"
_TIME = rf"(?:(?:[Tt_]|:|,?\s+){_CLOCK}\s*(?:\(?{OFFSET}\)?)?(?:\[(?P<zone>[A-Za-z_/+-]+)\])?)?"
# the other end of a time that is written as an interval
_UNTIL = r"(?:\s+[-–]\s+|\s*/\s*|\s+(?:to|bis)\s+)"
_END = r"(?:(?:[Tt]|\s+)\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?(?:\s*\([A-Z/]{3,9}\))?"
NAME = rf"(?P<name>{LETTER}{{3,10}})\.?"
_OF = r"(?:[-/. ]*(?:de|di)\s+)?"  # as in 3 de mayo de 2024
_YEAR = r"(?P<year>\d{4}|\d{2})"
_FISCAL = r"(?:[Ff][Yy]\s?)?"  # which stands for its first quarter, or January, as written
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|º)?"


@dataclass(frozen=True)
class Form:
    """A way of writing times.

    Args:
        name: what to remember it by.
        pattern: with a group for each part; `a`, `b` and `c` are those whose order is not said.
        orders: in which `a`, `b` and `c` may stand.
        weak: it may as well be something else, a number or a score; taken only of a column that is meant as times.
    """

    name: str
    pattern: str
    orders: tuple[Order, ...] = ("",)
    weak: bool = False


FORMS = (
    Form("date", rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}}){_TIME}"),
    Form(
        "characters",
        rf"(?P<year>\d{{4}})\s?[年년]\s?(?P<month>\d{{1,2}})\s?[月월](?:\s?(?P<day>\d{{1,2}})\s?[日일]{_TIME})?",
    ),
    Form("date with spaces", rf"(?P<year>\d{{4}})\. ?(?P<month>\d{{1,2}})\. ?(?P<day>\d{{1,2}})\.?{_TIME}"),
    Form(
        "span of dates",
        rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}}){_TIME}{_UNTIL}"
        rf"\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}{_END}",
    ),
    Form(
        "span of numbers",
        rf"(?P<a>\d{{1,2}})[-/.](?P<b>\d{{1,2}})[-/.](?P<year>\d{{4}}){_TIME}{_UNTIL}"
        rf"\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}{_END}",
        ("mdy", "dmy"),
    ),
    Form("two years", rf"{_FISCAL}(?P<year>\d{{4}})[-/–](?P<next>\d{{4}}|\d{{2}})"),
    Form("fiscal year", r"[Ff][Yy]\s?(?P<year>\d{4})"),
    Form("numbers", rf"(?P<a>\d{{1,2}})[-/. ](?P<b>\d{{1,2}})[-/. ](?P<year>\d{{4}}){_TIME}", ("mdy", "dmy")),
    Form(
        "short numbers",
        rf"(?P<a>\d{{1,2}})[-/. ](?P<b>\d{{1,2}})[-/. ](?P<c>\d{{2}}){_TIME}",
        ("mdy", "dmy", "ymd"),
    ),
    Form(
        "number quarter year",
        rf"(?P<quarter>\d)\.?\s?(?:[Qq]|(?:st|nd|rd|th|er|e|º)?\s?(?i:quartal|quarter|trimestre|trim\.?|kwartał))"
        rf"[-/:.' ]*{_YEAR}",
    ),
    Form("day name year", rf"{WEEKDAY}{_DAY}{_OF}[-/. ]*{NAME}{_OF}[-/., ]*{_YEAR}{_TIME}"),
    Form("name day year", rf"{WEEKDAY}{NAME}[-/ ]{_DAY},?[-/ ]+{_YEAR}{_TIME}"),
    Form("name day time year", rf"{WEEKDAY}{NAME}\s+{_DAY}\s+{_CLOCK}\s+(?:{OFFSET}\s+)?(?P<year>\d{{4}})"),
    Form("year name day", rf"(?P<year>\d{{4}})[-/. ]?{NAME}[-/. ]?{_DAY}{_TIME}"),
    Form("year month", r"(?P<year>\d{4})[-/](?P<month>\d{1,2})"),
    Form("year M month", r"(?P<year>\d{4})[ -]?[Mm:](?P<month>\d{1,2})"),
    Form("month year", r"(?P<month>\d{1,2})[-/](?P<year>\d{4})"),
    Form("name year", rf"{NAME}{_OF}[-/ ,']*{_YEAR}"),
    Form("year name", rf"(?P<year>\d{{4}})[-/ ]?{NAME}"),
    Form("year quarter", rf"{_FISCAL}(?P<year>\d{{4}})[-/:. ]*[QqTt](?P<quarter>\d)"),
    Form("quarter year", rf"[QqTt](?P<quarter>\d)[-/:.' ]*{_FISCAL}{_YEAR}"),
    Form("year roman quarter", r"(?P<year>\d{4})[-/ ](?P<roman>I|II|III|IV)"),
    Form("half year", r"(?P<year>\d{4})[-/ ]?[HhSs](?P<halfyear>\d)"),
    Form("half of year", r"[HhSs](?P<halfyear>\d)[-/:.' ]*(?P<year>\d{4})"),
    Form("year week", r"(?P<year>\d{4})[-/ ]*(?:[Ww]|[Kk][Ww])\s?(?P<week>\d{1,2})(?:-?(?P<weekday>\d))?"),
    Form("week year", r"(?:[Ww](?:eek)?|[Kk][Ww])\s?(?P<week>\d{1,2})[-/, ]+(?P<year>\d{4})"),
    Form("year day", r"(?P<year>\d{4})-(?P<ordinal>\d{3})"),
    Form(
        "digits and time",
        r"(?P<year>(?:1[5-9]|2[01])\d{2})(?P<month>\d{2})(?P<day>\d{2})"
        r"[Tt](?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?"
        rf"{OFFSET}?",
    ),
    Form(
        "digits",
        r"(?P<year>(?:1[5-9]|2[01])\d{2})(?P<month>\d{2})(?P<day>\d{2})"
        r"(?:[Tt ]?(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?"
        rf"{OFFSET}?)?",
        weak=True,
    ),
    Form(
        "digits hour",
        r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})(?P<hour>\d{2})",
        weak=True,
    ),
    Form("digits of day", r"(?P<year>(?:19|20)\d{2})(?P<ordinal>\d{3})", weak=True),
    Form("digits month", r"(?P<year>(?:1[5-9]|2[01])\d{2})(?P<month>\d{2})", weak=True),
    Form("year", r"(?P<year>(?:1[5-9]|2[01])\d{2})", weak=True),
    Form("month index", r"(?P<a>\d{1,4})[-/](?P<b>\d{1,2})", ("index", "ym", "my"), weak=True),
)


_WORDS = ("name", "half", "offset", "zone", "fraction", "roman")  # groups that are no numbers
_ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4}


@dataclass(frozen=True)
class Parts:
    """What a form finds in texts, a number each: `year`, `month` and so on, `(rows,)`, -1 where it is not there.

    `digits` counts those of each year, `offset` is in minutes and `nan` where there is none, `zones` are names in
    brackets, `matched` says where the form fits at all.
    """

    numbers: dict[str, NDArray[np.int64]]
    digits: NDArray[np.int64]
    offset: NDArray[np.float64]
    zones: tuple[str, ...]
    matched: NDArray[np.bool_]


def match(texts: pl.Series, form: Form) -> Parts:
    """Return what a form finds in texts; a text that it does not fit is not `matched`."""
    import polars as pl

    groups = texts.str.extract_groups(rf"^\s*(?:{form.pattern})\s*$").struct.unnest()
    year = groups["year"] if "year" in groups.columns else groups["c"] if "c" in groups.columns else groups["a"]
    numbers: dict[str, NDArray[np.int64]] = {}
    for name in groups.columns:
        if name not in _WORDS:
            numbers[name] = groups[name].cast(pl.Int64).fill_null(-1).to_numpy()
    if "fraction" in groups.columns:
        micro = groups["fraction"].str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
        numbers["fraction"] = micro.fill_null(0).to_numpy()
    if "name" in groups.columns:
        numbers["month"] = month_numbers(groups["name"])
    if "half" in groups.columns:
        numbers["half"] = _code(groups["half"].str.to_lowercase().str.slice(0, 1), {"a": 0, "p": 1})
    if "roman" in groups.columns:
        numbers["quarter"] = _code(groups["roman"], _ROMAN)
    zones = groups["zone"].drop_nulls().unique().sort().to_list() if "zone" in groups.columns else []
    digits = year.str.len_chars().fill_null(0).cast(pl.Int64).to_numpy()
    offset = _minutes(groups["offset"]) if "offset" in groups.columns else np.full(len(texts), np.nan)
    return Parts(numbers, digits, offset, tuple(zones), year.is_not_null().to_numpy() & _follows(numbers))


def _follows(numbers: dict[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Tell where the second of two years, 2019/20, is the one after the first; where there is one."""
    if "next" not in numbers:
        return np.ones(len(next(iter(numbers.values()))), np.bool_)
    year, after = numbers["year"], numbers["next"]
    return np.asarray(np.where(after < 100, after == (year + 1) % 100, after == year + 1))


_COMPILED = lru_cache(maxsize=64)(re.compile)


def count_fitting(texts: Sequence[str], form: Form) -> int:
    """Return how many texts a form fits, as `match` tells it of a column; of a few much quicker than that."""
    pattern = _COMPILED(rf"\s*(?:{form.pattern})\s*", re.ASCII)
    return sum(pattern.fullmatch(text) is not None for text in texts)


def match_one(text: str, form: Form) -> Parts | None:
    """Return what a form finds in one text, as `match` does; `None` where it does not fit, or names its zone."""
    found = _COMPILED(rf"\s*(?:{form.pattern})\s*", re.ASCII).fullmatch(text)
    if found is None:
        return None
    groups = found.groupdict()
    if groups.get("zone"):
        return None
    numbers = {
        name: np.array([-1 if cell is None else int(cell)]) for name, cell in groups.items() if name not in _WORDS
    }
    if "fraction" in groups:
        numbers["fraction"] = np.array([int((groups["fraction"] or "0").ljust(6, "0")[:6])])
    if "name" in groups:
        numbers["month"] = np.array([MONTH_NUMBERS.get(groups["name"].lower(), -2)])
    if "half" in groups:
        numbers["half"] = np.array([-1 if groups["half"] is None else "ap".index(groups["half"][0].lower())])
    if "roman" in groups:
        numbers["quarter"] = np.array([_ROMAN[groups["roman"]]])
    if not np.all(_follows(numbers)):
        return None
    year = next(groups[name] for name in ("year", "c", "a") if name in groups)
    return Parts(numbers, np.array([len(year)]), np.array([_offset(groups.get("offset"))]), (), np.array([True]))


def _offset(text: str | None) -> float:
    """Return an offset in minutes; NaN without one."""
    if text is None:
        return np.nan
    if text in _ABBREVIATED:
        return 60.0 * _ABBREVIATED[text]
    digits = re.sub(r"[^0-9]", "", text)
    minutes = int(digits[:2] or 0) * 60 + int(digits[2:4] or 0)
    return float(-minutes if text.startswith("-") else minutes)


def month_numbers(names: pl.Series) -> NDArray[np.int64]:
    """Return the months, from 1 on, that names stand for; -2 for another name, -1 for none."""
    return _code(names.str.to_lowercase(), MONTH_NUMBERS)


def _code(texts: pl.Series, numbers: dict[str, int]) -> NDArray[np.int64]:
    import polars as pl

    coded = texts.replace_strict(numbers, default=-2, return_dtype=pl.Int64)
    return np.asarray(coded.set(texts.is_null(), -1).to_numpy())


def _minutes(offsets: pl.Series) -> NDArray[np.float64]:
    import polars as pl

    if offsets.null_count() == len(offsets):  # as nearly always
        return np.full(len(offsets), np.nan)
    digits = offsets.str.replace_all(r"[^0-9+-]", "")
    sign = digits.str.starts_with("-").replace_strict({True: -1, False: 1}, return_dtype=pl.Int64)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    found = (sign * (hours * 60 + minutes)).cast(pl.Float64).to_numpy().copy()
    found[offsets.is_null().to_numpy()] = np.nan
    for name, hour in _ABBREVIATED.items():
        found[(offsets == name).fill_null(False).to_numpy()] = 60.0 * hour
    return np.asarray(found)


def assemble(parts: Parts, order: Order, pivot: int = PIVOT) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return walls `(rows,)`, `datetime64[us]`, and where the parts are a time that there is.

    Args:
        parts: from `match`.
        order: of `a`, `b` and `c`.
        pivot: the least year of two digits that is of the last century.
    """
    rows = len(parts.matched)
    numbers = {**parts.numbers, **_ordered(parts.numbers, order)}

    def part(name: str, default: int) -> NDArray[np.int64]:
        found = numbers.get(name)
        return np.full(rows, default) if found is None else np.where(found == -1, default, found)

    year = part("year", 1970)
    if order != "index":
        short = (year < 100) & (parts.digits < 3)
        year = np.where(short, year + np.where(year >= pivot, 1900, 2000), year)
    month = part("month", 1)
    month = np.where(part("quarter", 0) > 0, 3 * part("quarter", 1) - 2, month)
    month = np.where(part("halfyear", 0) > 0, 6 * part("halfyear", 1) - 5, month)
    good = parts.matched & (month >= 1) & (month <= 12) & (year >= 1)
    months = (np.where(good, year, 1970) - 1970) * 12 + np.where(good, month, 1) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    length = ((months + 1).astype("datetime64[M]").astype("datetime64[D]") - first).astype(int)
    day = part("day", 1)
    good &= (day >= 1) & (day <= length)
    days = first + (np.where(good, day, 1) - 1).astype("timedelta64[D]")
    for name, rule in (("week", _of_week), ("ordinal", _of_ordinal)):
        if name in numbers:
            days, fits = rule(year, part(name, 1), part("weekday", 1))
            good &= fits
    clock, fits = _clock(part, "half" in numbers)
    good &= fits
    return np.asarray(days.astype("datetime64[us]") + np.where(good, clock, 0).astype("timedelta64[us]")), good


def _ordered(numbers: dict[str, NDArray[np.int64]], order: Order) -> dict[str, NDArray[np.int64]]:
    if not order or "a" not in numbers:
        return {}
    names = {"d": "day", "m": "month", "y": "year"}
    letters = [name for name in ("a", "b", "c") if name in numbers]
    written = "ym" if order == "index" else order
    return {names[letter]: numbers[name] for letter, name in zip(written, letters, strict=False)}


def _of_week(
    year: NDArray[np.int64], week: NDArray[np.int64], weekday: NDArray[np.int64]
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return the days of ISO weeks: the first week is the one with 4 January."""
    starts, following = _first_monday(year), _first_monday(year + 1)
    days = starts + (7 * (week - 1) + weekday - 1).astype("timedelta64[D]")
    return days, (week >= 1) & (weekday >= 1) & (weekday <= 7) & (starts + (7 * (week - 1)) < following)


def _first_monday(year: NDArray[np.int64]) -> NDArray[np.datetime64]:
    fourth = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]") + np.timedelta64(3, "D")
    return np.asarray(fourth - (fourth.astype(int) + 3) % 7)


def _of_ordinal(
    year: NDArray[np.int64], day: NDArray[np.int64], _: NDArray[np.int64]
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    years = (year - 1970).astype("datetime64[Y]")
    days = years.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    return days, (day >= 1) & (days.astype("datetime64[Y]") == years)


def _clock(part: object, halves: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return microseconds since midnight; 24:00 is the midnight after, 12 AM the one before."""
    assert callable(part)
    hour, minute, second, micro = part("hour", 0), part("minute", 0), part("second", 0), part("fraction", 0)
    good = (minute <= 59) & (second <= 59) & (hour <= 24) & ((hour < 24) | (minute + second + micro == 0))
    if halves:
        half = part("half", 2)
        good &= (half == 2) | ((hour >= 1) & (hour <= 12))
        hour = np.where(half < 2, hour % 12 + 12 * half, hour)
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro, good
