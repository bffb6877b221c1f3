"""Texts as times: the form they are written in, the order of day and month, the offset from UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.data.digits import western
from ostinato.data.directives import form_of
from ostinato.data.formats import FORMS, PIVOT, Form, Order, Parts, assemble, count_fitting, match
from ostinato.data.frequency import Times
from ostinato.data.inference import irregularity
from ostinato.data.notes import note
from ostinato.data.short_years import check_year
from ostinato.data.table import Table
from ostinato.data.time_format import OPEN_ORDER, AloneRow, Groups, TimeFormat
from ostinato.data.zoned_times import localised, refuse_missing, takes_utc
from ostinato.data.zones import checked_zone, offset_name
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_HEAD = 20
_FEW = 3  # rows that show of which time they are
_PLANNED = 20  # years that a plan reaches ahead, at most
_ORDER_WORDS = {"dmy": "day-first", "mdy": "month-first", "ymd": "year-first"}
_EXAMPLES = {
    "date": "2024-01-31", "year month": "2024-01", "year quarter": "2024Q1", "year week": "2024-W05", "year": "2024",
    "digits": "20240131", "digits month": "202401", "name year": "Jan 2024", "half year": "2024H1",
}  # fmt: skip
_YEARLESS = r"(?:\d{1,2}[-/. ]{0,2}[A-Za-z]{3,9}|[A-Za-z]{3,9}[-/. ]{0,2}\d{1,2}|\d{1,2}[-/.]\d{1,2})\.?$"
_ELAPSED = (
    r"^\s*(?P<sign>[+-])?\s*(?P<days>\d+)\s*days?,?\s*(?:(?P<clocksign>[+-])?(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r":(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?\s*$"
)


def read_texts(
    table: Table, name: str, texts: pl.Series, wanted: TimeFormat, groups: Groups
) -> tuple[Times, TimeFormat]:
    """Return texts as times, and how they are written; see `decide_times`.

    Raises:
        DataError: a text is not a time; the row is named.
    """
    refuse_missing(table, name, texts)
    texts = western(texts)
    form = form_of(wanted.pattern) if wanted.pattern else _form_of(texts, wanted)
    parts = None if form is None else match(texts, form)
    decimals = None if form or wanted.kind == "stamps" else _decimals(texts)
    if decimals is not None:
        return decimals, TimeFormat("numbers")
    if form is None or parts is None or not parts.matched.all():
        raise _no_time(table, name, texts, form or _likeliest(texts), wanted)
    readings = list(_readings(form, parts, texts, wanted))
    possible = [(order, walls) for order, walls, good in readings if good.all()]
    if not possible:
        raise _impossible(table, name, texts, parts, readings, wanted)
    order, walls = possible[0]
    different = [each for each in possible if (each[1] != walls).any()]
    if different:
        order, walls = _judged(table, name, texts, possible, groups, known=wanted.kind == "stamps")
    if not wanted.kind and not wanted.pattern:
        check_year(table, name, texts, parts, order, walls, groups)
    pivot = wanted.pivot
    if not wanted.kind and wanted.pattern is None and (other := past_pivot(parts, walls, form)) is not None:
        walls, pivot = assemble(parts, order, other)[0], other
        note(
            f'{table.place(0)}: "{texts[0]}" in column "{name}" is read as {str(walls[0])[:10]}, a century before '
            f"20{_short_year(parts)[0]:02d}, which is long to come; write years of four digits if that is wrong"
        )
    if not wanted.kind and wanted.pattern is None:
        _say_calendar(table, name, texts, walls)
    decided = replace(wanted, kind="stamps", order=order or wanted.order, form=form.name, pivot=pivot)
    return finish(table, name, walls, parts, wanted, decided, groups)


def _say_calendar(table: Table, name: str, texts: pl.Series, walls: Times) -> None:
    """Say of years that are hardly of the Gregorian calendar that they are read by it all the same."""
    years = walls.astype("datetime64[Y]").astype(int) + 1970
    for calendar, least, most in (("Persian", 1290, 1460), ("Islamic", 1340, 1500), ("Buddhist", 2440, 2620)):
        if ((years >= least) & (years <= most)).all():
            note(
                f'{table.place(0)}: "{texts[0]}" in column "{name}" is read as the year {years[0]}; if it is of the '
                f"{calendar} calendar, whose months or years are others, convert the dates first"
            )
            return


def past_pivot(parts: Parts, walls: Times, form: Form) -> int | None:
    """Return the pivot by which years of two digits are of the last century, where they would be long to come.

    `Jan-56` is of 1956; a plan for some years is not of the century before. `None`: they are right as they are.
    """
    if form.name == "month index" or len(walls) < _FEW or not (parts.digits == 2).all():
        return None
    years = _short_year(parts)
    to_come = (years < PIVOT) & (walls.astype("datetime64[Y]").astype(int) + 1970 > datetime.now().year + _PLANNED)
    return int(years[to_come].min()) if to_come.any() else None


def _short_year(parts: Parts) -> NDArray[np.int64]:
    return next(parts.numbers[name] for name in ("year", "c", "a") if name in parts.numbers)


def _decimals(texts: pl.Series) -> Times | None:
    """Return texts as numbers with decimals, or `None` when they are others."""
    import polars as pl

    values = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return None if values.null_count() or not values.is_finite().all() else values.to_numpy()


def reads_as_time(texts: pl.Series, *, weak: bool) -> bool:
    """Tell whether some texts are times, by the first form that fits them all.

    Args:
        texts: without missing ones.
        weak: whether numbers and scores that may be times are taken for them.
    """
    texts = western(texts)
    form = _form_of(texts, TimeFormat(), weak=weak)
    if form is None:
        return False
    parts = match(texts, form)
    return any(good.all() for _, _, good in _readings(form, parts, texts, TimeFormat()))


def share_of_times(texts: pl.Series) -> float:
    """Return the share of texts that are times by the form that fits most of them, which no number or score has.

    Args:
        texts: without missing ones.
    """
    texts = western(texts)
    head = texts.head(_HEAD).to_list()
    best = 0.0
    for form in FORMS:
        if form.weak or 2 * count_fitting(head, form) < len(head):
            continue
        readings = _readings(form, match(texts, form), texts, TimeFormat())
        best = max([best, *(float(good.mean()) for _, _, good in readings)])
    return best


def _form_of(texts: pl.Series, wanted: TimeFormat, *, weak: bool = True) -> Form | None:
    head = texts.head(_HEAD).to_list()
    # the form of the training data first, since a single row may be of several
    for form in sorted(FORMS, key=lambda form: form.name != wanted.form):
        if (weak or not form.weak) and count_fitting(head, form) == len(head) and match(texts, form).matched.all():
            return form
    return None


def _likeliest(texts: pl.Series) -> Form:
    return max(FORMS, key=lambda form: int(match(texts, form).matched.sum()))


def _readings(
    form: Form, parts: Parts, texts: pl.Series, wanted: TimeFormat
) -> Iterator[tuple[Order, Times, NDArray[np.bool_]]]:
    """Yield each order that is open with what the texts are by it, and where that is a date."""
    orders: Sequence[Order] = form.orders
    if wanted.order in orders:
        orders = [wanted.order]
    elif len(orders) > 1 and bool(texts.str.contains(r"^\s*\d+\.\d+\.").all()):
        orders = sorted(orders, key=lambda order: order != "dmy")  # after a dot the day is first, if nothing tells
    two = bool(texts.str.contains(r"^\s*\d{2}\D").all())
    if "c" in parts.numbers and len(orders) > 1 and _constant(parts.numbers["a"]) and not _constant(parts.numbers["c"]):
        orders = sorted(orders, key=lambda order: order != "ymd")  # the year is what changes least
    for order in orders:
        # a year of two digits has two of them, and a count of years has not from its beginning
        if len(orders) > 1 and ((order in ("ymd", "ym") and not two) or (order == "index" and two)):
            continue
        yield order, *assemble(parts, order, wanted.pivot)


def _constant(numbers: NDArray[np.int64]) -> bool:
    return bool((numbers == numbers[0]).all())


def _judged(
    table: Table, name: str, texts: pl.Series, possible: list[tuple[Order, Times]], groups: Groups, *, known: bool
) -> tuple[Order, Times]:
    """Choose among readings by which every row is a date, and say so.

    Raises:
        DataError: it is a row alone for a model whose training data did not tell: one wrong day would go unseen.
    """
    marks = [irregularity([walls[rows] for rows in groups]) for _, walls in possible]
    best = min(range(len(possible)), key=lambda place: marks[place])
    order, walls = possible[best]
    others = [(value, found) for value, found in possible if value != order and (found != walls).any()]
    if order not in _ORDER_WORDS:
        return order, walls
    equal = [value for value, mark in zip(possible, marks, strict=True) if mark == marks[best] and value[0] != order]
    row = int((others[0][1] != walls).argmax())
    readings = f"{str(walls[row])[:10]} or {str(others[0][1][row])[:10]}"
    if known and isinstance(table, AloneRow):
        raise DataError(
            f'{table.place(row)}: "{texts[row]}" in column "{name}" is {readings}, and {OPEN_ORDER}; write '
            f"{str(walls[row])[:10]}, or fit with day_first=True or False (--day-first, --no-day-first)"
        )
    why = (
        "nothing in it tells which"
        if any((each[1] != walls).any() for each in equal)
        else "the rows are in order and regular then"
    )
    other = "day_first=False (--no-day-first)" if order == "dmy" else "day_first=True (--day-first)"
    given = "" if why.startswith("nothing") else ", if that is wrong"
    do = "fit with" if known else "pass"
    note(
        f'{table.place(row)}: "{texts[row]}" in column "{name}" is {readings}; the column is read '
        f"{_ORDER_WORDS[order]}, since {why}; {do} {other}{given or ' if it is the other'}, or time_format "
        "(--time-format) to say how it is written"
    )
    return order, walls


def _no_time(table: Table, name: str, texts: pl.Series, form: Form, wanted: TimeFormat) -> DataError:
    row = int((~match(texts, form).matched).argmax())
    matched = match(texts, form).matched
    example = str(texts[int(matched.argmax())]) if matched.any() else _EXAMPLES.get(wanted.form, "2024-01-31 13:00")
    of = "that of the training data" if wanted.kind and not matched.any() else "the form of its other rows"
    expected = f'"{wanted.pattern}"' if wanted.pattern else f"{of}, such as {example}"
    if not wanted.pattern and re.match(_YEARLESS, str(texts[row]).strip()):
        expected = "a date with its year, such as 2024-01-31"
    return DataError(
        f'{table.place(row)}: "{str(texts[row])[:80]}" in column "{name}" is not a time; expected {expected}'
    )


def _impossible(
    table: Table,
    name: str,
    texts: pl.Series,
    parts: Parts,
    readings: list[tuple[Order, Times, NDArray[np.bool_]]],
    wanted: TimeFormat,
) -> DataError:

    def months(order: Order) -> int:
        """Return how many rows have a month by an order."""
        place = order.find("m")
        return int((parts.numbers["abc"[place]] <= 12).sum()) if order in _ORDER_WORDS else 0

    order, _, good = max(readings, key=lambda reading: (int(reading[2].sum()), months(reading[0])))
    row = int((~good).argmax())
    by = f" {_ORDER_WORDS[order]}" if order in _ORDER_WORDS else ""
    as_before = ", as the times that the model was trained on are read" if wanted.kind and by else ""
    return DataError(
        f'{table.place(row)}: "{texts[row]}" in column "{name}" is not a time that exists{by and f", read{by}"}'
        f"{as_before}; mend the row"
    )


def finish(
    table: Table,
    name: str,
    walls: Times,
    parts: Parts,
    wanted: TimeFormat,
    decided: TimeFormat,
    groups: Groups,
) -> tuple[Times, TimeFormat]:
    """Return instants, where the texts or the format say a zone, and what was decided.

    Raises:
        DataError: offsets from UTC are mixed and no zone is said, or the model has none.
    """
    given = ~np.isnan(parts.offset)
    if not given.any():
        if wanted.zone is None:
            return walls, replace(decided, zone=None)
        return localised(table, name, walls, wanted.zone, groups), decided
    if takes_utc(table, name, int(given.argmax()), wanted):
        return walls - np.where(given, parts.offset, 0).astype("timedelta64[m]"), replace(decided, zone=None)
    offsets = np.unique(parts.offset[given])
    zone = wanted.zone or (checked_zone(parts.zones[0]) if len(parts.zones) == 1 else None)
    if zone is None and (len(offsets) > 1 or not given.all()):
        first = parts.offset[0]
        other = int((given if np.isnan(first) else parts.offset != first).argmax())
        words = ["no offset" if np.isnan(each) else offset_name(int(each)) for each in parts.offset[[0, other]]]
        raise DataError(
            f'{table.place(other)}: column "{name}" has times at {words[0]} and, from here on, at {words[1]}; fit with '
            'the zone that they are of, time_zone="Europe/Berlin" (--time-zone) for example, or "UTC"'
        )
    instants = walls - np.where(given, parts.offset, 0).astype("timedelta64[m]")
    if not given.all():
        assert zone is not None
        instants = np.where(given, instants, localised(table, name, walls, zone, groups))
    return np.asarray(instants), replace(decided, zone=zone or offset_name(int(offsets[0])))


def read_elapsed(texts: pl.Series) -> Times | None:
    """Return texts such as `2 days 01:30:00` as `timedelta64[us]`, or `None` when they are others."""
    import polars as pl

    if not texts.head(_HEAD).str.contains(_ELAPSED).all() or not texts.str.contains(_ELAPSED).all():
        return None
    groups = texts.str.extract_groups(_ELAPSED).struct.unnest()
    whole = {part: groups[part].cast(pl.Int64).fill_null(0).to_numpy() for part in ("days", "hour", "minute", "second")}
    micro = groups["fraction"].str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0).to_numpy()
    clock = ((whole["hour"] * 60 + whole["minute"]) * 60 + whole["second"]) * 1_000_000 + micro
    days = np.where((groups["sign"] == "-").fill_null(False).to_numpy(), -whole["days"], whole["days"])
    clock = np.where((groups["clocksign"] == "-").fill_null(False).to_numpy(), -clock, clock)
    return np.asarray((days * 86_400_000_000 + clock).astype("timedelta64[us]"))
