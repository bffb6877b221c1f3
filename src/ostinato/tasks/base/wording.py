"""What a comparison with baselines comes to, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ostinato.tasks.base.differences import Difference, fewest
from ostinato.tasks.base.summary import Better, best_of
from ostinato.words import counted, listed, number, rough, rounded, singular

Row: TypeAlias = "Mapping[str, float]"
Against: TypeAlias = "Mapping[str, Mapping[str, Difference]]"
_SHOWN = 3  # measures that are named beside the one that decides


def verdict(
    row: Row, others: Mapping[str, Row], best: str | None, measure: str, better: Better, against: Against
) -> str:
    """Say in one sentence how a model stands against its baselines, by one measure.

    Args:
        row: its measures.
        others: those of baselines.
        best: the baseline that is best by the measure.
        measure: what is compared.
        better: which side of it is better.
        against: how the model stands to each; nothing: the task has no units to test on, and no more is said than which
            number is the better one.

    >>> verdict({"MAE": 1.0}, {"naive": {"MAE": 2.0}}, "naive", "MAE", "lower", {})
    'MAE 1 against 2 of the best baseline, naive: 50 % lower; this task has no units by which chance could be told from it.'
    """  # noqa: E501
    value = row.get(measure, math.nan)
    if math.isnan(value) or (best is None and others):
        return f"There is nothing to compare: no answer has a {measure or 'measure'}."
    if best is None:
        return f"{measure} {number(value)}."
    other = others[best][measure]
    found = against.get(best, {}).get(measure)
    numbers = f"{measure} {number(value)} against {number(other)} of the best"
    if found is None:
        return (
            f"{numbers} baseline, {best}: {amount(value - other, other, better)}; this task has no units by which "
            "chance could be told from it."
        )
    size = difference_in_words(found, other, better)
    rivals = [one[measure] for one in against.values() if measure in one]
    if found.standing == "worse":
        return (
            f"The model LOSES to a baseline: {numbers} of them, {best}: {size}; use the baseline, or give the model "
            "more to learn from."
        )
    if found.standing == "better" and all(one.standing == "better" for one in rivals):
        having = sum(not math.isnan(one.get(measure, math.nan)) for one in others.values())
        every = "every baseline" if having == len(others) else f"{_each(having)} of {len(others)} with a {measure}"
        return f"The model beats {every}: {numbers} of them, {best}: {size}."
    if found.standing == "level":
        return f"The model is no better than the baselines: {numbers} of them, {best}: {size}; chance explains that."
    if found.standing == "better":
        open_ = [name for name, one in against.items() if measure in one and one[measure].standing != "better"]
        unclear = f"but it is not clearly better than {open_[0]}"
        return f"The model beats {best}, the best baseline: {numbers}: {size}; {unclear}."
    need = fewest(len(rivals))
    more = f"at least {need} to tell" if found.units < need else f"more to tell{_about(found)}"
    return f"Too little to tell from chance: {numbers} baseline, {best}: {size}; it takes {more}."


def _about(found: Difference) -> str:
    """Return about how many units would tell a difference of this size: its interval narrows with their root."""
    if not (found.value and math.isfinite(found.low) and math.isfinite(found.high)):
        return ""
    near = abs(found.value - (found.low if found.value > 0 else found.high))
    count = found.units * (near / abs(found.value)) ** 2
    if not 1.05 * found.units < count < 100 * found.units:
        return ""
    return f", about {round(count, 1 - math.floor(math.log10(count))):,.0f} {found.of} if the difference stays as it is"


def also(
    row: Row,
    others: Mapping[str, Row],
    best: str | None,
    measure: str,
    better: Mapping[str, Better],
    against: Against,
) -> list[str]:
    """Return what other measures say that the verdict does not: where the model is ahead, and where it is behind.

    Each is compared with the baseline that is best by it: ahead of a weak one is not ahead.
    """
    found = against.get(best or "", {}).get(measure)
    if found is None:
        return []
    ahead, behind = list[str](), list[str]()
    for name in better:
        rival = _best_with(others, name, better, against)
        if name == measure or rival is None:
            continue
        standing = against[rival][name].standing
        if standing not in ("better", "worse") or standing == found.standing:
            continue
        whose = "" if rival == best else f" of {rival}"
        place = ahead if standing == "better" else behind
        place.append(f"{name} ({_apart(row[name], others[rival][name])}{whose})")
    said = []
    for words, names in (("behind", behind), ("ahead", ahead)):
        if names:
            start = "But it" if found.standing in ("better", "worse") else "It"
            said.append(f"{start} is {words} in {listed(names[:_SHOWN])}.")
    return said


def _apart(value: float, other: float) -> str:
    """Return two numbers with as many digits as tell them apart.

    >>> _apart(0.1901, 0.1903), _apart(0.5, 0.25)
    ('0.1901 against 0.1903', '0.5 against 0.25')
    >>> _apart(12345.6, 12380.0)
    '12,346 against 12,380'
    """
    for digits in range(3, 10):
        found = rounded(value, digits), rounded(other, digits)
        if found[0] != found[1]:
            break
    return f"{found[0]} against {found[1]}"


def _each(count: int) -> str:
    return "the one baseline" if count == 1 else f"the {count} baselines"


def _best_with(others: Mapping[str, Row], measure: str, better: Mapping[str, Better], against: Against) -> str | None:
    return best_of({name: row for name, row in others.items() if measure in against.get(name, {})}, measure, better)


def difference_in_words(found: Difference, other: float, better: Better) -> str:
    """Return how large a difference is, between which limits, and over how many units.

    >>> difference_in_words(Difference("better", -0.08, -0.14, -0.02, 0.01, 36, "windows"), 2.0, "lower")
    '4 % lower (1 to 7 %), over 36 windows'
    """
    size = f"{amount(found.value, other, better)} {interval(found, other, better)}".strip()
    return f"{size}, over {counted(found.units, found.of)}"


def stands(found: Difference, name: str, other: float, better: Better) -> str:
    """Return how a model stands to another, in words.

    >>> stands(Difference("better", -0.08, -0.14, -0.02, 0.01, 36, "windows"), "naive", 2.0, "lower")
    'better than naive (4 % lower (1 to 7 %), over 36 windows)'
    """
    words = {
        "better": "better than",
        "worse": "worse than",
        "level": "level with",
        "unclear": "not clearly different from",
    }
    return f"{words[found.standing]} {name} ({difference_in_words(found, other, better)})"


def amount(difference: float, other: float, better: Better) -> str:
    """Return a difference as a person says it: in points of a share, in per cent of a loss, or as it is.

    >>> amount(-0.04, 2.0, "lower"), amount(0.021, 0.8, "higher"), amount(1.5, 20.0, "higher")
    ('2 % lower', '2.1 points higher', '1.5 higher')
    >>> amount(0.01, 0.8, "higher"), amount(0.02, 2.0, "lower")
    ('1 point higher', '1 % higher')
    """
    scale, unit = scale_of(other, better, [_within(other + difference)])
    size = _within(difference * scale)
    if size == 0:
        return "no difference"
    return f"{_sized(abs(size), unit)} {'higher' if size > 0 else 'lower'}"


def interval(found: Difference, other: float, better: Better) -> str:
    """Return between which limits a difference lies, in the unit in which `amount` gives it.

    >>> interval(Difference("better", -0.08, -0.14, -0.02, 0.01, 36, "windows"), 2.0, "lower")
    '(1 to 7 %)'
    >>> interval(Difference("level", 0.01, -0.02, 0.04, 0.4, 90, "texts"), 0.8, "higher")
    '(2 points lower to 4 higher)'
    """
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return ""
    scale, unit = scale_of(other, better, [_within(other + found.value)])
    low, high = _within(found.low * scale), _within(found.high * scale)
    if _within(found.value * scale) == 0 or low < 0 < high:
        return f"({_sized(max(0.0, -low), unit)} lower to {rough(max(0.0, high))} higher)"
    near, far = sorted((abs(low), abs(high)))
    return f"({rough(near)} to {_sized(far, unit)})"


def scale_of(other: float, better: Better, beside: Sequence[float] = ()) -> tuple[float, str]:
    """Return what a difference is multiplied by to be read, and the unit it then has, given the other's measure.

    Args:
        other: that measure.
        better: which side is.
        beside: the same measure of others. A share is what all of them may be: a BLEU of 0.8 beside one of 40 is none.

    >>> scale_of(0.79, "higher", [6.45]), scale_of(0.79, "higher", [0.9])
    ((1.0, ''), (100.0, ' points'))
    """
    if better == "lower":
        return (100 / other, " %") if other > 0 else (1.0, "")
    return (100.0, " points") if all(0 <= each <= 1 for each in (other, *beside)) else (1.0, "")


def _within(value: float) -> float:
    """Return a number without what rounding put beyond an end of a share, or beside no difference."""
    return round(value, 9)


def _sized(value: float, unit: str) -> str:
    """Return a size with its unit, of one point in the singular."""
    shown = rough(value)
    return shown + (singular(unit) if shown == "1" else unit)
