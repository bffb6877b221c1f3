"""How a column of times is written: what was asked for, and what was found and is remembered with a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.formats import PIVOT, Order
from ostinato.data.table import Table
from ostinato.data.zones import checked_zone

Kind: TypeAlias = Literal["", "stamps", "integers", "numbers", "elapsed"]
Groups: TypeAlias = "Sequence[NDArray[np.int64]]"
WORDS = {"stamps": "dates", "integers": "whole numbers", "numbers": "numbers", "elapsed": "times gone by"}
PARTS = ("year", "month", "day", "hour", "minute", "second")
ROLES = {
    "yr": "year", "yyyy": "year", "mo": "month", "mon": "month", "mm": "month", "mnth": "month", "dy": "day",
    "dd": "day", "hr": "hour", "hh": "hour", "qtr": "quarter", "wk": "week", "min": "minute", "doy": "ordinal",
    "day_of_year": "ordinal", "dayofyear": "ordinal", "yday": "ordinal", "jday": "ordinal", "julian_day": "ordinal",
    "day of year": "ordinal",
}  # fmt: skip
"""Other names of columns that are parts of a time."""
_CALLED = re.compile(
    r"(?i)date|datum|fecha|\bdata\b|time|zeit|heure|hora|stamp|_at$|_dt$|_ts$|period|month|monat|mois|\bmes\b|week|woche"
    r"|semaine|year|jahr|ann[ée]e|\bday\b|\btag\b|\bdag\b|\bjour\b|\bd[ií]a\b|\bgiorno\b"
)
# what a column of numbers is called that only counts, so that 1999 in it is no year
COUNTERS = (
    "t", "step", "time_step", "timestep", "time_idx", "index", "idx", "row", "tick", "n", "elapsed", "seconds",
    "minutes", "hours", "days", "ms", "cycle", "frame", "sample", "iteration",
)  # fmt: skip
YEARS = ("year", "yr", "date", "ds", "period")
FARTHEST = 2**62
"""Whole numbers as times are smaller than this, so that a step more, or their difference, is a number too."""
OPEN_ORDER = "the training data do not tell which"


@dataclass(frozen=True)
class TimeFormat:
    """How times are written: what was asked for and, once a column was read, what was found.

    Args:
        kind: dates, whole numbers, numbers with decimals or times gone by; empty: not known yet.
        order: of day, month and year, where all are numbers.
        form: the name of the form; see `ostinato.data.formats.FORMS`.
        pattern: a format of `strptime` that was given, `"unix"` or `"excel"`.
        zone: the zone of the times; without one they are as a clock shows them.
        pivot: the least year of two digits that is of the last century.
    """

    kind: Kind = ""
    order: Order = ""
    form: str = ""
    pattern: str | None = None
    zone: str | None = None
    pivot: int = PIVOT

    @classmethod
    def wanted(cls, *, day_first: bool | None, time_format: str | None, time_zone: str | None) -> TimeFormat:
        """Return what the options of a user say.

        Raises:
            UsageError: there is no such zone.
        """
        order: Order = "" if day_first is None else "dmy" if day_first else "mdy"
        return cls(order=order, pattern=time_format, zone=None if time_zone is None else checked_zone(time_zone))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TimeFormat:
        """Return what `to_json` wrote."""
        return cls(**data)


ANY = TimeFormat()
STAMPS = TimeFormat("stamps")


class AloneRow(Table):
    """A row that came by itself."""

    def place(self, row: int) -> str:  # noqa: ARG002
        """Return how to name it."""
        return "the row"


def is_called_a_time(name: str) -> bool:
    """Tell whether a column is called as times are, in one of the languages of files."""
    return _CALLED.search(name) is not None
