"""Figures in words: steps in the user's unit of time, shares, factors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ostinato.tasks.base.steps import StepUnit
from ostinato.words import rounded

_SIZES = (
    ("year", 365.25 * 86400), ("month", 30.44 * 86400), ("week", 7 * 86400), ("day", 86400), ("hour", 3600),
    ("minute", 60), ("second", 1),
)  # fmt: skip


def about(seconds: float) -> str:
    """Return a time in the unit that suits it, rounded.

    >>> about(10_800), about(90), about(0.35)
    ('about 3 hours', 'about 90 seconds', 'about 350 milliseconds')
    """
    for name, size in _SIZES:
        if seconds >= 1.75 * size or (name == "second" and seconds >= 1):
            return _plural(seconds / size, name)
    return _plural(seconds * 1000, "millisecond")


def _plural(value: float, name: str) -> str:
    shown = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")
    return f"about {shown} {name}{'' if shown == '1' else 's'}"


@dataclass(frozen=True)
class Speaker:
    """Says steps in the unit of the data."""

    unit: StepUnit

    def steps(self, count: float) -> str:
        """Return a count of steps in words, with the time that they take where it is known.

        >>> Speaker(StepUnit("steps", 900.0)).steps(12)
        '12 steps (about 3 hours)'
        >>> Speaker(StepUnit("steps of 6 rows")).steps(1)
        '1 step of 6 rows'
        """
        first, *rest = self.unit.name.split(" ")
        name = " ".join([first.removesuffix("s") if count == 1 else first, *rest])
        time = "" if self.unit.seconds is None or count <= 0 else f" ({about(count * self.unit.seconds)})"
        return f"{count:,.0f} {name}{time}"


def percent(share: float) -> str:
    """Return a share in per cent.

    >>> percent(0.125), percent(0.0004)
    ('12 %', '0.04 %')
    """
    value = 100 * share
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.0f} %" if value >= 9.5 or value == 0 else f"{value:.2g} %"


def number(value: float) -> str:
    """Return a number in three digits, without an exponent where it can be read without."""
    if not math.isfinite(value):
        return str(value)
    return rounded(value, 3) if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.1e}"
